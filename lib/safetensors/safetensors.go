// Package safetensors reads and writes tensors in the safetensors format: a JSON header followed by the values. Unlike
// a pickle, such a file contains no executable code.
//
// Files are not trusted. The size of the header is limited before it is parsed, and tensors must lie within the file,
// follow each other without gaps and have the sizes that their shapes imply. A tensor of an unsupported type is an
// error only when it is requested, because files of large models mix many types.
//
// Note: github.com/nlpodyssey/safetensors was used until files with FP8 appeared. It refuses a whole file because of
// one tensor of an unknown type.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes/float16"

	"vapo/lib/failure"
	"vapo/lib/program"
)

// Limits for a file and its header in bytes. The header for a thousand tensors has about 100 KB. Parsing a header takes
// up to 60 times its size in memory.
const (
	maxFile   = 8 << 30
	maxHeader = 4 << 20
	// longestHeader is the limit of the format. A larger value means that the file is of another format.
	longestHeader = 100_000_000
)

var errCut = failure.New(failure.Input, "get a complete copy of the file", "it is truncated")

// metadataKey is the entry of the header that is not a tensor.
const metadataKey = "__metadata__"

// File is a parsed file. Tensors are converted when they are requested.
type File struct {
	tensors  map[string]info
	metadata map[string]string
	data     []byte // the values
	trailing int    // number of bytes after the last tensor
}

// info describes a tensor in the header.
type info struct {
	DType   string   `json:"dtype"`
	Shape   []uint64 `json:"shape"`
	Offsets []uint64 `json:"data_offsets"` // begin and end in the values
}

// IsFile reports whether a file begins like a safetensors file: with the length of a header, and a brace.
func IsFile(name string) bool {
	head := program.Head(name, 9)
	return len(head) == 9 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= longestHeader
}

// Open reads a file. The caller must add the file's name to an error.
func Open(name string) (*File, error) {
	data, err := program.ReadFile(name, maxFile)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

// parse is like Open, but takes the content of a file. The File keeps a reference to data.
func parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, errors.New("not a safetensors file: it is shorter than the length of its header")
	}
	n := binary.LittleEndian.Uint64(data)
	switch {
	case n > maxHeader:
		return nil, fmt.Errorf("not a safetensors file: a header of %d bytes; at most %d are read", n, maxHeader)
	case n > uint64(len(data)-8):
		return nil, fmt.Errorf(
			"not a safetensors file: a header of %d bytes in a file of %d; %w, or in another format",
			n, len(data), errCut)
	}
	f := &File{data: data[8+n:]}
	if err := f.parseHeader(data[8 : 8+n]); err != nil {
		return nil, fmt.Errorf("not a readable safetensors file: %w", clip(err))
	}
	if len(f.tensors) == 0 {
		return nil, errors.New("a safetensors file without tensors")
	}
	return f, nil
}

// parseHeader reads the header and checks that the tensors fill the values from the beginning.
func (f *File) parseHeader(text []byte) error {
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(text, &entries); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	f.tensors = make(map[string]info, len(entries))
	for name, raw := range entries {
		if name == metadataKey {
			var values map[string]any
			if err := json.Unmarshal(raw, &values); err != nil {
				return fmt.Errorf("header: %s: %w", metadataKey, err)
			}
			f.metadata = make(map[string]string, len(values))
			for k, v := range values {
				if s, ok := v.(string); ok { // other values violate the format, but affect no tensor
					f.metadata[k] = s
				}
			}
			continue
		}
		t := info{}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&t); err != nil {
			return fmt.Errorf("header of tensor %.100q: %w", name, err)
		}
		if t.DType == "" || t.Shape == nil || len(t.Offsets) != 2 {
			return fmt.Errorf("header of tensor %.100q: expected dtype, shape and two data_offsets", name)
		}
		f.tensors[name] = t
	}
	end := uint64(0)
	for _, name := range slices.SortedFunc(maps.Keys(f.tensors), f.byOffset) {
		t := f.tensors[name]
		if t.Offsets[0] != end || t.Offsets[1] < end {
			return fmt.Errorf("tensor %.100q has the offsets %d, expected them to begin at %d", name, t.Offsets, end)
		}
		end = t.Offsets[1]
		if end > uint64(len(f.data)) {
			return fmt.Errorf("its tensors need at least %d bytes, but %d follow its header: %w", end, len(f.data), errCut)
		}
		if err := t.check(); err != nil {
			return fmt.Errorf("tensor %.100q: %w", name, err)
		}
	}
	f.trailing = len(f.data) - int(end)
	return nil
}

func (f *File) byOffset(a, b string) int {
	return slices.Compare(f.tensors[a].Offsets, f.tensors[b].Offsets)
}

// check compares the size of a tensor with its shape. It does not check tensors whose element type is unknown.
func (t *info) check() error {
	d, known := decoders[t.DType]
	if !known {
		return nil
	}
	count := uint64(1)
	if slices.Contains(t.Shape, 0) {
		count = 0
	}
	for _, n := range t.Shape {
		if n > math.MaxInt || count > 0 && n > uint64(maxFile)/count {
			return fmt.Errorf("shape %.100s is too large", fmt.Sprint(t.Shape))
		}
		count *= n
	}
	if have := t.Offsets[1] - t.Offsets[0]; have != count*uint64(d.size) {
		return fmt.Errorf("%d bytes, expected %d for shape %.100s of %s",
			have, count*uint64(d.size), fmt.Sprint(t.Shape), t.DType)
	}
	return nil
}

// clip limits the length of an error message, which may quote the file.
func clip(err error) error {
	if s := err.Error(); len(s) > 300 {
		return errors.New(s[:300] + "…")
	}
	return err
}

// Names returns the names of the tensors, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.tensors)) }

// Metadata returns the strings that are stored with the tensors (__metadata__), or nil.
func (f *File) Metadata() map[string]string { return f.metadata }

// Trailing returns the number of bytes after the last tensor, which are ignored.
func (f *File) Trailing() int { return f.trailing }

// Tensor returns a tensor as float32 in row-major order and its shape, which is empty for a scalar. ok reports whether
// the file has the tensor. Values that float32 cannot represent exactly are rounded.
func (f *File) Tensor(name string) (values []float32, shape []int, ok bool, err error) {
	t, ok := f.tensors[name]
	if !ok {
		return nil, nil, false, nil
	}
	d, known := decoders[t.DType]
	if !known {
		return nil, nil, true, failure.New(failure.Input, "save the tensor as F32, F16 or BF16",
			"tensor %.200s: elements of type %.80s are not supported", name, t.DType)
	}
	for _, n := range t.Shape {
		shape = append(shape, int(n))
	}
	raw := f.data[t.Offsets[0]:t.Offsets[1]]
	values = make([]float32, len(raw)/d.size)
	for i := range values {
		values[i] = d.value(raw[i*d.size:])
	}
	return values, shape, true, nil
}

// decoder converts the bytes of one element.
type decoder struct {
	size  int // in bytes
	value func(b []byte) float32
}

func u16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// decoders lists the supported element types.
var decoders = map[string]decoder{
	"F64":  {8, func(b []byte) float32 { return float32(math.Float64frombits(u64(b))) }},
	"F32":  {4, func(b []byte) float32 { return math.Float32frombits(u32(b)) }},
	"BF16": {2, func(b []byte) float32 { return math.Float32frombits(uint32(u16(b)) << 16) }},
	"F16":  {2, func(b []byte) float32 { return float16.Float16(u16(b)).Float32() }},
	"I64":  {8, func(b []byte) float32 { return float32(int64(u64(b))) }},
	"U64":  {8, func(b []byte) float32 { return float32(u64(b)) }},
	"I32":  {4, func(b []byte) float32 { return float32(int32(u32(b))) }},
	"U32":  {4, func(b []byte) float32 { return float32(u32(b)) }},
	"I16":  {2, func(b []byte) float32 { return float32(int16(u16(b))) }},
	"U16":  {2, func(b []byte) float32 { return float32(u16(b)) }},
	"I8":   {1, func(b []byte) float32 { return float32(int8(b[0])) }},
	"U8":   {1, func(b []byte) float32 { return float32(b[0]) }},
	"BOOL": {1, func(b []byte) float32 { return float32(b[0]) }},
}

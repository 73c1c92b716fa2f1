// Package safetensors reads and writes tensors in the safetensors format: a JSON header followed by the values. Unlike
// a pickle, such a file contains no executable code.
//
// github.com/nlpodyssey/safetensors parses and checks the header: tensors lie within the file, do not overlap and have
// the sizes of their shapes. This package limits the size of the header before parsing, and converts tensors to
// float32.
package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes/float16"
	st "github.com/nlpodyssey/safetensors"

	"vapo/lib/program"
)

// Limits for a file and its header in bytes. The header for a thousand tensors has about 100 KB. Parsing a header takes
// up to 60 times its size in memory.
const (
	maxFile   = 8 << 30
	maxHeader = 4 << 20
)

// File is a parsed file. Tensors are converted when they are requested.
type File struct {
	tensors st.SafeTensors
	data    []byte
}

// IsFile reports whether a file begins like a safetensors file: with a header length that fits into the file, and a
// brace.
func IsFile(name string) bool {
	head := program.Head(name, 9)
	info, err := os.Stat(name)
	return err == nil && len(head) == 9 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= uint64(info.Size()-8)
}

// Open reads a file. The caller must add the file's name to an error.
func Open(name string) (*File, error) {
	data, err := program.ReadFile(name, maxFile)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

// parse is Open for the content of a file. The File keeps data.
func parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, errors.New("not a safetensors file: it is shorter than the length of its header")
	}
	switch n := binary.LittleEndian.Uint64(data); {
	case n > maxHeader:
		return nil, fmt.Errorf("not a safetensors file: a header of %d bytes; at most %d are read", n, maxHeader)
	case n > uint64(len(data)-8):
		return nil, fmt.Errorf(
			"not a safetensors file: a header of %d bytes in a file of %d; it is truncated, or something else", n, len(data))
	}
	f, err := st.Deserialize(data)
	if err != nil {
		return nil, fmt.Errorf("not a safetensors file: %w", clip(err))
	}
	if f.IsEmpty() {
		return nil, errors.New("a safetensors file without tensors")
	}
	return &File{f, data}, nil
}

// clip limits the length of an error message, which may quote the file.
func clip(err error) error {
	if s := err.Error(); len(s) > 300 {
		return errors.New(s[:300] + "…")
	}
	return err
}

// Names returns the names of the tensors, sorted.
func (f *File) Names() []string {
	names := f.tensors.Names()
	slices.Sort(names)
	return names
}

// Metadata returns the strings that are stored with the tensors (__metadata__), or nil.
func (f *File) Metadata() map[string]string {
	_, m, err := st.ReadMetadata(f.data)
	if err != nil {
		return nil // cannot happen: parse has read the same metadata
	}
	return m.Metadata()
}

// Tensor returns a tensor as float32 in row-major order and its shape, which is empty for a scalar. ok reports whether
// the file has the tensor. Values that float32 cannot represent exactly are rounded.
func (f *File) Tensor(name string) (values []float32, shape []int, ok bool, err error) {
	t, ok := f.tensors.Tensor(name)
	if !ok {
		return nil, nil, false, nil
	}
	value := decoders[t.DType()]
	if value == nil {
		return nil, nil, true, fmt.Errorf("tensor %.200s: elements are %v, which is not read here", name, t.DType())
	}
	for _, d := range t.Shape() {
		if d > math.MaxInt {
			return nil, nil, true, fmt.Errorf("tensor %.200s: shape %.200v", name, t.Shape())
		}
		shape = append(shape, int(d))
	}
	raw, size := t.Data(), int(t.DType().Size())
	values = make([]float32, len(raw)/size)
	for i := range values {
		values[i] = value(raw[i*size:])
	}
	return values, shape, true, nil
}

// decoders convert the bytes of one element, by element type.
var decoders = map[st.DType]func(b []byte) float32{
	st.F64:  func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) },
	st.F32:  func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) },
	st.BF16: func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) },
	st.F16:  func(b []byte) float32 { return float16.Float16(binary.LittleEndian.Uint16(b)).Float32() },
	st.I64:  func(b []byte) float32 { return float32(int64(binary.LittleEndian.Uint64(b))) },
	st.I32:  func(b []byte) float32 { return float32(int32(binary.LittleEndian.Uint32(b))) },
	st.U8:   func(b []byte) float32 { return float32(b[0]) },
	st.BOOL: func(b []byte) float32 { return float32(b[0]) },
}

// Tensor is a tensor to be written by Write.
type Tensor struct {
	Name  string
	Shape []int // empty for a scalar
	Data  []float32
}

// Write writes tensors as F32, sorted by name, and metadata (__metadata__; may be nil), sorted by key. The bytes depend
// only on names, shapes, values and metadata.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	views := make(map[string]view, len(tensors))
	for _, t := range tensors {
		count := 1
		for _, d := range t.Shape {
			if d < 0 || d > 0 && count > maxFile/d {
				return fmt.Errorf("safetensors: write: tensor %s has shape %v", t.Name, t.Shape)
			}
			count *= d
		}
		switch _, twice := views[t.Name]; {
		case t.Name == "" || strings.HasPrefix(t.Name, "__"): // names with __ are reserved, for example for __metadata__
			return fmt.Errorf("safetensors: write: a tensor named %q", t.Name)
		case twice:
			return fmt.Errorf("safetensors: write: two tensors named %s", t.Name)
		case count != len(t.Data):
			return fmt.Errorf("safetensors: write: tensor %s has %d values, expected %d for shape %v",
				t.Name, len(t.Data), count, t.Shape)
		}
		views[t.Name] = view{t}
	}
	if err := st.SerializeToWriter(views, metadata, w); err != nil {
		return fmt.Errorf("safetensors: write: %w", err)
	}
	return nil
}

// view adapts a Tensor to the library's interface.
type view struct{ Tensor }

func (v view) DType() st.DType { return st.F32 }
func (v view) DataLen() uint64 { return 4 * uint64(len(v.Tensor.Data)) }

func (v view) Shape() []uint64 {
	s := make([]uint64, len(v.Tensor.Shape))
	for i, d := range v.Tensor.Shape {
		s[i] = uint64(d)
	}
	return s
}

func (v view) Data() []byte {
	raw := make([]byte, 0, v.DataLen())
	for _, x := range v.Tensor.Data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return raw
}

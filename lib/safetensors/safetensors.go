// Package safetensors reads and writes tensors in the safetensors format, in which weights are shared without being a
// program: a header in JSON, and numbers.
//
// Headers are parsed and checked by github.com/nlpodyssey/safetensors: tensors lie within the file, side by side, as large
// as their shapes say. Here the size of a header is bounded before that, and tensors become float32.
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

	st "github.com/nlpodyssey/safetensors"
)

// Bounds on a file and its header in bytes. A header of a thousand tensors has a hundred thousand; parsing takes up
// to sixty times its size.
const (
	maxFile   = 8 << 30
	maxHeader = 4 << 20
)

// File is a file whose tensors have been found, but not yet converted.
type File struct {
	tensors st.SafeTensors
	data    []byte
}

// IsFile reports whether a file begins as this format does: with the length of a header that fits into it, and a brace.
func IsFile(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	head := make([]byte, 9)
	if err != nil || info.Size() < int64(len(head)) {
		return false
	}
	if _, err := io.ReadFull(f, head); err != nil {
		return false
	}
	n := binary.LittleEndian.Uint64(head)
	return head[8] == '{' && n <= uint64(info.Size()-8)
}

// Open reads a file. The error names what is wrong with it, but not the file.
func Open(name string) (*File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%d bytes; at most %d are read", info.Size(), int64(maxFile))
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// Parse is Open on the bytes of a file, which it keeps.
func Parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, errors.New("not a safetensors file: it is shorter than the length of its header")
	}
	if n := binary.LittleEndian.Uint64(data); n > maxHeader {
		return nil, fmt.Errorf("not a safetensors file: a header of %d bytes; at most %d are read", n, maxHeader)
	} else if n > uint64(len(data)-8) {
		return nil, fmt.Errorf("not a safetensors file: a header of %d bytes in a file of %d; it is truncated, or something else", n, len(data))
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

// clip bounds an error that may quote the file.
func clip(err error) error {
	if s := err.Error(); len(s) > 300 {
		return errors.New(s[:300] + "…")
	}
	return err
}

// Names lists the tensors, sorted.
func (f *File) Names() []string {
	names := f.tensors.Names()
	slices.Sort(names)
	return names
}

// Metadata returns the strings beside the tensors (__metadata__), nil where there are none.
func (f *File) Metadata() map[string]string {
	_, m, err := st.ReadMetadata(f.data)
	if err != nil {
		return nil // Parse has read it
	}
	return m.Metadata()
}

// Tensor returns a tensor as float32, row-major, with its shape, which is empty for a scalar; ok tells whether it is there.
// Numbers that float32 does not have are rounded to it.
func (f *File) Tensor(name string) (values []float32, shape []int, ok bool, err error) {
	t, ok := f.tensors.Tensor(name)
	if !ok {
		return nil, nil, false, nil
	}
	value := kinds[t.DType()]
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

// kinds are the element types that float32 can stand for.
var kinds = map[st.DType]func(b []byte) float32{
	st.F64:  func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) },
	st.F32:  func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) },
	st.BF16: func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) },
	st.F16:  func(b []byte) float32 { return half(binary.LittleEndian.Uint16(b)) },
	st.I64:  func(b []byte) float32 { return float32(int64(binary.LittleEndian.Uint64(b))) },
	st.I32:  func(b []byte) float32 { return float32(int32(binary.LittleEndian.Uint32(b))) },
	st.U8:   func(b []byte) float32 { return float32(b[0]) },
	st.BOOL: func(b []byte) float32 { return float32(b[0]) },
}

// half is an IEEE half precision number: exact in float32.
func half(v uint16) float32 {
	fraction, exponent := float64(v&1023), int(v>>10)&31
	f := math.Ldexp(fraction+1024, exponent-25)
	switch {
	case exponent == 0:
		f = math.Ldexp(fraction, -24)
	case exponent == 31 && fraction == 0:
		f = math.Inf(1)
	case exponent == 31:
		f = math.NaN()
	}
	return float32(math.Copysign(f, 1-2*float64(v>>15)))
}

// Tensor is one to write.
type Tensor struct {
	Name  string
	Shape []int // empty for a scalar
	Data  []float32
}

// Write writes tensors as F32, sorted by name, and metadata (__metadata__), sorted by key, which may be nil. The bytes
// are a function of names, shapes, values and metadata.
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
		case t.Name == "" || strings.HasPrefix(t.Name, "__"): // __metadata__ is no tensor
			return fmt.Errorf("safetensors: write: a tensor named %q", t.Name)
		case twice:
			return fmt.Errorf("safetensors: write: two tensors named %s", t.Name)
		case count != len(t.Data):
			return fmt.Errorf("safetensors: write: tensor %s has %d values, expected %d for shape %v", t.Name, len(t.Data), count, t.Shape)
		}
		views[t.Name] = view{t}
	}
	if err := st.SerializeToWriter(views, metadata, w); err != nil {
		return fmt.Errorf("safetensors: write: %w", err)
	}
	return nil
}

// view is a tensor as the library takes it.
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

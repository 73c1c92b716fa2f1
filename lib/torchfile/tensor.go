package torchfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"vapo/lib/failure"

	"github.com/gomlx/compute/dtypes/float16"
	"github.com/nlpodyssey/gopickle/types"
)

// classes lists the classes and functions that stand for tensors and their parts. Every other name becomes an object,
// whose value is not used.
var classes = map[string]any{
	"torch._utils._rebuild_tensor":               rebuild{},
	"torch._utils._rebuild_tensor_v2":            rebuild{},
	"torch._utils._rebuild_tensor_v3":            rebuildUntyped{},
	"torch._utils._rebuild_parameter":            parameter{},
	"torch._utils._rebuild_parameter_with_state": parameter{},
	"torch._tensor._rebuild_from_type":           subclass{},
	"torch._tensor._rebuild_from_type_v2":        subclass{},

	"torch.DoubleStorage": &kind{"float64", 8, func(b []byte) float32 {
		return float32(math.Float64frombits(u64(b)))
	}},
	"torch.FloatStorage":    &kind{"float32", 4, func(b []byte) float32 { return math.Float32frombits(u32(b)) }},
	"torch.HalfStorage":     &kind{"float16", 2, func(b []byte) float32 { return float16.Float16(u16(b)).Float32() }},
	"torch.BFloat16Storage": &kind{"bfloat16", 2, func(b []byte) float32 { return math.Float32frombits(u16(b) << 16) }},
	"torch.LongStorage":     &kind{"int64", 8, func(b []byte) float32 { return float32(int64(u64(b))) }},
	"torch.IntStorage":      &kind{"int32", 4, func(b []byte) float32 { return float32(int32(u32(b))) }},
	"torch.ShortStorage":    &kind{"int16", 2, func(b []byte) float32 { return float32(int16(u16(b))) }},
	"torch.CharStorage":     &kind{"int8", 1, func(b []byte) float32 { return float32(int8(b[0])) }},
	"torch.ByteStorage":     &kind{"uint8", 1, func(b []byte) float32 { return float32(b[0]) }},
	"torch.BoolStorage":     &kind{"bool", 1, func(b []byte) float32 { return float32(b[0]) }},

	"torch.ComplexFloatStorage":    &kind{"complex64", 8, nil},
	"torch.ComplexDoubleStorage":   &kind{"complex128", 16, nil},
	"torch.QInt8Storage":           &kind{"qint8", 1, nil},
	"torch.QUInt8Storage":          &kind{"quint8", 1, nil},
	"torch.QInt32Storage":          &kind{"qint32", 4, nil},
	"torch.storage.UntypedStorage": &kind{"bytes", 1, nil},
}

func u16(b []byte) uint32 { return uint32(binary.LittleEndian.Uint16(b)) }
func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// kind is an element type.
type kind struct {
	name  string
	size  int                    // in bytes; 0 if unknown
	value func(b []byte) float32 // nil if elements of this type are not supported
}

// storage is an array of elements of one type. Tensors are views of storages.
type storage struct {
	key      string
	kind     *kind
	elements int
	read     func() ([]byte, error)
}

func (s *storage) bytes() int { return s.elements * s.kind.size }

// newStorage decodes the persistent id of a storage: ("storage", class, key, location, elements, view).
func newStorage(t *types.Tuple) (*storage, error) {
	if t.Len() < 5 {
		return nil, errors.New("a storage without an element type, name or size")
	}
	s := &storage{}
	var key, count bool
	class := true
	switch c := t.Get(1).(type) {
	case *kind:
		s.kind = c
	case *object:
		s.kind = &kind{name: c.class}
	default:
		class = false
	}
	s.key, key = t.Get(2).(string)
	s.elements, count = t.Get(4).(int)
	if !class || !key || !count || s.elements < 0 || s.elements > maxFile {
		return nil, errors.New("a storage without an element type, name or size")
	}
	if t.Len() > 5 && t.Get(5) != nil {
		return nil, errors.New("a storage that is a view of another")
	}
	return s, nil
}

// tensor is a strided view of a storage.
type tensor struct {
	s      *storage
	offset int
	shape  []int
	stride []int
	count  int
	bad    error // the reason why the tensor cannot be read
}

// PySetState ignores the attributes of a tensor.
func (*tensor) PySetState(any) error { return nil }

// rebuild stands for torch._utils._rebuild_tensor_v2(storage, offset, shape, stride, ...).
type rebuild struct{}

// Call implements types.Callable.
func (rebuild) Call(args ...any) (any, error) {
	t, err := newTensor(args)
	if err == nil {
		t.bad = t.place()
	}
	return t, err
}

func newTensor(args []any) (*tensor, error) {
	if len(args) < 4 {
		return nil, errors.New("a tensor with too few arguments")
	}
	s, ok := args[0].(*storage)
	offset, ok2 := args[1].(int)
	shape, ok3 := ints(args[2])
	stride, ok4 := ints(args[3])
	if !ok || !ok2 || !ok3 || !ok4 || len(shape) != len(stride) || offset < 0 {
		return nil, errors.New("a tensor without storage, offset, shape or strides")
	}
	return &tensor{s: s, offset: offset, shape: shape, stride: stride, count: 1}, nil
}

// place counts the elements and checks that they lie in the storage.
func (t *tensor) place() error {
	if t.s.kind.value == nil {
		return elementsError("type " + t.s.kind.name)
	}
	if slices.Contains(t.shape, 0) && slices.Min(t.shape) == 0 {
		t.count = 0
		return nil
	}
	outside := fmt.Errorf("a tensor of shape %v and strides %v at offset %d does not fit in its storage of %d elements",
		t.shape, t.stride, t.offset, t.s.elements)
	last := t.offset
	for i, d := range t.shape {
		// No tensor may have more elements than its storage. So no product overflows, and no tensor takes more memory than
		// the file.
		if d < 1 || t.stride[i] < 0 || t.count > t.s.elements/d || d > 1 && t.stride[i] > t.s.elements {
			return outside
		}
		t.count *= d
		last += (d - 1) * t.stride[i]
	}
	if last >= t.s.elements {
		return outside
	}
	return nil
}

func elementsError(what string) error {
	return failure.New(failure.Input, "save the tensor as float32, float16 or bfloat16",
		"elements of %.80s are not supported", what)
}

// rebuildUntyped stands for torch._utils._rebuild_tensor_v3(storage, offset, shape, stride, requires_grad, hooks,
// dtype, ...), which PyTorch uses for the element types that have no storage class.
type rebuildUntyped struct{}

// Call implements types.Callable.
func (rebuildUntyped) Call(args ...any) (any, error) {
	t, err := newTensor(args)
	if err != nil {
		return nil, err
	}
	what := "an unknown type"
	if len(args) > 6 {
		if dtype, ok := args[6].(*object); ok {
			what = "type " + dtype.class
		}
	}
	t.bad = elementsError(what)
	return t, nil
}

// parameter stands for torch._utils._rebuild_parameter(tensor, ...).
type parameter struct{}

// Call implements types.Callable.
func (parameter) Call(args ...any) (any, error) {
	if len(args) > 0 {
		if t, ok := args[0].(*tensor); ok {
			return t, nil
		}
	}
	return nil, errors.New("a parameter without a tensor")
}

// subclass stands for torch._tensor._rebuild_from_type_v2(function, class, args, state), which makes a tensor of a
// subclass or with attributes.
type subclass struct{}

// Call implements types.Callable.
func (subclass) Call(args ...any) (any, error) {
	if len(args) > 2 {
		if tuple, ok := args[2].(*types.Tuple); ok {
			switch f := args[0].(type) {
			case rebuild:
				return f.Call(*tuple...)
			case rebuildUntyped:
				return f.Call(*tuple...)
			case parameter:
				return f.Call(*tuple...)
			}
		}
	}
	return &object{class: "torch._tensor._rebuild_from_type_v2"}, nil
}

func ints(v any) ([]int, bool) {
	t, ok := v.(*types.Tuple)
	if !ok || t.Len() > 16 {
		return nil, false
	}
	out := make([]int, t.Len())
	for i := range out {
		if out[i], ok = t.Get(i).(int); !ok {
			return nil, false
		}
	}
	return out, true
}

// float32s returns the values of the tensor as float32 in row-major order.
func (t *tensor) float32s() ([]float32, error) {
	if t.bad != nil {
		return nil, t.bad
	}
	if t.s.read == nil {
		return nil, errors.New("its storage is missing")
	}
	raw, err := t.s.read()
	if err != nil {
		return nil, err
	}
	if len(raw) != t.s.bytes() {
		return nil, fmt.Errorf("its storage holds %d bytes, expected %d", len(raw), t.s.bytes())
	}
	out := make([]float32, t.count)
	index := make([]int, len(t.shape))
	at := t.offset
	for i := range out {
		out[i] = t.s.kind.value(raw[at*t.s.kind.size:])
		for d := len(index) - 1; d >= 0; d-- {
			at += t.stride[d]
			if index[d]++; index[d] < t.shape[d] {
				break
			}
			at -= index[d] * t.stride[d]
			index[d] = 0
		}
	}
	return out, nil
}

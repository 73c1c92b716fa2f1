package torchfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes/float16"
	"github.com/nlpodyssey/gopickle/types"
)

// classes lists the only class and function names that a pickle may contain, and what each stands for.
var classes = map[string]any{
	"collections.OrderedDict":         &types.OrderedDictClass{},
	"torch._utils._rebuild_tensor_v2": rebuild{},
	"torch._utils._rebuild_parameter": parameter{},
	"torch.DoubleStorage":             &kind{8, func(b []byte) float32 { return float32(math.Float64frombits(u64(b))) }},
	"torch.FloatStorage":              &kind{4, func(b []byte) float32 { return math.Float32frombits(u32(b)) }},
	"torch.HalfStorage":               &kind{2, func(b []byte) float32 { return float16.Float16(u16(b)).Float32() }},
	"torch.BFloat16Storage":           &kind{2, func(b []byte) float32 { return math.Float32frombits(u16(b) << 16) }},
	"torch.LongStorage":               &kind{8, func(b []byte) float32 { return float32(int64(u64(b))) }},
	"torch.IntStorage":                &kind{4, func(b []byte) float32 { return float32(int32(u32(b))) }},
	"torch.ByteStorage":               &kind{1, func(b []byte) float32 { return float32(b[0]) }},
	"torch.BoolStorage":               &kind{1, func(b []byte) float32 { return float32(b[0]) }},
}

func u16(b []byte) uint32 { return uint32(binary.LittleEndian.Uint16(b)) }
func u32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// kind is an element type.
type kind struct {
	size  int
	value func(b []byte) float32
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
func newStorage(id any) (*storage, error) {
	t, ok := id.(*types.Tuple)
	if !ok || t.Len() < 5 || t.Get(0) != "storage" {
		return nil, errors.New("a reference to something other than a storage")
	}
	s := &storage{}
	var class, key, count bool
	s.kind, class = t.Get(1).(*kind)
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
}

// rebuild stands for torch._utils._rebuild_tensor_v2(storage, offset, shape, stride, ...).
type rebuild struct{}

// Call implements types.Callable.
func (rebuild) Call(args ...any) (any, error) {
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
	t := &tensor{s: s, offset: offset, shape: shape, stride: stride, count: 1}
	if slices.Contains(shape, 0) && slices.Min(shape) == 0 {
		t.count = 0
		return t, nil
	}
	last := offset
	for i, d := range shape {
		// No tensor may have more elements than its storage. So no product overflows, and no tensor takes more memory than
		// the file.
		if d < 1 || stride[i] < 0 || t.count > s.elements/d || d > 1 && stride[i] > s.elements {
			return nil, fmt.Errorf("a tensor of shape %v and strides %v in a storage of %d elements",
				shape, stride, s.elements)
		}
		t.count *= d
		last += (d - 1) * stride[i]
	}
	if last >= s.elements {
		return nil, fmt.Errorf("a tensor of shape %v and strides %v at %d in a storage of %d elements",
			shape, stride, offset, s.elements)
	}
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

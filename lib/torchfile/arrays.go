package torchfile

import (
	"errors"
	"fmt"

	"github.com/nlpodyssey/gopickle/types"
)

// Array is a NumPy array of unsigned bytes, in row-major order.
type Array struct {
	Shape []int
	Data  []byte
	m     *memory
}

// maxKey bounds the keys of a dictionary that Dictionary returns, in bytes.
const maxKey = 256

// Dictionary returns the dictionary that a pickle of the protocols 2 to 5 holds, whether Python 2 or 3 wrote it. Its
// values are integers (int), lists of integers ([]int) and arrays (*Array); others are left out.
func Dictionary(data []byte) (map[string]any, error) {
	if len(data) > maxPickle {
		return nil, fmt.Errorf("a pickle of %d bytes, expected at most %d", len(data), maxPickle)
	}
	m := &memory{left: 2 * len(data)}
	classes := map[string]any{
		"numpy.core.multiarray._reconstruct":  newArray{m},
		"numpy._core.multiarray._reconstruct": newArray{m}, // the name since NumPy 2
		"numpy.ndarray":                       ndarray{},
		"numpy.dtype":                         newDtype{},
		"_codecs.encode":                      encode{m},
		"numpy.core.numeric._frombuffer":      fromBuffer{m}, // protocol 5
		"numpy._core.numeric._frombuffer":     fromBuffer{m},
	}
	n, err := scan(data)
	if err != nil {
		return nil, err
	}
	if n != len(data) {
		return nil, errors.New("data after the end of the pickle")
	}
	root, err := unpickle(data, classes, func(*storage) error { return errors.New("it holds a tensor") })
	if err != nil {
		return nil, err
	}
	dict, ok := root.(*types.Dict)
	if !ok {
		return nil, errors.New("a pickle that is not a dictionary")
	}
	out := map[string]any{}
	for _, entry := range *dict {
		key := text(entry.Key)
		if len(key) > maxKey {
			continue
		}
		switch v := entry.Value.(type) {
		case int, *Array:
			out[string(key)] = v
		case *types.List:
			if list, ok := integers(*v, m); ok {
				out[string(key)] = list
			}
		}
	}
	return out, nil
}

func integers(list types.List, m *memory) (out []int, ok bool) {
	if m.take(len(list)) != nil {
		return nil, false
	}
	out = make([]int, len(list))
	for i, v := range list {
		if out[i], ok = v.(int); !ok {
			return nil, false
		}
	}
	return out, true
}

// memory bounds what the program in a pickle can allocate by copying one text many times.
type memory struct{ left int }

func (m *memory) take(n int) error {
	if m.left -= n; m.left < 0 {
		return errors.New("it grows beyond the size of the file")
	}
	return nil
}

// text returns the bytes of a string, or nil. Python 2 does not distinguish strings from bytes.
func text(v any) []byte {
	switch v := v.(type) {
	case string:
		return []byte(v)
	case []byte:
		return v
	case *types.ByteArray:
		return *v
	}
	return nil
}

// encode stands for _codecs.encode(text, "latin1"), which is how Python 3 writes bytes in protocol 2.
type encode struct{ m *memory }

// Call implements types.Callable.
func (e encode) Call(args ...any) (any, error) {
	if len(args) != 2 || args[1] != "latin1" {
		return nil, errors.New("a text in an encoding other than latin1")
	}
	s, _ := args[0].(string)
	if err := e.m.take(len(s)); err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return nil, errors.New("a text that is not latin1")
		}
		out = append(out, byte(r))
	}
	return out, nil
}

// ndarray stands for the class numpy.ndarray.
type ndarray struct{}

// newArray stands for numpy.core.multiarray._reconstruct(class, shape, type), which returns an empty array.
type newArray struct{ m *memory }

// Call implements types.Callable.
func (c newArray) Call(...any) (any, error) { return &Array{m: c.m}, nil }

// newDtype stands for numpy.dtype(name, ...).
type newDtype struct{}

// Call implements types.Callable.
func (newDtype) Call(args ...any) (any, error) {
	if len(args) > 0 {
		if name := text(args[0]); len(name) > 0 && len(name) <= maxKey {
			return &dtype{string(name)}, nil
		}
	}
	return nil, errors.New("an element type without a name")
}

type dtype struct{ name string }

// PySetState implements types.PyStateSettable. The state holds the byte order, which bytes do not have.
func (*dtype) PySetState(any) error { return nil }

// PySetState implements types.PyStateSettable. The state is (version, shape, element type, column-major, bytes).
func (a *Array) PySetState(state any) error {
	t, ok := state.(*types.Tuple)
	if !ok || t.Len() != 5 {
		return errors.New("an array without a state")
	}
	return a.set(t.Get(4), t.Get(2), t.Get(1), t.Get(3) != false)
}

// fromBuffer stands for numpy.core.numeric._frombuffer(bytes, element type, shape, order).
type fromBuffer struct{ m *memory }

// Call implements types.Callable.
func (c fromBuffer) Call(args ...any) (any, error) {
	if len(args) != 4 {
		return nil, errors.New("an array without shape, element type or data")
	}
	a := &Array{m: c.m}
	return a, a.set(args[0], args[1], args[2], args[3] != "C")
}

func (a *Array) set(content, element, size any, columns bool) error {
	shape, ok := ints(size)
	kind, ok2 := element.(*dtype)
	if !ok || !ok2 {
		return errors.New("an array without shape or element type")
	}
	if s, ok := content.(string); ok {
		if err := a.m.take(len(s)); err != nil {
			return err
		}
	}
	data := text(content)
	if kind.name != "u1" && kind.name != "uint8" {
		return fmt.Errorf("an array of %.20q, expected unsigned bytes (u1)", kind.name)
	}
	if columns && len(shape) > 1 {
		return errors.New("an array in column-major order")
	}
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > len(data)/d {
			return fmt.Errorf("an array of shape %v and %d bytes", shape, len(data))
		}
		n *= d
	}
	if n != len(data) {
		return fmt.Errorf("an array of shape %v and %d bytes", shape, len(data))
	}
	a.Shape, a.Data = shape, data
	return nil
}

package tensorfile

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

const extensionName = "arrow.fixed_shape_tensor"

// fixedShapeTensor is Arrow's canonical extension type arrow.fixed_shape_tensor, which arrow/go v15 lacks. Its storage
// is a fixed-size list of the tensor's values in row-major order. See "Canonical Extension Types" in the Arrow
// documentation.
type fixedShapeTensor struct {
	arrow.ExtensionBase
	shape []int
}

type fixedShapeTensorArray struct{ array.ExtensionArrayBase }

// Registering the type makes Arrow's reader return it instead of the storage type. Registration fails only if another
// package of the program defines the same extension type.
func init() {
	if err := arrow.RegisterExtensionType(&fixedShapeTensor{}); err != nil {
		panic(err)
	}
}

// newFixedShapeTensor returns the extension type for tensors of this shape. The product of the shape must fit into an
// int32.
func newFixedShapeTensor(elem arrow.DataType, shape []int) *fixedShapeTensor {
	n, _ := product(shape)
	storage := arrow.FixedSizeListOfNonNullable(int32(n), elem)
	return &fixedShapeTensor{arrow.ExtensionBase{Storage: storage}, shape}
}

func (*fixedShapeTensor) ArrayType() reflect.Type { return reflect.TypeFor[fixedShapeTensorArray]() }

func (*fixedShapeTensor) ExtensionName() string { return extensionName }

func (t *fixedShapeTensor) ExtensionEquals(other arrow.ExtensionType) bool {
	o, ok := other.(*fixedShapeTensor)
	return ok && slices.Equal(t.shape, o.shape) && arrow.TypeEqual(t.Storage, o.Storage)
}

// extensionMeta is the metadata of the extension, stored as JSON. It may also contain dimension names, which are
// ignored.
type extensionMeta struct {
	Shape       []int `json:"shape"`
	Permutation []int `json:"permutation,omitempty"`
}

func (t *fixedShapeTensor) Serialize() string {
	b, err := json.Marshal(extensionMeta{Shape: t.shape})
	if err != nil {
		panic(err) // cannot happen: a slice of ints always marshals
	}
	return string(b)
}

// Deserialize refuses a permutation other than the identity, because the data would not be in row-major order.
func (*fixedShapeTensor) Deserialize(storage arrow.DataType, data string) (arrow.ExtensionType, error) {
	list, ok := storage.(*arrow.FixedSizeListType)
	if !ok {
		return nil, fmt.Errorf(extensionName+" stored as %v, expected a fixed-size list", storage)
	}
	var m extensionMeta
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		return nil, fmt.Errorf(extensionName+" metadata: %w", err)
	}
	for i, p := range m.Permutation {
		if p != i {
			return nil, fmt.Errorf(extensionName+" with permutation %v: only row-major tensors are supported", m.Permutation)
		}
	}
	n, ok := product(m.Shape)
	if !ok || n != int(list.Len()) {
		return nil, fmt.Errorf(extensionName+" of shape %v stored as lists of %d values", m.Shape, list.Len())
	}
	return &fixedShapeTensor{arrow.ExtensionBase{Storage: storage}, m.Shape}, nil
}

package tensorfile

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// ExtensionName is the name of Arrow's canonical extension type for tensors of one shape per row.
const ExtensionName = "arrow.fixed_shape_tensor"

// FixedShapeTensor is Arrow's canonical extension type arrow.fixed_shape_tensor, which arrow/go v15 does not have: a
// fixed-size list whose length is the product of a shape, in row-major order. See "Canonical Extension Types"
// in the Arrow documentation.
type FixedShapeTensor struct {
	arrow.ExtensionBase
	shape []int
}

// FixedShapeTensorArray is the array of a FixedShapeTensor column; its Storage is an *array.FixedSizeList.
type FixedShapeTensorArray struct{ array.ExtensionArrayBase }

// The registry is what makes arrow's reader hand out this type instead of the bare storage type. Registering fails
// only if something else in the program defines the same canonical type.
func init() {
	if err := arrow.RegisterExtensionType(&FixedShapeTensor{}); err != nil {
		panic(err)
	}
}

// NewFixedShapeTensor returns the extension type of tensors of this shape over a primitive type.
func NewFixedShapeTensor(elem arrow.DataType, shape []int) (*FixedShapeTensor, error) {
	n, ok := product(shape)
	if !ok {
		return nil, fmt.Errorf("tensor shape %v: every dimension must be positive and the product below 2^31", shape)
	}
	storage := arrow.FixedSizeListOfNonNullable(int32(n), elem)
	return &FixedShapeTensor{ExtensionBase: arrow.ExtensionBase{Storage: storage}, shape: slices.Clone(shape)}, nil
}

// Shape returns the shape of one row.
func (t *FixedShapeTensor) Shape() []int { return slices.Clone(t.shape) }

// ArrayType implements arrow.ExtensionType.
func (*FixedShapeTensor) ArrayType() reflect.Type { return reflect.TypeFor[FixedShapeTensorArray]() }

// ExtensionName implements arrow.ExtensionType.
func (*FixedShapeTensor) ExtensionName() string { return ExtensionName }

// ExtensionEquals implements arrow.ExtensionType.
func (t *FixedShapeTensor) ExtensionEquals(other arrow.ExtensionType) bool {
	o, ok := other.(*FixedShapeTensor)
	return ok && slices.Equal(t.shape, o.shape) && arrow.TypeEqual(t.Storage, o.Storage)
}

func (t *FixedShapeTensor) String() string {
	return fmt.Sprintf("fixed_shape_tensor<%v, shape=%v>", t.Storage, t.shape)
}

// extensionMeta is the JSON of the extension's metadata.
type extensionMeta struct {
	Shape       []int    `json:"shape"`
	DimNames    []string `json:"dim_names,omitempty"`
	Permutation []int    `json:"permutation,omitempty"`
}

// Serialize implements arrow.ExtensionType.
func (t *FixedShapeTensor) Serialize() string {
	b, err := json.Marshal(extensionMeta{Shape: t.shape})
	if err != nil {
		panic(err) // a slice of ints always marshals
	}
	return string(b)
}

// Deserialize implements arrow.ExtensionType. Dimension names are accepted and dropped; a permutation other than the
// identity is refused, because its data is not row-major.
func (*FixedShapeTensor) Deserialize(storage arrow.DataType, data string) (arrow.ExtensionType, error) {
	list, ok := storage.(*arrow.FixedSizeListType)
	if !ok {
		return nil, fmt.Errorf("%s stored as %v, expected a fixed-size list", ExtensionName, storage)
	}
	var m extensionMeta
	if err := json.NewDecoder(strings.NewReader(data)).Decode(&m); err != nil {
		return nil, fmt.Errorf("%s metadata: %w", ExtensionName, err)
	}
	for i, p := range m.Permutation {
		if p != i {
			return nil, fmt.Errorf("%s with permutation %v: only row-major tensors are read", ExtensionName, m.Permutation)
		}
	}
	n, ok := product(m.Shape)
	if !ok || n != int(list.Len()) {
		return nil, fmt.Errorf("%s of shape %v stored as lists of %d values", ExtensionName, m.Shape, list.Len())
	}
	return &FixedShapeTensor{ExtensionBase: arrow.ExtensionBase{Storage: storage}, shape: m.Shape}, nil
}

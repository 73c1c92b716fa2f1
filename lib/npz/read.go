package npz

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes/float16"
)

// Number lists the Go types into which elements can be read.
type Number interface {
	uint8 | int64 | float32 | float64
}

// Read returns the values of an array in row-major order and its shape, which is empty for a scalar. T must be able to
// represent the values: int64 accepts booleans and all integers below 2^63, float64 and float32 accept floats of at
// most their size, and uint8 accepts uint8 and booleans. If the array is missing, the error is a *MissingError.
func Read[T Number](f *File, name string) (values []T, shape []int, err error) {
	r, h, err := f.start(name)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	if values, err = readValues[T](r, h); err != nil {
		return nil, nil, fmt.Errorf("array %.100s: %w", name, err)
	}
	if h.Fortran {
		values = rowMajor(values, h.Shape)
	}
	return values, slices.Clone(h.Shape), nil
}

// readValues reads all elements in file order and checks that no data follows. It allocates memory only as data
// arrives.
func readValues[T Number](r io.Reader, h *Header) ([]T, error) {
	convert, err := converter[T](h)
	if err != nil {
		return nil, err
	}
	const chunk = 1 << 18
	raw := make([]byte, max(1, min(chunk, h.count)*h.kind.size))
	var values []T
	for n := int64(0); n < h.count; {
		k := min(chunk, h.count-n)
		part := raw[:k*h.kind.size]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, cut(err)
		}
		if int64(len(values)) == n && int64(cap(values)) < n+k {
			values = slices.Grow(values, int(min(h.count-n, max(n, k)))) // doubles the capacity, up to the final length
		}
		values = values[:n+k]
		convert(values[n:], part)
		if h.kind.letter == 'u' && h.kind.size == 8 && slices.ContainsFunc(values[n:], func(v T) bool { return v < 0 }) {
			return nil, errors.New("an element is 2^63 or larger")
		}
		n += k
	}
	if n, err := io.ReadFull(r, raw[:1]); n > 0 || err != io.EOF { // reading to the end verifies a member's checksum
		if n > 0 {
			return nil, fmt.Errorf("more data than shape %v of %s needs", h.Shape, h.Dtype)
		}
		return nil, err
	}
	return values, nil
}

// converter returns a function that decodes elements of the array as T.
func converter[T Number](h *Header) (func(dst []T, src []byte), error) {
	letter, size, order := h.kind.letter, int(h.kind.size), h.kind.order
	bits := func(b []byte) uint64 {
		switch size {
		case 1:
			return uint64(b[0])
		case 2:
			return uint64(order.Uint16(b))
		case 4:
			return uint64(order.Uint32(b))
		}
		return order.Uint64(b)
	}
	integer := func(b []byte) int64 {
		if letter == 'i' {
			unused := 64 - 8*size
			return int64(bits(b)<<unused) >> unused // extends the sign bit
		}
		return int64(bits(b))
	}
	float := func(b []byte) float64 {
		switch size {
		case 2:
			return float64(float16.Float16(bits(b)).Float32())
		case 4:
			return float64(math.Float32frombits(uint32(bits(b))))
		}
		return math.Float64frombits(bits(b))
	}
	each := func(value func(b []byte) T) func([]T, []byte) {
		return func(dst []T, src []byte) {
			for i := range dst {
				dst[i] = value(src[i*size:])
			}
		}
	}
	switch want := fmt.Sprintf("%T", *new(T)); {
	case want == "uint8" && size == 1 && letter != 'i':
		return each(func(b []byte) T { return T(b[0]) }), nil
	case want == "int64" && letter != 'f':
		return each(func(b []byte) T { return T(integer(b)) }), nil
	case want == "float32" && letter == 'f' && size <= 4, want == "float64" && letter == 'f':
		return each(func(b []byte) T { return T(float(b)) }), nil
	default:
		return nil, fmt.Errorf("its elements are of type %s, expected %s", h.Dtype, want)
	}
}

// rowMajor reorders values from column-major to row-major order.
func rowMajor[T Number](values []T, shape []int) []T {
	if len(shape) < 2 || len(values) == 0 {
		return values
	}
	stride := make([]int, len(shape))
	for d, s := 0, 1; d < len(shape); d++ {
		stride[d] = s
		s *= shape[d]
	}
	out := make([]T, len(values))
	index, at := make([]int, len(shape)), 0
	for i := range out {
		out[i] = values[at]
		for d := len(index) - 1; d >= 0; d-- {
			at += stride[d]
			if index[d]++; index[d] < shape[d] {
				break
			}
			at -= index[d] * stride[d]
			index[d] = 0
		}
	}
	return out
}

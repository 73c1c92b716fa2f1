package npz

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// Number is what arrays are made of in Go.
type Number interface {
	uint8 | int64 | float32 | float64
}

// Read returns an array, row-major, with its shape, which is empty for a scalar. The elements must be of the type asked for,
// or one whose values it holds all of: int64 holds every integer up to it (not unsigned 64-bit ones) and booleans, float64 every
// float32, uint8 booleans. An array that is missing is a *MissingError.
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

// readValues reads the elements in the order of the file, to its end. Memory grows with what has been read.
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
			values = slices.Grow(values, int(min(h.count-n, max(n, k)))) // twice what is there, and never more than there is to be
		}
		values = values[:n+k]
		convert(values[n:], part)
		n += k
	}
	if n, err := io.ReadFull(r, raw[:1]); n > 0 || err != io.EOF { // an archive's checksum is compared at the end
		if n > 0 {
			return nil, fmt.Errorf("more data than shape %v of %s has", h.Shape, h.Dtype)
		}
		return nil, err
	}
	return values, nil
}

// converter decodes elements of an array as T.
func converter[T Number](h *Header) (func(dst []T, src []byte), error) {
	letter, size, order := h.kind.letter, int(h.kind.size), h.kind.order
	integer := func(b []byte) int64 {
		switch size {
		case 1:
			if letter == 'i' {
				return int64(int8(b[0]))
			}
			return int64(b[0])
		case 2:
			if letter == 'i' {
				return int64(int16(order.Uint16(b)))
			}
			return int64(order.Uint16(b))
		case 4:
			if letter == 'i' {
				return int64(int32(order.Uint32(b)))
			}
			return int64(order.Uint32(b))
		}
		return int64(order.Uint64(b))
	}
	var zero T
	name := fmt.Sprintf("%T", zero)
	each := func(value func(b []byte) T) func([]T, []byte) {
		return func(dst []T, src []byte) {
			for i := range dst {
				dst[i] = value(src[i*size:])
			}
		}
	}
	float := func(b []byte) float64 {
		if size == 4 {
			return float64(math.Float32frombits(order.Uint32(b)))
		}
		return math.Float64frombits(order.Uint64(b))
	}
	switch {
	case name == "uint8" && size == 1 && letter != 'i':
		return each(func(b []byte) T { return T(b[0]) }), nil
	case name == "int64" && letter != 'f':
		return each(func(b []byte) T { return T(integer(b)) }), nil
	case name == "float32" && letter == 'f' && size == 4, name == "float64" && letter == 'f':
		return each(func(b []byte) T { return T(float(b)) }), nil
	}
	return nil, fmt.Errorf("elements are %s, expected %s", h.Dtype, name)
}

// rowMajor reorders values whose first index moves fastest.
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

// dtypeOf is how elements of type T are written, and their size.
func dtypeOf[T Number]() (string, int) {
	var zero T
	dtype := map[string]string{"uint8": "|u1", "int64": "<i8", "float32": "<f4", "float64": "<f8"}[fmt.Sprintf("%T", zero)]
	return dtype, binary.Size(zero)
}

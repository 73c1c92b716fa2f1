// Package microkernel is the inner loop of every product on the CPU: a few rows by a few vectors of a result,
// all of it in registers (the micro-kernel of Van Zee and van de Geijn, "BLIS", 2015), in assembly, so that no C
// compiler and no library is needed for the speed that the processor has.
//
// The second factor is read where it lies: Product reads it through a table of offsets, which serves matrix products
// (rows a stride apart) and convolutions (rows that are shifted copies of an image). Correlation reads the image
// itself, under masks that leave out what lies beyond its edges. Nothing is unfolded or packed for either.
//
// Every way of doing the arithmetic gives the same bits: an element's products are added up in the order of the table
// with fused multiply-adds, from zero, and no sum is ever split among lanes. What a machine can do changes the speed
// alone.
package microkernel

import (
	"fmt"
	"math"
)

const (
	// Columns is the largest number of columns of c that Multiply takes.
	Columns = 48
	// Panel is the number of rows that a is stored by: panels of so many rows, each column after column.
	Panel = 16
)

// Float is the element type of a product.
type Float interface{ float32 | float64 }

// Offsets is a table of where the rows of the second factor begin.
type Offsets struct {
	at   []int
	most []int // the largest offset up to each
}

// NewOffsets makes a table of the given offsets in elements, none of them negative.
func NewOffsets(at []int) Offsets {
	o := Offsets{at: at, most: make([]int, len(at))}
	most := 0
	for i, v := range at {
		if v < 0 {
			panic("microkernel: negative offset")
		}
		most = max(most, v)
		o.most[i] = most
	}
	return o
}

// Strided is the table of n rows that are stride apart: those of a matrix.
func Strided(n, stride int) Offsets {
	at := make([]int, n)
	for i := range at {
		at[i] = i * stride
	}
	return NewOffsets(at)
}

// Len is the number of rows.
func (o Offsets) Len() int { return len(o.at) }

// Slice is the part [from, to) of the table.
func (o Offsets) Slice(from, to int) Offsets { return Offsets{o.at[from:to], o.most[from:to]} }

// Product is one call's work: for r < Rows and j < Cols,
//
//	c[r·Stride+j] = sum over p of a(r, p)·b[Off[p]+j]    (plus c[r·Stride+j] where Add is set),
//
// the sum with fused multiply-adds in the order of p. a(r, p) is a[r/Panel·Next + p·Panel + r%Panel].
type Product struct {
	Off        Offsets
	Rows, Cols int
	Stride     int
	Next       int // from a panel to the next
	Add        bool
}

func (p *Product) check(a, b, c int) {
	k := p.Off.Len()
	if p.Rows < 1 || p.Cols < 1 || p.Cols > Columns || k < 1 {
		panic(fmt.Sprintf("microkernel: product of %d rows, %d columns and %d terms, expected 1 or more, 1 to %d and 1 or more", p.Rows, p.Cols, k, Columns))
	}
	// Panels are read whole: the last may have fewer rows, but not fewer elements.
	if a < (p.Rows-1)/Panel*p.Next+k*Panel || b < p.Off.most[k-1]+p.Cols || c < (p.Rows-1)*p.Stride+p.Cols {
		panic("microkernel: operand shorter than the product reads")
	}
}

// Multiply32 does the product in float32.
func (p *Product) Multiply32(a, b, c []float32) {
	p.check(len(a), len(b), len(c))
	multiply(p, a, b, c)
}

// Multiply64 does the product in float64.
func (p *Product) Multiply64(a, b, c []float64) {
	p.check(len(a), len(b), len(c))
	multiply64(p, a, b, c)
}

// Multiply does the product in T.
func Multiply[T Float](p *Product, a, b, c []T) {
	switch a := any(a).(type) {
	case []float32:
		p.Multiply32(a, any(b).([]float32), any(c).([]float32))
	case []float64:
		p.Multiply64(a, any(b).([]float64), any(c).([]float64))
	}
}

// plain is the definition in Go, and what runs if there is no assembly.
func plain[T Float](p *Product, a, b, c []T) {
	var sums [Columns]T
	for r := range p.Rows {
		sum := sums[:p.Cols]
		clear(sum)
		panel := a[r/Panel*p.Next+r%Panel:]
		for i, off := range p.Off.at {
			addRow(sum, b[off:][:len(sum)], panel[i*Panel])
		}
		out := c[r*p.Stride:][:len(sum)]
		if p.Add {
			for j, v := range sum {
				out[j] += v
			}
		} else {
			copy(out, sum)
		}
	}
}

// addRow adds x·b to sum with fused multiply-adds. It switches here and not through a function variable, by which sum
// would escape to the heap.
func addRow[T Float](sum, b []T, x T) {
	switch sum := any(sum).(type) {
	case []float32:
		row32(sum, any(b).([]float32), float32(x))
	case []float64:
		row64(sum, any(b).([]float64), float64(x))
	}
}

// row32 avoids most calls of fma32: the products are exact in float64, and rounding a sum twice, to float64 and then to
// float32, is as good as once unless the first result is half-way between two float32 numbers.
func row32(sum, b []float32, x float32) {
	const (
		halfway  = 1 << 63                  // the bits of a float64 that a float32 lacks, if they stand for a half
		smallest = (1023 - 126) << (52 + 1) // the smallest normal float32 as a float64, without its sign
	)
	for j, y := range b[:len(sum)] {
		s := float64(float64(x)*float64(y)) + float64(sum[j])                   // the conversion keeps compilers from fusing
		if b := math.Float64bits(s); b<<35 != halfway && b<<1-1 >= smallest-1 { // a zero is exact
			sum[j] = float32(s)
		} else {
			sum[j] = fma32(x, y, sum[j])
		}
	}
}

func row64(sum, b []float64, x float64) {
	for j, y := range b[:len(sum)] {
		sum[j] = math.FMA(x, y, sum[j])
	}
}

// fma32 is x·y + z rounded once to float32. The product is exact in float64; its sum with z is rounded to odd, after
// which rounding to float32 cannot round twice (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums",
// 2008).
func fma32(x, y, z float32) float32 {
	p := float64(float64(x) * float64(y))
	s := p + float64(z)
	q := s - p
	lost := (p - (s - q)) + (float64(z) - q)
	if lost != 0 && lost == lost {
		if bits := math.Float64bits(s); bits&1 == 0 {
			if (lost > 0) == (s > 0) {
				s = math.Float64frombits(bits + 1)
			} else {
				s = math.Float64frombits(bits - 1)
			}
		}
	}
	return float32(s)
}

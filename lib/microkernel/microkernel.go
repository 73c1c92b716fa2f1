// Package microkernel is the inner loop of every float32 product on the CPU: a few rows by a few vectors of a result,
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

// Multiply does the product in T; in float64 it is written for checks of the float32 results and not for speed.
func Multiply[T Float](p *Product, a, b, c []T) {
	switch a := any(a).(type) {
	case []float32:
		p.Multiply32(a, any(b).([]float32), any(c).([]float32))
	case []float64:
		p.check(len(a), len(b), len(c))
		plain(p, a, any(b).([]float64), any(c).([]float64), math.FMA)
	}
}

// plain is the definition in Go, and what runs where there is no assembly.
func plain[T Float](p *Product, a, b, c []T, fma func(x, y, z T) T) {
	var sums [Columns]T
	for r := range p.Rows {
		sum := sums[:p.Cols]
		clear(sum)
		panel := a[r/Panel*p.Next+r%Panel:]
		for i, off := range p.Off.at {
			x := panel[i*Panel]
			for j, y := range b[off:][:len(sum)] {
				sum[j] = fma(x, y, sum[j])
			}
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

func plain32(p *Product, a, b, c []float32) { plain(p, a, b, c, fma32) }

// fma32 is x·y + z rounded once to float32. The product is exact in float64; its sum with z is rounded to odd, after
// which rounding to float32 cannot round twice (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums",
// 2008).
func fma32(x, y, z float32) float32 {
	p := float64(float64(x) * float64(y)) // the conversion keeps compilers from fusing
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

// Package microkernel is the inner loop of every product on the CPU. It computes a block of the result, a few rows by a
// few vectors, in registers (the micro-kernel of Van Zee and van de Geijn, "BLIS", 2015). It is written in Go's
// assembly language, so it reaches the full speed of the processor without a C compiler or a library.
//
// The second factor is read in place. Product reads it through a table of the offsets of its rows. In a matrix product,
// the rows are a stride apart. In a convolution, the rows are shifted copies of an image. Correlation needs no copies:
// it reads the image itself, under masks that exclude pixels outside the image.
//
// All implementations give the same bits: the products of an element are summed from zero with fused multiply-adds in
// the order of the table, and no sum is split among lanes. Only the speed depends on the machine.
package microkernel

import (
	"fmt"
	"math"
)

const (
	// Columns is the largest number of columns of the result c per call.
	Columns = 48
	// Panel is the number of rows of the first factor a per panel. A panel is stored column by column.
	Panel = 16
)

// Float is the element type of a product.
type Float interface{ float32 | float64 }

// Offsets is a table of the offsets at which the rows of the second factor begin.
type Offsets struct {
	at   []int
	most []int // most[i] is the largest of at[0], ..., at[i]
}

// NewOffsets makes a table of the given offsets, which are in elements. It panics if an offset is negative.
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

// Strided makes the table for n rows that are stride elements apart, as in a matrix.
func Strided(n, stride int) Offsets {
	at := make([]int, n)
	for i := range at {
		at[i] = i * stride
	}
	return NewOffsets(at)
}

// Len returns the number of rows.
func (o Offsets) Len() int { return len(o.at) }

// Slice returns the table of rows [from, to).
func (o Offsets) Slice(from, to int) Offsets { return Offsets{o.at[from:to], o.most[from:to]} }

// Product describes a product of matrices a and b: for r < Rows and j < Cols,
//
//	c[r·Stride+j] = sum over p of a(r, p)·b[Off[p]+j]
//
// plus c[r·Stride+j] if Add is set. a(r, p) is a[r/Panel·Next + p·Panel + r%Panel]. The sum starts from zero and uses
// fused multiply-adds in the order of p.
type Product struct {
	Off        Offsets
	Rows, Cols int  // of c
	Stride     int  // from a row of c to the next
	Next       int  // from a panel of a to the next
	Add        bool // add to c instead of overwriting it
}

func (p *Product) check(a, b, c int) {
	k := p.Off.Len()
	if p.Rows < 1 || p.Cols < 1 || p.Cols > Columns || k < 1 {
		const message = "microkernel: product of %d rows, %d columns and %d terms, expected at least 1 and at most %d columns"
		panic(fmt.Sprintf(message, p.Rows, p.Cols, k, Columns))
	}
	// Panels are read as a whole: the last panel may have fewer rows, but must have as many elements.
	if a < (p.Rows-1)/Panel*p.Next+k*Panel || b < p.Off.most[k-1]+p.Cols || c < (p.Rows-1)*p.Stride+p.Cols {
		panic("microkernel: operand shorter than the product reads")
	}
}

// Multiply computes the product. It panics if an operand is too short.
func Multiply[T Float](p *Product, a, b, c []T) {
	p.check(len(a), len(b), len(c))
	switch a := any(a).(type) {
	case []float32:
		multiply(p, a, any(b).([]float32), any(c).([]float32))
	case []float64:
		multiply64(p, a, any(b).([]float64), any(c).([]float64))
	}
}

// flag converts a bool to 1 or 0 for the assembly.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// plain computes the product in Go. It defines the bits of the result, and runs if there is no assembly for the
// machine.
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

// addRow adds x·b to sum with fused multiply-adds. A function variable instead of the switch would make sum escape to
// the heap.
func addRow[T Float](sum, b []T, x T) {
	switch sum := any(sum).(type) {
	case []float32:
		row32(sum, any(b).([]float32), float32(x))
	case []float64:
		row64(sum, any(b).([]float64), float64(x))
	}
}

// row32 is addRow for float32. It avoids most calls of fma32. Products are exact in float64. Rounding a sum to float64
// and then to float32 equals rounding it once, unless the float64 is half-way between two float32 numbers or the result
// is subnormal.
func row32(sum, b []float32, x float32) {
	const (
		halfway  = 1 << 63                  // the bits of a float64 that a float32 lacks, if they represent one half
		smallest = (1023 - 126) << (52 + 1) // the smallest normal float32 as a float64, without its sign
	)
	for j, y := range b[:len(sum)] {
		s := float64(float64(x)*float64(y)) + float64(sum[j])                   // the outer conversion prevents fusing
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

// fma32 returns x·y + z with a single rounding to float32. The product is exact in float64. The sum is rounded to odd
// in float64, so that rounding it again to float32 gives the right result (Boldo and Melquiond, "Emulation of FMA and
// correctly rounded sums", 2008).
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

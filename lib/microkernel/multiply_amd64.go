package microkernel

import "golang.org/x/sys/cpu"

//go:noescape
func kernel8x3x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)

//go:noescape
func kernel8x2x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)

//go:noescape
func kernel8x1x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)

//go:noescape
func kernel4x3x16(k int, a, b *float32, off *int, c *float32, stride, rows, mask, add int)

//go:noescape
func kernel4x3x8(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)

//go:noescape
func kernel4x3x8m(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)

//go:noescape
func kernel4x2x8(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)

//go:noescape
func kernel4x1x8(k int, a, b *float32, off *int, c *float32, stride, rows, last, add int)

var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F
)

// masks holds eight mask elements that are set, then eight that are not.
//
//lint:ignore U1000 only the assembly reads it
var masks = [16]int32{-1, -1, -1, -1, -1, -1, -1, -1}

// Name returns the name of the vector instructions that products use on this machine.
func Name() string {
	switch {
	case hasAVX512:
		return "AVX-512"
	case hasAVX2:
		return "AVX2"
	}
	return "scalar"
}

// A function variable instead of the switch would make the operands escape to the heap.
func multiply(p *Product, a, b, c []float32) {
	switch {
	case hasAVX512:
		multiply512(p, a, b, c)
	case hasAVX2:
		multiply256(p, a, b, c)
	default:
		plain(p, a, b, c)
	}
}

// The largest number of rows of c that a kernel computes at once, for AVX-512 and for AVX2.
const (
	rows512 = 8
	rows256 = 4
)

func multiply512(p *Product, a, b, c []float32) {
	vectors := (p.Cols + 15) / 16
	mask := 1<<(p.Cols-16*(vectors-1)) - 1
	k, add := p.Off.Len(), flag(p.Add)
	off := &p.Off.at[0]
	for r := 0; r < p.Rows; r += rows512 {
		from, to, rows := &a[r/Panel*p.Next+r%Panel], &c[r*p.Stride], min(rows512, p.Rows-r)
		switch {
		case vectors == 3 && rows <= 4:
			kernel4x3x16(k, from, &b[0], off, to, p.Stride, rows, mask, add)
		case vectors == 3:
			kernel8x3x16(k, from, &b[0], off, to, p.Stride, rows, mask, add)
		case vectors == 2:
			kernel8x2x16(k, from, &b[0], off, to, p.Stride, rows, mask, add)
		default:
			kernel8x1x16(k, from, &b[0], off, to, p.Stride, rows, mask, add)
		}
	}
}

// nextVectors returns the size of the next piece if left columns remain. A piece has up to three vectors of eight
// columns. The results are the number of vectors, and the number of columns in the last vector. No piece is a single
// vector unless all columns fit in one vector.
func nextVectors(left int) (vectors, last int) {
	vectors = min(3, (left+7)/8)
	if 24 < left && left <= 32 {
		vectors = 2
	}
	return vectors, min(8, left-8*(vectors-1))
}

func multiply256(p *Product, a, b, c []float32) {
	k, add := p.Off.Len(), flag(p.Add)
	off := &p.Off.at[0]
	for r := 0; r < p.Rows; r += rows256 {
		panel, rows := &a[r/Panel*p.Next+r%Panel], min(rows256, p.Rows-r)
		for j := 0; j < p.Cols; {
			from, to := &b[j], &c[r*p.Stride+j]
			vectors, last := nextVectors(p.Cols - j)
			switch {
			case vectors == 3 && last == 8:
				kernel4x3x8(k, panel, from, off, to, p.Stride, rows, last, add)
			case vectors == 3:
				kernel4x3x8m(k, panel, from, off, to, p.Stride, rows, last, add)
			case vectors == 2:
				kernel4x2x8(k, panel, from, off, to, p.Stride, rows, last, add)
			default:
				kernel4x1x8(k, panel, from, off, to, p.Stride, rows, last, add)
			}
			j += 8*(vectors-1) + last
		}
	}
}

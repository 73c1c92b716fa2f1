package microkernel

import "sync"

//go:noescape
func kernel8x3x4(k int, a, b *float32, off *int, c *float32, stride, rows, add int)

// Name returns the name of the vector instructions that products use on this machine.
func Name() string { return "NEON" }

const (
	rowsNEON = 8
	colsNEON = 12
)

// edge is working memory for the last columns, if there are too few for the width of the kernel.
type edge struct {
	b   []float32
	off []int
	c   [rowsNEON * colsNEON]float32
}

var edges = sync.Pool{New: func() any { return new(edge) }}

func multiply(p *Product, a, b, c []float32) {
	k, j := p.Off.Len(), 0
	for ; j+colsNEON <= p.Cols; j += colsNEON {
		for r := 0; r < p.Rows; r += rowsNEON {
			from, to := &a[r/Panel*p.Next+r%Panel], &c[r*p.Stride+j]
			kernel8x3x4(k, from, &b[j], &p.Off.at[0], to, p.Stride, min(rowsNEON, p.Rows-r), flag(p.Add))
		}
	}
	left := p.Cols - j
	if left == 0 {
		return
	}
	e := edges.Get().(*edge)
	for len(e.off) < k {
		e.off = append(e.off, colsNEON*len(e.off))
		e.b = append(e.b, make([]float32, colsNEON)...)
	}
	for i, off := range p.Off.at {
		copy(e.b[i*colsNEON:][:left], b[off+j:])
	}
	for r := 0; r < p.Rows; r += rowsNEON {
		rows := min(rowsNEON, p.Rows-r)
		kernel8x3x4(k, &a[r/Panel*p.Next+r%Panel], &e.b[0], &e.off[0], &e.c[0], colsNEON, rows, 0)
		for i := range rows {
			to := c[(r+i)*p.Stride+j:][:left]
			for q, v := range e.c[i*colsNEON:][:left] {
				if p.Add {
					to[q] += v
				} else {
					to[q] = v
				}
			}
		}
	}
	edges.Put(e)
}

package kernel

import (
	"fmt"

	"vapo/lib/microkernel"
)

// MatMul multiplies batches of matrices: op(a) [batch, m, k] times op(b) [batch, k, n] to [batch, m, n].
//
// The bits of an element of the result depend only on its row of op(a) and its column of op(b). The k products are
// divided into runs of runTerms products. Each run is summed from zero with fused multiply-adds, in the order of k, and
// the sums of the runs are added in order. The sizes m and n, transpositions, tiles, threads and vector widths have no
// influence.
type MatMul[T Float] struct {
	batch       int
	swapped     bool // computes op(b)^T·op(a)^T, the transposed result
	f           factors
	tiles       tiles2D
	whole       bool // a piece is a group of whole products; otherwise it is a tile
	group       int  // products per piece, if whole is true
	entry       int  // the index of the product whose tiles are being computed, if whole is false
	left, right packed[T]
	dst, a, b   []T
	pack, body  func(worker, piece int)
}

// packed is scratch memory for a factor in the layout that the micro-kernel reads.
type packed[T Float] struct {
	parts int   // panels or strips of a product
	early bool  // several tiles read each part, so all parts are packed first; otherwise each tile packs its own
	size  int   // elements of a buffer
	bufs  [][]T // one for each worker, or one for all workers
}

// runTerms is the number of products that are summed in registers. 128 rows of 48 columns of op(b) fill three quarters
// of a first-level cache of 32 KiB in float32. The last bits of the results depend on runTerms.
const runTerms = 128

// factors describes the product as it is computed, after a possible swap: m rows, divided into panels, and n columns,
// divided into strips.
type factors struct {
	m, n, k int
	transA  bool  // a is stored [k, m]
	strips  []int // the first column of each strip, then n; a strip has at most microkernel.Columns columns
	packB   bool  // b is transposed strip by strip; otherwise it is read in place
	off     microkernel.Offsets
}

// tiles2D divides a result into down x across tiles. A tile has the given numbers of panels and strips.
type tiles2D struct{ panels, strips, down, across int }

func (t tiles2D) count() int { return t.down * t.across }

const (
	// narrow is the number of columns below which the transposed product fills the vectors better.
	narrow = 16
	// leastPiece and mostPiece bound the cost of a piece in multiply-adds. They correspond to 8 and 32 µs, which is long
	// compared with the cost of dispatching a piece.
	leastPiece = 1 << 19
	mostPiece  = 1 << 21
	// elementCost is the cost of writing an element of the result, in multiply-adds.
	elementCost = 8
)

// NewMatMul prepares a batch of products of op(a) [m, k] and op(b) [k, n]. transA says that a is stored [k, m], transB
// that b is stored [n, k]. It panics if a size is below 1.
func NewMatMul[T Float](transA, transB bool, batch, m, n, k int) *MatMul[T] {
	if min(batch, m, n, k) < 1 {
		panic(fmt.Sprintf("kernel: %d products of [%d, %d] and [%d, %d], expected sizes of at least 1", batch, m, k, k, n))
	}
	p := &MatMul[T]{batch: batch}
	if p.swapped = n < narrow && n < m; p.swapped {
		m, n, transA, transB = n, m, !transB, !transA
	}
	p.f = newFactors(transA, transB, m, n, k)
	cost := m * n * (k + elementCost)
	aim := max(leastPiece, min(mostPiece, batch*cost/leastTiles))
	p.tiles = p.f.cut(aim)
	p.whole = batch >= leastTiles || p.tiles.count() == 1
	p.group = max(1, min(batch, aim/cost))
	p.pack, p.body = p.packPart, p.tile
	pieces := p.tiles.count()
	if p.whole {
		p.body = p.products
		pieces = (batch + p.group - 1) / p.group
	}
	p.left = newPacked[T](p.f.panels(), p.tiles.panels, p.tiles.across > 1, microkernel.Panel*k)
	if p.f.packB {
		p.right = newPacked[T](p.f.count(), p.tiles.strips, p.tiles.down > 1, microkernel.Columns*k)
	}
	if p.inScratch() {
		p.right.size += m * p.tiles.strips * microkernel.Columns
	}
	for _, side := range []*packed[T]{&p.left, &p.right} {
		switch {
		case side.size == 0:
		case side.early && !p.whole:
			side.bufs = make([][]T, 1)
		default:
			side.bufs = make([][]T, min(Workers(), pieces))
		}
		scratchOf[T]().reserve(side.size)
	}
	return p
}

func newPacked[T Float](parts, perTile int, early bool, size int) packed[T] {
	s := packed[T]{parts: parts, early: early, size: perTile * size}
	if early {
		s.size = parts * size
	}
	return s
}

// of returns a worker's memory.
func (s *packed[T]) of(worker int) []T {
	if len(s.bufs) == 0 {
		return nil
	}
	return s.bufs[min(worker, len(s.bufs)-1)]
}

// before is the number of parts to pack before the tiles.
func (s *packed[T]) before() int {
	if s.early {
		return s.parts
	}
	return 0
}

// inScratch reports whether tiles are computed in scratch memory and transposed from there into the result. A swapped
// product with a single row needs no transposition.
func (p *MatMul[T]) inScratch() bool { return p.swapped && p.f.m > 1 }

// Run computes dst [batch, m, n] = op(a)·op(b). It is not safe for concurrent use.
func (p *MatMul[T]) Run(dst, a, b []T) {
	p.dst, p.a, p.b = dst, a, b
	if p.swapped {
		p.a, p.b = b, a
	}
	scratchOf[T]().take(p.left.bufs, p.left.size)
	scratchOf[T]().take(p.right.bufs, p.right.size)
	if p.whole {
		Parallel((p.batch+p.group-1)/p.group, p.body)
	} else {
		for p.entry = range p.batch {
			parts := p.left.before() + p.right.before()
			if parts*microkernel.Columns*p.f.k <= 2*grain { // takes a few µs, less than waking other cores
				for i := range parts {
					p.pack(0, i)
				}
			} else {
				Parallel(parts, p.pack)
			}
			Parallel(p.tiles.count(), p.body)
		}
	}
	scratchOf[T]().give(p.left.bufs)
	scratchOf[T]().give(p.right.bufs)
	p.dst, p.a, p.b = nil, nil, nil
}

// products computes the products of a piece one after the other.
func (p *MatMul[T]) products(worker, piece int) {
	for e := piece * p.group; e < min(p.batch, (piece+1)*p.group); e++ {
		for i := range p.left.before() + p.right.before() {
			p.packOne(worker, e, i)
		}
		for i := range p.tiles.count() {
			p.multiply(worker, e, i)
		}
	}
}

func (p *MatMul[T]) packPart(worker, piece int) { p.packOne(worker, p.entry, piece) }
func (p *MatMul[T]) tile(worker, piece int)     { p.multiply(worker, p.entry, piece) }

// factors returns the operands of the product with the given index.
func (p *MatMul[T]) factors(entry int) (a, b []T) {
	f := &p.f
	return p.a[entry*f.m*f.k : (entry+1)*f.m*f.k], p.b[entry*f.k*f.n : (entry+1)*f.k*f.n]
}

// packOne packs a panel of op(a) or a strip of op(b) that several tiles read.
func (p *MatMul[T]) packOne(worker, entry, part int) {
	a, b := p.factors(entry)
	if n := p.left.before(); part < n {
		packPanel(&p.f, p.left.of(worker)[part*microkernel.Panel*p.f.k:], a, part)
	} else {
		packStrip(&p.f, p.right.of(worker)[(part-n)*microkernel.Columns*p.f.k:], b, part-n)
	}
}

// multiply computes a tile of a product.
func (p *MatMul[T]) multiply(worker, entry, tile int) {
	const width, height = microkernel.Columns, microkernel.Panel
	f, t := &p.f, &p.tiles
	p0, s0 := tile/t.across*t.panels, tile%t.across*t.strips
	p1, s1 := min(p0+t.panels, f.panels()), min(s0+t.strips, f.count())
	a, b := p.factors(entry)
	panels, strips := p.left.of(worker), p.right.of(worker)
	if p.left.early {
		panels = panels[p0*height*f.k:]
	} else {
		for i := p0; i < p1; i++ {
			packPanel(f, panels[(i-p0)*height*f.k:], a, i)
		}
	}
	if p.right.early {
		strips = strips[s0*width*f.k:]
	} else if f.packB {
		for s := s0; s < s1; s++ {
			packStrip(f, strips[(s-s0)*width*f.k:], b, s)
		}
	}

	j0, row := f.strips[s0], p0*height
	c := p.dst[entry*f.m*f.n : (entry+1)*f.m*f.n]
	to, stride := c[row*f.n+j0:], f.n
	if p.inScratch() {
		stride = t.strips * width
		to = p.right.of(worker)[p.right.size-f.m*stride:]
	}
	call := microkernel.Product{Rows: min(p1*height, f.m) - row, Stride: stride, Next: f.k * height}
	for q := 0; q < f.k; q += runTerms {
		call.Off, call.Add = f.off.Slice(0, min(runTerms, f.k-q)), q > 0
		for s := s0; s < s1; s++ {
			j := f.strips[s]
			call.Cols = f.strips[s+1] - j
			if f.packB {
				microkernel.Multiply(&call, panels[q*height:], strips[((s-s0)*f.k+q)*width:], to[j-j0:])
			} else {
				microkernel.Multiply(&call, panels[q*height:], b[q*f.n+j:], to[j-j0:])
			}
		}
	}
	if p.inScratch() {
		microkernel.Transpose(c[j0*f.m:], f.m, to, stride, f.m, f.strips[s1]-j0)
	}
}

func newFactors(transA, transB bool, m, n, k int) factors {
	f := factors{m: m, n: n, k: k, transA: transA}
	for j := 0; j < n; j += nextColumns(n - j) {
		f.strips = append(f.strips, j)
	}
	f.strips = append(f.strips, n)
	stride := n
	if f.packB = transB && k > 1 && n > 1; f.packB {
		stride = microkernel.Columns
	}
	f.off = microkernel.Strided(min(k, runTerms), stride)
	return f
}

func (f *factors) panels() int { return (f.m + microkernel.Panel - 1) / microkernel.Panel }

// count is the number of strips.
func (f *factors) count() int { return len(f.strips) - 1 }

// cut chooses tiles that cost about aim multiply-adds each. A tile has some of the panels and all strips, or fewer
// strips if there are few panels.
func (f *factors) cut(aim int) tiles2D {
	panels, strips := f.panels(), f.count()
	cost := f.m * f.n * (f.k + elementCost)
	down := 1 // powers of two balance best
	for down < panels && down*aim < cost {
		down *= 2
	}
	t := tiles2D{panels: (panels + down - 1) / down}
	across := min(strips, max(1, cost/(down*aim)))
	t.strips = (strips + across - 1) / across
	t.down, t.across = (panels+t.panels-1)/t.panels, (strips+t.strips-1)/t.strips
	return t
}

// packPanel writes a panel of up to 16 rows of op(a) column by column.
func packPanel[T Float](f *factors, to, a []T, panel int) {
	const width = microkernel.Panel
	first := panel * width
	rows := min(width, f.m-first)
	if f.transA {
		microkernel.CopyPanel(to, a[first:], f.m, rows, f.k)
	} else {
		microkernel.Transpose(to, width, a[first*f.k:], f.k, rows, f.k)
	}
}

// packStrip writes a strip of op(b) row by row, as the micro-kernel reads it. b is stored transposed.
func packStrip[T Float](f *factors, to, b []T, strip int) {
	const width = microkernel.Columns
	first, end := f.strips[strip], f.strips[strip+1]
	for j := first; j < end; j += microkernel.Panel {
		microkernel.Transpose(to[j-first:], width, b[j*f.k:], f.k, min(microkernel.Panel, end-j), f.k)
	}
}

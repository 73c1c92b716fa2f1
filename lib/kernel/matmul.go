package kernel

import (
	"fmt"

	"vapo/lib/microkernel"
)

// MatMul multiplies batches of matrices: op(a) [batch, m, k] times op(b) [batch, k, n] to [batch, m, n].
//
// An element of the result has the same bits in every matrix that has its row of op(a) and its column of op(b): its k
// products are cut into runs of runTerms, each run is added up from zero with fused multiply-adds in the order of k, and
// the runs are added in their order. Neither m and n nor the transpositions, tiles, threads or vectors change that.
type MatMul[T Float] struct {
	Batch, M, N, K int
	TransA, TransB bool // a is stored [k, m], b is stored [n, k]

	swapped     bool // op(b)^T·op(a)^T is computed, which is the transposed result
	f           factors
	tiles       tiles2D
	whole       bool // pieces are whole products and not tiles
	group       int  // products a piece, if they are
	entry       int  // the product whose tiles are computed, if they are not
	left, right packed[T]
	dst, a, b   []T
	pack, body  func(worker, piece int)
}

// packed is the scratch memory for a factor as the micro-kernel reads it.
type packed[T Float] struct {
	parts int  // panels or strips of a product
	early bool // several tiles read a part: it is packed before them, and else by its tile
	size  int
	bufs  [][]T // one for each worker, or one for all
}

// runTerms is the number of products that are added up in registers: 48 columns of so many rows of op(b) fill three
// quarters of a first-level cache of 32 KiB. It belongs to the results' bits.
const runTerms = 128

// factors describes the product that is computed: m rows of panels times n columns of strips.
type factors struct {
	m, n, k        int
	transA, transB bool
	strips         []int // the first column of each strip of at most microkernel.Columns, and n
	packB          bool  // b is transposed strip by strip; else it is read in place
	off            microkernel.Offsets
}

// tiles2D cuts a result into tiles of whole panels and strips.
type tiles2D struct{ panels, strips, down, across int }

func (t tiles2D) count() int { return t.down * t.across }

const (
	// narrow is the number of columns below which the transposed product fills the vectors better.
	narrow = 16
	// leastPiece and mostPiece bound the cost of a piece in multiply-adds: 8 to 32 us, long compared with the dispatch.
	leastPiece = 1 << 19
	mostPiece  = 1 << 21
	// elementCost is what writing an element of the result costs, in multiply-adds.
	elementCost = 8
)

// NewMatMul prepares a product. All sizes are at least 1. The pieces depend on the shape alone.
func NewMatMul[T Float](transA, transB bool, batch, m, n, k int) *MatMul[T] {
	if min(batch, m, n, k) < 1 {
		panic(fmt.Sprintf("kernel: product of %d matrices [%d, %d] and [%d, %d]", batch, m, k, k, n))
	}
	p := &MatMul[T]{Batch: batch, M: m, N: n, K: k, TransA: transA, TransB: transB}
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

// of returns the memory that a worker uses.
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

// inScratch tells whether tiles are computed in scratch memory, and transposed from there. A transposed row is a column.
func (p *MatMul[T]) inScratch() bool { return p.swapped && p.f.m > 1 }

// Run computes dst = op(a)·op(b). It is not safe for concurrent use.
func (p *MatMul[T]) Run(dst, a, b []T) {
	p.dst, p.a, p.b = dst, a, b
	if p.swapped {
		p.a, p.b = b, a
	}
	scratchOf[T]().take(p.left.bufs, p.left.size)
	scratchOf[T]().take(p.right.bufs, p.right.size)
	if p.whole {
		Parallel((p.Batch+p.group-1)/p.group, p.body)
	} else {
		for p.entry = range p.Batch {
			parts := p.left.before() + p.right.before()
			if parts*microkernel.Columns*p.f.k <= 2*grain { // a few us, too little to share
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

// products computes a piece's products one after the other.
func (p *MatMul[T]) products(worker, piece int) {
	for e := piece * p.group; e < min(p.Batch, (piece+1)*p.group); e++ {
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

// factors are a product's operands.
func (p *MatMul[T]) factors(entry int) (a, b []T) {
	f := &p.f
	return p.a[entry*f.m*f.k : (entry+1)*f.m*f.k], p.b[entry*f.k*f.n : (entry+1)*f.k*f.n]
}

// packOne writes a panel of op(a) or a strip of op(b) that several tiles read.
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
	f := factors{m: m, n: n, k: k, transA: transA, transB: transB}
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

// cut chooses tiles that cost about aim: some panels by all strips, unless there are too few panels.
func (f *factors) cut(aim int) tiles2D {
	panels, strips := f.panels(), f.count()
	cost := f.m * f.n * (f.k + elementCost)
	down := 1 // a power of two shares out evenly
	for down < panels && down*aim < cost {
		down *= 2
	}
	t := tiles2D{panels: (panels + down - 1) / down}
	across := min(strips, max(1, cost/(down*aim)))
	t.strips = (strips + across - 1) / across
	t.down, t.across = (panels+t.panels-1)/t.panels, (strips+t.strips-1)/t.strips
	return t
}

// packPanel writes up to 16 rows of op(a), column by column.
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

// packStrip writes a strip of op(b), which is stored transposed, row by row.
func packStrip[T Float](f *factors, to, b []T, strip int) {
	const width = microkernel.Columns
	first, end := f.strips[strip], f.strips[strip+1]
	for j := first; j < end; j += microkernel.Panel {
		microkernel.Transpose(to[j-first:], width, b[j*f.k:], f.k, min(microkernel.Panel, end-j), f.k)
	}
}

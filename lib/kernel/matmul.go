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

	swapped bool // op(b)^T·op(a)^T is computed, which is the transposed result
	p       factors
	packed  int // elements of scratch memory for the packed factors of one product, and for its result if swapped
	tiles   tiles2D
	group   int  // products a piece, if pieces are whole products
	whole   bool // pieces are whole products and not tiles
	entry   int  // the product whose tiles are computed
	bufs    [][]T
	dst     []T
	a, b    []T
	pack    func(worker, piece int)
	body    func(worker, piece int)
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
type tiles2D struct{ panels, strips, across, count int }

const (
	// narrow is the number of columns below which the transposed product fills the vectors better.
	narrow = 16
	// leastPiece and mostPiece bound the cost of a piece in multiply-adds: 8 to 16 us, long compared with the dispatch.
	leastPiece = 1 << 19
	mostPiece  = 1 << 20
	// leastPanels is the number of panels that a tile has, if there are so many: they share the strips that they read.
	leastPanels = 2
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
	p.p = newFactors(transA, transB, m, n, k)
	p.packed = p.p.size()
	if p.swapped && m > 1 {
		p.packed += m * n
	}
	cost := m * n * (k + elementCost)
	aim := max(leastPiece, min(mostPiece, batch*cost/leastTiles))
	p.tiles = p.p.cut(aim)
	p.whole = batch >= leastTiles || p.tiles.count == 1
	p.group = 1
	p.pack, p.body = p.packPiece, p.tile
	workers := 1
	if p.whole {
		p.group = max(1, min(batch, aim/cost))
		p.body = p.products
		workers = min(Workers(), (batch+p.group-1)/p.group)
	}
	p.bufs = make([][]T, workers)
	scratchOf[T]().reserve(p.packed)
	return p
}

// Run computes dst = op(a)·op(b). It is not safe for concurrent use.
func (p *MatMul[T]) Run(dst, a, b []T) {
	p.dst, p.a, p.b = dst, a, b
	if p.swapped {
		p.a, p.b = b, a
	}
	scratchOf[T]().take(p.bufs, p.packed)
	if p.whole {
		Parallel((p.Batch+p.group-1)/p.group, p.body)
	} else {
		for p.entry = range p.Batch {
			Parallel(p.p.parts(), p.pack)
			Parallel(p.tiles.count, p.body)
		}
	}
	scratchOf[T]().give(p.bufs)
	p.dst, p.a, p.b = nil, nil, nil
}

// products computes a piece's products one after the other.
func (p *MatMul[T]) products(worker, piece int) {
	buf := p.bufs[worker]
	for e := piece * p.group; e < min(p.Batch, (piece+1)*p.group); e++ {
		for i := range p.p.parts() {
			p.packPart(buf, e, i)
		}
		for i := range p.tiles.count {
			p.multiply(buf, e, i)
		}
	}
}

func (p *MatMul[T]) packPiece(_, piece int) { p.packPart(p.bufs[0], p.entry, piece) }
func (p *MatMul[T]) tile(_, piece int)      { p.multiply(p.bufs[0], p.entry, piece) }

// packPart writes a panel of op(a) or a strip of op(b) of a product.
func (p *MatMul[T]) packPart(buf []T, entry, part int) {
	f := &p.p
	if part < f.panels() {
		packPanel(f, buf, p.a[entry*f.m*f.k:(entry+1)*f.m*f.k], part)
	} else {
		packStrip(f, buf[f.packedA():], p.b[entry*f.k*f.n:(entry+1)*f.k*f.n], part-f.panels())
	}
}

// multiply computes a tile of a product from its packed factors.
func (p *MatMul[T]) multiply(buf []T, entry, tile int) {
	f := &p.p
	c := p.dst[entry*f.m*f.n : (entry+1)*f.m*f.n]
	to := c
	if p.swapped && f.m > 1 {
		to = buf[f.size():p.packed]
	}
	first, s0 := tile/p.tiles.across*p.tiles.panels, tile%p.tiles.across*p.tiles.strips
	row, s1 := first*microkernel.Panel, min(s0+p.tiles.strips, len(f.strips)-1)
	call := microkernel.Product{Rows: min(p.tiles.panels*microkernel.Panel, f.m-row), Stride: f.n, Next: f.k * microkernel.Panel}
	for q := 0; q < f.k; q += runTerms {
		call.Off, call.Add = f.off.Slice(0, min(runTerms, f.k-q)), q > 0
		for s := s0; s < s1; s++ {
			j := f.strips[s]
			call.Cols = f.strips[s+1] - j
			var b []T
			if f.packB {
				b = buf[f.packedA()+(s*f.k+q)*microkernel.Columns:]
			} else {
				b = p.b[entry*f.k*f.n+q*f.n+j : (entry+1)*f.k*f.n]
			}
			microkernel.Multiply(&call, buf[(first*f.k+q)*microkernel.Panel:], b, to[row*f.n+j:])
		}
	}
	if p.swapped && f.m > 1 {
		j0, j1 := f.strips[s0], f.strips[s1]
		microkernel.Transpose(c[j0*f.m:], f.m, to[j0:], f.n, f.m, j1-j0)
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

// parts is the number of panels and strips to pack.
func (f *factors) parts() int {
	if f.packB {
		return f.panels() + len(f.strips) - 1
	}
	return f.panels()
}

func (f *factors) packedA() int { return f.panels() * microkernel.Panel * f.k }

// size is the number of elements that packing takes: the panels of a, then the strips of b.
func (f *factors) size() int {
	if f.packB {
		return f.packedA() + (len(f.strips)-1)*microkernel.Columns*f.k
	}
	return f.packedA()
}

// cut chooses tiles that cost about aim: as wide as leaves them rows enough.
func (f *factors) cut(aim int) tiles2D {
	panels, strips := f.panels(), len(f.strips)-1
	least := min(leastPanels, panels)
	t := tiles2D{strips: strips}
	cost := func() int { // of a panel
		return min(f.m, microkernel.Panel) * min(f.n, t.strips*microkernel.Columns) * (f.k + elementCost)
	}
	for t.strips > 1 && least*cost() > aim {
		t.strips = (t.strips + 1) / 2
	}
	t.across = (strips + t.strips - 1) / t.strips
	down := 1 // a power of two shares out evenly
	for down < panels && down*aim < panels*cost() {
		down *= 2
	}
	t.panels = max(least, (panels+down-1)/down)
	t.count = (panels + t.panels - 1) / t.panels * t.across
	return t
}

// packPanel writes up to 16 rows of op(a), column by column.
func packPanel[T Float](f *factors, buf, a []T, panel int) {
	const width = microkernel.Panel
	first := panel * width
	to, rows := buf[first*f.k:(first+width)*f.k], min(width, f.m-first)
	if f.transA {
		microkernel.CopyPanel(to, a[first:], f.m, rows, f.k)
	} else {
		microkernel.Transpose(to, width, a[first*f.k:], f.k, rows, f.k)
	}
}

// packStrip writes a strip of op(b), which is stored transposed, row by row.
func packStrip[T Float](f *factors, buf, b []T, strip int) {
	const width = microkernel.Columns
	first, end := f.strips[strip], f.strips[strip+1]
	to := buf[strip*width*f.k : (strip+1)*width*f.k]
	for j := first; j < end; j += microkernel.Panel {
		microkernel.Transpose(to[j-first:], width, b[j*f.k:], f.k, min(microkernel.Panel, end-j), f.k)
	}
}

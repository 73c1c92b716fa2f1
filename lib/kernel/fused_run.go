package kernel

import "unsafe"

// worker is the state of one goroutine.
type worker[T Float] struct {
	data  [][]T // by buffer: scratch memory, or the current row's part of a slot
	base  []int // by register: where the current row starts in its slot
	index []int // the index of the current row along each outer dimension
	sums  []rowSum[T]

	// expanded records, by register, what the register's expansion holds: 1 + the index of a block, or 1 + the index of
	// the single value that it repeats. 0 means nothing.
	expanded []int
}

func (f *Fused[T]) newWorker() *worker[T] {
	w := &padded[worker[T]](1)[0]
	*w = worker[T]{
		data:     padded[[]T](len(f.buffers)),
		base:     padded[int](len(f.regs)),
		index:    padded[int](len(f.outer)),
		sums:     padded[rowSum[T]](f.sums),
		expanded: padded[int](len(f.regs)),
	}
	scratch := padded[T](f.scratch)
	for i, b := range f.buffers {
		w.data[i] = scratch[b.offset : b.offset+b.length]
	}
	return w
}

// ScratchBytes returns the memory that the program holds for its workers, without their sums.
func (f *Fused[T]) ScratchBytes() int64 {
	const margins = 6 * 2 * 160 // approximate size of the padding around the slices
	each := f.scratch*int(unsafe.Sizeof(*new(T))) + len(f.buffers)*24 + len(f.regs)*16 + margins
	return int64(len(f.workers) * each)
}

// Run executes the program on slots, which are indexed by Operand.Slot. It is not safe for concurrent use.
func (f *Fused[T]) Run(slots [][]T) {
	f.slots = slots
	Parallel(f.pieces(), f.body)
	f.slots = nil
}

func (f *Fused[T]) pieces() int { return (f.rows + f.perPiece - 1) / f.perPiece * f.piecesPerRow }

func (f *Fused[T]) piece(worker, piece int) {
	w := f.workers[worker]
	clear(w.expanded) // the slots may have changed since the last piece
	row := piece / f.piecesPerRow * f.perPiece
	from := piece % f.piecesPerRow * f.blocksPerPiece
	f.seek(w, row)
	for end := min(row+f.perPiece, f.rows); ; {
		for p := range f.phases {
			f.phase(w, &f.phases[p], from)
		}
		if row++; row == end {
			break
		}
		f.advance(w)
	}
	for _, i := range f.bound {
		w.data[i] = nil
	}
}

// seek moves the worker to the given row.
func (f *Fused[T]) seek(w *worker[T], row int) {
	clear(w.base)
	for d := len(f.outer) - 1; d >= 0; d-- {
		w.index[d] = row % f.outer[d]
		row /= f.outer[d]
		for _, i := range f.bound {
			w.base[i] += w.index[d] * f.regs[i].strides[d]
		}
	}
	for _, i := range f.bound {
		f.locate(w, i)
	}
}

// locate points the worker to the current row of a register that has a slot.
func (f *Fused[T]) locate(w *worker[T], reg int) {
	g, slot, base := &f.regs[reg], f.slots[f.prog.Operands[reg].Slot], w.base[reg]
	if g.gather != nil {
		w.data[reg] = slot[base:]
	} else {
		w.data[reg] = slot[base : base+g.kept]
	}
}

// advance moves the worker to the next row.
func (f *Fused[T]) advance(w *worker[T]) {
	d := len(f.outer) - 1
	for w.index[d]++; w.index[d] == f.outer[d]; w.index[d]++ {
		w.index[d] = 0
		d--
	}
	for _, i := range f.bound {
		strides := f.regs[i].strides
		move := strides[d]
		for k := d + 1; k < len(strides); k++ {
			move -= (f.outer[k] - 1) * strides[k]
		}
		if move != 0 {
			w.base[i] += move
			w.expanded[i] = 0
			f.locate(w, i)
		}
	}
}

// phase runs one phase for the current row: first the ops on blocks, for up to blocksPerPiece blocks starting at block
// from, and then the ops on reduced values.
func (f *Fused[T]) phase(w *worker[T], p *phase, from int) {
	if len(p.blocks) > 0 {
		for block := from; block < from+f.blocksPerPiece; block++ {
			n := min(f.blockLen, f.row-block*f.blockLen)
			if n <= 0 {
				break
			}
			for k := range p.blocks {
				f.execute(w, &p.blocks[k], block, n)
			}
		}
	}
	for k := range p.reduced {
		o := &p.reduced[k]
		f.execute(w, o, 0, o.n)
	}
}

// execute runs an op on n elements of a block, or on n reduced values.
func (f *Fused[T]) execute(w *worker[T], o *op, block, n int) {
	switch o.kind {
	case opUnary:
		o.unary(at(w, &o.dst, block), at(w, &o.a, block), n)
	case opBinary:
		o.binary(at(w, &o.dst, block), at(w, &o.a, block), at(w, &o.b, block), n)
	case opScalar:
		o.scalar(at(w, &o.dst, block), at(w, &o.a, block), *at(w, &o.b, block), n)
	default:
		f.executeSlices(w, o, block, n)
	}
	if o.n > 0 {
		w.expanded[o.writes] = 0
	}
}

// offset returns the index of the operand's first element for the given block.
func (o *operand) offset(block int) int {
	if o.shared > 1 {
		block /= o.shared
	}
	return block * o.stride
}

// at returns the address of the operand's first element for the given block, for loops in assembly. There is no bounds
// check, because locate has checked the bounds of the whole row.
func at[T Float](w *worker[T], o *operand, block int) *float32 {
	const size = int(unsafe.Sizeof(float32(0)))
	return (*float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(w.data[o.index])), o.offset(block)*size))
}

// slice returns the operand's n elements for the given block, or its single value.
func (w *worker[T]) slice(o *operand, block, n int) []T {
	if o.single {
		n = 1
	}
	return w.data[o.index][o.offset(block):][:n]
}

func (f *Fused[T]) executeSlices(w *worker[T], o *op, block, n int) {
	switch o.kind {
	case opGeneric:
		dst, a, b := w.slice(&o.dst, block, n), w.slice(&o.a, block, n), w.slice(&o.b, block, n)
		if o.a.single || o.b.single {
			withScalar(o.instr.Code, dst, a, b, o.a.single)
		} else {
			operate(o.instr, o.poly, dst, a, b, w.slice(&o.c, block, n))
		}
	case opExpand:
		f.expandBlock(w, o, block, n)
	case opSum:
		w.sums[o.sum].add(w.data[o.dst.index], w.slice(&o.a, block, n), block*f.blockLen, o.run)
		w.expanded[o.writes] = 0
	case opSumRuns:
		dst, a := w.data[o.dst.index], w.data[o.reg]
		for k := range dst {
			dst[k] = sumSlice(a[k*o.run : (k+1)*o.run])
		}
	}
}

// expandBlock writes out repeated or gathered values of a register: one for each of n elements of a block, or one for
// each of n reduced values.
func (f *Fused[T]) expandBlock(w *worker[T], o *op, block, n int) {
	holds := block + 1
	if o.a.single {
		holds = o.a.offset(block) + 1
	}
	if o.n == 0 {
		if w.expanded[o.reg] == holds {
			return
		}
		w.expanded[o.reg] = holds
	}
	g, values, dst := &f.regs[o.reg], w.data[o.reg], w.data[o.dst.index]
	if o.a.single {
		if o.n == 0 {
			n = f.blockLen // a longer block may use the same expansion
		}
		fill(dst[:n], values[holds-1])
		return
	}
	chunk, within := block*f.blockLen/o.run, block*f.blockLen%o.run
	for done := 0; done < n; chunk, within = chunk+1, 0 {
		part, from := dst[done:min(n, done+o.run-within)], chunk
		if g.gather != nil {
			from = g.gather[chunk]
		}
		if g.repeat > 1 {
			fill(part, values[from])
		} else {
			copy(part, values[from+within:])
		}
		done += len(part)
	}
}

func fill[T Float](dst []T, v T) {
	if m := assemblyFor[T](); m != nil && len(dst) > 0 {
		m.fill(first(dst), float32(v), len(dst))
		return
	}
	for i := range dst {
		dst[i] = v
	}
}

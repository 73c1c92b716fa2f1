package kernel

// rowState is the scratch memory of one goroutine.
type rowState[T Float] struct {
	scratch []T
	data    [][]T // each register's part of the row
	base    []int // where that starts in memory
	index   []int // of the row along the outer dimensions
	sums    []rowSum[T]
	spread  []int // the block, counted over all rows and phases, for which a register's values are repeated
	block   int
}

func newRowState[T Float](regs, instrs, outer, length int) *rowState[T] {
	w := &apart[rowState[T]](1)[0]
	*w = rowState[T]{
		scratch: apart[T](length),
		data:    apart[[]T](regs),
		base:    apart[int](regs),
		index:   apart[int](outer),
		sums:    apart[rowSum[T]](instrs),
		spread:  apart[int](regs),
	}
	return w
}

// Run executes the program; slots are indexed by RowOperand.Slot. It is not safe for concurrent use.
func (r *Rows[T]) Run(slots [][]T) {
	r.slots = slots
	Parallel((r.rows+r.perPiece-1)/r.perPiece, r.body)
	r.slots = nil
}

func (r *Rows[T]) piece(worker, piece int) {
	w := r.workers[worker]
	r.begin(w, piece*r.perPiece)
	for left := min(r.perPiece, r.rows-piece*r.perPiece); left > 0; left-- {
		r.locate(w)
		for p := range r.phases {
			r.phase(w, &r.phases[p])
		}
		r.advance(w)
	}
	clear(w.data)
}

// begin finds the place of a row, and each scratch register's memory.
func (r *Rows[T]) begin(w *rowState[T], row int) {
	clear(w.base)
	for d := len(r.prog.Outer) - 1; d >= 0; d-- {
		w.index[d] = row % r.prog.Outer[d]
		row /= r.prog.Outer[d]
		for i, o := range r.prog.Operands {
			if o.Slot >= 0 {
				w.base[i] += w.index[d] * o.Outer[d]
			}
		}
	}
	for i := range r.regs {
		g := &r.regs[i]
		switch {
		case r.prog.Operands[i].Slot >= 0:
		case g.lives:
			w.data[i] = w.scratch[g.offset : g.offset+g.kept]
		default:
			w.data[i] = w.scratch[g.offset : g.offset+r.step]
		}
	}
}

// locate finds each register's part of the row.
func (r *Rows[T]) locate(w *rowState[T]) {
	for _, i := range r.bound {
		slot := r.slots[r.prog.Operands[i].Slot]
		if g := &r.regs[i]; g.table != nil {
			w.data[i] = slot[w.base[i]:]
		} else {
			w.data[i] = slot[w.base[i] : w.base[i]+g.kept]
		}
	}
}

// advance goes on to the next row.
func (r *Rows[T]) advance(w *rowState[T]) {
	for d := len(r.prog.Outer) - 1; d >= 0; d-- {
		n := r.prog.Outer[d]
		w.index[d]++
		end := w.index[d] == n
		for _, i := range r.bound {
			if step := r.prog.Operands[i].Outer[d]; end {
				w.base[i] -= (n - 1) * step
			} else {
				w.base[i] += step
			}
		}
		if !end {
			return
		}
		w.index[d] = 0
	}
}

func (r *Rows[T]) phase(w *rowState[T], p *rowPhase) {
	if len(p.big) > 0 {
		for _, i := range p.big {
			if r.prog.Instrs[i].Sum {
				w.sums[i].reset()
			}
		}
		for off, block := 0, 0; off < r.row; off, block = off+r.step, block+1 {
			w.block++
			n := min(r.step, r.row-off)
			for _, i := range p.big {
				if d := r.directs[i]; d != nil {
					r.runDirect(w, d, block, n)
				} else {
					r.big(w, i, off, n)
				}
			}
		}
	}
	for _, i := range p.small {
		r.small(w, i)
	}
}

// big runs an instruction on the elements [off, off+n) of the row.
func (r *Rows[T]) big(w *rowState[T], i, off, n int) {
	in := &r.prog.Instrs[i]
	if in.Sum {
		src := r.part(w, in.Args[0], off, n)
		w.sums[i].add(w.data[in.Dst], src, off, r.row/r.regs[in.Dst].kept)
		return
	}
	var args [3][]T
	var single [3]bool
	for k, a := range in.args() {
		args[k], single[k] = r.operand(w, a, off, n)
	}
	r.operate(w, i, r.part(w, in.Dst, off, n), &args, &single)
}

// operate runs one instruction, after repeating the single values that it cannot take as they are.
func (r *Rows[T]) operate(w *rowState[T], i int, dst []T, args *[3][]T, single *[3]bool) {
	if !single[2] && runLoops(&r.loops[i], dst, args[0], args[1], single[0], single[1]) {
		return
	}
	in := &r.prog.Instrs[i]
	if single[0] || single[1] || single[2] {
		if !single[2] && withScalar(in.Code, dst, args[0], args[1], single[0], single[1]) {
			return
		}
		for k, a := range in.args() {
			if single[k] {
				v := args[k][0]
				args[k] = w.scratch[r.regs[a].spread:][:len(dst)]
				fill(args[k], v)
				w.spread[a] = 0
			}
		}
	}
	for k := in.Code.Arity(); k < len(args); k++ {
		args[k] = args[0]
	}
	operate(&in.Instr, &r.polys[i], dst, args[0], args[1], args[2])
}

// part is a whole-row register's elements [off, off+n).
func (r *Rows[T]) part(w *rowState[T], reg, off, n int) []T {
	if r.block(reg) {
		return w.data[reg][:n]
	}
	return w.data[reg][off : off+n]
}

// operand returns the elements [off, off+n) of a register, or one value and true where they are all the same.
func (r *Rows[T]) operand(w *rowState[T], reg, off, n int) ([]T, bool) {
	g := &r.regs[reg]
	if g.whole() {
		return r.part(w, reg, off, n), false
	}
	v := w.data[reg]
	if first := off / g.repeat; g.table == nil && first == (off+n-1)/g.repeat {
		return v[first : first+1], true
	}
	out := w.scratch[g.spread:][:n]
	if w.spread[reg] == w.block {
		return out, false
	}
	w.spread[reg] = w.block
	if g.table != nil {
		for k, place := range g.table[off : off+n] {
			out[k] = v[place]
		}
		return out, false
	}
	for e := 0; e < n; {
		k := (off + e) / g.repeat
		end := min(n, (k+1)*g.repeat-off)
		fill(out[e:end], v[k])
		e = end
	}
	return out, false
}

// small runs an instruction on what is left of a row.
func (r *Rows[T]) small(w *rowState[T], i int) {
	in := &r.prog.Instrs[i]
	dst := w.data[in.Dst]
	if in.Sum {
		run := r.regs[in.Dst].repeat / r.regs[in.Args[0]].repeat
		for k := range dst {
			dst[k] = sumSlice(w.data[in.Args[0]][k*run : (k+1)*run])
		}
		return
	}
	var args [3][]T
	var single [3]bool
	for k, a := range in.args() {
		args[k], single[k] = r.few(w, a, in.Dst)
	}
	r.operate(w, i, dst, &args, &single)
}

// few returns a register's values for those of a small register that has as many or more.
func (r *Rows[T]) few(w *rowState[T], reg, dst int) ([]T, bool) {
	g, n := &r.regs[reg], r.regs[dst].kept
	v := w.data[reg]
	switch {
	case g.table == nil && g.kept == n:
		return v, false
	case g.table == nil && g.kept == 1:
		return v[:1], true
	}
	w.spread[reg] = 0
	out := w.scratch[g.spread:][:n]
	for k := range out {
		e := k * r.regs[dst].repeat
		if g.table != nil {
			out[k] = v[g.table[e]]
		} else {
			out[k] = v[e/g.repeat]
		}
	}
	return out, false
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

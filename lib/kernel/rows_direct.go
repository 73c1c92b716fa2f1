package kernel

import "unsafe"

// direct is an instruction on whole blocks that one loop in assembly does: its operands' places are known beforehand, up
// to the row and the block, so nothing is looked up when it runs.
type direct struct {
	loops
	dst, a, b directOperand
}

// directOperand is a register whose elements of a block are contiguous, or all the same value.
type directOperand struct {
	reg    int
	single bool
	step   int // elements from a block to the next: of the row, none in a block's scratch memory, one of repeated values
}

func (r *Rows[T]) directOperand(reg int) (o directOperand, ok bool) {
	o.reg = reg
	switch g := &r.regs[reg]; {
	case g.whole() && r.block(reg):
	case g.whole():
		o.step = r.step
	case g.table != nil:
		return o, false
	case g.kept == 1:
		o.single = true
	case g.repeat == r.step:
		o.single, o.step = true, 1
	default:
		return o, false
	}
	return o, true
}

// newDirect returns the direct form of an instruction, or nil where it has none.
func (r *Rows[T]) newDirect(in *RowInstr) *direct {
	d := &direct{loops: newLoops[T](&in.Instr)}
	args := in.args()
	if in.Sum || !r.regs[in.Dst].whole() || len(args) > 2 {
		return nil
	}
	var ok [3]bool
	d.dst, ok[0] = r.directOperand(in.Dst)
	d.a, ok[1] = r.directOperand(args[0])
	d.b, ok[2] = r.directOperand(args[len(args)-1])
	if ok != [3]bool{true, true, true} {
		return nil
	}
	switch {
	case len(args) == 1:
		ok[0] = d.one != nil && !d.a.single
	case d.a.single && d.b.single:
		ok[0] = false
	case d.a.single:
		ok[0] = d.scalarFirst != nil
	case d.b.single:
		ok[0] = d.scalarLast != nil
	default:
		ok[0] = d.two != nil
	}
	if !ok[0] {
		return nil
	}
	return d
}

// runDirect does n elements of the block-th block of the row.
func (r *Rows[T]) runDirect(w *rowState[T], d *direct, block, n int) {
	dst, a, b := place(w, &d.dst, block), place(w, &d.a, block), place(w, &d.b, block)
	switch {
	case d.one != nil:
		d.one(dst, a, n)
	case d.a.single:
		d.scalarFirst(dst, b, *a, n)
	case d.b.single:
		d.scalarLast(dst, a, *b, n)
	default:
		d.two(dst, a, b, n)
	}
}

// place is where an operand's part of a block begins; locate has checked the whole row.
func place[T Float](w *rowState[T], o *directOperand, block int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(w.data[o.reg])), block*o.step*int(unsafe.Sizeof(float32(0)))))
}

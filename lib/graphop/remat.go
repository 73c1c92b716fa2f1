package graphop

import "iter"

// Rematerialise returns roots that have the same values as the given ones but need less memory to compute: large values
// between the marks of a network (see Boundary) are computed again instead of being kept (Griewank and Walther, ACM
// Transactions on Mathematical Software 26, 2000; Chen et al., arXiv 1604.06174).
//
// The marks divide the graph, with all its reverse-mode passes, into sections, one after the other. If a section reads
// a large value of an earlier section, it computes a copy of the value from the marks and from the small values that
// are kept. The copy reads values of the batch through a boundary whose other operand is a mark at the end of the
// previous section. So the copy differs from the original and is not merged with it, and it cannot be computed before
// its section begins.
//
// Note: this is a pass over the finished graph. It would not work inside Grad: a later call of Grad would differentiate
// the copies that an earlier call made, and so keep them in memory to the end.
func Rematerialise(roots ...*Node) (out []*Node, err error) {
	err = Build(func() { out = rematerialise(roots) })
	return out, err
}

func rematerialise(roots []*Node) []*Node {
	order := Order(roots...)
	r := &remat{section: map[*Node]int{}, marks: map[int]*Node{}, built: map[*Node]*Node{}, again: map[copyOf]*Node{}}
	for n, s := range numberSections(order) {
		r.section[n] = s
		if isMark(n) {
			r.marks[s] = n
			if size := n.Shape().TotalSize(); r.least == 0 || size < r.least {
				r.least = size
			}
			r.rows = n.Shape()[0]
		}
	}
	r.root = map[*Node]bool{}
	for _, n := range roots {
		r.root[n] = true
	}
	for _, n := range Sections(order) {
		r.built[n] = with(n, func(c *Node) *Node { return r.read(c, r.section[n]) })
	}
	out := make([]*Node, len(roots))
	for i, n := range roots {
		out[i] = r.built[n]
	}
	return out
}

// remat is the state of Rematerialise.
type remat struct {
	section map[*Node]int   // the section of each node
	marks   map[int]*Node   // one mark of each section that has any
	root    map[*Node]bool  // the roots
	least   int             // the number of elements of the smallest mark
	rows    int             // the first dimension of the marks, the batch
	built   map[*Node]*Node // the node that replaces each node in its own section
	again   map[copyOf]*Node
}

// copyOf identifies the copy of a node in a section.
type copyOf struct {
	n       *Node
	section int
}

// numberSections yields the nodes of a topological order, each with the largest number of marks on a path to it.
func numberSections(order []*Node) iter.Seq2[*Node, int] {
	return func(yield func(*Node, int) bool) {
		section := map[*Node]int{}
		for _, n := range order {
			for _, c := range Children(n) {
				s := section[c]
				if isMark(c) {
					s++
				}
				section[n] = max(section[n], s)
			}
			if !yield(n, section[n]) {
				return
			}
		}
	}
}

// kept reports whether n stays in memory until its last reader. This holds for inputs, roots and marks, and for values
// that take little memory: values smaller than every mark, such as the statistics of a normalisation, and values
// without the batch's axis, such as the gradients of weights.
func (r *remat) kept(n *Node) bool {
	return isMark(n) || Of(n) == nil || r.root[n] || n.Shape()[0] != r.rows || n.Shape().TotalSize() < r.least
}

// read returns the node that a node of a section reads in place of c.
func (r *remat) read(c *Node, section int) *Node {
	if r.section[c] == section || r.kept(c) {
		return r.built[c]
	}
	return r.copy(c, section)
}

// copy returns a node that computes n again in the given section.
func (r *remat) copy(n *Node, section int) *Node {
	key := copyOf{n, section}
	if c := r.again[key]; c != nil {
		return c
	}
	late := func(c *Node) *Node {
		if _, constant := kindOf[*ConstOp](c); constant {
			return c
		}
		return after(r.built[c], r.built[r.marks[section-1]])
	}
	again := with(n, func(c *Node) *Node {
		switch {
		case !r.kept(c):
			return r.copy(c, section)
		case c.Shape()[0] == r.rows:
			return late(c)
		}
		return r.built[c]
	})
	if again == n { // no operand of n has the batch's axis; a dropout mask is an example
		again = with(n, late)
	}
	r.again[key] = again
	return again
}

// with returns the operation of n applied to the nodes that replace its children. If no child changes, it returns n.
func with(n *Node, replace func(*Node) *Node) *Node {
	children := Children(n)
	if len(children) == 0 {
		return n
	}
	changed := false
	for i, c := range children {
		children[i] = replace(c)
		changed = changed || children[i] != c
	}
	if !changed {
		return n
	}
	return apply(Of(n).Kind, Of(n).Out, children...)
}

package tape

import (
	"vapo/lib/backend"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
)

// value is one array of a program.
type value struct {
	size        int // in elements
	kind        valueKind
	node        *graphop.Node
	first, last int // the first and the last step in which a temporary is alive
	offset      int // position of a temporary in the arena, in elements
}

type valueKind int

const (
	temporary valueKind = iota // lives in the arena
	input                      // the caller's slice, valid during one run
	state                      // kept between runs
	stateOut                   // the next value of a state; kept between runs, so that it can be swapped with the state
	constant                   // computed once, before the first run
)

// step is one kernel call. It computes a single operation or a group of fused operations. A step with neither a node
// nor a group copies a value.
type step struct {
	node  *graphop.Node // a single operation
	group *group        // or a group
	args  []int         // values read
	outs  []int         // values written
}

// compiler turns a graph into steps over values.
type compiler struct {
	graph   backend.Graph
	values  []value
	of      map[*graphop.Node]int // the value of a node
	full    map[*graphop.Node]int // the expanded value of a repeated constant, whose value in of has one element
	steps   []step
	stepOf  map[*graphop.Node]int // the step that computes a node
	isRoot  map[*graphop.Node]bool
	outputs []int
}

func compile[T kernel.Float](g backend.Graph) (*program[T], error) {
	c := &compiler{
		graph: g, of: map[*graphop.Node]int{}, full: map[*graphop.Node]int{},
		stepOf: map[*graphop.Node]int{}, isRoot: map[*graphop.Node]bool{},
	}
	c.leaves()
	for _, r := range g.Roots() {
		c.isRoot[r] = true
	}
	c.emit()
	c.bindOutputs()
	c.lifetimes()
	return link[T](c)
}

func (c *compiler) newValue(n *graphop.Node, kind valueKind, size int) int {
	c.values = append(c.values, value{size: size, kind: kind, node: n, first: -1, last: -1})
	return len(c.values) - 1
}

// leaves creates the values of the inputs and states.
func (c *compiler) leaves() {
	for _, n := range c.graph.Inputs {
		c.of[n] = c.newValue(n, input, n.Shape().TotalSize())
	}
	for _, s := range c.graph.State {
		c.of[s.In] = c.newValue(s.In, state, s.In.Shape().TotalSize())
	}
}

// hoist moves small computations, such as the embedding of the times, to the front, so that a group that reads their
// results can start early instead of being split.
func hoist(order []*graphop.Node) []*graphop.Node {
	light := map[*graphop.Node]bool{}
	var front, rest []*graphop.Node
	for _, n := range order {
		light[n] = n.Shape().TotalSize() <= lightSize
		for _, ch := range graphop.Children(n) {
			light[n] = light[n] && light[ch]
		}
		if light[n] {
			front = append(front, n)
		} else {
			rest = append(rest, n)
		}
	}
	return append(front, rest...)
}

// lightSize is the largest size, in elements, of a value that is hoisted. All values that it is computed from must be
// within the same limit.
const lightSize = 1 << 14

// emit creates the values and steps of all nodes in order of computation.
func (c *compiler) emit() {
	for _, n := range hoist(c.graph.Order()) {
		if _, done := c.of[n]; done {
			continue
		}
		switch k := graphop.Of(n).Kind.(type) {
		case *graphop.ConstOp:
			size := 1
			if k.Values != nil {
				size = n.Shape().TotalSize()
			}
			c.of[n] = c.newValue(n, constant, size)
		case *graphop.ReshapeOp:
			child := graphop.Children(n)[0]
			c.of[n] = c.viewed(child)
			c.stepOf[n] = c.producer(child)
		case *graphop.BoundaryOp:
			c.boundary(n)
		case *graphop.PointwiseOp:
			c.fuse(n)
		case *graphop.SumOp:
			if !c.fuse(n) {
				c.single(n)
			}
		default:
			c.single(n)
		}
	}
}

// boundary makes n a view of its first child that can be read only after the steps that compute the other children. The
// first child is stored: if a group recomputed it, its operands would stay in memory longer.
func (c *compiler) boundary(n *graphop.Node) {
	children := graphop.Children(n)
	c.of[n] = c.fullValue(children[0])
	c.stepOf[n] = -1
	for _, ch := range children {
		c.stepOf[n] = max(c.stepOf[n], c.producer(ch))
	}
}

// single adds a step that computes only n.
func (c *compiler) single(n *graphop.Node) {
	s := step{node: n}
	for _, ch := range graphop.Children(n) {
		s.args = append(s.args, c.fullValue(ch))
	}
	v := c.newValue(n, temporary, n.Shape().TotalSize())
	s.outs = []int{v}
	c.of[n] = v
	c.stepOf[n] = len(c.steps)
	c.steps = append(c.steps, s)
}

// producer returns the step that computes n, or -1 if n exists before the first step.
func (c *compiler) producer(n *graphop.Node) int {
	if s, ok := c.stepOf[n]; ok {
		return s
	}
	return -1
}

// fullValue returns a value that holds all elements of n in memory, as kernels that are not fused need it. It expands a
// repeated constant, and it marks a node that a group computes as stored.
func (c *compiler) fullValue(n *graphop.Node) int {
	v := c.viewed(n)
	c.store(n)
	return v
}

// viewed returns the value of n for a view, such as a reshape. It expands a repeated constant but does not mark n as
// stored: that happens when a step outside the group reads the view.
func (c *compiler) viewed(n *graphop.Node) int {
	v := c.of[n]
	if c.values[v].kind == constant && c.values[v].size != n.Shape().TotalSize() {
		if f, ok := c.full[n]; ok {
			return f
		}
		f := c.newValue(n, constant, n.Shape().TotalSize())
		c.full[n] = f
		return f
	}
	return v
}

// bindOutputs gives every next state its own persistent value and records the values of the outputs.
func (c *compiler) bindOutputs() {
	taken := map[int]bool{}
	for i := range c.graph.State {
		s := &c.graph.State[i]
		if s.Out == nil {
			continue
		}
		v := c.fullValue(s.Out)
		// A next state needs a copy if it is an input, a state or a constant, or if another state has the same next
		// value.
		if c.values[v].kind != temporary || taken[v] {
			v = c.copyOf(v)
		}
		taken[v] = true
		c.values[v].kind = stateOut
		c.outputs = append(c.outputs, v)
	}
	for _, n := range c.graph.Outputs {
		c.outputs = append(c.outputs, c.fullValue(n))
	}
}

// copyOf adds a step that copies a value.
func (c *compiler) copyOf(v int) int {
	w := c.newValue(nil, temporary, c.values[v].size)
	c.steps = append(c.steps, step{args: []int{v}, outs: []int{w}})
	return w
}

// lifetimes determines the first and the last step in which each temporary is alive. It first completes each step of a
// group: it drops the nodes that nothing reads, and records the values that the group reads and writes.
func (c *compiler) lifetimes() {
	for i := range c.steps {
		s := &c.steps[i]
		if s.group != nil {
			s.group.drop()
			s.args, s.outs = s.group.slots()
		}
		for _, v := range s.args {
			c.values[v].last = max(c.values[v].last, i)
		}
		for _, v := range s.outs {
			if c.values[v].first < 0 {
				c.values[v].first = i
			}
			c.values[v].last = max(c.values[v].last, i)
		}
	}
	for _, v := range c.outputs {
		c.values[v].last = len(c.steps)
	}
}

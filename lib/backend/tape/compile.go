package tape

import (
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// value is one array of a program.
type value struct {
	size int
	kind valueKind
	node *graphop.Node
	// The steps between which a temporary lives.
	first, last int
	offset      int // of a temporary, in elements of the arena
}

type valueKind int

const (
	temporary valueKind = iota // lives in the arena
	input                      // the caller's slice
	state                      // persistent, carried over to the next run
	stateOut                   // the next value of a state: persistent, so that the two can swap
	constant                   // computed once
)

// step is one kernel call: a single operation, or a group of fused pointwise ones.
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
	of      map[*graphop.Node]int // the value that holds a node
	full    map[*graphop.Node]int // the full-size value of a constant that of holds as one element
	steps   []step
	stepOf  map[*graphop.Node]int // the step that computes a node
	isRoot  map[*graphop.Node]bool
	outputs []int
}

func compile[T float32 | float64](g backend.Graph) (*Program[T], error) {
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

// leaves gives the inputs and states their values.
func (c *compiler) leaves() {
	for _, n := range c.graph.Inputs {
		c.of[n] = c.newValue(n, input, n.Shape().TotalSize())
	}
	for _, s := range c.graph.State {
		c.of[s.In] = c.newValue(s.In, state, s.In.Shape().TotalSize())
	}
}

// hoist moves to the front what takes next to no time and memory, such as the embedding of the times: what reads it
// then never has to be split in two to wait for it.
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

// lightSize is the number of elements up to which a value, computed from none larger, is hoisted.
const lightSize = 1 << 14

// emit makes the steps in order.
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

// single makes n a step of its own.
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

// producer is the step that computes n, or -1 for what is there before the first step.
func (c *compiler) producer(n *graphop.Node) int {
	if s, ok := c.stepOf[n]; ok {
		return s
	}
	return -1
}

// fullValue is the value of n with all its elements: a repeated constant is written out where a kernel other than
// a pointwise one reads it, and a node computed inside a group is stored.
func (c *compiler) fullValue(n *graphop.Node) int {
	v := c.viewed(n)
	c.store(n)
	return v
}

// viewed is fullValue for a view, which asks for memory only once something reads it outside of the group.
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

// bindOutputs gives every next state a persistent value of its own and notes where the outputs lie.
func (c *compiler) bindOutputs() {
	taken := map[int]bool{}
	for i := range c.graph.State {
		s := &c.graph.State[i]
		if s.Out == nil {
			continue
		}
		v := c.fullValue(s.Out)
		// A state that is handed on unchanged, or two states with one next value, need a copy.
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

// lifetimes finds between which steps each temporary must keep its memory.
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

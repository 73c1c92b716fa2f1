package device

import (
	"github.com/gomlx/compute/dtypes"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// need is an estimate of a graph's memory in bytes. It ignores the memory that fusion saves and the scratch memory that
// a compiler adds.
type need struct {
	state int64 // the memory of the states, which does not grow with the batch
	batch int64 // the peak memory of inputs, outputs and temporary values
	rows  int   // size of the first input's first axis
}

func (n need) peak() int64 { return n.state + n.batch }

// estimate returns the memory of the state and the peak memory of the other values that are alive at the same time.
// With half, activations are bfloat16.
func estimate(g backend.Graph, half bool) need {
	l := newLowering(nil, g, dtypes.Float32, half)
	size := func(n *graphop.Node) int64 {
		if half && l.roles[n].role == activation && n.Dtype() == tensor.Float32 {
			return 2 * int64(n.Shape().TotalSize())
		}
		return int64(n.Shape().TotalSize()) * int64(n.Dtype().Size())
	}
	var e need
	if len(g.Inputs) > 0 {
		e.rows = g.Inputs[0].Shape()[0]
	}
	order := g.Order()
	uses := map[*graphop.Node]int{}
	for _, n := range order {
		for _, c := range graphop.Children(n) {
			uses[c]++
		}
	}
	leaf := map[*graphop.Node]bool{}
	for _, s := range g.State {
		e.state += size(s.In)
		leaf[s.In] = true
	}
	var alive int64
	for _, n := range g.Inputs {
		alive += size(n)
		leaf[n] = true
	}
	for _, r := range g.Roots() {
		uses[r]++ // kept until the end
	}
	e.batch = alive
	for _, n := range order {
		if leaf[n] {
			continue
		}
		alive += size(n)
		e.batch = max(e.batch, alive)
		for _, c := range graphop.Children(n) {
			if uses[c]--; uses[c] == 0 && !leaf[c] {
				alive -= size(c)
			}
		}
	}
	return e
}

// fits estimates how many rows fit into have bytes, given that all n.rows rows take total bytes. It returns 0 if there
// is no estimate.
func (n need) fits(total, have int64) int {
	if n.rows < 2 || have <= n.state || total <= n.state {
		return 0
	}
	rows := int(float64(n.rows) * float64(have-n.state) / float64(total-n.state))
	if rows < 1 || rows >= n.rows {
		return 0
	}
	return rows
}

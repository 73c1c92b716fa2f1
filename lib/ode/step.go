package ode

import (
	"fmt"

	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// control is the input of a run, [1, controlWeights + 2·stages], or with as many rows as the block if the solver
// refills rows. It gives the run, or each row, its position in the step. The constants are indices into a row.
const (
	controlTime    = iota // equal steps: the time of the evaluation; adaptive steps: the end of the interval
	controlLength         // equal steps: the length of a step; adaptive steps: the fraction of it before the evaluation
	controlLast           // 1 in the last stage of a step
	controlStart          // adaptive steps: 1 in the first evaluation
	controlProbe          // adaptive steps: 1 in the second evaluation, which shows how fast f changes
	controlWeights        // the weights w of the stages; then a flag for each stage, 1 for the one that is evaluated
)

// Names of states.
const (
	stateX     = "ode/x"
	statePoint = "ode/point"
	stateStage = "ode/k%d"
)

// builder builds the graph of one run.
type builder struct {
	tab     *Tableau
	control *graphop.Node
	x       *graphop.Node   // [n, d], where the step began
	point   *graphop.Node   // [n, d], where f is evaluated
	f       *graphop.Node   // [n, d], f at the point
	stages  []*graphop.Node // [n, d], the states of all stages but the last, which is used at once
	state   []backend.State
}

// declare adds a state. It stays float32 on every engine, because a step may change x by less than bfloat16 resolves.
func (b *builder) declare(name string, shape ...int) *graphop.Node {
	n := graphop.Input(b.control.Graph(), tensor.Float32, name, shape...)
	b.state = append(b.state, backend.State{In: n, Exact: true})
	return n
}

// set defines the next value of a state.
func (b *builder) set(state, next *graphop.Node) {
	for i := range b.state {
		if b.state[i].In == state {
			b.state[i].Out = next
		}
	}
}

// at returns one column of the control input, [1, 1] or [n, 1].
func (b *builder) at(position int) *graphop.Node {
	return graphop.Slice(b.control, 1, position, position+1)
}

// evaluate adds f to the graph, at times t [n, 1], and returns the stages, with f in place of the stage that this run
// evaluates.
func (b *builder) evaluate(flow Flow, t *graphop.Node) (k []*graphop.Node, err error) {
	f, state, err := flow(b.point, t)
	if err != nil {
		return nil, err
	}
	b.f, b.state = f, append(b.state, state...)
	last := b.tab.Stages() - 1
	for i := range last {
		b.stages = append(b.stages, b.declare(fmt.Sprintf(stateStage, i), f.Shape()...))
	}
	for i := range last + 1 {
		kept := zero(f)
		if i < last {
			kept = b.stages[i]
		}
		k = append(k, graphop.Where(b.at(controlWeights+last+1+i), f, kept))
	}
	return k, nil
}

// zero returns a zero that broadcasts to the shape of like.
func zero(like *graphop.Node) *graphop.Node { return graphop.Fill(like, 0, 1, 1) }

// sum returns sum_i w[i]·k[i].
func sum(k []*graphop.Node, w func(i int) *graphop.Node) *graphop.Node {
	total := graphop.Mul(k[0], w(0))
	for i := 1; i < len(k); i++ {
		total = graphop.Add(total, graphop.Mul(k[i], w(i)))
	}
	return total
}

// next returns the point where f is evaluated next, x + h·sum_i w_i·k_i.
func (b *builder) next(x, h *graphop.Node, k []*graphop.Node) *graphop.Node {
	return graphop.Add(x, graphop.Mul(sum(k, func(i int) *graphop.Node { return b.at(controlWeights + i) }), h))
}

// clearStages sets stages to 0 if the flag is 1. Otherwise a NaN of a finished step would spoil the next step, because
// 0·NaN is NaN.
func clearStages(k []*graphop.Node, flag *graphop.Node) {
	for i := range k {
		k[i] = graphop.Where(flag, zero(k[i]), k[i])
	}
}

// keep stores the stages for the next run.
func (b *builder) keep(k []*graphop.Node) {
	for i, s := range b.stages {
		b.set(s, k[i])
	}
}

// equalStep builds the graph of one run of a solver with equal steps.
func (b *builder) equalStep(flow Flow) error {
	t := graphop.Broadcast(b.at(controlTime), b.x.Shape()[0], 1)
	k, err := b.evaluate(flow, t)
	if err != nil {
		return err
	}
	last := b.at(controlLast)
	next := b.next(b.x, b.at(controlLength), k)
	b.set(b.point, next)
	b.set(b.x, graphop.Where(last, next, b.x))
	clearStages(k, last)
	b.keep(k)
	return nil
}

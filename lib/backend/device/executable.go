package device

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// executable is a compiled graph with its state in buffers of the platform.
type executable struct {
	on      platform
	run     program
	dt      dtypes.DType
	inputs  []port
	states  []state
	outputs []output
	lost    error
	memory  int64
	explain func(error) error // makes an engine's own words an error of package backend
}

// port is an input as callers see it.
type port struct {
	name  string
	shape shapes.Shape
}

// state is a value that stays on the platform. Its next value is what a run returns at index next, or itself if next is
// -1. It is donated to the run, unless another state's next value is the same, so that the two share one buffer.
type state struct {
	port
	next   int
	shared bool
	now    buffer
}

type output struct {
	port
	from int // index among what a run returns
}

// compile lowers g and compiles it on a platform.
func compile(on platform, g backend.Graph, explain func(error) error) (*executable, error) {
	dt, err := g.Check()
	if err != nil {
		return nil, err
	}
	l := newLowering(dt)
	e := &executable{on: on, dt: l.dt, explain: explain}
	leaf := func(n *graphop.Node) port { return port{n.Name(), shapes.Make(l.dt, n.Shape()...)} }
	var params []shapes.Shape
	for _, n := range g.Inputs {
		e.inputs = append(e.inputs, leaf(n))
		params = append(params, leaf(n).shape)
	}
	for _, s := range g.State {
		e.states = append(e.states, state{port: leaf(s.In), next: -1})
		params = append(params, leaf(s.In).shape)
	}
	b, err := on.build(params)
	if err != nil {
		return nil, explain(err)
	}
	l.ops = b
	for i, v := range b.parameters() {
		if i < len(g.Inputs) {
			l.of[g.Inputs[i]] = v
		} else {
			l.of[g.State[i-len(g.Inputs)].In] = v
		}
	}
	if err := l.lower(g.Order()); err != nil {
		return nil, err
	}

	// What a run returns are the distinct values among next states and outputs.
	var values []compute.Value
	index := map[compute.Value]int{}
	result := func(n *graphop.Node) int {
		v := l.of[n]
		if _, ok := index[v]; !ok {
			index[v] = len(values)
			values = append(values, v)
		}
		return index[v]
	}
	heirs := make([]int, len(params))
	for i := range heirs {
		heirs[i] = -1
	}
	users := map[int]int{}
	for i, s := range g.State {
		if s.Out != nil && l.of[s.Out] != l.of[s.In] {
			e.states[i].next = result(s.Out)
			users[e.states[i].next]++
		}
	}
	for i := range e.states {
		st := &e.states[i]
		if st.shared = users[st.next] > 1; st.next >= 0 && !st.shared {
			heirs[len(g.Inputs)+i] = st.next
		}
	}
	for _, n := range g.Outputs {
		e.outputs = append(e.outputs, output{leaf(n), result(n)})
	}
	if e.run, err = b.compile(values, heirs); err != nil {
		return nil, explain(err)
	}
	if e.memory = e.run.bytes(); e.memory == 0 {
		e.memory = estimate(g).peak()
	}
	return e, e.zero()
}

// zero fills the states with zeros.
func (e *executable) zero() error {
	for i := range e.states {
		st := &e.states[i]
		b, err := e.on.upload(zeros(e.dt, st.shape.Size()), st.shape)
		if err != nil {
			return e.explain(fmt.Errorf("state %s: %w", st.name, err))
		}
		st.now = b
	}
	return nil
}

func zeros(dt dtypes.DType, n int) any {
	if dt == dtypes.Float64 {
		return make([]float64, n)
	}
	return make([]float32, n)
}

// host is the caller's slice behind b, after a check against what the program wants.
func (e *executable) host(what string, p port, b backend.Buffer) (any, error) {
	n, v := len(b.F32), any(b.F32)
	if e.dt == dtypes.Float64 {
		n, v = len(b.F64), b.F64
	}
	if n != p.shape.Size() {
		return nil, fmt.Errorf("%s %s: got %d elements of type %v, expected %d", what, p.name, n, e.dt, p.shape.Size())
	}
	return v, nil
}

// Run implements backend.Executable.
func (e *executable) Run(in, out []backend.Buffer) error {
	if len(in) != len(e.inputs) || len(out) != len(e.outputs) {
		return fmt.Errorf("run: got %d inputs and %d outputs, expected %d and %d", len(in), len(out), len(e.inputs), len(e.outputs))
	}
	feed, room := make([]any, len(in)), make([]any, len(out))
	var err error
	for i, p := range e.inputs {
		if feed[i], err = e.host("input", p, in[i]); err != nil {
			return err
		}
	}
	for i, o := range e.outputs {
		if room[i], err = e.host("output", o.port, out[i]); err != nil {
			return err
		}
	}
	if e.lost != nil {
		return e.lost
	}
	args := make([]buffer, 0, len(in)+len(e.states))
	donate := make([]bool, len(in)+len(e.states))
	for i, p := range e.inputs {
		b, err := e.on.upload(feed[i], p.shape)
		if err != nil {
			free(args)
			return e.explain(fmt.Errorf("input %s: %w", p.name, err))
		}
		args = append(args, b)
	}
	for i, st := range e.states {
		donate[len(args)] = st.next >= 0 && !st.shared && st.now != nil
		args = append(args, e.states[i].now)
	}
	results, err := e.run.execute(args, donate)
	free(args[:len(in)])
	if err != nil {
		err = e.explain(err)
		for i, d := range donate {
			if d {
				e.lost = fmt.Errorf("state %s was lost in a run that failed: %w", e.states[i-len(in)].name, err)
				break
			}
		}
		return err
	}
	e.advance(results)
	for i, o := range e.outputs {
		if err := results[o.from].ToFlatData(room[i]); err != nil {
			return e.explain(fmt.Errorf("output %s: %w", o.name, err))
		}
	}
	for i, b := range results {
		if !e.keeps(i) {
			free([]buffer{b})
		}
	}
	return nil
}

// keeps reports whether an output of a run becomes a state.
func (e *executable) keeps(result int) bool {
	for _, st := range e.states {
		if st.next == result {
			return true
		}
	}
	return false
}

// advance makes the results of a run the states.
func (e *executable) advance(results []buffer) {
	for i := range e.states {
		st := &e.states[i]
		if st.next < 0 {
			continue
		}
		old := st.now
		st.now = results[st.next]
		if st.shared {
			e.release(old)
		}
	}
}

// release frees a buffer that no state holds.
func (e *executable) release(b buffer) {
	for _, st := range e.states {
		if st.now == b {
			return
		}
	}
	free([]buffer{b})
}

// free gives memory back at once; the collector would do so later, so an error changes nothing.
func free(list []buffer) {
	for _, b := range list {
		_ = b.Finalize()
	}
}

func (e *executable) find(verb, name string) (*state, error) {
	if e.lost != nil {
		return nil, e.lost
	}
	for i := range e.states {
		if e.states[i].name == name {
			return &e.states[i], nil
		}
	}
	return nil, fmt.Errorf("%s state %s: the graph has no such state", verb, name)
}

// Load implements backend.Executable.
func (e *executable) Load(name string, b backend.Buffer) error {
	st, err := e.find("load", name)
	if err != nil {
		return err
	}
	v, err := e.host("state", st.port, b)
	if err != nil {
		return err
	}
	now, err := e.on.upload(v, st.shape)
	if err != nil {
		return e.explain(fmt.Errorf("state %s: %w", name, err))
	}
	old := st.now
	st.now = now
	e.release(old)
	return nil
}

// Store implements backend.Executable.
func (e *executable) Store(name string, b backend.Buffer) error {
	st, err := e.find("store", name)
	if err != nil {
		return err
	}
	v, err := e.host("state", st.port, b)
	if err != nil {
		return err
	}
	if err := st.now.ToFlatData(v); err != nil {
		return e.explain(fmt.Errorf("state %s: %w", name, err))
	}
	return nil
}

// MemoryBytes implements backend.Executable.
func (e *executable) MemoryBytes() int64 { return e.memory }

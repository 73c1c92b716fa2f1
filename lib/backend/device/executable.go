package device

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// executable is a compiled graph with its state in buffers of the platform.
type executable struct {
	on      platform
	run     program
	dt      dtypes.DType
	need    need
	inputs  []port
	states  []state
	outputs []output
	kept    []bool // which results of a run become states
	lost    error  // set once a failed run has consumed donated states
}

// port is an input, state or output of the graph.
type port struct {
	name  string
	shape shapes.Shape
}

// state is a value that stays on the platform. Its next value is result number next of a run; -1 means that the state
// does not change. A changing state is donated to the run unless shared is set. A shared state has the same next value
// as another state, and therefore the same buffer.
type state struct {
	port
	next   int
	shared bool
	now    buffer
}

type output struct {
	port
	from int // index among the results of a run
}

// compile lowers g and compiles it on a platform. half asks for bfloat16 activations.
func compile(on platform, g backend.Graph, half bool) (*executable, error) {
	e, err := declare(g, half)
	if err != nil {
		return nil, err
	}
	e.on = on
	b, err := on.build(e.parameters())
	if err != nil {
		return nil, e.explain(err)
	}
	values, heirs, err := e.lower(b, g, half)
	if err != nil {
		return nil, err
	}
	if e.run, err = b.compile(values, heirs); err != nil {
		return nil, e.explain(err)
	}
	return e, e.zero()
}

// declare checks g and returns an executable with its inputs and states.
func declare(g backend.Graph, half bool) (*executable, error) {
	dt, err := g.Check()
	if err != nil {
		return nil, err
	}
	e := &executable{dt: dtypes.Float32, need: estimate(g, half)}
	if dt == tensor.Float64 {
		e.dt = dtypes.Float64
	}
	for _, n := range g.Inputs {
		e.inputs = append(e.inputs, e.port(n))
	}
	for _, s := range g.State {
		e.states = append(e.states, state{port: e.port(s.In), next: -1})
	}
	return e, nil
}

func (e *executable) port(n *graphop.Node) port {
	return port{n.Name(), shapes.Make(e.dt, n.Shape()...)}
}

// parameters returns the shapes of the program's inputs: the graph's inputs, then its states.
func (e *executable) parameters() []shapes.Shape {
	var out []shapes.Shape
	for _, p := range e.inputs {
		out = append(out, p.shape)
	}
	for _, st := range e.states {
		out = append(out, st.shape)
	}
	return out
}

// lower writes the graph to b. values are the program's results: the distinct values among next states and outputs.
// heirs holds, for each parameter, the index of the result that may reuse the parameter's memory, or -1 (see builder).
func (e *executable) lower(b builder, g backend.Graph, half bool) (values []compute.Value, heirs []int, err error) {
	l := newLowering(b, g, e.dt, half)
	for i, v := range b.parameters() {
		heirs = append(heirs, -1)
		if i < len(g.Inputs) {
			l.of[typed{g.Inputs[i], e.dt}] = v
		} else {
			l.of[typed{g.State[i-len(g.Inputs)].In, e.dt}] = v
		}
	}
	if err := l.lower(g.Order()); err != nil {
		return nil, nil, err
	}
	index := map[compute.Value]int{}
	result := func(n *graphop.Node) int {
		v := l.in(n, e.dt)
		if _, ok := index[v]; !ok {
			index[v] = len(values)
			values = append(values, v)
		}
		return index[v]
	}
	users := map[int]int{}
	for i, s := range g.State {
		if s.Out != nil && l.in(s.Out, e.dt) != l.in(s.In, e.dt) {
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
		e.outputs = append(e.outputs, output{e.port(n), result(n)})
	}
	e.kept = make([]bool, len(values))
	for at := range e.kept {
		e.kept[at] = users[at] > 0
	}
	return values, heirs, nil
}

// explain turns a platform's error into an error of package backend if possible; see platform.
func (e *executable) explain(err error) error { return e.on.explain(err, e.need, e.MemoryBytes()) }

// zero sets the states to 0.
func (e *executable) zero() error {
	for i := range e.states {
		st := &e.states[i]
		b, err := e.on.upload(flat(e.dt, make([]float64, st.shape.Size())), st.shape)
		if err != nil {
			return e.explain(fmt.Errorf("state %s: %w", st.name, err))
		}
		st.now = b
	}
	return nil
}

// host returns the caller's slice in b after checking it against p.
func (e *executable) host(what string, p port, b backend.Buffer) (any, error) {
	n, v := len(b.F32), any(b.F32)
	if e.dt == dtypes.Float64 {
		n, v = len(b.F64), b.F64
	}
	if n != p.shape.Size() {
		return nil, fmt.Errorf("%s %s: got %d elements of type %v, expected %d",
			what, p.name, n, e.dt, p.shape.Size())
	}
	return v, nil
}

// Run implements backend.Executable.
func (e *executable) Run(in, out []backend.Buffer) error {
	if len(in) != len(e.inputs) || len(out) != len(e.outputs) {
		return fmt.Errorf("run: got %d inputs and %d outputs, expected %d and %d",
			len(in), len(out), len(e.inputs), len(e.outputs))
	}
	from, to := make([]any, len(in)), make([]any, len(out))
	var err error
	for i := range e.inputs {
		if from[i], err = e.input(i, in[i]); err != nil {
			return err
		}
	}
	for i, o := range e.outputs {
		if to[i], err = e.host("output", o.port, out[i]); err != nil {
			return err
		}
	}
	if e.lost != nil {
		return e.lost
	}
	args := make([]buffer, 0, len(in)+len(e.states))
	donate := make([]bool, len(in)+len(e.states))
	for i, p := range e.inputs {
		b, err := e.take(from[i], p)
		if err != nil {
			free(args)
			return err
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
		if err := results[o.from].ToFlatData(to[i]); err != nil {
			return e.explain(fmt.Errorf("output %s: %w", o.name, err))
		}
	}
	for i, b := range results {
		if !e.kept[i] {
			free([]buffer{b})
		}
	}
	return nil
}

// advance replaces the changing states by results of a run.
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

// release frees b unless a state holds it.
func (e *executable) release(b buffer) {
	for _, st := range e.states {
		if st.now == b {
			return
		}
	}
	free([]buffer{b})
}

// free releases the buffers at once. The garbage collector would release them later anyway, so errors do not matter.
func free(list []buffer) {
	for _, b := range list {
		_ = b.Finalize()
	}
}

// find returns the named state and the caller's slice in b.
func (e *executable) find(verb, name string, b backend.Buffer) (st *state, v any, err error) {
	if e.lost != nil {
		return nil, nil, e.lost
	}
	i := slices.IndexFunc(e.states, func(st state) bool { return st.name == name })
	if i < 0 {
		return nil, nil, fmt.Errorf("%s state %s: the graph has no such state", verb, name)
	}
	st = &e.states[i]
	v, err = e.host("state", st.port, b)
	return st, v, err
}

// Load implements backend.Executable.
func (e *executable) Load(name string, b backend.Buffer) error {
	st, v, err := e.find("load", name, b)
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
	st, v, err := e.find("store", name, b)
	if err != nil {
		return err
	}
	if err := st.now.ToFlatData(v); err != nil {
		return e.explain(fmt.Errorf("state %s: %w", name, err))
	}
	return nil
}

// MemoryBytes implements backend.Executable.
func (e *executable) MemoryBytes() int64 {
	if e.run != nil && e.run.bytes() > 0 {
		return e.run.bytes()
	}
	return e.need.peak()
}

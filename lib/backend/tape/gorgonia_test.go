package tape

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
)

// machine runs a step on Gorgonia's own tape machine. That machine does not keep a state, so the new state of each run
// is passed to the next run as input values.
type machine struct {
	s      backendtest.StepGraph
	vm     gorgonia.VM
	states []gorgonia.Value
}

func newMachine(s backendtest.StepGraph) *machine {
	m := &machine{s: s}
	for _, st := range s.Graph.State {
		v := tensor.New(tensor.WithShape(st.In.Shape()...), tensor.Of(s.Dtype))
		m.states = append(m.states, v)
	}
	m.vm = gorgonia.NewTapeMachine(s.Graph.Outputs[0].Graph())
	return m
}

func (m *machine) Load(name string, b backend.Buffer) error {
	for i, st := range m.s.Graph.State {
		if st.In.Name() == name {
			copyTo(m.states[i], b)
		}
	}
	return nil
}

func (m *machine) Store(name string, b backend.Buffer) error {
	for i, st := range m.s.Graph.State {
		if st.In.Name() == name {
			copyFrom(b, m.states[i])
		}
	}
	return nil
}

func (m *machine) Run(in, out []backend.Buffer) error {
	m.vm.Reset()
	for i, st := range m.s.Graph.State {
		if err := gorgonia.Let(st.In, m.states[i]); err != nil {
			return err
		}
	}
	for i, n := range m.s.Graph.Inputs {
		v := tensor.New(tensor.WithShape(n.Shape()...), tensor.Of(m.s.Dtype))
		copyTo(v, in[i])
		if err := gorgonia.Let(n, v); err != nil {
			return err
		}
	}
	if err := m.vm.RunAll(); err != nil {
		return err
	}
	for i, n := range m.s.Graph.Outputs {
		copyFrom(out[i], n.Value())
	}
	for i, st := range m.s.Graph.State {
		m.states[i] = st.Out.Value()
	}
	return nil
}

func (*machine) Upload(_ int, v backend.Buffer) (backend.Buffer, error) { return v, nil }

func (m *machine) MemoryBytes() int64 { return 0 }

func copyTo(v gorgonia.Value, b backend.Buffer) {
	switch d := v.Data().(type) {
	case []float32:
		copy(d, b.F32)
	case []float64:
		copy(d, b.F64)
	}
}

func copyFrom(b backend.Buffer, v gorgonia.Value) {
	switch d := v.Data().(type) {
	case []float32:
		copy(b.F32, d)
	case []float64:
		copy(b.F64, d)
	}
}

// Gorgonia's own machine runs the graph of a whole training step and agrees with this package.
func TestGorgoniaMachineAgrees(t *testing.T) {
	for _, s := range append(backendtest.Steps(tensor.Float32), backendtest.Steps(tensor.Float64)...) {
		want, err := s.Trace(newMachine(s), 3)
		if err != nil {
			t.Fatal(err)
		}
		exe, err := Tape{}.Compile(s.Graph)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Trace(exe, 3)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if d := backendtest.Distance(got[i], want[i]); d != 0 {
				t.Errorf("%s %v: value %d: relative difference %.3g, want the same bits", s.Name, s.Dtype, i, d)
			}
		}
	}
}

// BenchmarkStep times a training step of a network for two-dimensional data in this package and on Gorgonia's machine.
func BenchmarkStep(b *testing.B) {
	s := backendtest.NewMLPStep(tensor.Float32, 512, 128)
	run := func(name string, exe backend.Executable) {
		if err := s.Load(exe); err != nil {
			b.Fatal(err)
		}
		in, out := s.Feed(0), s.Room()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := exe.Run(in, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	exe, err := Tape{}.Compile(s.Graph)
	if err != nil {
		b.Fatal(err)
	}
	run("tape", exe)
	run("gorgonia", newMachine(s))
}

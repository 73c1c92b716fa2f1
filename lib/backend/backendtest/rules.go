package backendtest

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

type pair struct{ a, b *graphop.Node }

// twoStates returns inputs a and b, of two elements each, in a new graph.
func twoStates() pair {
	g := gorgonia.NewGraph()
	return pair{graphop.Input(g, tensor.Float32, "a", 2), graphop.Input(g, tensor.Float32, "b", 2)}
}

// checkState checks that a run computes all next states from the old states, even if next states, states and outputs
// share nodes.
func checkState(t *testing.T, be backend.Backend) {
	load := []float32{1, 2}
	other := []float32{10, 20}
	for _, c := range []struct {
		name    string
		next    func(p pair) (a, b, out *graphop.Node)
		a, b, o []float32 // after one run
	}{
		{"constant", func(p pair) (a, b, out *graphop.Node) { return nil, graphop.Add(p.a, p.b), p.a },
			[]float32{1, 2}, []float32{11, 22}, []float32{1, 2}},
		{"unchanged", func(p pair) (a, b, out *graphop.Node) { return p.a, p.b, graphop.Add(p.a, p.b) },
			[]float32{1, 2}, []float32{10, 20}, []float32{11, 22}},
		{"exchanged", func(p pair) (a, b, out *graphop.Node) { return p.b, p.a, p.a },
			[]float32{10, 20}, []float32{1, 2}, []float32{1, 2}},
		{"one next value for both", func(p pair) (a, b, out *graphop.Node) {
			s := graphop.Mul(p.a, p.b)
			return s, s, s
		}, []float32{10, 40}, []float32{10, 40}, []float32{10, 40}},
		{"both states become one of the two", func(p pair) (a, b, out *graphop.Node) { return p.a, p.a, p.b },
			[]float32{1, 2}, []float32{1, 2}, []float32{10, 20}},
		{"output is the old value of a changed state", func(p pair) (a, b, out *graphop.Node) {
			return graphop.Scale(p.a, -1), nil, p.a
		}, []float32{-1, -2}, []float32{10, 20}, []float32{1, 2}},
		{"output is a next value", func(p pair) (a, b, out *graphop.Node) {
			s := graphop.Add(p.a, p.b)
			return s, graphop.Exp(graphop.Affine(s, 0, 0)), s
		}, []float32{11, 22}, []float32{1, 1}, []float32{11, 22}},
		{"next value is read by another", func(p pair) (a, b, out *graphop.Node) {
			s := graphop.Add(p.a, p.b)
			return s, graphop.Square(s), graphop.Sub(p.a, s)
		}, []float32{11, 22}, []float32{121, 484}, []float32{-10, -20}},
		{"next value is a constant", func(p pair) (a, b, out *graphop.Node) {
			return graphop.Fill(p.a, 7, 2), graphop.Table(p.a, []float64{3, 4}, 2), p.b
		}, []float32{7, 7}, []float32{3, 4}, []float32{10, 20}},
		{"next value is a view", func(p pair) (a, b, out *graphop.Node) {
			s := graphop.Reshape(graphop.Add(graphop.Reshape(p.a, 1, 2), graphop.Reshape(p.b, 1, 2)), 2)
			return s, graphop.Reshape(graphop.Reshape(p.a, 2, 1), 2), s
		}, []float32{11, 22}, []float32{1, 2}, []float32{11, 22}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := twoStates()
			a, b, out := c.next(p)
			graph := backend.Graph{
				State: []backend.State{{In: p.a, Out: a}, {In: p.b, Out: b}}, Outputs: []*graphop.Node{out},
			}
			exe, err := be.Compile(graph)
			if err != nil {
				t.Fatal(err)
			}
			mine := slices.Clone(load)
			if err := exe.Load("a", backend.F32(mine)); err != nil {
				t.Fatal(err)
			}
			if err := exe.Load("b", backend.F32(other)); err != nil {
				t.Fatal(err)
			}
			clear(mine) // Load must have copied the values
			got := make([]float32, 2)
			if err := exe.Run(nil, []backend.Buffer{backend.F32(got)}); err != nil {
				t.Fatal(err)
			}
			check := func(name string, got, want []float32) {
				if !slices.Equal(got, want) {
					t.Errorf("%s is %v after a run, want %v", name, got, want)
				}
			}
			check("the output", got, c.o)
			for name, want := range map[string][]float32{"a": c.a, "b": c.b} {
				if err := exe.Store(name, backend.F32(got)); err != nil {
					t.Fatal(err)
				}
				check("state "+name, got, want)
			}
			// Compare ten more runs with the interpreter, because an engine may use its buffers differently in each run.
			ref := Interpret(graph)
			for name, want := range map[string][]float32{"a": c.a, "b": c.b} {
				if err := ref.Load(name, backend.F32(want)); err != nil {
					t.Fatal(err)
				}
			}
			want := make([]float32, 2)
			for k := range 10 {
				if err := exe.Run(nil, []backend.Buffer{backend.F32(got)}); err != nil {
					t.Fatal(err)
				}
				if err := ref.Run(nil, []backend.Buffer{backend.F32(want)}); err != nil {
					t.Fatal(err)
				}
				if !same(got, want) {
					t.Fatalf("output of run %d is %v, want %v", k+2, got, want)
				}
			}
		})
	}
}

func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return x == y || x != x && y != y })
}

// checkNonFinite checks that a step whose loss is not finite keeps the old state, bit for bit.
func checkNonFinite(t *testing.T, be backend.Backend) {
	for _, s := range Steps(tensor.Float32) {
		exe, err := be.Compile(s.Graph)
		if err != nil {
			t.Fatal(err)
		}
		before, err := s.Trace(exe, 2)
		if err != nil {
			t.Fatal(err)
		}
		in := s.Feed(2)
		in[2].F32[1] = float32(math.NaN())
		if err := exe.Run(in, s.Room()); err != nil {
			t.Fatal(err)
		}
		states := before[len(before)-len(s.Graph.State):]
		for i, st := range s.Graph.State {
			got := s.buffer(st.In, func(int) float64 { return 0 })
			if err := exe.Store(st.In.Name(), got); err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got.F32, states[i].F32, sameBits) {
				t.Errorf("%s: state %s changed in a step whose loss is not finite", s.Name, st.In.Name())
			}
		}
	}
}

func sameBits(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }

// checkRows checks that the bits of a row of a batch do not depend on the other rows. If the engine does not promise
// this property, a difference is only logged.
func checkRows(t *testing.T, be backend.Backend) {
	report := t.Fatalf
	if !be.Promises().Rows {
		report = func(format string, args ...any) { t.Logf("not promised: "+format, args...) }
	}
	for _, s := range Steps(tensor.Float32) {
		g := backend.Graph{Inputs: s.Graph.Inputs[:2], Outputs: s.Graph.Outputs[1:]}
		for _, st := range s.Graph.State {
			if strings.HasPrefix(st.In.Name(), "param/") {
				g.State = append(g.State, backend.State{In: st.In})
			}
		}
		small := StepGraph{Name: s.Name, Graph: g, Dtype: s.Dtype}
		exe, err := be.Compile(g)
		if err != nil {
			t.Fatal(err)
		}
		for k, st := range g.State {
			if err := exe.Load(st.In.Name(), s.buffer(st.In, func(i int) float64 { return 0.3 * wave(k, i) })); err != nil {
				t.Fatal(err)
			}
		}
		n := s.Graph.Inputs[0].Shape()[0]
		run := func(in []backend.Buffer) []backend.Buffer {
			out := small.Room()
			if err := exe.Run(in, out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		want := run(small.Feed(0))
		for row := range n {
			in := small.Feed(row + 1)
			for k, b := range small.Feed(0) {
				w := b.Len() / n
				copy(in[k].F32[row*w:(row+1)*w], b.F32[row*w:(row+1)*w])
			}
			if row == 0 {
				in[0].F32[len(in[0].F32)-1] = float32(math.NaN()) // a NaN in the last row must not affect row 0
			}
			for k, b := range run(in) {
				w := b.Len() / n
				if !same(b.F32[row*w:(row+1)*w], want[k].F32[row*w:(row+1)*w]) {
					report("%s: row %d depends on the other rows", s.Name, row)
					return
				}
			}
		}
	}
}

// checkErrors checks that invalid graphs and buffers cause errors and that invalid buffers leave the state unchanged.
func checkErrors(t *testing.T, be backend.Backend) {
	p := twoStates()
	g := p.a.Graph()
	sum := graphop.Add(p.a, p.b)
	double := graphop.Input(g, tensor.Float64, "double", 2)
	wide := graphop.Input(g, tensor.Float32, "wide", 1, 2)
	foreign := gorgonia.Must(gorgonia.Neg(p.a))
	type list = []*graphop.Node
	type states = []backend.State
	in := list{p.a}
	for _, c := range []struct {
		name, message string
		graph         backend.Graph
	}{
		{"no outputs", "", backend.Graph{Inputs: in}},
		{"undeclared input", "b", backend.Graph{Inputs: in, Outputs: list{sum}}},
		{"nil output", "", backend.Graph{Inputs: in, Outputs: list{nil}}},
		{"nil input", "", backend.Graph{Inputs: list{nil}, Outputs: in}},
		{"nil state", "", backend.Graph{Inputs: in, State: states{{}}, Outputs: in}},
		{"computed input", "", backend.Graph{Inputs: list{sum}, Outputs: list{sum}}},
		{"input twice", "a", backend.Graph{Inputs: list{p.a, p.a}, Outputs: in}},
		{"input that is a state too", "a", backend.Graph{Inputs: in, State: states{{In: p.a}}, Outputs: in}},
		{"state of a different shape", "b",
			backend.Graph{Inputs: in, State: states{{In: p.b, Out: graphop.Concat(0, p.a, p.a)}}, Outputs: in}},
		{"state of a different rank", "wide",
			backend.Graph{Inputs: in, State: states{{In: wide, Out: graphop.Exp(p.a)}}, Outputs: in}},
		{"two element types", "", backend.Graph{Inputs: list{p.a, double}, Outputs: list{p.a, double}}},
		{"state of a different element type", "float64", backend.Graph{Inputs: in, State: states{{In: double}}, Outputs: in}},
		{"Gorgonia's own operation", "", backend.Graph{Inputs: in, Outputs: list{foreign}}},
	} {
		if _, err := be.Compile(c.graph); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("compile with %s: error is %v, want one that contains %q", c.name, err, c.message)
		}
	}

	exe, err := be.Compile(backend.Graph{Inputs: in, State: states{{In: p.b, Out: sum}}, Outputs: list{sum}})
	if err != nil {
		t.Fatal(err)
	}
	two, three := backend.F32(make([]float32, 2)), backend.F32(make([]float32, 3))
	for name, err := range map[string]error{
		"no inputs":                  exe.Run(nil, []backend.Buffer{two}),
		"no outputs":                 exe.Run([]backend.Buffer{two}, nil),
		"input of a different size":  exe.Run([]backend.Buffer{three}, []backend.Buffer{two}),
		"output of a different size": exe.Run([]backend.Buffer{two}, []backend.Buffer{three}),
		"input of a different type":  exe.Run([]backend.Buffer{{F64: make([]float64, 2)}}, []backend.Buffer{two}),
		"load of unknown state":      exe.Load("a", two),
		"load of a different size":   exe.Load("b", three),
		"store of unknown state":     exe.Store("c", two),
		"store of a different size":  exe.Store("b", three),
		"load of a different type":   exe.Load("b", backend.Buffer{F64: make([]float64, 2)}),
		"store to a different type":  exe.Store("b", backend.Buffer{F64: make([]float64, 2)}),
		"load of an empty buffer":    exe.Load("b", backend.Buffer{}),
		"store to an empty buffer":   exe.Store("b", backend.Buffer{}),
	} {
		if err == nil {
			t.Errorf("%s: no error, want one", name)
		}
	}
	a := []float32{1, 2}
	err = exe.Run([]backend.Buffer{backend.F32(a)}, []backend.Buffer{two})
	if err != nil || !slices.Equal(two.F32, a) {
		t.Errorf("after the invalid calls, a run gives %v (%v), want %v, because the state is still 0", two.F32, err, a)
	}
}

// checkUpload compares steps whose inputs were uploaded, most of them during the previous step, with steps on the same
// inputs in host memory.
func checkUpload(t *testing.T, be backend.Backend) {
	s := NewMLPStep(tensor.Float32, 23, 11)
	var traces [2][]backend.Buffer
	for early := range traces {
		exe, err := be.Compile(s.Graph)
		if err == nil {
			err = s.Load(exe)
		}
		if err != nil {
			t.Fatal(err)
		}
		upload := func(step int) []backend.Buffer {
			in := s.Feed(step)
			for i := range in[:early*len(in)] {
				if in[i], err = exe.Upload(i, in[i]); err != nil {
					t.Error(err)
				}
			}
			return in
		}
		next := make(chan []backend.Buffer, 1)
		next <- upload(0)
		for step := range 4 {
			in, out := <-next, s.Room()
			go func() { next <- upload(step + 1) }()
			if err := exe.Run(in, out); err != nil {
				t.Fatal(err)
			}
			traces[early] = append(traces[early], out...)
		}
		<-next
		if _, err := exe.Upload(0, backend.F32(make([]float32, 1))); err == nil {
			t.Error("a value of a different size than its input was uploaded, want an error")
		}
	}
	for i, want := range traces[0] {
		if got := traces[1][i]; !slices.Equal(got.F32, want.F32) && be.Promises().Repeats {
			t.Errorf("output %d of uploaded inputs differs by %g, want the same bits", i, Distance(got, want))
		} else if !(Distance(got, want) < 1e-3) {
			t.Errorf("output %d of uploaded inputs differs by %g, want less than 0.001", i, Distance(got, want))
		}
	}
}

// All runs the whole suite.
func All(t *testing.T, be backend.Backend) {
	t.Run("derivatives", func(t *testing.T) { checkDerivatives(t, be) })
	t.Run("rounding", func(t *testing.T) { checkRounding(t, be) })
	t.Run("draws", func(t *testing.T) { checkDraws(t, be) })
	t.Run("training steps", func(t *testing.T) { checkSteps(t, be) })
	t.Run("state", func(t *testing.T) { checkState(t, be) })
	t.Run("non-finite", func(t *testing.T) { checkNonFinite(t, be) })
	t.Run("rows", func(t *testing.T) { checkRows(t, be) })
	t.Run("upload", func(t *testing.T) { checkUpload(t, be) })
	t.Run("errors", func(t *testing.T) { checkErrors(t, be) })
}

package tape

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	"vapo/lib/graphop"
)

// randomGraph draws an expression of mostly pointwise operations on shapes that broadcast to each other, with
// reductions and views between them. Some intermediate and final nodes are outputs and next states.
func randomGraph(rng *rand.Rand) backend.Graph {
	g := gorgonia.NewGraph()
	families := [][][]int{
		{{4, 5, 6}, {1, 5, 1}, {4, 1, 6}, {4, 5, 1}, {1, 1, 1}},
		{{3, 700}, {1, 700}, {3, 1}},
		{{2100}, {1}},
		{{1, 2100}, {1, 1}},
		{{2, 3, 4, 5}, {1, 3, 1, 1}, {2, 1, 4, 5}, {1, 1, 4, 1}},
		{{7}, {1}}, {{1, 7}, {1, 1}}, {{7, 1}, {1, 1}},
	}
	var nodes []*graphop.Node
	var out backend.Graph
	for range 1 + rng.IntN(2) {
		for _, s := range families[rng.IntN(len(families))] {
			n := graphop.Input(g, tensor.Float32, fmt.Sprintf("x%d", len(nodes)), s...)
			nodes = append(nodes, n)
			if rng.IntN(4) == 0 {
				out.State = append(out.State, backend.State{In: n})
			} else {
				out.Inputs = append(out.Inputs, n)
			}
		}
	}
	pick := func() *graphop.Node {
		if rng.IntN(2) == 0 { // a recent node, so that chains get long
			return nodes[len(nodes)-1-rng.IntN(min(4, len(nodes)))]
		}
		return nodes[rng.IntN(len(nodes))]
	}
	unary := []func(*graphop.Node) *graphop.Node{
		graphop.Sin, graphop.Cos, graphop.Sigmoid, graphop.SiLU, graphop.Heaviside, graphop.ReLU, graphop.IsFinite,
		graphop.Log, graphop.Sqrt,
		func(n *graphop.Node) *graphop.Node { return graphop.Exp(graphop.Sin(n)) },
		func(n *graphop.Node) *graphop.Node { return graphop.Affine(n, rng.NormFloat64(), rng.NormFloat64()) },
		func(n *graphop.Node) *graphop.Node { return graphop.Sum(n, rng.IntN(n.Dims())) },
		func(n *graphop.Node) *graphop.Node { return graphop.Sum(n) },
		func(n *graphop.Node) *graphop.Node { return graphop.Reshape(n, n.Shape().TotalSize()) },
		func(n *graphop.Node) *graphop.Node { return graphop.Reshape(n, 1, n.Shape().TotalSize()) },
		func(n *graphop.Node) *graphop.Node { return graphop.Transpose(n, rng.Perm(n.Dims())...) },
		func(n *graphop.Node) *graphop.Node { return graphop.AddScalar(n, 0.5) },
	}
	binary := []func(a, b *graphop.Node) *graphop.Node{
		graphop.Add, graphop.Sub, graphop.Mul, graphop.Div, graphop.Max, graphop.Min,
		func(a, b *graphop.Node) *graphop.Node { return graphop.Where(graphop.Heaviside(a), b, a) },
	}
	for range 10 + rng.IntN(130) {
		var n *graphop.Node
		if rng.IntN(2) == 0 {
			n = unary[rng.IntN(len(unary))](pick())
		} else {
			for range 20 { // until two shapes fit
				if graphop.Build(func() { n = binary[rng.IntN(len(binary))](pick(), pick()) }) == nil {
					break
				}
			}
		}
		if n != nil && n.Shape().TotalSize() < 20000 {
			nodes = append(nodes, n)
		}
	}
	for _, n := range nodes[len(nodes)/2:] {
		if rng.IntN(5) == 0 {
			out.Outputs = append(out.Outputs, n)
		}
	}
	out.Outputs = append(out.Outputs, nodes[len(nodes)-1])
	for i := range out.State {
		for _, n := range nodes {
			if graphop.SameShape(n.Shape(), out.State[i].In.Shape()) && rng.IntN(3) == 0 {
				out.State[i].Out = n
			}
		}
	}
	return out
}

func draw(rng *rand.Rand, n *graphop.Node) backend.Buffer {
	v := make([]float32, n.Shape().TotalSize())
	for i := range v {
		v[i] = float32(rng.NormFloat64())
		if rng.IntN(200) == 0 {
			v[i] = []float32{0, float32(math.Inf(1)), float32(math.NaN()), 1e30, -1e-40}[rng.IntN(5)]
		}
	}
	return backend.F32(v)
}

// sameBits reports whether a and b have the same bits, and otherwise returns the index of the first element that
// differs. All NaNs count as equal, because processors propagate different NaNs.
func sameBits(a, b []float32) (int, bool) {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
			return i, false
		}
	}
	return 0, true
}

// Fusion, memory planning and earlier runs must not change the bits: every compiled graph agrees with the reference
// interpreter.
func TestFusionKeepsBits(t *testing.T) {
	fused := 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		g := randomGraph(rng)
		exe, err := Tape{}.Compile(g)
		if err != nil {
			t.Fatalf("graph %d: %v", seed, err)
		}
		ref := backendtest.Interpret(g)
		for _, s := range g.State {
			v := draw(rng, s.In)
			if err := exe.Load(s.In.Name(), v); err != nil {
				t.Fatal(err)
			}
			if err := ref.Load(s.In.Name(), v); err != nil {
				t.Fatal(err)
			}
		}
		for run := range 3 {
			var in, got, want []backend.Buffer
			for _, n := range g.Inputs {
				in = append(in, draw(rng, n))
			}
			for _, n := range g.Outputs {
				size := n.Shape().TotalSize()
				got, want = append(got, backend.F32(make([]float32, size))), append(want, backend.F32(make([]float32, size)))
			}
			if err := exe.Run(in, got); err != nil {
				t.Fatal(err)
			}
			if err := ref.Run(in, want); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if k, ok := sameBits(got[i].F32, want[i].F32); !ok {
					t.Fatalf("graph %d, run %d, output %d of shape %v, element %d: got %v, want %v",
						seed, run, i, g.Outputs[i].Shape(), k, got[i].F32[k], want[i].F32[k])
				}
			}
			for _, s := range g.State {
				n := s.In.Shape().TotalSize()
				x, y := make([]float32, n), make([]float32, n)
				if err := exe.Store(s.In.Name(), backend.F32(x)); err != nil {
					t.Fatal(err)
				}
				if err := ref.Store(s.In.Name(), backend.F32(y)); err != nil {
					t.Fatal(err)
				}
				if k, ok := sameBits(x, y); !ok {
					t.Fatalf("graph %d, run %d, state %s, element %d: got %v, want %v", seed, run, s.In.Name(), k, x[k], y[k])
				}
			}
		}
		for _, step := range exe.(*program[float32]).steps {
			if step.fused != nil {
				fused++
			}
		}
	}
	t.Logf("%d fused calls", fused)
}

// TestPlan draws random lifetimes. Values that are alive at the same time must not overlap, and the arena must be at
// most twice the size of the values that are alive at once.
func TestPlan(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		steps := 1 + rng.IntN(60)
		values := make([]value, rng.IntN(120))
		for i := range values {
			v := &values[i]
			v.size = 1 + rng.IntN(1<<(1+rng.IntN(14)))
			v.kind = []valueKind{temporary, temporary, temporary, temporary, state, constant, input, stateOut}[rng.IntN(8)]
			v.first = rng.IntN(steps+1) - 1 // -1: never in memory
			v.last = v.first + rng.IntN(steps-max(v.first, 0)+1)
			v.offset = -1
		}
		total := plan(values)
		live := make([]int, steps+2)
		for i, v := range values {
			if v.kind != temporary || v.first < 0 {
				if v.offset != -1 {
					t.Fatalf("plan %d: value %d needs no memory in the arena but got an offset", seed, i)
				}
				continue
			}
			if v.offset < 0 || v.offset%align != 0 || v.offset+v.size > total {
				t.Fatalf("plan %d: value %d of size %d has offset %d in an arena of %d, want a multiple of %d at which it fits",
					seed, i, v.size, v.offset, total, align)
			}
			for s := v.first; s <= v.last; s++ {
				live[s] += rounded(v.size)
			}
			for j, w := range values[:i] {
				if w.kind != temporary || w.first < 0 || w.first > v.last || v.first > w.last {
					continue
				}
				if w.offset < v.offset+v.size && v.offset < w.offset+w.size {
					t.Fatalf("plan %d: values %d and %d are alive together and overlap", seed, i, j)
				}
			}
		}
		peak := 0
		for _, n := range live {
			peak = max(peak, n)
		}
		if total < peak || total > 2*peak {
			t.Errorf("plan %d: the arena has %d elements, want the %d that are alive at once to twice as many",
				seed, total, peak)
		}
	}
}

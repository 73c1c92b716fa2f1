package layer_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
	"vapo/lib/layer"
)

// golden is a case of testdata/golden.py: a layer in PyTorch, its output and the gradients of sum(output · wave).
type golden struct {
	Name     string
	Shapes   [][]int
	OutShape []int `json:"out_shape"`
	Out      []float64
	Grads    [][]float64
}

func wave(k, i int) float64 { return float64(float32(float64((i*7919+k*104729)%2003)/1001 - 1)) }

func waves(k, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = wave(k, i)
	}
	return v
}

// layers maps the name of each case to a function that builds the layer. The first input is x. The builder declares the
// parameters in the order of the case's other inputs.
var layers = map[string]func(b *layer.Builder, in []*graphop.Node) *graphop.Node{
	"silu": func(_ *layer.Builder, in []*graphop.Node) *graphop.Node { return graphop.SiLU(graphop.Scale(in[0], 6)) },
	"linear": func(b *layer.Builder, in []*graphop.Node) *graphop.Node {
		return b.Linear("l", in[0], 4, false)
	},
	"groupnorm": func(b *layer.Builder, in []*graphop.Node) *graphop.Node {
		return b.GroupNorm("n", in[0], 2, nil, nil)
	},
	"groupnorm scaled": func(b *layer.Builder, in []*graphop.Node) *graphop.Node {
		return b.GroupNorm("n", in[0], 2, in[1], in[2])
	},
	"conv 3x3":  func(b *layer.Builder, in []*graphop.Node) *graphop.Node { return b.Conv("c", in[0], 4, 3, false) },
	"conv 1x1":  func(b *layer.Builder, in []*graphop.Node) *graphop.Node { return b.Conv("c", in[0], 4, 1, false) },
	"conv 5x5":  func(b *layer.Builder, in []*graphop.Node) *graphop.Node { return b.Conv("c", in[0], 3, 5, false) },
	"attention": func(b *layer.Builder, in []*graphop.Node) *graphop.Node { return b.Attention("a", in[0], 2, 1) },
	"avgpool":   func(_ *layer.Builder, in []*graphop.Node) *graphop.Node { return graphop.AvgPool(in[0], 2) },
	"upsample":  func(_ *layer.Builder, in []*graphop.Node) *graphop.Node { return graphop.Upsample(in[0], 2) },
}

func TestLayersAgainstPyTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != len(layers) {
		t.Errorf("%d golden cases for %d layers, want one for each", len(cases), len(layers))
	}
	be := tape.Tape{}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float64}
			// Declare the inputs that are not parameters: x, and scale and shift if the case has them.
			plain := []*graphop.Node{graphop.Input(b.Graph, b.Dtype, "x", c.Shapes[0]...)}
			for i, s := range c.Shapes {
				if i > 2 && c.Name == "groupnorm scaled" {
					plain = append(plain, graphop.Input(b.Graph, b.Dtype, string(rune('p'+i)), s...))
				}
			}
			var y *graphop.Node
			if err := graphop.Build(func() { y = layers[c.Name](b, plain) }); err != nil {
				t.Fatal(err)
			}
			inputs := append(append(plain[:1:1], b.Nodes()...), plain[1:]...)
			out := graphop.Reshape(y, c.OutShape...)
			seed := graphop.Table(out, waves(99, len(c.Out)), c.OutShape...)
			grads, err := graphop.Grad(graphop.Mul(out, seed), inputs...)
			if err != nil {
				t.Fatal(err)
			}
			exe, err := be.Compile(backend.Graph{Inputs: inputs, Outputs: append([]*graphop.Node{out}, grads...)})
			if err != nil {
				t.Fatal(err)
			}
			var in []backend.Buffer
			room := []backend.Buffer{backend.Buffer{F64: make([]float64, len(c.Out))}}
			for k, s := range c.Shapes {
				if !slices.Equal([]int(inputs[k].Shape()), s) {
					t.Fatalf("input %d has shape %v, want %v", k, inputs[k].Shape(), s)
				}
				in = append(in, backend.Buffer{F64: waves(k, len(c.Grads[k]))})
				room = append(room, backend.Buffer{F64: make([]float64, len(c.Grads[k]))})
			}
			if err := exe.Run(in, room); err != nil {
				t.Fatal(err)
			}
			for k, want := range append([][]float64{c.Out}, c.Grads...) {
				for i, v := range want {
					if got := room[k].F64[i]; math.Abs(got-v) > 1e-7*(1+math.Abs(v)) {
						t.Fatalf("result %d (0: output, then gradients), element %d: got %v, want %v", k, i, got, v)
					}
				}
			}
		})
	}
}

func TestInitialValues(t *testing.T) {
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	x := graphop.Input(b.Graph, b.Dtype, "x", 2, 3, 4, 4)
	h := b.Conv("conv", x, 64, 3, false)
	h = b.GroupNorm("norm", graphop.Reshape(h, 2, 64, 4, 4), 8, nil, nil)
	h = b.Linear("linear", graphop.Reshape(h, 2, 64*16), 5, false)
	b.Linear("zero", h, 2, true)
	bounds := map[string]float64{"conv.weight": 1 / math.Sqrt(27), "conv.bias": 1 / math.Sqrt(27),
		"linear.weight": 1.0 / 32, "linear.bias": 1.0 / 32}
	fixed := map[string]float32{"norm.weight": 1, "norm.bias": 0, "zero.weight": 0, "zero.bias": 0}
	for _, p := range b.Params {
		v := p.Draw(7)
		if !slices.Equal(v, p.Draw(7)) {
			t.Errorf("%s: two draws with one seed differ", p.Name)
		}
		if bound, ok := bounds[p.Name]; ok {
			var sum, square float64
			for _, w := range v {
				sum += float64(w) / float64(len(v))
				square += float64(w) * float64(w) / float64(len(v))
				if math.Abs(float64(w)) > bound {
					t.Fatalf("%s contains %v, want at most %v in magnitude", p.Name, w, bound)
				}
			}
			if n := float64(len(v)); n > 1000 && (math.Abs(sum) > 4*bound/math.Sqrt(3*n) ||
				math.Abs(math.Sqrt(3*square)/bound-1) > 0.05) {
				t.Errorf("%s: mean %v and standard deviation %v, want those of a uniform distribution in ±%v", p.Name, sum,
					math.Sqrt(square), bound)
			}
			if slices.Equal(v, p.Draw(8)) {
				t.Errorf("%s does not depend on the seed", p.Name)
			}
			continue
		}
		want, ok := fixed[p.Name]
		if !ok || slices.ContainsFunc(v, func(w float32) bool { return w != want }) {
			t.Errorf("%s begins with %v, want %v everywhere", p.Name, v[:min(4, len(v))], want)
		}
	}
	if got, want := layer.Count(b.Params), 64*27+64+2*64+64*16*5+5+5*2+2; got != want {
		t.Errorf("the parameters have %d scalars, want %d", got, want)
	}
	// Parameters of the same shape must have different initial values.
	a, c := layer.Param{Name: "a", Shape: []int{4}, Init: layer.Init{Bound: 1}}, layer.Param{Name: "b", Shape: []int{4},
		Init: layer.Init{Bound: 1}}
	if slices.Equal(a.Draw(1), c.Draw(1)) {
		t.Error("two parameters start with the same values")
	}
}

// Without a key, Dropout drops nothing. With a key, it drops the elements that the stream of its name selects.
func TestDropout(t *testing.T) {
	const n = 1000
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	x := graphop.Input(b.Graph, b.Dtype, "x", n)
	if b.Dropout("d", x, 0.3) != x {
		t.Error("a graph without a key drops elements")
	}
	b.Key = graphop.Input(b.Graph, b.Dtype, "key", len(graphop.PhiloxKey(0, 0)))
	one, other := b.Dropout("d", x, 0.3), b.Dropout("e", x, 0.3)
	be := tape.Tape{}
	exe, err := be.Compile(backend.Graph{Inputs: []*graphop.Node{x, b.Key}, Outputs: []*graphop.Node{one, other}})
	if err != nil {
		t.Fatal(err)
	}
	ones, key := make([]float32, n), make([]float32, 8)
	for i := range ones {
		ones[i] = 1
	}
	key[0] = 7
	got := [2][]float32{make([]float32, n), make([]float32, n)}
	if err := exe.Run([]backend.Buffer{backend.F32(ones), backend.F32(key)},
		[]backend.Buffer{backend.F32(got[0]), backend.F32(got[1])}); err != nil {
		t.Fatal(err)
	}
	for k, v := range got {
		dropped := 0
		for _, y := range v {
			if y == 0 {
				dropped++
			} else if math.Abs(float64(y)-1/0.7) > 1e-6 {
				t.Fatalf("a kept element became %v, want 1/0.7", y)
			}
		}
		if dropped < 230 || dropped > 370 { // five standard deviations
			t.Errorf("stream %d: %d of %d dropped, want about 300", k, dropped, n)
		}
	}
	if slices.Equal(got[0], got[1]) {
		t.Error("two streams drop the same elements")
	}
}

func TestCheckGroups(t *testing.T) {
	if err := layer.CheckGroups(4, 8, 16); err != nil {
		t.Error(err)
	}
	for _, groups := range []int{0, -1, 3} {
		if layer.CheckGroups(groups, 9, 8) == nil {
			t.Errorf("%d groups of 9 and 8 channels were accepted", groups)
		}
	}
}

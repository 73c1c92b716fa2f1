package device

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	"vapo/lib/enginename"
	"vapo/lib/graphop"
	"vapo/lib/optim"
	"vapo/lib/potential"
	"vapo/lib/sampling"
	"vapo/lib/training"
)

var precisions = []enginename.Precision{enginename.Float32, enginename.TF32, enginename.BFloat16}

// write returns a graph as StableHLO.
func write(t *testing.T, g backend.Graph, precision enginename.Precision) string {
	t.Helper()
	half := precision == enginename.BFloat16
	e, err := declare(g, half)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHLO(e.parameters(), precision, nil)
	if err != nil {
		t.Fatal(err)
	}
	values, heirs, err := e.lower(h, g, half)
	if err != nil {
		t.Fatal(err)
	}
	text, err := h.text(values, heirs)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// All operations of the suite with their gradients, and whole training steps, satisfy the shape rules of StableHLO in
// every precision and both element types. TestXLA shows whether a plugin computes them.
func TestEverythingHasStableHLO(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, precision := range precisions {
			for _, s := range backendtest.Steps(dt) {
				write(t, s.Graph, precision)
			}
			for _, c := range backendtest.Cases() {
				g := gorgonia.NewGraph()
				var in []*graphop.Node
				for i, s := range c.Shapes {
					in = append(in, graphop.Input(g, dt, fmt.Sprintf("x%d", i), s...))
				}
				y := c.Build(in)
				graph := backend.Graph{Inputs: in, Outputs: []*graphop.Node{y}}
				d, err := graphop.Grad(graphop.Reshape(graphop.Sum(graphop.Square(y)), 1), in...)
				if err != nil {
					t.Fatal(err)
				}
				graph.Outputs = append(graph.Outputs, d...)
				write(t, graph, precision)
			}
		}
	}
}

// A training step donates the memory of every changing state to the state's next value, and nothing else.
func TestDonation(t *testing.T) {
	s := backendtest.Steps(tensor.Float32)[0]
	text := write(t, s.Graph, enginename.Float32)
	head := text[:strings.Index(text, ") -> ")]
	params := strings.Split(head[strings.Index(head, "@main(")+6:], ", %")
	if len(params) != len(s.Graph.Inputs)+len(s.Graph.State) {
		t.Fatalf("%d parameters, want %d: %s", len(params), len(s.Graph.Inputs)+len(s.Graph.State), head)
	}
	for i, p := range params {
		want := ""
		if k := i - len(s.Graph.Inputs); k >= 0 {
			want = fmt.Sprintf("{ tf.aliasing_output = %d : i32 }", k)
		}
		if got := regexp.MustCompile(`\{.*\}`).FindString(p); got != want {
			t.Errorf("parameter %d has attributes %q, want %q", i, got, want)
		}
	}
}

// Matrix products and convolutions of float32 have the requested precision; those of float64 keep full precision.
func TestPrecision(t *testing.T) {
	for _, c := range []struct {
		dt        tensor.Dtype
		precision enginename.Precision
		want      string
		bf16      bool
	}{
		{tensor.Float32, enginename.Float32, "HIGHEST", false},
		{tensor.Float32, enginename.TF32, "DEFAULT", false},
		{tensor.Float32, enginename.BFloat16, "DEFAULT", true},
		{tensor.Float64, enginename.TF32, "HIGHEST", false},
		{tensor.Float64, enginename.BFloat16, "HIGHEST", false},
	} {
		for _, s := range backendtest.Steps(c.dt) {
			text := write(t, s.Graph, c.precision)
			products := strings.Count(text, "stablehlo.dot_general") + strings.Count(text, "stablehlo.convolution")
			factor := fmt.Sprintf("#stablehlo<precision %s>", c.want)
			asked := strings.Count(text, fmt.Sprintf("precision_config = [%s, %s]", factor, factor))
			if products == 0 || asked != products {
				t.Errorf("%s in %v at %s: %d of %d products ask for %s, want all, and at least one",
					s.Name, c.dt, c.precision, asked, products, c.want)
			}
			if got := strings.Contains(text, "bf16"); got != c.bf16 {
				t.Errorf("%s in %v at %s: the program contains bf16: %v, want %v", s.Name, c.dt, c.precision, got, c.bf16)
			}
		}
	}
}

// captured is an engine that keeps the graph instead of compiling it.
type captured struct{ graph *backend.Graph }

var errCaptured = errors.New("the graph was captured, not compiled")

func (captured) Class() string              { return "captured" }
func (captured) Describe() string           { return "captured" }
func (captured) Promises() backend.Promises { return backend.Promises{} }
func (captured) Memory() int64              { return 0 }
func (c captured) Compile(g backend.Graph) (backend.Executable, error) {
	*c.graph = g
	return nil, errCaptured
}

// The training steps of all presets lower to programs that donate every state.
func TestPublishedNetworks(t *testing.T) {
	for name, network := range potential.Presets() {
		network.Schedule, network.PriorStd = "linear", 1
		var g backend.Graph
		o := optim.Config{
			LearningRate: 1e-3, HorizonSteps: 9, Decay: "cosine", Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, ClipNorm: 1,
			BatchImages: 8, EMAHalfLifeImages: []float64{5540},
		}
		if _, err := training.Potential(captured{&g}, network, "matching", o, false); !errors.Is(err, errCaptured) {
			t.Fatalf("%s: %v", name, err)
		}
		text := write(t, g, enginename.TF32)
		if donated := strings.Count(text, "tf.aliasing_output"); donated != len(g.State) || donated == 0 {
			t.Errorf("%s: %d of %d states are donated, want all, and at least one", name, donated, len(g.State))
		}
		if strings.Contains(text, "f64") {
			t.Errorf("%s: the program of a float32 graph contains float64", name)
		}
	}
}

// A sampler's program contains its network once, however many stages the solver has. It donates the solver's states,
// which stay float32 with bfloat16 activations.
func TestSamplerHoldsTheNetworkOnce(t *testing.T) {
	c := potential.Presets()["unet-cifar10"]
	c.Schedule, c.PriorStd = "linear", 1
	convolutions := func(compile func(be backend.Backend) error) int {
		var g backend.Graph
		if err := compile(captured{&g}); !errors.Is(err, errCaptured) {
			t.Fatal(err)
		}
		text := write(t, g, enginename.Float32)
		changing := 0
		l := newLowering(nil, g, dtypes.Float32, true)
		for _, s := range g.State {
			if s.Out == nil {
				continue
			}
			changing++
			if l.roles[s.Out].role == activation {
				t.Errorf("the next value of the state %s may be kept in bfloat16, want float32", s.In.Name())
			}
		}
		if donated := strings.Count(text, "tf.aliasing_output"); donated != changing {
			t.Errorf("%d of %d changing states are donated, want all", donated, changing)
		}
		return strings.Count(text, "stablehlo.convolution")
	}
	want := convolutions(func(be backend.Backend) error {
		_, err := potential.NewField(be, c, nil, 4)
		return err
	})
	for _, solver := range []string{"heun", "rk45"} {
		got := convolutions(func(be backend.Backend) error {
			set := sampling.Settings{Solver: solver, Steps: 2, RTol: 1e-3, ATol: 1e-3, MaxSteps: 9, Guidance: 1}
			_, err := sampling.New(be, c, nil, set)
			return err
		})
		if got != want || want == 0 {
			t.Errorf("%s: %d convolutions, want %d, as in the program of a field", solver, got, want)
		}
	}
}

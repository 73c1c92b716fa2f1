package backendtest

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// halfUnit returns the largest relative error of rounding one value in a float32 graph: half a unit in the last place
// of the mantissa that the engine keeps.
func halfUnit(be backend.Backend) float64 {
	bits := be.Promises().FactorBits
	if bits == 0 {
		bits = 23
	}
	return math.Pow(2, -float64(bits+1))
}

// roundings are the tolerances of checkRounding, in half units. They bound the relative error, in the Euclidean norm,
// of a case's value and of its gradient. Each key is a prefix of the names of the cases that it applies to. The largest
// error on the CPU engines and with bfloat16 activations is below two thirds of each tolerance.
var roundings = map[string]float64{
	"":           6,  // one operation between one or two others
	"conv":       12, // the sine of large sums: its error is the absolute error of the sum
	"window sum": 8,  // the sine of sums
	"max pool":   13, // the exponential of squares
}

func rounding(name string) float64 {
	best := ""
	for prefix := range roundings {
		if strings.HasPrefix(name, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return roundings[best]
}

// checkRounding compares the value and the gradient of every case in float32 with those in float64. The inputs pass
// through a product with 1, so that an engine that keeps activations in a shorter type treats them as activations. The
// inputs have so few bits that the product does not change them.
func checkRounding(t *testing.T, be backend.Backend) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			x := c.draw(rand.New(rand.NewPCG(3, uint64(len(c.Name)))))
			for _, v := range x {
				for i := range v {
					scale := math.Exp2(math.Floor(math.Log2(math.Abs(v[i]))) - 6)
					v[i] = math.Round(v[i]/scale) * scale
				}
			}
			build := func(dt tensor.Dtype) (g backend.Graph) {
				graph := gorgonia.NewGraph()
				var in []*graphop.Node
				for i, s := range c.Shapes {
					n := graphop.Input(graph, dt, "x"+strconv.Itoa(i), s...)
					column := graphop.Reshape(n, n.Shape().TotalSize(), 1)
					g.Inputs = append(g.Inputs, n)
					in = append(in, graphop.Reshape(graphop.MatMul(column, graphop.Fill(n, 1, 1, 1), false, false), s...))
				}
				y := c.Build(in)
				loss := graphop.Reshape(graphop.Sum(graphop.Square(y)), 1)
				g.Outputs = append([]*graphop.Node{y}, must(graphop.Grad(loss, in...))...)
				return g
			}
			run := func(exe backend.Executable, g backend.Graph, dt tensor.Dtype) (out []backend.Buffer) {
				s := StepGraph{Graph: g, Dtype: dt}
				var feed []backend.Buffer
				for k, n := range g.Inputs {
					feed = append(feed, s.buffer(n, func(i int) float64 { return x[k][i] }))
				}
				out = s.Room()
				if err := exe.Run(feed, out); err != nil {
					t.Fatal(err)
				}
				return out
			}
			g := build(tensor.Float32)
			exe, err := be.Compile(g)
			if err != nil {
				t.Fatal(err)
			}
			exact := build(tensor.Float64)
			want := run(Interpret(exact), exact, tensor.Float64)
			for i, got := range run(exe, g, tensor.Float32) {
				wide := backend.Buffer{}
				for _, v := range got.F32 {
					wide.F64 = append(wide.F64, float64(v))
				}
				if d := Distance(wide, want[i]) / halfUnit(be); !(d <= rounding(c.Name)) {
					t.Errorf("output %d of %d differs by %.2f half units, want at most %v", i, len(want), d, rounding(c.Name))
				}
			}
		})
	}
}

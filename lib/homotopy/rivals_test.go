package homotopy_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/dataset"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/random"
)

// TestVelocityOfExactNoise: the noise of the closed form, E[eps|x] = -sigma·grad log rhobar, gives the velocity of the
// closed form. The score, grad log rhobar, is computed from differences of the log density, independently of the
// velocity.
func TestVelocityOfExactNoise(t *testing.T) {
	mix, err := dataset.NewMixture([]dataset.Component{
		{Weight: 1, Mean: []float64{0.8, 0.1}, Std: 0.3}, {Weight: 2, Mean: []float64{-0.5, 0.6}, Std: 0.2}})
	if err != nil {
		t.Fatal(err)
	}
	exact := homotopy.NewMixtureField(mix)
	for _, name := range homotopy.Names() {
		s := lookup(t, name, 1.3)
		for k := range 20 {
			p := s.At(s.Draw(0.1 + 0.04*float64(k)))
			x, velocity, unused := make([]float64, 2), make([]float64, 2), make([]float64, 2)
			random.New(3, "x", uint64(k)).Normal64(x)
			exact.At(p, x, velocity)
			for i := range x {
				const h = 1e-5
				up, down := []float64{x[0], x[1]}, []float64{x[0], x[1]}
				up[i], down[i] = x[i]+h, x[i]-h
				score := (exact.At(p, up, unused) - exact.At(p, down, unused)) / (2 * h)
				got := p.VelocityOf(x[i], -p.Sigma*score)
				if want := velocity[i]; !(math.Abs(got-want) <= 1e-5*(1+math.Abs(want))) {
					t.Errorf("%s, point %d: velocity %v, want %v", name, k, got, want)
				}
			}
		}
	}
}

// TestVelocityOfNoise: the velocity computed in a float32 graph agrees with the host's, over the span of vp.
func TestVelocityOfNoise(t *testing.T) {
	const n = 1001
	s := lookup(t, "vp", 1.3)
	g := gorgonia.NewGraph()
	x := graphop.Input(g, tensor.Float32, "x", n, 2)
	f := graphop.Input(g, tensor.Float32, "f", n, 2)
	at := graphop.Input(g, tensor.Float32, "s", n, 1)
	graph := backend.Graph{Inputs: []*graphop.Node{x, f, at}}
	err := graphop.Build(func() { graph.Outputs = []*graphop.Node{homotopy.VelocityOfNoise(s, x, f, at)} })
	if err != nil {
		t.Fatal(err)
	}
	exe, err := tape.Tape{}.Compile(graph)
	if err != nil {
		t.Fatal(err)
	}
	points, noise := make([]float32, 2*n), make([]float32, 2*n)
	random.New(1, "x", 0).Normal(points)
	random.New(1, "f", 0).Normal(noise)
	from, to := s.Span()
	variables, got := make([]float32, n), make([]float32, 2*n)
	for i := range variables {
		variables[i] = float32(from + (to-from)*float64(i)/(n-1))
	}
	in := []backend.Buffer{backend.F32(points), backend.F32(noise), backend.F32(variables)}
	if err := exe.Run(in, []backend.Buffer{backend.F32(got)}); err != nil {
		t.Fatal(err)
	}
	for i, v := range variables {
		time, rate := s.Time(float64(v))
		p := s.At(time)
		for k := 2 * i; k < 2*i+2; k++ {
			want := rate * p.VelocityOf(float64(points[k]), float64(noise[k]))
			// The tolerance grows towards the end of the path. There the float32 variable leaves few digits for 1 - s, and
			// R2 multiplies the noise by a factor that grows as 1/(1-s).
			if tolerance := 2e-6 + 1e-7/(1-float64(v)); !(math.Abs(float64(got[k])-want) <= tolerance*(1+math.Abs(want))) {
				t.Fatalf("at s = %v: velocity %v, want %v", v, got[k], want)
			}
		}
	}
}

func TestCheckOutput(t *testing.T) {
	for _, o := range []homotopy.Output{homotopy.Potential, homotopy.Velocity, homotopy.Noise, "score"} {
		for _, schedule := range homotopy.Names() {
			err := homotopy.CheckOutput(o, schedule)
			if want := o == "score" || o == homotopy.Noise && schedule != "vp"; (err != nil) != want {
				t.Errorf("output %q on %s: error %v, want an error: %v", o, schedule, err, want)
			}
		}
	}
}

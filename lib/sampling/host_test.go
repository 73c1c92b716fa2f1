package sampling

import (
	"context"
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/device"
	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/ode"
	"vapo/lib/ode/odetest"
	"vapo/lib/potential"
)

// hostFlow returns the flow dx/ds of a network. An engine evaluates only the network; the host computes the times, the
// guidance and, for a network that predicts noise, the velocity.
func hostFlow(t *testing.T, c potential.Config, path homotopy.Schedule, n int, guidance float64,
	label func(int) int) odetest.Func {
	t.Helper()
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	x := graphop.Input(b.Graph, b.Dtype, "x", append([]int{n}, c.Shape...)...)
	cond := graphop.Input(b.Graph, b.Dtype, "condition", n, 1)
	class := graphop.Input(b.Graph, b.Dtype, "label", n, c.Classes)
	_, u, err := c.Evaluate(b, x, cond, class)
	if err != nil {
		t.Fatal(err)
	}
	graph := backend.Graph{Inputs: []*graphop.Node{x, cond, class}, Outputs: []*graphop.Node{u}}
	for _, p := range b.Params {
		graph.State = append(graph.State, backend.State{In: p.Node})
	}
	exe, err := tape.Tape{}.Compile(graph)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.LoadWeights(exe.Load, weights(t, c)); err != nil {
		t.Fatal(err)
	}
	none, labels := make([]float32, n*c.Classes), make([]float32, n*c.Classes)
	for i := range n {
		labels[i*c.Classes+label(i)] = 1
	}
	at, plain := make([]float32, n), make([]float32, n*c.Dim())
	guided := func(x, s, dx []float32) error {
		for i, v := range s {
			time, _ := path.Time(float64(v))
			at[i] = float32(path.Condition(time))
		}
		for _, run := range []struct{ label, grad []float32 }{{none, plain}, {labels, dx}} {
			in := []backend.Buffer{backend.F32(x), backend.F32(at), backend.F32(run.label)}
			if err := exe.Run(in, []backend.Buffer{backend.F32(run.grad)}); err != nil {
				return err
			}
		}
		for i, v := range plain {
			dx[i] = float32(float64(v) + guidance*(float64(dx[i])-float64(v)))
		}
		return nil
	}
	if c.Output != homotopy.Noise {
		return guided
	}
	return func(x, s, dx []float32) error {
		if err := guided(x, s, dx); err != nil {
			return err
		}
		for i := range dx {
			time, rate := path.Time(float64(s[i/c.Dim()]))
			dx[i] = float32(rate * path.At(time).VelocityOf(float64(x[i]), float64(dx[i])))
		}
		return nil
	}
}

// For whole networks, the solver in the engine gives the same samples as a float64 solver on the host. With adaptive
// steps, the test compares only the mean number of evaluations, because rounding changes the steps.
func TestAgreesWithTheHost(t *testing.T) {
	compute, err := device.OpenGo()
	if err != nil {
		t.Fatal(err)
	}
	type variant struct {
		be             backend.Backend
		c              potential.Config
		guidance, tEnd float64
	}
	variants := []variant{{tape.Tape{}, images(), 1.5, 1}, {compute, points("vapo"), 2, 0.7}}
	for _, schedule := range homotopy.Names() {
		variants = append(variants, variant{tape.Tape{}, points(schedule), 1, 1})
		variants = append(variants, variant{tape.Tape{}, points(schedule), 2, 0.7})
	}
	for output, schedule := range map[homotopy.Output]string{homotopy.Velocity: "cosine", homotopy.Noise: "vp"} {
		for _, c := range []potential.Config{points(schedule), images()} {
			c.Output, c.Schedule = output, schedule
			variants = append(variants, variant{tape.Tape{}, c, 1.5, 0.7})
		}
	}
	for _, v := range variants {
		v.c.Classes = 3
		for _, tab := range []*ode.Tableau{ode.Euler, ode.Heun, ode.RK4, ode.RK45} {
			name := fmt.Sprintf("%s, %s %s %q, guidance %v to t = %v, %s", v.be.Class(), v.c.Kind, v.c.Schedule, v.c.Output,
				v.guidance, v.tEnd, tab.Name)
			t.Run(name, func(t *testing.T) { agree(t, v.be, v.c, v.guidance, v.tEnd, tab) })
		}
	}
}

func agree(t *testing.T, be backend.Backend, c potential.Config, guidance, tEnd float64, tab *ode.Tableau) {
	const steps, tolerance = 12, 1e-3
	s, err := New(be, c, weights(t, c), Settings{Solver: tab.Name, Steps: steps, RTol: tolerance, ATol: tolerance,
		MaxSteps: 1000, Guidance: guidance, TEnd: tEnd})
	if err != nil {
		t.Fatal(err)
	}
	s.Label = func(sample int) int { return sample % c.Classes }
	n, d := s.Block, c.Dim()
	got, want := make([]float32, n*d), make([]float32, n*d)
	work, err := s.Draw(context.Background(), 1, 0, n, got, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		Noise(c, 1, i, want[i*d:(i+1)*d])
	}
	path, err := s.path()
	if err != nil {
		t.Fatal(err)
	}
	from, to := path.Span()
	f := hostFlow(t, c, path, n, guidance, s.Label)
	m := odetest.Method{A: tab.A, B: tab.B, C: tab.C, E: tab.E, EmbeddedOrder: tab.EmbeddedOrder}
	if tab == ode.RK45 {
		nfe, err := odetest.Adaptive(m, f, want, n, from, to, tolerance, tolerance)
		if err != nil {
			t.Fatal(err)
		}
		var host Work
		for _, e := range nfe {
			host.addSample(e)
		}
		if math.Abs(work.Mean()/host.Mean()-1) > 0.01 {
			t.Errorf("%.2f evaluations per sample, the host needs %.2f, want the same within 1%%", work.Mean(), host.Mean())
		}
		return
	}
	if err := odetest.Equal(m, f, want, n, from, to, steps); err != nil {
		t.Fatal(err)
	}
	scale := 1.0 // a random velocity or noise moves samples out of [-1, 1]
	for _, w := range want {
		scale = max(scale, math.Abs(float64(w)))
	}
	for i, w := range want {
		if e := math.Abs(float64(got[i] - w)); !(e < 1e-5*scale) {
			t.Fatalf("sample %d differs from the host's by %.3g, want less than %.3g", i/d, e, 1e-5*scale)
		}
	}
}

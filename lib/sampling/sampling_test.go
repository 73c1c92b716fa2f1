package sampling

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"vapo/lib/backend/tape"
	"vapo/lib/failure"
	"vapo/lib/layer"
	"vapo/lib/ode"
	"vapo/lib/potential"
)

func points(schedule string) potential.Config {
	return potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: schedule, PriorStd: 1.5,
		MLP: &potential.MLP{Width: 24, Depth: 2, Fourier: 3}}
}

func images() potential.Config {
	return potential.Config{Kind: "unet", Shape: []int{1, 4, 4}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2}}
}

// weights draws random weights, even for parameters whose initial value is 0.
func weights(t *testing.T, c potential.Config) map[string][]float32 {
	t.Helper()
	params, err := c.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	w := map[string][]float32{}
	for _, p := range params {
		w[p.Name] = layer.Param{Name: p.Name, Shape: p.Shape, Init: layer.Init{Bound: 0.5}}.Draw(2)
	}
	return w
}

func sampler(t *testing.T, c potential.Config, solver string) *Sampler {
	t.Helper()
	s, err := New(tape.Tape{}, c, weights(t, c), Settings{
		Solver: solver, Steps: 6, RTol: 1e-2, ATol: 1e-2, MaxSteps: 1000, Guidance: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Samples drawn in parts equal the same samples drawn together, to the bit, with fixed and with adaptive steps.
func TestPartsEqualTheWhole(t *testing.T) {
	classes := points("linear")
	classes.Classes = 3
	for _, c := range []potential.Config{points("linear"), points("vapo"), images(), classes} {
		for _, solver := range []string{"euler", "rk45"} {
			s := sampler(t, c, solver)
			if c.Classes > 0 {
				s.Label = func(sample int) int { return sample % c.Classes }
			}
			d, n := c.Dim(), 2*s.Block+10
			whole := make([]float32, n*d)
			var progress []int
			w, err := s.Draw(context.Background(), 3, 0, n, whole, func(done int) { progress = append(progress, done) })
			if err != nil {
				t.Fatal(err)
			}
			if w.Samples != n || w.Mean() > float64(w.Max) || w.Total < n {
				t.Errorf("%s: work %+v, want %d samples, a mean of at most Max and a total of %[3]d or more", solver, w, n)
			}
			// With rk45, samples finish one by one, so only the order of the calls and the last number are known.
			want := []int{s.Block, 2 * s.Block, n}
			if solver == "rk45" && slices.IsSorted(progress) && len(progress) > 0 && progress[len(progress)-1] == n {
				want = progress
			}
			if !slices.Equal(progress, want) {
				t.Errorf("%s: progress %v, want %v", solver, progress, want)
			}
			for _, part := range [][2]int{{0, 1}, {5, s.Block}, {n - 3, 3}} {
				x := make([]float32, part[1]*d)
				if _, err := s.Draw(context.Background(), 3, part[0], part[1], x, nil); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(x, whole[part[0]*d:][:len(x)]) {
					t.Errorf("%s on %v: samples %v differ from those of one run", solver, c.Shape, part)
				}
			}
			integrated := make([]float32, n*d)
			for i := range n {
				Noise(c, 3, i, integrated[i*d:(i+1)*d])
			}
			if _, err := s.Integrate(context.Background(), integrated, nil); err != nil || !slices.Equal(integrated, whole) {
				t.Errorf("%s: from the same noise, Integrate gives other samples than Draw (%v)", solver, err)
			}
		}
	}
}

// Errors give the index of the sample that failed. The cause of a cancelled context is returned unchanged.
func TestErrors(t *testing.T) {
	s, err := New(tape.Tape{}, points("linear"), weights(t, points("linear")),
		Settings{Solver: "rk45", RTol: 1e-2, ATol: 1e-2, MaxSteps: 1, Guidance: 1})
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 4)
	_, err = s.Draw(context.Background(), 0, 300, 2, x, nil)
	var e *Error
	if !errors.As(err, &e) || e.Sample < 256 || e.Sample > 511 || !errors.Is(err, ode.ErrMaxSteps) {
		t.Errorf("error %v, want one about the step limit of a sample of the second block", err)
	}
	if failure.ClassOf(err) != failure.Numeric {
		t.Errorf("a step limit that is reached: error %v of class %v, want %v", err, failure.ClassOf(err), failure.Numeric)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Draw(ctx, 0, 0, 2, x, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, want context.Canceled", err)
	}
	if _, err := s.Draw(context.Background(), 0, 0, 3, x, nil); err == nil {
		t.Error("an output slice for two samples was accepted for three")
	}
	if _, err := s.Integrate(context.Background(), x[:3], nil); err == nil {
		t.Error("three values were accepted as points of two dimensions")
	}
}

// The block is not the user's choice, so the hint for a network that is too large must not suggest a smaller batch.
func TestTooLarge(t *testing.T) {
	c := points("linear")
	c.MLP.Width = 1 << 20
	_, err := New(tape.Tape{}, c, nil, Settings{Solver: "euler", Steps: 1, Guidance: 1})
	if failure.ClassOf(err) != failure.Resources || strings.Contains(failure.HintOf(err), "batch") {
		t.Errorf("error %v, hint %q, want a resource error whose hint does not name the batch", err, failure.HintOf(err))
	}
}

// TEnd changes where the flow ends; the default is t = 1. TestAgreesWithTheHost checks the samples at other ends.
func TestEnd(t *testing.T) {
	for _, c := range []struct {
		schedule string
		end      float64
	}{{"linear", 0.6}, {"vapo", 0.1}, {"vapo", 3}} {
		s := sampler(t, points(c.schedule), "euler")
		draw := func(end float64) []float32 {
			s.TEnd = end
			x := make([]float32, 2)
			if _, err := s.Draw(context.Background(), 0, 0, 1, x, nil); err != nil {
				t.Fatal(err)
			}
			return x
		}
		if !slices.Equal(draw(0), draw(1)) || slices.Equal(draw(1), draw(c.end)) {
			t.Errorf("%s: the flow ends at %v by default, at %v for t = 1 and at %v for t = %v, want only the last to differ",
				c.schedule, draw(0), draw(1), draw(c.end), c.end)
		}
	}
	s := sampler(t, points("linear"), "heun")
	s.TEnd = 2
	if _, err := s.Draw(context.Background(), 0, 0, 1, make([]float32, 2), nil); failure.ClassOf(err) != failure.Usage {
		t.Errorf("a linear path to t = 2: error %v, want a usage error", err)
	}
}

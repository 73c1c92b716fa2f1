package sampling

import (
	"context"
	"errors"
	"math"
	"slices"
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

// weights returns parameters that give any network a field far from trivial.
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

func sampler(t *testing.T, c potential.Config) *Sampler {
	t.Helper()
	be := tape.Tape{}
	f, err := potential.NewField(be, c, weights(t, c), Block(c))
	if err != nil {
		t.Fatal(err)
	}
	return &Sampler{Field: f, Solver: "heun", Steps: 6, RTol: 1e-2, ATol: 1e-2, MaxSteps: 1000}
}

// Samples drawn in parts equal the same samples drawn together, to the bit, with fixed and with adaptive steps.
func TestPartsEqualTheWhole(t *testing.T) {
	for _, c := range []potential.Config{points("linear"), points("vapo"), images()} {
		for _, solver := range []string{"euler", "rk45"} {
			s := sampler(t, c)
			s.Solver = solver
			d, n := c.Dim(), 2*Block(c)+10
			whole := make([]float32, n*d)
			var progress []int
			w, err := s.Draw(context.Background(), 3, 0, n, whole, func(done int) { progress = append(progress, done) })
			if err != nil {
				t.Fatal(err)
			}
			if w.Samples != n || w.Mean() > float64(w.Max) || w.Total < n {
				t.Errorf("%s: work %+v for %d samples", solver, w, n)
			}
			if want := []int{Block(c), 2 * Block(c), n}; !slices.Equal(progress, want) {
				t.Errorf("progress %v, want %v", progress, want)
			}
			for _, part := range [][2]int{{0, 1}, {5, Block(c)}, {n - 3, 3}} {
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
				t.Errorf("%s: the same noise gives other samples, %v", solver, err)
			}
		}
	}
}

// Errors give the index of the sample that failed. The cause of a cancelled context is returned unchanged.
func TestErrors(t *testing.T) {
	s := sampler(t, points("linear"))
	s.Solver, s.MaxSteps = "rk45", 1
	x := make([]float32, 4)
	_, err := s.Draw(context.Background(), 0, 300, 2, x, nil)
	var e *Error
	if !errors.As(err, &e) || e.Sample < 256 || e.Sample > 511 || !errors.Is(err, ode.ErrMaxSteps) {
		t.Errorf("got %v", err)
	}
	if failure.ClassOf(err) != failure.Numeric {
		t.Errorf("class %v", failure.ClassOf(err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Draw(ctx, 0, 0, 2, x, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := s.Draw(context.Background(), 0, 0, 3, x, nil); err == nil {
		t.Error("three samples are accepted for two")
	}
	if _, err := s.Integrate(context.Background(), x[:3], nil); err == nil {
		t.Error("three values are accepted as points of two")
	}
}

// A flow that ends at another time follows the same path until then; the default end is t = 1.
func TestEnd(t *testing.T) {
	for _, c := range []struct {
		schedule string
		end      float64
	}{{"linear", 0.6}, {"vapo", 0.1}, {"vapo", 3}} {
		s := sampler(t, points(c.schedule))
		path, err := s.Field.Config.Path()
		if err != nil {
			t.Fatal(err)
		}
		s.Solver, s.Steps = "euler", 7
		draw := func(end float64) []float32 {
			s.TEnd = end
			x := make([]float32, 2)
			if _, err := s.Draw(context.Background(), 0, 0, 1, x, nil); err != nil {
				t.Fatal(err)
			}
			return x
		}
		if !slices.Equal(draw(0), draw(1)) || slices.Equal(draw(1), draw(c.end)) {
			t.Errorf("%s: ends at %v, %v at 1 and %v at %v", c.schedule, draw(0), draw(1), draw(c.end), c.end)
		}
		// Compute Euler's steps by hand.
		n := s.Field.Batch
		x, at, dx := make([]float32, 2*n), make([]float32, n), make([]float32, 2*n)
		Noise(s.Field.Config, 0, 0, x[:2])
		from, _ := path.Span()
		to := path.Variable(c.end)
		for k := range 7 {
			at[0] = float32(from + (to-from)*float64(k)/7)
			for i := range at {
				at[i] = at[0]
			}
			if err := s.Field.Flow(x, at, dx); err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				x[i] += float32((to - from) / 7 * float64(dx[i]))
			}
		}
		for i, v := range draw(c.end) {
			if d := float64(v - x[i]); math.Abs(d) > 1e-4*(1+math.Abs(float64(v))) {
				t.Errorf("%s to %v: %v, by hand %v", c.schedule, c.end, draw(c.end), x[:2])
			}
		}
	}
	s := sampler(t, points("linear"))
	s.TEnd = 2
	if _, err := s.Draw(context.Background(), 0, 0, 1, make([]float32, 2), nil); failure.ClassOf(err) != failure.Usage {
		t.Errorf("a linear path to t = 2: %v", err)
	}
}

package average

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/failure"
)

func golden(t *testing.T) (g struct {
	Gammas [][2]float64
	Inner  [][5]float64
	Solved []struct {
		Stds         []float64
		Steps        []int64
		Std          float64
		Step         int64
		Coefficients []float64
		Residual     float64
	}
}) {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func gamma(t *testing.T, std float64) float64 {
	t.Helper()
	g, err := Gamma(std)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGolden(t *testing.T) {
	g := golden(t)
	if len(g.Gammas) == 0 || len(g.Inner) == 0 || len(g.Solved) == 0 {
		t.Fatal("the golden file lacks cases")
	}
	for _, c := range g.Gammas {
		if got := gamma(t, c[0]); math.Abs(got-c[1]) > 1e-9*(1+c[1]) {
			t.Errorf("gamma(%v) is %v, want %v, as NumPy's roots gives", c[0], got, c[1])
		}
	}
	for _, c := range g.Inner {
		got := inner(profile{gamma(t, c[1]), c[0]}, profile{gamma(t, c[3]), c[2]})
		if math.Abs(got-c[4]) > 1e-10*c[4] {
			t.Errorf("product of the profiles of std %v at step %v and std %v at step %v is %v, want %v",
				c[1], c[0], c[3], c[2], got, c[4])
		}
	}
	for _, c := range g.Solved {
		var have []Average
		for i := range c.Stds {
			have = append(have, Average{c.Stds[i], c.Steps[i]})
		}
		x, residual, err := fit(have, Average{c.Std, c.Step})
		if err != nil {
			t.Fatal(err)
		}
		for i := range x {
			if math.Abs(x[i]-c.Coefficients[i]) > 1e-8 {
				t.Errorf("std %v at step %d: coefficient %d is %v, want %v", c.Std, c.Step, i, x[i], c.Coefficients[i])
			}
		}
		if math.Abs(residual-c.Residual) > 1e-7 { // the square root of a rounding error
			t.Errorf("std %v at step %d: residual %v, want %v", c.Std, c.Step, residual, c.Residual)
		}
	}
}

// Gamma agrees with the two values in the paper and with the defining equation.
func TestGamma(t *testing.T) {
	for std, want := range map[float64]float64{0.05: 16.97, 0.10: 6.94} {
		if got := gamma(t, std); math.Abs(got-want) > 0.005 {
			t.Errorf("gamma(%v) is %v, want %v, as in the paper", std, got, want)
		}
	}
	for std := MinStd; std < MaxStd; std *= 1.1 {
		g := gamma(t, std)
		if got := math.Sqrt(g+1) / (g + 2) / math.Sqrt(g+3); math.Abs(got-std) > 1e-13 {
			t.Errorf("gamma(%v) is %v, which belongs to the standard deviation %v", std, g, got)
		}
	}
	for _, std := range []float64{0, -1, 0.0009, 0.29, math.NaN(), math.Inf(1)} {
		if g, err := Gamma(std); err == nil {
			t.Errorf("gamma(%v) is %v, want an error", std, g)
		}
	}
}

// The weight that an average gives to a step is the integral of its profile over this step.
func TestDecay(t *testing.T) {
	const steps = 50
	for _, std := range []float64{0.05, 0.1, 0.28} {
		g := gamma(t, std)
		weights := make([]float64, steps+1)
		for k := int64(1); k <= steps; k++ {
			beta := Decay(g, k)
			for i := range weights {
				weights[i] *= beta
			}
			weights[k] += 1 - beta
		}
		for k := 1; k <= steps; k++ {
			want := math.Pow(float64(k)/steps, g+1) - math.Pow(float64(k-1)/steps, g+1)
			if math.Abs(weights[k]-want) > 1e-12 {
				t.Errorf("std %v: step %d has the weight %v, want %v", std, k, weights[k], want)
			}
		}
	}
}

// Steps returns the snapshots that remain if every second one is dropped whenever there would be too many.
func TestSteps(t *testing.T) {
	for _, every := range []int64{1, 7} {
		spacing := every
		var kept []int64
		for step := int64(1); step < 300*every; step++ {
			if step%spacing == 0 {
				kept = append(kept, step)
			}
			if len(kept) > MaxSnapshots {
				spacing *= 2
				kept = slices.DeleteFunc(kept, func(s int64) bool { return s%spacing != 0 })
			}
			if got := Steps(every, step); !slices.Equal(got, kept) {
				t.Fatalf("every %d, after %d steps: %v, want %v", every, step, got, kept)
			}
		}
	}
}

// snapshots tracks averages of the path theta(t) = (1, 1/t) and returns snapshots of them.
func snapshots(t *testing.T, stds []float64, every, steps int64) *checkpoint.Checkpoint {
	t.Helper()
	c := &checkpoint.Checkpoint{Kind: checkpoint.Potential, Config: json.RawMessage("{}"), Step: steps}
	for _, std := range stds {
		g := gamma(t, std)
		var x [2]float64
		for k := int64(1); k <= steps; k++ {
			beta := Decay(g, k)
			for i, theta := range []float64{1, 1 / float64(k)} {
				x[i] = beta*x[i] + (1-beta)*theta
			}
			if slices.Contains(Steps(every, steps), k) {
				c.Tensors = append(c.Tensors, checkpoint.Named{
					Name: Average{std, k}.Group() + "layer/w", Shape: []int{2}, Data: []float32{float32(x[0]), float32(x[1])},
				})
			}
		}
	}
	return c
}

func TestReconstruct(t *testing.T) {
	c := snapshots(t, []float64{0.05, 0.1}, 100, 1600)
	for _, want := range []Average{{0.07, 1600}, {0.07, 800}, {0.15, 0}, {0.05, 1600}, {0.1, 300}} {
		got, r, err := Reconstruct(c, want)
		if err != nil {
			t.Fatal(err)
		}
		if want.Step == 0 {
			want.Step = 1600
		}
		direct := snapshots(t, []float64{want.Std}, 100, want.Step).Group(want.Group())["layer/w"].Data
		if len(got.Tensors) != 1 || got.Tensors[0].Name != "ema/layer/w" || got.Step != want.Step || r.Average != want ||
			r.Snapshots != 2*int(want.Step/100) {
			t.Errorf("%v: checkpoint %+v, report %+v; want one tensor, ema/layer/w, of step %d, and the %v from %d snapshots",
				want, got, r, want.Step, want, 2*int(want.Step/100))
		}
		w := got.Tensors[0].Data
		if math.Abs(float64(w[0]-1)) > 1e-6 || math.Abs(float64(w[1]/direct[1]-1)) > 2e-3 {
			t.Errorf("%v: reconstructed as %v, want about %v, the tracked average (residual %v)",
				want, w, direct, r.Residual)
		}
	}
	// Later snapshots have no influence.
	short, _, err := Reconstruct(snapshots(t, []float64{0.05, 0.1}, 100, 800), Average{0.07, 0})
	long, _, err2 := Reconstruct(c, Average{0.07, 800})
	if err != nil || err2 != nil || !slices.Equal(short.Tensors[0].Data, long.Tensors[0].Data) {
		t.Errorf("without later snapshots %v (%v), with them %v (%v), want the same weights", short, err, long, err2)
	}
}

func TestReconstructRefuses(t *testing.T) {
	good := func() *checkpoint.Checkpoint { return snapshots(t, []float64{0.05, 0.1}, 100, 400) }
	ordinary := good()
	for i := range ordinary.Tensors {
		ordinary.Tensors[i].Name = "ema/w"
	}
	lacking, shaped := good(), good()
	lacking.Tensors = append(lacking.Tensors, checkpoint.Named{Name: "std:0.05@100/more", Data: []float32{1}})
	shaped.Tensors[3].Shape = []int{1, 2}
	for message, c := range map[string]struct {
		c     *checkpoint.Checkpoint
		want  Average
		class failure.Class
	}{
		"expected 0.001 to 0.28":                            {good(), Average{0.3, 400}, failure.Usage},
		"of step 150, only of these steps: 100 200 300 400": {good(), Average{0.07, 150}, failure.Input},
		"0 snapshots of averages":                           {ordinary, Average{0.07, 0}, failure.Input},
		"std:0.01@400 cannot be reconstructed":              {good(), Average{0.01, 0}, failure.Input},
		"the relative error of its profile is":              {good(), Average{0.25, 0}, failure.Input},
		`no tensor "std:0.1@100/more"`:                      {lacking, Average{0.07, 0}, failure.Input},
		`"std:0.05@400/layer/w": expected shape`:            {shaped, Average{0.07, 0}, failure.Input},
	} {
		_, _, err := Reconstruct(c.c, c.want)
		if err == nil || failure.ClassOf(err) != c.class || !strings.Contains(err.Error(), message) {
			t.Errorf("error is %v of class %v, want one with %q of class %v", err, failure.ClassOf(err), message, c.class)
		}
	}
}

// Parse inverts String: if a name is parsed, the formatted average parses to the same average.
func FuzzParse(f *testing.F) {
	for _, name := range []string{
		"std:0.05", "std:0.05@4000", "std:1e-3@1", "std:", "std:@", "std:NaN", "std:0.1@0", "ema",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		a, ok := Parse(name)
		if !ok {
			return
		}
		if again, ok := Parse(a.String()); !ok || again != a {
			t.Errorf("%q parses to %+v, but that average's name, %q, to %+v (%v)", name, a, a.String(), again, ok)
		}
	})
}

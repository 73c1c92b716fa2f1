package homotopy_test

import (
	"math"
	"testing"

	"vapo/lib/homotopy"
)

// TestGridEDM compares the grid with formulas for the times at which sigma/mu = r. Grid itself uses bisection.
func TestGridEDM(t *testing.T) {
	const steps, n2 = 18, 1e-4
	times := map[string]func(r, w float64) float64{
		"linear": func(r, w float64) float64 { return 1 / (1 + r/w) },
		"cosine": func(r, w float64) float64 { return 2 / math.Pi * math.Atan(w/r) },
		"vapo": func(r, w float64) float64 {
			return (n2 + math.Sqrt(n2*n2+4*r*r*n2*n2/(w*w))) / (2 * r * r)
		},
		"vp": func(r, w float64) float64 { // 0.1 q + 19.9 q²/2 = -2 ln mu
			return 1 - (-0.1+math.Sqrt(0.01+2*19.9*math.Log1p(r*r/(w*w))))/19.9
		},
	}
	for _, name := range homotopy.Names() {
		for _, w := range []float64{1, 2} {
			s := lookup(t, name, w)
			grid, err := homotopy.Grid("edm", s, steps)
			if err != nil {
				t.Fatal(err)
			}
			from, to := s.Span()
			if len(grid) != steps+1 || grid[0] != from || grid[steps] != to {
				t.Fatalf("%s: grid %v, want %d values from %v to %v", name, grid, steps+1, from, to)
			}
			for i := 1; i < steps; i++ {
				r := math.Pow(math.Pow(80, 1./7)+float64(i-1)/(steps-2)*(math.Pow(0.002, 1./7)-math.Pow(80, 1./7)), 7)
				want := min(max(s.Variable(times[name](r, w)), from), to)
				if !(math.Abs(grid[i]-want) <= 1e-9*(1+math.Abs(want))) || grid[i] < grid[i-1] {
					t.Errorf("%s, w = %v: node %d at %v, want %v", name, w, i, grid[i], want)
				}
			}
		}
	}
}

func TestGrid(t *testing.T) {
	s, err := homotopy.Until(lookup(t, "linear", 1), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	grid, err := homotopy.Grid("equal", s, 4)
	if err != nil || len(grid) != 5 || grid[4] != 0.5 || math.Abs(grid[2]-0.25) > 1e-5 {
		t.Errorf("equal steps to t = 0.5: grid %v (%v), want 5 values with 0.25 in the middle and 0.5 at the end",
			grid, err)
	}
	if grid, err = homotopy.Grid("edm", s, 18); err != nil || grid[10] >= 0.5 || grid[15] != 0.5 {
		t.Errorf("edm to t = 0.5: grid %v (%v), want node 10 before 0.5 and node 15 at 0.5",
			grid, err) // the path ends at a ratio of 1
	}
	for _, name := range []string{"equal", "edm", "wavy"} {
		if _, err := homotopy.Grid(name, s, 2); (err == nil) != (name == "equal") {
			t.Errorf("%s of 2 steps: error %v, want none for equal alone", name, err)
		}
		if _, err := homotopy.Grid(name, s, 0); err == nil {
			t.Errorf("%s of no steps was accepted", name)
		}
	}
}

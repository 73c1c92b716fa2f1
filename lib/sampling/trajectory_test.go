package sampling

import (
	"context"
	"math"
	"slices"
	"testing"
)

// A trajectory begins at the noise, moves from each point to the next, and ends at the sample of Draw.
func TestTrajectories(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		schedule, solver string
		points, want     int
		tolerance        float64
	}{
		{"linear", "heun", 4, 4, 1e-5},
		{"vapo", "heun", 4, 4, 1e-5},
		{"linear", "euler", 100, 7, 1e-5},
		{"linear", "rk45", 5, 5, 0.05},
		{"linear", "edm", 4, 4, 0},
	} {
		config := points(c.schedule)
		solver, grid := c.solver, ""
		if solver == "edm" {
			solver, grid = "heun", "edm"
		}
		s := sampler(t, config, solver)
		s.Grid = grid
		const n = 300 // more than one block
		tr, err := s.Trajectories(ctx, 3, n, c.points)
		if err != nil {
			t.Fatal(err)
		}
		d := config.Dim()
		if len(tr.Times) != c.want || len(tr.X) != n*c.want*d || !slices.IsSorted(tr.Times) ||
			tr.Times[0] > 0.01 || tr.Times[c.want-1] < 0.99 {
			t.Fatalf("%v: times %v and %d values, want %d sorted times from 0 to 1 and %d values", c, tr.Times, len(tr.X),
				c.want, n*c.want*d)
		}
		samples := make([]float32, n*d)
		if _, err := s.Draw(ctx, 3, 0, n, samples, nil); err != nil {
			t.Fatal(err)
		}
		noise := make([]float32, d)
		moved := 0.0
		for i := range n {
			Noise(config, 3, i, noise)
			way := tr.X[i*c.want*d : (i+1)*c.want*d]
			if !slices.Equal(way[:d], noise) {
				t.Fatalf("%v: sample %d begins at %v, want its noise %v", c, i, way[:d], noise)
			}
			for j, v := range way[(c.want-1)*d:] {
				if e := math.Abs(float64(v - samples[i*d+j])); !(e <= c.tolerance*(1+math.Abs(float64(v)))) {
					t.Fatalf("%v: sample %d ends at %v, but Draw gives %v", c, i, v, samples[i*d+j])
				}
			}
			for k := range c.want - 1 {
				moved += math.Hypot(float64(way[k*d]-way[k*d+d]), float64(way[k*d+1]-way[k*d+d+1]))
				if slices.Equal(way[k*d:(k+1)*d], way[(k+1)*d:(k+2)*d]) && i == 0 {
					t.Errorf("%v: sample 0 does not move between points %d and %d", c, k, k+1)
				}
			}
		}
		if moved == 0 {
			t.Errorf("%v: no sample moves", c)
		}
	}
	s := sampler(t, points("linear"), "heun")
	s.TEnd = 0.5
	if tr, err := s.Trajectories(ctx, 0, 1, 3); err != nil || math.Abs(tr.Times[2]-0.5) > 1e-9 {
		t.Errorf("a path to t = 0.5: %+v (%v), want 0.5 as the last time", tr, err)
	}
	for _, bad := range [][2]int{{0, 3}, {3, 1}, {-1, 3}} {
		if _, err := s.Trajectories(ctx, 0, bad[0], bad[1]); err == nil {
			t.Errorf("%v: accepted", bad)
		}
	}
}

package ode

import (
	"context"
	"math"
	"testing"

	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
)

// TestIntegrateGrid: on a grid of equal steps, the result is that of Integrate. On a grid with smaller steps where the
// solution changes fast, the error is far smaller than with as many equal steps.
func TestIntegrateGrid(t *testing.T) {
	const steps = 24
	fast := flow(func(x, t *graphop.Node) *graphop.Node { // x' = -2x/(t + 0.01): x = x0·(0.01/(t + 0.01))²
		return graphop.Scale(graphop.Div(x, graphop.AddScalar(t, 0.01)), -2)
	})
	s, err := Compile(tape.Tape{}, RK4, fast, 1, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal, geometric := make([]float64, steps+1), make([]float64, steps+1)
	for i := range equal {
		equal[i] = float64(i) / steps
		geometric[i] = 0.01*math.Pow(101, float64(i)/steps) - 0.01
	}
	solve := func(grid []float64) float64 {
		x := []float32{1}
		nfe, err := s.IntegrateGrid(context.Background(), x, grid)
		if err != nil || nfe[0] != 4*steps {
			t.Fatalf("%v evaluations (%v), want %d", nfe, err, 4*steps)
		}
		return float64(x[0])
	}
	x := []float32{1}
	if _, err := s.Integrate(context.Background(), x, 0, 1, steps); err != nil {
		t.Fatal(err)
	}
	want := math.Pow(0.01/1.01, 2)
	even, uneven := solve(equal), solve(geometric)
	if math.Abs(even-float64(x[0])) > 1e-6*math.Abs(even) {
		t.Errorf("equal steps of a grid give %v, Integrate gives %v, want the same", even, x[0])
	}
	if math.Abs(uneven/want-1) > 0.05 || math.Abs(even/want-1) < 1 {
		t.Errorf("equal steps give %v, geometric steps %v, want the latter alone near %v", even, uneven, want)
	}
	for _, grid := range [][]float64{nil, {0}, {0, 1, 0.5}, {0, math.NaN()}, {math.Inf(-1), 0}} {
		if _, err := s.IntegrateGrid(context.Background(), x, grid); err == nil {
			t.Errorf("the grid %v was accepted", grid)
		}
	}
	if s, err = Compile(tape.Tape{}, RK45, fast, 1, 1, tolerance(1e-3)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.IntegrateGrid(context.Background(), x, equal); err == nil {
		t.Error("a solver that chooses its steps accepted a grid")
	}
}

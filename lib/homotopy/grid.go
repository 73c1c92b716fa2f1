package homotopy

import (
	"vapo/lib/failure"
	"vapo/lib/portable"
)

// The range of noise-to-signal ratios of the grid edm, and its exponent; see Grid.
const (
	edmLargest, edmSmallest = 80, 0.002
	edmExponent             = 7
)

// Grid returns the steps+1 values of the integration variable between which a solver with fixed steps integrates the
// flow. The first and the last are those of the schedule's Span.
//
//   - equal: equal steps of the integration variable.
//   - edm: the ratio r = sigma/mu of the noise to the signal falls from 80 to 0.002 as
//     r_i = (80^(1/7) + (i-1)/(S-2)·(0.002^(1/7) - 80^(1/7)))^7 for i = 1 to S-1, where S is the number of steps
//     (Karras et al., arXiv 2206.00364, equation 5). So most steps are near the data, where the flow bends. Values 0
//     and S are the ends of the path. If the path does not reach a ratio, its nearer end takes the ratio's place.
func Grid(name string, s Schedule, steps int) ([]float64, error) {
	if steps < 1 || name == "edm" && steps < 3 {
		return nil, failure.New(failure.Usage, "",
			"grid %s of %d steps: expected at least 1 step, or at least 3 for edm", name, steps)
	}
	from, to := s.Span()
	grid := make([]float64, steps+1)
	for i := range grid {
		grid[i] = from + float64((to-from)*(float64(i)/float64(steps)))
	}
	switch name {
	case "equal":
		return grid, nil
	case "edm":
		first, last := portable.Pow(edmLargest, 1.0/edmExponent), portable.Pow(edmSmallest, 1.0/edmExponent)
		for i := 1; i < steps; i++ {
			root := first + float64(float64(i-1)/float64(steps-2)*(last-first))
			grid[i] = variableOf(s, portable.Pow(root, edmExponent))
		}
		return grid, nil
	}
	return nil, unknown("grid", name, []string{"equal", "edm"})
}

// variableOf returns the integration variable at which sigma/mu is ratio, by bisection: sigma falls and mu rises.
func variableOf(s Schedule, ratio float64) float64 {
	low, high := s.Span()
	for range 100 {
		middle := (low + high) / 2
		if t, _ := s.Time(middle); s.At(t).Sigma > float64(ratio*s.At(t).Mu) {
			low = middle
		} else {
			high = middle
		}
	}
	if first, _ := s.Span(); low == first {
		return low
	}
	return high
}

package sampling

import (
	"context"
	"fmt"
	"math"
)

// Trajectory holds samples at several times on their way from noise to data.
type Trajectory struct {
	Times []float64 // t of each point, ascending
	X     []float32 // [samples, points, D]
}

// Trajectories integrates samples [0, n) of a seed and records them at the given number of points, from the noise to
// the sample. The points are equally spaced in the variable of integration or, on a grid, in the number of steps.
// Solvers with fixed steps can record only between steps, so there are at most Steps+1 points. The last point equals
// the sample of Draw up to rounding. With rk45, it also differs because the steps differ.
func (s *Sampler) Trajectories(ctx context.Context, seed uint64, n, points int) (*Trajectory, error) {
	d, block := s.Config.Dim(), s.Block
	if n < 1 || points < 2 {
		return nil, fmt.Errorf("%d trajectories of %d points: expected at least 1 trajectory of at least 2 points", n, points)
	}
	if s.Solver != "rk45" {
		points = min(points, s.Steps+1)
	}
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	grid, err := s.grid(path)
	if err != nil {
		return nil, err
	}
	from, to := path.Span()
	// at returns the position of point k on the path, and the number of steps before it.
	at := func(k int) (position float64, steps int) {
		if s.Solver == "rk45" {
			return from + float64((to-from)*float64(k)/float64(points-1)), 0
		}
		steps = int(math.Round(float64(k*s.Steps) / float64(points-1)))
		if grid != nil {
			return grid[steps], steps
		}
		return from + float64((to-from)*(float64(steps)/float64(s.Steps))), steps
	}
	out := &Trajectory{Times: make([]float64, points), X: make([]float32, n*points*d)}
	x := make([]float32, block*d)
	for base := 0; base < n; base += block {
		for i := range block {
			Noise(s.Config, seed, base+i, x[i*d:(i+1)*d])
		}
		for k := range points {
			position, steps := at(k)
			out.Times[k], _ = path.Time(position)
			if k > 0 {
				before, taken := at(k - 1)
				part := span{before, position, steps - taken, nil}
				if grid != nil {
					part.grid = grid[taken : steps+1]
				}
				if _, err := s.integrateSpan(ctx, base, x, part); err != nil {
					return nil, err
				}
			}
			for i := base; i < min(base+block, n); i++ {
				copy(out.X[(i*points+k)*d:][:d], x[(i-base)*d:])
			}
		}
	}
	return out, nil
}

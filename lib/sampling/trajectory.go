package sampling

import (
	"context"
	"fmt"
	"math"
)

// Trajectory is the way of samples from noise to data, seen at some points of it.
type Trajectory struct {
	Times []float64 // t of each point, rising from the prior's to the data's
	X     []float32 // [samples, points, D]
}

// Trajectories follows samples [0, n) of a seed and keeps them at so many points, the first being the noise and the last
// the sample. The points are evenly spread over the variable of integration; with solvers of equal steps they lie between
// steps, so that at most Steps+1 can be told apart. The last point is the sample that Draw draws, up to the rounding of
// the points before it to float32, and, for rk45, the choice of steps.
func (s *Sampler) Trajectories(ctx context.Context, seed uint64, n, points int) (*Trajectory, error) {
	d, block := s.Field.Config.Dim(), s.Field.Batch
	if n < 1 || points < 2 {
		return nil, fmt.Errorf("follow %d samples at %d points: expected 1 and 2 or more", n, points)
	}
	if s.Solver != "rk45" {
		points = min(points, s.Steps+1)
	}
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	from, to := path.Span()
	// The place of point k on the path, and how many steps lie before it.
	at := func(k int) (place float64, steps int) {
		if s.Solver == "rk45" {
			return from + float64((to-from)*float64(k)/float64(points-1)), 0
		}
		steps = int(math.Round(float64(k*s.Steps) / float64(points-1)))
		return from + float64((to-from)*(float64(steps)/float64(s.Steps))), steps
	}
	out := &Trajectory{Times: make([]float64, points), X: make([]float32, n*points*d)}
	x := make([]float32, block*d)
	for base := 0; base < n; base += block {
		for i := range block {
			Noise(s.Field.Config, seed, base+i, x[i*d:(i+1)*d])
		}
		for k := range points {
			place, steps := at(k)
			out.Times[k], _ = path.Time(place)
			if k > 0 {
				before, taken := at(k - 1)
				if _, err := s.stretch(ctx, base, x, before, place, steps-taken); err != nil {
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

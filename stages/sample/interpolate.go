package main

import (
	"context"
	"io"
	"math"
	"os"
	"path/filepath"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/portable"
	"vapo/lib/preview"
	"vapo/lib/program"
	"vapo/lib/sampling"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

// interpolateCmd integrates the flow from points on great circles between pairs of noise vectors.
type interpolateCmd struct {
	Out    string     `help:"Directory for interpolation.arrow and, for images, interpolation.png." required:""`
	Pairs  int        `help:"Pairs of noise vectors, one in each row of the picture." default:"8"`
	Points int        `help:"Samples of each pair, both ends included." default:"8"`
	Seed   uint64     `help:"Seed of the noise." default:"0"`
	Solver string     `help:"Integrator, see sample --help." default:"heun" enum:"heun,euler,rk4,rk45"`
	TEnd   float64    `name:"t-end" help:"Time at which the flow ends, see sample --help." default:"1"`
	Steps  int        `help:"Number of equal steps; not for rk45." default:"30"`
	Model  modelFlags `embed:""`
}

// Run writes the samples and prints a JSON line.
func (c *interpolateCmd) Run(ctx context.Context, con *stage.Console) error {
	if c.Pairs < 1 || c.Points < 2 || c.Steps < 1 {
		return failure.New(failure.Usage, "", "pairs, points and steps are %d, %d and %d: expected at least 1, 2 and 1",
			c.Pairs, c.Points, c.Steps)
	}
	if !(c.TEnd > 0) {
		return failure.New(failure.Usage, "", "--t-end is %v, expected a positive time", c.TEnd)
	}
	if c.Pairs > maxSamples/c.Points {
		return failure.New(failure.Usage, "", "%d pairs of %d points: expected at most %d samples",
			c.Pairs, c.Points, maxSamples)
	}
	m, label, err := c.Model.open(ctx, con)
	if err != nil {
		return err
	}
	s, err := m.sampler(label, sampling.Settings{
		Solver: c.Solver, Steps: c.Steps, RTol: 1e-3, ATol: 1e-3, MaxSteps: 10000, TEnd: c.TEnd,
	})
	if err != nil {
		return err
	}
	progress := con.Progress(int64(c.Pairs*c.Points), "samples")
	report := func(done int) { progress.Set(int64(done)) }
	set, err := m.interpolate(ctx, s, c.Seed, c.Pairs, c.Points, report)
	if err != nil {
		return err
	}
	progress.Done()
	return c.write(con, set)
}

// interpolate integrates the flow from equally spaced points of the great circles between pairs of noise vectors, both
// ends included. If s.Label is set, all samples of pair k have the class s.Label(k).
func (m *model) interpolate(
	ctx context.Context, s *sampling.Sampler, seed uint64, pairs, points int, progress func(done int),
) (dataset.Set, error) {
	d, n := m.config.Dim(), pairs*points
	if n > maxValues/d {
		return nil, failure.New(failure.Resources, "request fewer pairs or points",
			"%d samples of %d values each do not fit in memory", n, d)
	}
	x := make([]float32, n*d)
	a, b := make([]float32, d), make([]float32, d)
	for pair := range pairs {
		sampling.Noise(m.config, seed, 2*pair, a)
		sampling.Noise(m.config, seed, 2*pair+1, b)
		for k := range points {
			at := (pair*points + k) * d
			spherical(x[at:at+d], a, b, float64(k)/float64(points-1), m.config.PriorStd)
		}
	}
	pair := func(i int) int { return i / points }
	between, label := *s, s.Label
	if label != nil {
		between.Label = func(i int) int { return label(pair(i)) }
	}
	if _, err := between.Integrate(ctx, x, progress); err != nil {
		return nil, err
	}
	return withLabels(sampling.Set(m.config, x, n), label, pair), nil
}

// spherical writes to dst the point at fraction f of the great circle from a to b. w is the standard deviation of the
// prior. The norm of the point is sqrt(len(a))·w, near which the mass of the prior concentrates (Shoemake 1985; White,
// arXiv 1609.04468).
func spherical(dst, a, b []float32, f, w float64) {
	var aa, bb, ab float64
	for i := range a {
		u, v := float64(a[i]), float64(b[i])
		aa += float64(u * u)
		bb += float64(v * v)
		ab += float64(u * v)
	}
	na, nb := math.Sqrt(aa), math.Sqrt(bb)
	angle := portable.Acos(min(max(ab/(na*nb), -1), 1))
	radius := math.Sqrt(float64(len(a))) * w
	p, q := 1-f, f // linear interpolation, for nearly parallel vectors
	if s := portable.Sin(angle); s > 1e-6 {
		p, q = portable.Sin((1-f)*angle)/s, portable.Sin(f*angle)/s
	}
	for i := range dst {
		dst[i] = float32(radius * (float64(p*float64(a[i])/na) + float64(q*float64(b[i])/nb)))
	}
}

func (c *interpolateCmd) write(con *stage.Console, set dataset.Set) error {
	if err := os.MkdirAll(c.Out, 0o777); err != nil {
		return failure.New(failure.Usage, "", "--out: %w", err)
	}
	samples := filepath.Join(c.Out, "interpolation.arrow")
	result := map[string]any{"pairs": c.Pairs, "points": c.Points, "samples": samples}
	write := func(w io.Writer) error { return tensorfile.Write(w, set.Table()) }
	if err := program.WriteFile(samples, write); err != nil {
		return err
	}
	if s, ok := set.(*dataset.Images); ok {
		picture := filepath.Join(c.Out, "interpolation.png")
		draw := func(w io.Writer) error { return preview.Grid(w, s, c.Points, 2) }
		if err := program.WriteFile(picture, draw); err != nil {
			return err
		}
		result["picture"] = picture
	}
	return con.Print(result)
}

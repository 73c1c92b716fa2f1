package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/preview"
	"vapo/lib/sampling"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

type params struct {
	N        int         `help:"Samples to draw." default:"64" unit:"samples" min:"1" max:"1099511627776"`
	First    int         `help:"Index of the first sample." default:"0" min:"0" max:"1099511627776"`
	Seed     uint64      `help:"Seed of the noise." default:"0"`
	Solver   string      `help:"Integrator; rk45 has adaptive steps." default:"heun" enum:"heun,euler,rk4,rk45"`
	Steps    int         `help:"Number of steps from prior to data; not for rk45." default:"30" unit:"steps" min:"1"`
	Grid     string      `help:"edm: more steps near the data." default:"equal" enum:"equal,edm" only:"${fixed}"`
	TEnd     float64     `help:"Time at which the flow ends; above 1 only for schedule vapo." default:"1"`
	RTol     float64     `name:"rtol" help:"rk45: relative tolerance of a step." default:"0.001" only:"solver=rk45"`
	ATol     float64     `name:"atol" help:"rk45: absolute tolerance of a step." default:"0.001" only:"solver=rk45"`
	MaxSteps int         `help:"rk45: maximum steps per sample." default:"10000" unit:"steps" only:"solver=rk45" min:"1"`
	Class    string      `help:"Index of the class; each: all in turn; none: unconditional." default:"none"`
	Guidance float64     `help:"Strength of classifier-free guidance; 1: off, 0: without the class." default:"1"`
	Weights  string      `help:"An average (ema, ema.1, …; std:S has length S, see train ema), or raw." default:"ema"`
	Batch    int         `help:"Samples per progress report." default:"256" unit:"samples" keyed:"false" min:"1"`
	Backend  engine.Name `help:"Compute engine: ${engines}." default:"auto"`

	Pictures pictureParams `embed:""`
}

// Vars are the variables in the tags.
func (params) Vars() map[string]string { return map[string]string{"fixed": "solver=heun|euler|rk4"} }

var spec = stage.Stage[params]{
	Name:    "sample",
	About:   "Draw samples from a trained potential by integrating its gradient from noise to data.",
	Version: 6,
	Inputs: []contract.Port{
		{Name: "checkpoint", Media: contract.MediaArrow, Help: "a potential, or averages, from train", Subject: true},
		stage.Tuning,
	},
	Outputs: []contract.Port{
		{Name: "samples", Media: contract.MediaArrow, Help: "images as uint8, or points as float32"},
		{Name: "grid", Media: contract.MediaPNG, Help: "picture of the first samples"},
		{
			Name: "trajectories", Media: contract.MediaPNG, Optional: true,
			Help: "samples on their way from noise to data, with --trajectories",
		},
		{
			Name: "interpolation", Media: contract.MediaPNG, Optional: true,
			Help: "samples between pairs of noise vectors, with --interpolate",
		},
		{
			Name: "paths", Media: contract.MediaArrow, Optional: true,
			Help: "the interpolations as a data set, ten consecutive samples for each pair",
		},
	},
	Resolve: resolve,
	Pure:    func(p *params) bool { return engine.Pure(p.Backend) },
	Tune:    func(p *params) { p.N = min(p.N, p.Batch) },
	Engines: engine.Linked(),
	Run:     run,
	Shard:   runShard,
	Commands: []stage.Command{
		{Name: "field", Help: "Evaluate a potential and its gradient at given points.", Cmd: &fieldCmd{}},
		{Name: "interpolate", Help: "Draw images along great circles between noise vectors.", Cmd: &interpolateCmd{}},
		{Name: "export", Help: "Write samples as a NumPy archive (.npz) for other evaluators.", Cmd: &exportCmd{}},
	},
}

// defaultSteps is the default of the parameter steps.
const defaultSteps = 30

// maxSamples bounds sample indices, so that arithmetic on them cannot overflow.
const maxSamples = 1 << 40

func resolve(p *params, _ stage.Given) error {
	p.Backend = engine.Auto(p.Backend)
	if p.Solver == "rk45" {
		p.Steps = defaultSteps // no effect on rk45, so recipes that differ only in steps share a key
	}
	switch {
	case p.Grid == "edm" && p.Steps < 3:
		return fmt.Errorf("steps is %d, expected 3 or more with the grid edm", p.Steps)
	case !(p.TEnd > 0):
		return fmt.Errorf("t-end is %v, expected a positive time", p.TEnd)
	case !(p.RTol > 0) || !(p.ATol > 0):
		return fmt.Errorf("rtol and atol are %v and %v: expected positive numbers", p.RTol, p.ATol)
	}
	if _, err := potential.Group(p.Weights); err != nil {
		return err
	}
	if err := p.Pictures.check(); err != nil {
		return err
	}
	return checkClass(p.Class, p.Guidance)
}

// openSampler opens the network of a job and compiles its sampler.
func openSampler(ctx context.Context, job *stage.Job, p *params) (*model, *sampling.Sampler, error) {
	path, err := job.Input(ctx, "checkpoint")
	if err != nil {
		return nil, nil, err
	}
	be, err := engine.OpenFor(ctx, job, p.Backend)
	if err != nil {
		return nil, nil, err
	}
	m, err := openModel(path, p.Weights, p.Guidance, be)
	if err != nil {
		return nil, nil, fmt.Errorf("input checkpoint: %w", err)
	}
	label, err := m.label(p.Class)
	if err != nil {
		return nil, nil, err
	}
	if d := m.config.Dim(); p.N > maxValues/d { // before the shards of such a run begin
		return nil, nil, failure.New(failure.Resources, "draw in several runs with --first",
			"%d samples of %d values each do not fit in memory", p.N, d)
	}
	s, err := m.sampler(label, sampling.Settings{
		Solver: p.Solver, Steps: p.Steps, RTol: p.RTol, ATol: p.ATol, MaxSteps: p.MaxSteps, TEnd: p.TEnd,
		Grid: p.Grid,
	})
	return m, s, err
}

func run(ctx context.Context, job *stage.Job, p *params) error {
	m, s, err := openSampler(ctx, job, p)
	if err != nil {
		return err
	}
	job.Set("block", s.Block)
	set, work, seconds, err := drawAll(ctx, job, m, s, p)
	if err != nil {
		return err
	}
	job.Set("function_evaluations_mean", work.Mean())
	job.Set("function_evaluations_max", work.Max)
	job.Set("seconds", seconds)
	job.Set("samples_per_second", float64(p.N)/seconds)
	job.Cost("evaluations/sample", work.Mean())
	job.Cost("seconds/sample", seconds/float64(p.N))
	job.Summary("%d samples of shape %v, with %.4g evaluations of the network each", p.N, set.Shape(), work.Mean())
	err = job.Output(ctx, "samples", func(w io.Writer) error { return tensorfile.Write(w, set.Table()) })
	if err != nil {
		return err
	}
	if err := job.Output(ctx, "grid", func(w io.Writer) error { return preview.Set(w, set) }); err != nil {
		return err
	}
	if err := writePictures(ctx, job, m, s, p); err != nil {
		return err
	}
	if images, ok := set.(*dataset.Images); ok && job.OutDir() != "" {
		job.Summary("each sample is also a PNG file, named by its index")
		return writeImages(job.OutDir(), images, p.First)
	}
	return nil
}

// writeImages writes every image as a PNG file named by its sample index.
func writeImages(dir string, s *dataset.Images, first int) error {
	for i := range s.N {
		var file bytes.Buffer
		if err := preview.Image(&file, s, i); err != nil {
			return err
		}
		path := filepath.Join(dir, fmt.Sprintf("%06d.png", first+i))
		if err := os.WriteFile(path, file.Bytes(), 0o666); err != nil {
			return fmt.Errorf("write sample image: %w", err)
		}
	}
	return nil
}

package main

import (
	"context"

	"vapo/lib/contract"
	"vapo/lib/engine"
	"vapo/lib/stage"
	"vapo/stages/train/internal/data"
	"vapo/stages/train/internal/loop"
)

var spec = stage.Stage[params]{
	Name:    "train",
	About:   "Train a potential whose gradient carries noise to data, or a classifier whose features score images.",
	Version: 8,
	Length:  "steps",
	Inputs: []contract.Port{
		{Name: "data", Media: contract.MediaArrow, Help: "training samples"},
		{
			Name: "test", Media: contract.MediaArrow, Optional: true,
			Help: "held-out samples for the potential's loss, or labelled images for the classifier's accuracy",
		},
		{
			Name: "features", Media: contract.MediaArrow, Optional: true,
			Help: "feature network for scoring the snapshots, if the data are images: see eval and --sample-every",
		},
		stage.Tuning,
	},
	Outputs: []contract.Port{
		{Name: "checkpoint", Media: contract.MediaArrow, Help: "weights, their moving averages and the optimiser's state"},
		{
			Name: "metrics", Media: contract.MediaNDJSON,
			Help: "by step: loss, gradient norms, field errors and scores; by training time: loss, velocity and spread",
		},
		{
			Name: "end", Media: contract.MediaJSON,
			Help: "what a longer run needs to continue this one, besides checkpoint and metrics: see --earlier",
		},
		{
			Name: "progress", Media: contract.MediaPNG, Optional: true,
			Help: "samples from the same noise at several steps of training, with --sample-every",
		},
		{
			Name: "averages", Media: contract.MediaArrow, Optional: true,
			Help: "snapshots of averages, from which the ema command makes others: see --ema-snapshot-every",
		},
	},
	Resolve: resolve,
	Pure:    func(p *params) bool { return engine.Pure(p.Backend) },
	Tune:    tune,
	Engines: engine.Linked(),
	Run:     run,
	Commands: []stage.Command{
		{
			Name: "import", Cmd: &importCmd{},
			Help: "Make a checkpoint from weights trained with PyTorch or another framework.",
		},
		{Name: "ema", Help: "Make a checkpoint from an average of the weights; --std is its length.", Cmd: &emaCmd{}},
		{Name: "export", Help: "Write the weights of a potential as safetensors for other frameworks.", Cmd: &exportCmd{}},
	},
}

// resolve fills in defaults and validates the parameters, before the data is known.
func resolve(p *params, given stage.Given) error {
	if err := p.applyPreset(given); err != nil {
		return err
	}
	p.Backend = engine.Auto(p.Backend)
	switch {
	case p.Decay != "cosine":
		p.Horizon = 0
	case p.Horizon == 0:
		p.Horizon = p.Steps
	}
	return check(p)
}

// tune shortens a run to one step. All enabled measurements are due after this step, so that their programs are tuned
// too.
func tune(p *params) {
	p.Steps = 1
	for _, every := range []*int{&p.FieldEvery, &p.VarianceEvery, &p.Snapshots.SampleEvery} {
		*every = min(*every, 1)
	}
}

func run(ctx context.Context, job *stage.Job, p *params) error {
	be, err := engine.OpenFor(ctx, job, p.Backend)
	if err != nil {
		return err
	}
	prepare := potentialLoop
	if p.Model == "classifier" {
		prepare = classifierLoop
	}
	src, err := data.Open(ctx, job, p.dataOptions())
	if err != nil {
		return err
	}
	defer src.Close()
	if p.PlanMemory {
		return planMemory(be, p, func(q *params) (*loop.Loop, error) { return prepare(ctx, job, be, q, src) })
	}
	l, err := prepare(ctx, job, be, p, src)
	if err != nil {
		return err
	}
	if err := l.Run(ctx); err != nil {
		return err
	}
	src.Record(job)
	return nil
}

package main

import (
	"context"
	"fmt"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/stage"
)

// model is a trained potential with its engine.
type model struct {
	be       backend.Backend
	config   potential.Config
	weights  map[string][]float32
	guidance float64
}

// modelFlags are the flags of the commands that open a potential.
type modelFlags struct {
	Checkpoint string      `help:"Potential: sha256:…, ref:name or a path." required:""`
	Class      string      `help:"Class, by index; each: the classes in turn; none: unconditional." default:"none"`
	Guidance   float64     `help:"Strength of guidance towards the class, see sample --help." default:"1"`
	Weights    string      `help:"Weights, see sample --help." default:"ema"`
	Backend    engine.Name `help:"Compute engine: ${engines}." default:"auto"`
}

// open opens the potential. label maps the index of a sample to its class; it is nil for unconditional samples.
func (f *modelFlags) open(ctx context.Context, c *stage.Console) (m *model, label func(sample int) int, err error) {
	if err := checkClass(f.Class, f.Guidance); err != nil {
		return nil, nil, failure.New(failure.Usage, "", "%w", err)
	}
	path, err := c.Resolve(ctx, f.Checkpoint)
	if err != nil {
		return nil, nil, err
	}
	be, err := engine.Open(f.Backend)
	if err != nil {
		return nil, nil, err
	}
	if m, err = openModel(path, f.Weights, f.Guidance, be); err != nil {
		return nil, nil, fmt.Errorf("checkpoint %s: %w", f.Checkpoint, err)
	}
	label, err = m.label(f.Class)
	return m, label, err
}

// openModel opens the potential of a checkpoint with the named weights and the given strength of guidance.
func openModel(path, weights string, guidance float64, be backend.Backend) (*model, error) {
	c, err := checkpoint.Read(path)
	if err != nil {
		return nil, failure.New(failure.Input, "give the checkpoint output of train", "%w", err)
	}
	c, group, err := potential.Select(c, weights)
	if err != nil {
		return nil, fmt.Errorf("--weights: %w", err)
	}
	config, values, err := potential.FromCheckpoint(c, group)
	if err != nil {
		return nil, err
	}
	if guidance != 1 && config.Classes == 0 {
		return nil, failure.New(failure.Input, noClasses,
			"--guidance is %v, but the network was trained without classes", guidance)
	}
	return &model{be: be, config: config, weights: values, guidance: guidance}, nil
}

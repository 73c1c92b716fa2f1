package main

import (
	"fmt"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/sampling"
)

// model is a trained potential with its engine.
type model struct {
	be     backend.Backend
	config potential.Config
	field  *potential.Field
}

// openModel opens the potential of a checkpoint with the named weights and the given strength of guidance.
func openModel(path, weights string, guidance float64, name engine.Name) (*model, error) {
	group, err := potential.Group(weights)
	if err != nil {
		return nil, fmt.Errorf("--weights: %w", err)
	}
	be, err := engine.Open(name)
	if err != nil {
		return nil, err
	}
	c, err := checkpoint.Read(path)
	if err != nil {
		return nil, failure.New(failure.Input, "give the output checkpoint of train", "%w", err)
	}
	config, values, err := potential.FromCheckpoint(c, group)
	if err != nil {
		return nil, err
	}
	if guidance != 1 && config.Classes == 0 {
		return nil, failure.New(failure.Input, noClasses,
			"--guidance is %v, but the network was trained without classes", guidance)
	}
	field, err := potential.NewGuidedField(be, config, values, sampling.Block(config), guidance)
	if err != nil {
		return nil, engine.Explain(err)
	}
	return &model{be: be, config: config, field: field}, nil
}

package main

import (
	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/engine"
	"vapo/lib/potential"
	"vapo/lib/sampling"
	"vapo/lib/stage"
)

// model is a trained potential ready to be evaluated.
type model struct {
	be     backend.Backend
	config potential.Config
	field  *potential.Field
}

func openModel(path, weights string, name engine.Name) (*model, error) {
	be, err := engine.Open(name)
	if err != nil {
		return nil, err
	}
	c, err := checkpoint.Read(path)
	if err != nil {
		return nil, stage.Fail(stage.ExitInput, "give the output checkpoint of train", "%w", err)
	}
	group := checkpoint.EMA
	if weights == "raw" {
		group = checkpoint.Param
	}
	config, values, err := potential.FromCheckpoint(c, group)
	if err != nil {
		return nil, stage.Fail(stage.ExitInput, "give a checkpoint trained with --model mlp, wrn or unet", "%w", err)
	}
	field, err := potential.NewField(be, config, values, sampling.Block(config))
	if err != nil {
		return nil, engine.Explain(err)
	}
	return &model{be: be, config: config, field: field}, nil
}

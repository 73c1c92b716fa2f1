package main

import (
	"errors"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/draw"
	"vapo/lib/engine"
	"vapo/lib/potential"
	"vapo/lib/stage"
)

// Blocks in which the field is evaluated, a fixed size for each kind of network: sample k always stands in row
// k mod block, so that it has the same bits whatever is drawn beside it.
const (
	imageBlock = 64
	pointBlock = 256
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
	block := imageBlock
	if len(config.Shape) == 1 {
		block = pointBlock
	}
	field, err := potential.NewField(be, config, values, block)
	if err != nil {
		return nil, engine.Explain(err)
	}
	return &model{be: be, config: config, field: field}, nil
}

// noise writes the starting point of a sample, from the prior N(0, w² I), to dst [D].
func (m *model) noise(seed uint64, index int, dst []float32) {
	draw.New(seed, "sample/noise", uint64(index)).Normal(dst)
	if w := float32(m.config.PriorStd); w != 1 {
		for i := range dst {
			dst[i] *= w
		}
	}
}

// numeric turns a solver's failure into the contract's terms.
func numeric(err error, sample int) error {
	var e *stage.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return stage.Fail(stage.ExitNumeric, "train longer, or allow smaller steps", "sample %d could not be integrated: %w", sample, err)
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"vapo/lib/engine"
	"vapo/lib/feature"
	"vapo/lib/homotopy"
	"vapo/lib/optim"
	"vapo/lib/potential"
	"vapo/lib/stage"
	"vapo/lib/training"
	"vapo/stages/train/internal/data"
	"vapo/stages/train/internal/loop"
)

// micro returns the number of micro-batches per step. Each micro-batch has p.rows() samples.
func (p *params) micro() int {
	if p.MicroBatch == 0 {
		return 1
	}
	return max(1, p.Batch/p.MicroBatch)
}

func (p *params) rows() int { return p.Batch / p.micro() }

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

func (p *params) optimiser() (optim.Config, error) {
	c := optim.Config{
		LearningRate: p.LearningRate, WarmupSteps: p.Warmup, Decay: p.Decay, HorizonSteps: p.Horizon,
		Beta1: p.Beta1, Beta2: p.Beta2, Epsilon: p.Epsilon, WeightDecay: p.WeightDecay,
		ClipNorm: p.ClipNorm, ClipStd: p.ClipStd,
		Accumulate: p.micro(), BatchImages: p.Batch,
	}
	if err := json.Unmarshal(p.EMAHalfLife, &c.EMAHalfLifeImages); err != nil {
		return c, fmt.Errorf("ema-half-life is %s, expected a list of numbers of samples such as [50000]", p.EMAHalfLife)
	}
	return c, c.Check()
}

func (p *params) dataOptions() data.Options {
	return data.Options{
		Seed: p.Seed, Labels: p.Conditional, Whole: p.Model == "classifier", CacheBytes: p.DataCache,
	}
}

func (p *params) loopOptions() loop.Options {
	return loop.Options{
		Steps: int64(p.Steps), Batch: p.Batch, Seed: p.Seed, Warmup: int64(p.Warmup), SpikeFactor: p.SpikeFactor,
		LogEvery: int64(p.LogEvery), CheckpointEvery: int64(p.CheckpointEvery),
	}
}

// wholeNumbers parses the JSON list of integers given for the parameter name.
func wholeNumbers(name string, raw json.RawMessage) ([]int, error) {
	var m []int
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%s is %s, expected a list of whole numbers such as [1, 2, 2]", name, raw)
	}
	return m, nil
}

func check(p *params) error {
	if p.MicroBatch > 0 && p.Batch%p.MicroBatch != 0 {
		return fmt.Errorf("micro-batch is %d, expected a divisor of the batch of %d, or 0", p.MicroBatch, p.Batch)
	}
	if p.Decay == "cosine" && p.Horizon < p.Steps {
		return fmt.Errorf("horizon is %d, expected 0 or at least the %d steps: beyond it the learning rate is 0",
			p.Horizon, p.Steps)
	}
	if _, err := p.optimiser(); err != nil {
		return err
	}
	if _, err := training.NewGuard(p.SpikeFactor); err != nil {
		return err
	}
	if !slices.Contains(feature.Taps, p.Snapshots.ScoreTap) {
		return fmt.Errorf("score-tap is %d: expected one of %v", p.Snapshots.ScoreTap, feature.Taps)
	}
	if _, _, err := p.path(); err != nil {
		return err
	}
	if p.Objective == "hybrid" && p.rows() < 2 {
		return fmt.Errorf("batch is %d, expected 2 or more at once for the objective hybrid, "+
			"which needs standard deviations over the batch", p.rows())
	}
	if p.Conditional && p.Model == "classifier" {
		return errors.New("conditional is for potentials; a classifier predicts the labels")
	}
	if !(p.LabelDropout >= 0 && p.LabelDropout < 1) {
		return fmt.Errorf("label-dropout is %v, expected 0 or more and less than 1", p.LabelDropout)
	}
	if p.Model == "classifier" {
		return p.classifierConfig([]int{1, 4, 4}, 2).Check()
	}
	// The real shape is not known yet. Checking with the smallest shape that the network accepts reports every error
	// that does not depend on the data.
	shape := []int{1}
	switch p.Model {
	case "wrn":
		shape = []int{1, 4, 4}
	case "unet":
		mult, err := wholeNumbers("channel-mult", p.ChannelMult)
		if err != nil {
			return err
		}
		side := 1 << max(0, min(len(mult)-1, 15))
		shape = []int{1, side, side}
	}
	_, err := p.potentialConfig(shape)
	return err
}

// path returns the schedule, with the loss weight at each time, and the distribution from which training times are
// drawn.
func (p *params) path() (homotopy.Schedule, homotopy.TimeDistribution, error) {
	times, err := homotopy.Times(p.Times, p.TimesLocation, p.TimesScale)
	if err != nil {
		return nil, nil, err
	}
	s, err := homotopy.Lookup(p.Schedule, p.PriorStd)
	if err != nil {
		return nil, nil, err
	}
	s, err = homotopy.Weighted(s, p.Objective, p.Weight)
	return s, times, err
}

func (p *params) classifierConfig(shape []int, classes int) feature.Classifier {
	return feature.Classifier{Shape: shape, Classes: classes, Channels: p.Channels, Features: p.Features}
}

// potentialConfig describes the network for samples of the given shape.
func (p *params) potentialConfig(shape []int) (potential.Config, error) {
	c := potential.Config{Kind: p.Model, Shape: shape, Schedule: p.Schedule, PriorStd: p.PriorStd}
	switch p.Model {
	case "mlp":
		c.MLP = &potential.MLP{Width: p.Width, Depth: p.Depth, Fourier: p.Fourier}
	case "wrn":
		c.WRN = &potential.WRN{Depth: p.WRNDepth, Width: p.WRNWidth, Time: p.Time}
	default:
		mult, err := wholeNumbers("channel-mult", p.ChannelMult)
		if err != nil {
			return c, err
		}
		attention, err := wholeNumbers("attention", p.Attention)
		if err != nil {
			return c, err
		}
		c.UNet = &potential.UNet{
			Channels: p.Channels, Mult: mult, ResBlocks: p.ResBlocks, Groups: p.Groups,
			Attention: attention, Dropout: p.Dropout,
		}
	}
	return c, c.Check()
}

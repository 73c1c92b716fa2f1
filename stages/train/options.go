package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vapo/lib/engine"
	"vapo/lib/feature"
	"vapo/lib/homotopy"
	"vapo/lib/optim"
	"vapo/lib/potential"
	"vapo/lib/training"
	"vapo/stages/train/internal/data"
	"vapo/stages/train/internal/loop"
	"vapo/stages/train/internal/watch"
)

// params are the parameters of a run. README.md describes them by theme.
type params struct {
	// Network and loss.
	Model     string  `help:"Network; classifier is for labelled images." default:"mlp" enum:"mlp,unet,wrn,classifier"`
	Objective string  `help:"Loss of the network." default:"matching" enum:"${objectives}" only:"${potential}"`
	Schedule  string  `help:"Path from noise to data." default:"linear" enum:"${schedules}" only:"${potential}"`
	PriorStd  float64 `help:"Standard deviation w of the prior." default:"1" only:"${potential}"`

	// Training times.
	Times         string  `help:"Distribution of training times." default:"uniform" enum:"${times}" only:"${potential}"`
	TimesLocation float64 `help:"logit-normal: mean of the logit." default:"0" only:"times=logit-normal"`
	TimesScale    float64 `help:"logit-normal: standard deviation of the logit." default:"1" only:"times=logit-normal"`
	Weight        string  `help:"Weight of the loss by time." default:"auto" enum:"${weights}" only:"${potential}"`

	// Steps and batches.
	Steps      int    `help:"Optimiser steps." default:"1000" unit:"steps" min:"1"`
	Batch      int    `help:"Samples per step." default:"64" unit:"samples" min:"1" max:"1048576"`
	MicroBatch int    `help:"Samples computed at once; 0: the whole batch." default:"0" unit:"samples" min:"0"`
	Seed       uint64 `help:"Seed of the initial weights, batches, times and noise." default:"0"`
	Flip       bool   `help:"Mirror images at random." default:"false" negatable:"" only:"model=unet|wrn|classifier"`

	// Optimiser.
	LearningRate float64 `help:"Peak learning rate of Adam." default:"0.001"`
	Warmup       int     `help:"Steps over which the learning rate rises from 0." default:"100" unit:"steps"`
	Decay        string  `help:"Learning rate after the warm-up." default:"cosine" enum:"constant,cosine"`
	Horizon      int     `help:"cosine: step at which the rate is 0; 0: the last one." default:"0" unit:"steps" min:"0"`
	Beta1        float64 `name:"beta1" help:"Adam's decay of the first moment." default:"0.9"`
	Beta2        float64 `name:"beta2" help:"Adam's decay of the second moment." default:"0.999"`
	Epsilon      float64 `help:"Adam's epsilon." default:"1e-8"`
	WeightDecay  float64 `help:"AdamW's decay of all weights, times the learning rate; 0: Adam." default:"0"`
	ClipNorm     float64 `help:"Bound on the global gradient norm; 0: none." default:"1"`
	ClipStd      float64 `help:"Bound on the gradient's elements, in standard deviations; 0: none." default:"0"`
	SpikeFactor  float64 `help:"Skip steps whose gradient exceeds the median by this factor; 0: none." default:"0"`

	EMAHalfLife json.RawMessage `help:"Half-lives of moving averages of the weights." default:"[50000]" unit:"samples"`
	// EMAProfiles lists averages from which others can be reconstructed after the training; see package average and the
	// ema command.
	EMAProfiles      json.RawMessage `help:"Relative standard deviations of averages for the ema command." default:"[]"`
	EMASnapshotEvery int             `help:"Snapshot interval of averages; 0: none." default:"0" unit:"steps" min:"0"`

	// Classes.
	Conditional  bool    `help:"Train with labels, to sample by class." default:"false" negatable:"" only:"${potential}"`
	LabelDropout float64 `help:"conditional: fraction of labels to drop." default:"0.1" only:"conditional=true"`

	// Network in detail.
	Preset      string          `help:"Network by name: ${presets}." default:"none" keyed:"false"`
	Width       int             `help:"mlp: units per layer." default:"128" unit:"units" only:"model=mlp"`
	Depth       int             `help:"mlp: hidden layers." default:"3" unit:"layers" only:"model=mlp"`
	Fourier     int             `help:"mlp: Fourier frequencies of t." default:"4" only:"model=mlp"`
	Channels    int             `help:"Base channels." default:"16" unit:"channels" only:"model=unet|classifier"`
	ChannelMult json.RawMessage `help:"unet: relative channels of each level." default:"[1,2,2]" only:"model=unet"`
	ResBlocks   int             `help:"unet: residual blocks per level." default:"1" only:"model=unet"`
	Groups      int             `help:"unet: groups of the normalisations." default:"8" only:"model=unet"`
	Attention   json.RawMessage `help:"unet: downsampling factors of attention levels." default:"[]" only:"model=unet"`
	Dropout     float64         `help:"unet: dropout of the residual blocks." default:"0" only:"model=unet"`

	HeadChannels int    `help:"unet: channels of an attention head; 0: one head." default:"0" only:"model=unet" min:"0"`
	Resample     string `help:"unet: how the image size changes." default:"pool" enum:"pool,conv" only:"model=unet"`
	TimeInput    string `help:"unet: how t enters a block." default:"scale" enum:"scale,add" only:"model=unet"`

	WRNDepth int  `help:"wrn: convolutions, 6n + 4." default:"10" unit:"layers" only:"model=wrn"`
	WRNWidth int  `help:"wrn: channels of the first stage, divided by 16." default:"1" only:"model=wrn"`
	Time     bool `help:"wrn: t is an input of the network." default:"true" negatable:"" only:"model=wrn"`
	Features int  `help:"classifier: dimensions of the feature vector." default:"64" only:"model=classifier"`

	// Measurements and execution; see also Snapshots.
	LogEvery        int `help:"Steps between metrics lines." default:"20" unit:"steps" min:"1" effect:"none"`
	VarianceBatches int `help:"Batches per time bin, for the variance." default:"8" min:"2" max:"1048576" effect:"none"`

	// VarianceEvery is the interval at which the gradient's variance is measured. FieldEvery is the interval at which the
	// field is compared with the closed form, if the data is from a mixture.
	VarianceEvery int `help:"${variance}" default:"0" unit:"steps" only:"${potential}" min:"0" effect:"none"`
	FieldEvery    int `help:"${field}" default:"0" unit:"steps" only:"${potential}" min:"0" effect:"none"`

	CheckpointEvery int   `help:"Steps between checkpoints." default:"200" unit:"steps" keyed:"false" min:"1"`
	DataCache       int64 `help:"Disk space for streamed data." default:"2147483648" unit:"bytes" keyed:"false" min:"0"`

	// Remat is not keyed. On the CPU, the results are bit for bit the same with and without it. On a GPU, results repeat
	// only with a tuning. A tuning is an input, so it is in the key, and it fits only one program: with Remat or without.
	Remat bool `help:"Recompute blocks to save memory." default:"false" keyed:"false" only:"model=unet|wrn"`

	PlanMemory bool `help:"Print a step's memory and the batch that fits; do not train." default:"false" keyed:"false"`

	Backend engine.Name `help:"Compute engine: ${engines}." default:"auto"`

	Snapshots watch.SnapshotParams `embed:""`
}

// Vars are the variables in the tags.
func (params) Vars() map[string]string {
	list := func(names []string) string { return strings.Join(names, ",") }
	return map[string]string{
		"objectives": list(homotopy.Objectives()),
		"schedules":  list(homotopy.Names()), "times": list(homotopy.TimeNames()), "weights": list(homotopy.WeightNames()),
		"presets":   strings.Join(slices.Sorted(maps.Keys(potential.Presets())), ", "),
		"potential": "model=mlp|unet|wrn",
		"variance":  "Interval of measurements of the gradient's variance; 0: none.",
		"field":     "Interval of comparisons of the field with the closed form; 0: none.",
		"reference": "Training samples with which the samples are compared.",
	}
}

// micro returns the number of micro-batches per step. Each micro-batch has p.rows() samples.
func (p *params) micro() int {
	if p.MicroBatch == 0 {
		return 1
	}
	return max(1, p.Batch/p.MicroBatch)
}

func (p *params) rows() int { return p.Batch / p.micro() }

func (p *params) optimiser() (optim.Config, error) {
	c := optim.Config{
		LearningRate: p.LearningRate, WarmupSteps: p.Warmup, Decay: p.Decay, HorizonSteps: p.Horizon,
		Beta1: p.Beta1, Beta2: p.Beta2, Epsilon: p.Epsilon, WeightDecay: p.WeightDecay,
		ClipNorm: p.ClipNorm, ClipStd: p.ClipStd,
		Accumulate: p.micro(), BatchImages: p.Batch,
	}
	if err := json.Unmarshal(p.EMAHalfLife, &c.EMAHalfLifeImages); err != nil {
		return c, fmt.Errorf("ema-half-life is %s, expected a list of sample counts such as [50000]", p.EMAHalfLife)
	}
	if err := json.Unmarshal(p.EMAProfiles, &c.EMAProfiles); err != nil {
		return c, fmt.Errorf("ema-profiles is %s, expected a list of relative standard deviations such as [0.05, 0.1]",
			p.EMAProfiles)
	}
	if p.EMASnapshotEvery > 0 && len(c.EMAProfiles) == 0 {
		return c, errors.New("ema-snapshot-every has no effect without ema-profiles, such as [0.05, 0.1]")
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
		LogEvery: int64(p.LogEvery), CheckpointEvery: int64(p.CheckpointEvery), AverageEvery: int64(p.EMASnapshotEvery),
	}
}

// wholeNumbers parses a JSON list of integers. name is the parameter's name, for errors.
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
		return fmt.Errorf("batch is %d and micro-batch is %d, expected 2 or more samples at once for the objective hybrid, "+
			"which needs standard deviations over them", p.Batch, p.MicroBatch)
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
	c := potential.Config{
		Kind: p.Model, Shape: shape, Schedule: p.Schedule, PriorStd: p.PriorStd, Output: homotopy.OutputOf(p.Objective),
	}
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
			Attention: attention, HeadChannels: p.HeadChannels, Dropout: p.Dropout,
			ConvResample: p.Resample == "conv", AddTime: p.TimeInput == "add",
		}
	}
	return c, c.Check()
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/feature"
	"vapo/lib/homotopy"
	"vapo/lib/optim"
	"vapo/lib/potential"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

type params struct {
	Model     string  `help:"Network: mlp (points), unet or wrn (images), classifier (labelled images)." default:"mlp" enum:"mlp,unet,wrn,classifier"`
	Objective string  `help:"Loss of a potential: matching (1/2 |grad Phi - v|², v the velocity of the path) or energy (the Deep Ritz form with the same minimiser and more variance)." default:"matching" enum:"matching,energy"`
	Schedule  string  `help:"Path from noise to data." default:"linear" enum:"linear,vapo"`
	PriorStd  float64 `help:"Standard deviation w of the prior." default:"1"`

	Steps int    `help:"Optimiser steps." default:"1000" unit:"steps"`
	Batch int    `help:"Samples a step." default:"64" unit:"samples"`
	Seed  uint64 `help:"Seed of the initial weights, batches, times and noise." default:"0"`
	Flip  bool   `help:"Mirror images at random." default:"false" negatable:""`

	LearningRate float64 `help:"Peak learning rate of Adam." default:"0.001"`
	Warmup       int     `help:"Steps over which the learning rate rises from 0." default:"100" unit:"steps"`
	Decay        string  `help:"Learning rate after the warm-up: constant, or cosine to 0 at the last step." default:"cosine" enum:"constant,cosine"`
	Beta1        float64 `name:"beta1" help:"Adam's decay of the first moment." default:"0.9"`
	Beta2        float64 `name:"beta2" help:"Adam's decay of the second moment." default:"0.999"`
	Epsilon      float64 `help:"Adam's epsilon." default:"1e-8"`
	ClipNorm     float64 `help:"Bound on the global gradient norm; 0: none." default:"1"`
	EMADecay     float64 `name:"ema-decay" help:"Decay of the weights' moving average, per step." default:"0.999"`

	Conditional  bool    `help:"Tell the network the label of every sample, so that it can be sampled by class." default:"false" negatable:""`
	LabelDropout float64 `help:"conditional: share of samples whose label is not told, so that the network serves without one, and guidance can compare." default:"0.1"`

	Preset      string          `help:"Network by name, instead of the parameters below: mlp-2d, mlp-tabular, unet-small, unet-32, unet-cifar10 (that of the released code), wrn-small, wrn-10-4, wrn-16-4, wrn-28-4." default:"none" keyed:"false"`
	Width       int             `help:"mlp: units a layer." default:"128" unit:"units"`
	Depth       int             `help:"mlp: hidden layers." default:"3" unit:"layers"`
	Fourier     int             `help:"mlp: Fourier frequencies of t." default:"4"`
	Channels    int             `help:"unet, classifier: channels of the first level." default:"16" unit:"channels"`
	ChannelMult json.RawMessage `help:"unet: channels of each level over those of the first, one level a number." default:"[1,2,2]"`
	ResBlocks   int             `help:"unet: residual blocks a level." default:"1"`
	Groups      int             `help:"unet: groups of the normalisations." default:"8"`
	Attention   json.RawMessage `help:"unet: downsampling factors (1, 2, 4, …) of the levels with attention." default:"[]"`
	Dropout     float64         `help:"unet: share of elements that the residual blocks drop in training." default:"0"`
	WRNDepth    int             `name:"wrn-depth" help:"wrn: convolutions, 6n + 4." default:"10" unit:"layers"`
	WRNWidth    int             `name:"wrn-width" help:"wrn: channels of the first stage over 16." default:"1"`
	Time        bool            `help:"wrn: tell the network t; without, it is one potential for all times." default:"true" negatable:""`
	Features    int             `help:"classifier: dimensions of the feature vector." default:"64"`

	LogEvery        int         `help:"Steps between metrics lines." default:"20" unit:"steps"`
	FieldEvery      int         `help:"Steps between comparisons with the closed-form field, for data from a known mixture; 0: none." default:"0" unit:"steps"`
	CheckpointEvery int         `help:"Steps between resumable checkpoints." default:"200" unit:"steps" keyed:"false"`
	Backend         engine.Name `help:"Compute engine: auto (a CUDA card, else the best on the CPU), tape, tape-openblas, tape-go, go, xla:cuda, xla:cpu or xla:/path/to/plugin.so; xla:cuda,tf32 and xla:cuda,bf16 multiply faster and less exactly." default:"auto"`

	Evaluate evaluateParams `embed:""`
}

var spec = stage.Stage[params]{
	Name:    "train",
	About:   "Train a potential whose gradient carries noise to data, or a classifier whose features score images.",
	Version: 4,
	Inputs: []stage.Port{
		{Name: "data", Media: stage.MediaArrow, Help: "training samples"},
		{Name: "test", Media: stage.MediaArrow, Help: "classifier: images for its accuracy", Optional: true},
		{Name: "features", Media: stage.MediaArrow, Help: "feature network of the scores of a potential in training, see eval and --sample-every; images only", Optional: true},
	},
	Outputs: []stage.Port{
		{Name: "checkpoint", Media: stage.MediaArrow, Help: "weights, their moving averages and the optimiser's state"},
		{Name: "metrics", Media: stage.MediaNDJSON, Help: "loss, gradient norms, field errors and scores by step"},
		{Name: "progress", Media: stage.MediaPNG, Help: "samples from the same noises through training, with --sample-every", Optional: true},
	},
	Auto:   map[string]func(*params) string{"backend": func(*params) string { return engine.Auto() }},
	Expand: expand,
	Check:  check,
	Run:    run,
	Commands: []stage.Command{
		{Name: "import", Help: "Make a checkpoint of weights that PyTorch or another framework has trained.", Cmd: &importCmd{}},
		{Name: "export", Help: "Write the weights of a potential as safetensors for other frameworks.", Cmd: &exportCmd{}},
	},
}

func (p *params) optimiser() optim.Config {
	return optim.Config{
		LearningRate: p.LearningRate, WarmupSteps: p.Warmup, Decay: p.Decay, HorizonSteps: p.Steps,
		Beta1: p.Beta1, Beta2: p.Beta2, Epsilon: p.Epsilon, ClipNorm: p.ClipNorm, EMADecay: p.EMADecay,
	}
}

// wholes reads a parameter that is a list of whole numbers.
func wholes(name string, raw json.RawMessage) ([]int, error) {
	var m []int
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%s is %s, expected a list of whole numbers such as [1, 2, 2]", name, raw)
	}
	return m, nil
}

// maxBatch is far above what is of use; it keeps sizes from overflowing.
const maxBatch = 1 << 20

// check is what can be said without the data.
func check(p *params) error {
	if p.Steps < 1 || p.Batch < 1 || p.LogEvery < 1 || p.CheckpointEvery < 1 || p.FieldEvery < 0 {
		return fmt.Errorf("steps, batch, log-every and checkpoint-every are %d, %d, %d and %d: expected 1 or more each, and field-every 0 or more", p.Steps, p.Batch, p.LogEvery, p.CheckpointEvery)
	}
	if p.Batch > maxBatch {
		return fmt.Errorf("batch is %d, expected at most %d", p.Batch, maxBatch)
	}
	if err := p.optimiser().Check(); err != nil {
		return err
	}
	if err := p.Evaluate.check(p.Model); err != nil {
		return err
	}
	if _, err := homotopy.Lookup(p.Schedule, p.PriorStd); err != nil {
		return err
	}
	if err := checkLabels(p); err != nil {
		return err
	}
	if p.Model == "classifier" {
		return p.classifierConfig([]int{1, 4, 4}, 2).Check()
	}
	// The smallest data that the network could be for, so that what remains to go wrong is the data's doing.
	shape := []int{1}
	switch p.Model {
	case "wrn":
		shape = []int{1, 4, 4}
	case "unet":
		mult, err := wholes("channel-mult", p.ChannelMult)
		if err != nil {
			return err
		}
		side := 1 << max(0, min(len(mult)-1, 15))
		shape = []int{1, side, side}
	}
	_, err := p.potentialConfig(shape)
	return err
}

func (p *params) classifierConfig(shape []int, classes int) feature.Classifier {
	return feature.Classifier{Shape: shape, Classes: classes, Channels: p.Channels, Features: p.Features}
}

// potentialConfig describes the network for samples of a shape.
func (p *params) potentialConfig(shape []int) (potential.Config, error) {
	c := potential.Config{Kind: p.Model, Shape: shape, Schedule: p.Schedule, PriorStd: p.PriorStd}
	switch p.Model {
	case "mlp":
		c.MLP = &potential.MLP{Width: p.Width, Depth: p.Depth, Fourier: p.Fourier}
	case "wrn":
		c.WRN = &potential.WRN{Depth: p.WRNDepth, Width: p.WRNWidth, Time: p.Time}
	default:
		mult, err := wholes("channel-mult", p.ChannelMult)
		if err != nil {
			return c, err
		}
		attention, err := wholes("attention", p.Attention)
		if err != nil {
			return c, err
		}
		c.UNet = &potential.UNet{Channels: p.Channels, Mult: mult, ResBlocks: p.ResBlocks, Groups: p.Groups, Attention: attention, Dropout: p.Dropout}
	}
	return c, c.Check()
}

func run(ctx context.Context, job *stage.Job, p *params) error {
	be, err := engine.Open(p.Backend)
	if err != nil {
		return err
	}
	engine.Record(job, be)
	data, err := readSet(ctx, job, "data")
	if err != nil {
		return err
	}
	var r runner
	if p.Model == "classifier" {
		r, err = newClassifierRun(ctx, job, be, p, data)
	} else {
		r, err = newPotentialRun(be, p, data)
	}
	if err != nil {
		return err
	}
	eval, err := newEvaluator(ctx, job, be, p, r, data.Len(), func(n int) (dataset.Set, error) { return data.Head(n), nil })
	if err != nil {
		return err
	}
	return engine.Explain(loop(ctx, job, p, r, eval))
}

func readSet(ctx context.Context, job *stage.Job, name string) (dataset.Set, error) {
	path, err := job.Input(ctx, name)
	if err != nil {
		return nil, err
	}
	set, err := dataset.Read(path)
	if err != nil {
		var format *tensorfile.FormatError
		if errors.As(err, &format) {
			return nil, stage.Fail(stage.ExitInput, "give an output of prep", "input %s: %w", name, err)
		}
		return nil, stage.Fail(stage.ExitInput, "", "input %s: %w", name, err)
	}
	if set.Len() == 0 {
		return nil, stage.Fail(stage.ExitInput, "", "input %s has no samples", name)
	}
	return set, nil
}

func images(set dataset.Set, model string) (*dataset.Images, error) {
	im, ok := set.(*dataset.Images)
	if !ok {
		return nil, stage.Fail(stage.ExitInput, "use --model mlp for points", "a %s needs images, the data are of shape %v", model, set.Shape())
	}
	return im, nil
}

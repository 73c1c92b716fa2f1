package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"vapo/lib/contract"
	"vapo/lib/engine"
	"vapo/lib/homotopy"
	"vapo/lib/potential"
	"vapo/lib/stage"
	"vapo/stages/train/internal/data"
	"vapo/stages/train/internal/watch"
)

// params are the parameters of a run. README.md describes them by theme.
type params struct {
	// Network and loss.
	Model     string  `help:"Network; classifier is for labelled images." default:"mlp" enum:"mlp,unet,wrn,classifier"`
	Objective string  `help:"Loss of a potential." default:"matching" enum:"matching,energy,hybrid" only:"${potential}"`
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
	Flip       bool   `help:"Mirror images at random." default:"false" negatable:""`

	// Optimiser.
	LearningRate float64 `help:"Peak learning rate of Adam." default:"0.001"`
	Warmup       int     `help:"Steps over which the learning rate rises from 0." default:"100" unit:"steps"`
	Decay        string  `help:"Learning rate after the warm-up." default:"cosine" enum:"constant,cosine"`
	Horizon      int     `help:"cosine: step of learning rate 0; 0: the last one." default:"0" unit:"steps" min:"0"`
	Beta1        float64 `name:"beta1" help:"Adam's decay of the first moment." default:"0.9"`
	Beta2        float64 `name:"beta2" help:"Adam's decay of the second moment." default:"0.999"`
	Epsilon      float64 `help:"Adam's epsilon." default:"1e-8"`
	WeightDecay  float64 `help:"AdamW's decay of all weights, times the learning rate; 0: Adam." default:"0"`
	ClipNorm     float64 `help:"Bound on the global gradient norm; 0: none." default:"1"`
	ClipStd      float64 `help:"Bound on the gradient's elements, in standard deviations; 0: none." default:"0"`
	SpikeFactor  float64 `help:"Skip steps whose gradient exceeds the median this often; 0: none." default:"0"`

	EMAHalfLife json.RawMessage `help:"Half-lives of moving averages of the weights." default:"[50000]" unit:"samples"`

	// Classes.
	Conditional  bool    `help:"Train with labels, to sample by class." default:"false" negatable:"" only:"${potential}"`
	LabelDropout float64 `help:"conditional: share trained without label." default:"0.1" only:"conditional=true"`

	// Network in detail.
	Preset      string          `help:"Network by name: ${presets}." default:"none" keyed:"false"`
	Width       int             `help:"mlp: units per layer." default:"128" unit:"units" only:"model=mlp"`
	Depth       int             `help:"mlp: hidden layers." default:"3" unit:"layers" only:"model=mlp"`
	Fourier     int             `help:"mlp: Fourier frequencies of t." default:"4" only:"model=mlp"`
	Channels    int             `help:"Base channels." default:"16" unit:"channels" only:"model=unet|classifier"`
	ChannelMult json.RawMessage `help:"unet: relative channels of each level." default:"[1,2,2]" only:"model=unet"`
	ResBlocks   int             `help:"unet: residual blocks per level." default:"1" only:"model=unet"`
	Groups      int             `help:"unet: groups of the normalisations." default:"8" only:"model=unet"`
	Attention   json.RawMessage `help:"unet: downsampling factors with attention." default:"[]" only:"model=unet"`
	Dropout     float64         `help:"unet: dropout of the residual blocks." default:"0" only:"model=unet"`

	WRNDepth int  `help:"wrn: convolutions, 6n + 4." default:"10" unit:"layers" only:"model=wrn"`
	WRNWidth int  `help:"wrn: channels of the first stage / 16." default:"1" only:"model=wrn"`
	Time     bool `help:"wrn: t is an input of the network." default:"true" negatable:"" only:"model=wrn"`
	Features int  `help:"classifier: dimensions of the feature vector." default:"64" only:"model=classifier"`

	// Measurements and execution; see also Snapshots.
	LogEvery        int `help:"Steps between metrics lines." default:"20" unit:"steps" min:"1" effect:"none"`
	VarianceBatches int `help:"Batches per bin of time in a measurement." default:"8" min:"2" max:"1048576" effect:"none"`

	// VarianceEvery measures the gradient's variance, FieldEvery compares with the closed form for data from a mixture.
	VarianceEvery int `help:"Steps per value; 0: none." default:"0" unit:"steps" only:"${potential}" min:"0" effect:"none"`
	FieldEvery    int `help:"Steps per check; 0: none." default:"0" unit:"steps" only:"${potential}" min:"0" effect:"none"`

	CheckpointEvery int   `help:"Steps between checkpoints." default:"200" unit:"steps" keyed:"false" min:"1"`
	DataCache       int64 `help:"Disk for streamed data." default:"2147483648" unit:"bytes" keyed:"false" min:"0"`

	Backend engine.Name `help:"Compute engine: ${engines}." default:"auto"`

	Snapshots watch.SnapshotParams `embed:""`
}

// Vars are the variables in the tags.
func (params) Vars() map[string]string {
	list := func(names []string) string { return strings.Join(names, ",") }
	return map[string]string{
		"schedules": list(homotopy.Names()), "times": list(homotopy.TimeNames()), "weights": list(homotopy.WeightNames()),
		"presets":   strings.Join(slices.Sorted(maps.Keys(potential.Presets())), ", "),
		"potential": "model=mlp|unet|wrn",
	}
}

var spec = stage.Stage[params]{
	Name:    "train",
	About:   "Train a potential whose gradient carries noise to data, or a classifier whose features score images.",
	Version: 6,
	Length:  "steps",
	Inputs: []contract.Port{
		{Name: "data", Media: contract.MediaArrow, Help: "training samples"},
		{Name: "test", Media: contract.MediaArrow, Help: "classifier: images for its accuracy", Optional: true},
		{
			Name: "features", Media: contract.MediaArrow, Optional: true,
			Help: "feature network of the scores of snapshots, see eval and --sample-every; images only",
		},
	},
	Outputs: []contract.Port{
		{Name: "checkpoint", Media: contract.MediaArrow, Help: "weights, their moving averages and the optimiser's state"},
		{
			Name: "metrics", Media: contract.MediaNDJSON,
			Help: "loss, gradient norms, field errors and scores by step; loss, velocity and spread by time",
		},
		{
			Name: "end", Media: contract.MediaJSON,
			Help: "what a longer run needs to continue this one, besides checkpoint and metrics: see --earlier",
		},
		{
			Name: "progress", Media: contract.MediaPNG, Optional: true,
			Help: "samples from the same noise at several steps of training, with --sample-every",
		},
	},
	Resolve: resolve,
	Engines: engine.Linked(),
	Run:     run,
	Commands: []stage.Command{
		{
			Name: "import", Cmd: &importCmd{},
			Help: "Make a checkpoint of weights that PyTorch or another framework has trained.",
		},
		{Name: "export", Help: "Write the weights of a potential as safetensors for other frameworks.", Cmd: &exportCmd{}},
	},
}

func run(ctx context.Context, job *stage.Job, p *params) error {
	be, err := engine.Open(p.Backend)
	if err != nil {
		return err
	}
	engine.Record(job, be)
	prepare := potentialLoop
	if p.Model == "classifier" {
		prepare = classifierLoop
	}
	src, err := data.Open(ctx, job, p.dataOptions())
	if err != nil {
		return err
	}
	defer src.Close()
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

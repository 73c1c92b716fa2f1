package main

import (
	"context"
	"encoding/json"

	"vapo/lib/contract"
	"vapo/lib/engine"
	"vapo/lib/stage"
	"vapo/stages/train/internal/data"
	"vapo/stages/train/internal/watch"
)

// params are the parameters of a run. README.md describes them by theme.
type params struct {
	// Network and loss.
	Model     string  `help:"Network: mlp (points), unet or wrn (images), classifier (labelled images)." default:"mlp" enum:"mlp,unet,wrn,classifier"`
	Objective string  `help:"Loss of a potential: matching, energy (same minimiser, more variance) or hybrid (the released code's; on linear only, another minimiser)." default:"matching" enum:"matching,energy,hybrid" only:"model=mlp|unet|wrn"`
	Schedule  string  `help:"Path from noise to data: linear, cosine, vapo (the paper's) or vp (that of variance-preserving diffusion)." default:"linear" enum:"linear,cosine,vapo,vp" only:"model=mlp|unet|wrn"`
	PriorStd  float64 `help:"Standard deviation w of the prior." default:"1" only:"model=mlp|unet|wrn"`

	// Training times.
	Times         string  `help:"Distribution of training times: uniform in the schedule's variable, log-uniform in t, or logit-normal." default:"uniform" enum:"uniform,log-uniform,logit-normal" only:"model=mlp|unet|wrn"`
	TimesLocation float64 `help:"logit-normal: mean of the logit; above 0 is nearer to the data." default:"0" only:"times=logit-normal"`
	TimesScale    float64 `help:"logit-normal: standard deviation of the logit." default:"1" only:"times=logit-normal"`
	Weight        string  `help:"Weight of the loss by time: auto, none, sigma (sigma/w) or velocity (1/velocity²)." default:"auto" enum:"auto,none,sigma,velocity" only:"model=mlp|unet|wrn"`

	// Steps and batches.
	Steps      int    `help:"Optimiser steps. A run can continue a shorter one that differs in nothing else." default:"1000" unit:"steps" min:"1"`
	Batch      int    `help:"Samples per step." default:"64" unit:"samples" min:"1" max:"1048576"`
	MicroBatch int    `help:"Samples computed at once, a divisor of batch, for less memory; 0: the whole batch." default:"0" unit:"samples" min:"0"`
	Seed       uint64 `help:"Seed of the initial weights, batches, times and noise." default:"0"`
	Flip       bool   `help:"Mirror images at random." default:"false" negatable:""`

	// Optimiser.
	LearningRate float64 `help:"Peak learning rate of Adam." default:"0.001"`
	Warmup       int     `help:"Steps over which the learning rate rises from 0." default:"100" unit:"steps"`
	Decay        string  `help:"Learning rate after the warm-up: constant, or cosine to 0 at the horizon." default:"cosine" enum:"constant,cosine"`
	Horizon      int     `help:"cosine: step at which the learning rate is 0; 0: the last one. A run can only continue one with the same horizon." default:"0" unit:"steps" min:"0"`
	Beta1        float64 `name:"beta1" help:"Adam's decay of the first moment." default:"0.9"`
	Beta2        float64 `name:"beta2" help:"Adam's decay of the second moment." default:"0.999"`
	Epsilon      float64 `help:"Adam's epsilon." default:"1e-8"`
	WeightDecay  float64 `help:"AdamW's decay of all weights, times the learning rate; 0: Adam." default:"0"`
	ClipNorm     float64 `help:"Bound on the global gradient norm; 0: none." default:"1"`
	ClipStd      float64 `help:"Bound on each element of the gradient, in its standard deviations, plus 0.1; 0: none." default:"0"`
	SpikeFactor  float64 `help:"Skip steps whose gradient norm exceeds the recent median by this factor; 0: skip none." default:"0"`

	EMAHalfLife json.RawMessage `name:"ema-half-life" help:"Half-lives of moving averages of the weights, a list; samples are drawn from the first." default:"[50000]" unit:"samples"`

	// Classes.
	Conditional  bool    `help:"Train with labels, to sample by class." default:"false" negatable:"" only:"model=mlp|unet|wrn"`
	LabelDropout float64 `help:"conditional: share of samples trained without their label, for guidance." default:"0.1" only:"conditional=true"`

	// Network in detail.
	Preset      string          `help:"Network by name: mlp-2d, mlp-tabular, unet-small, unet-32, unet-cifar10 (the released code's), wrn-small, wrn-10-4, wrn-16-4, wrn-28-4." default:"none" keyed:"false"`
	Width       int             `help:"mlp: units per layer." default:"128" unit:"units" only:"model=mlp"`
	Depth       int             `help:"mlp: hidden layers." default:"3" unit:"layers" only:"model=mlp"`
	Fourier     int             `help:"mlp: Fourier frequencies of t." default:"4" only:"model=mlp"`
	Channels    int             `help:"unet, classifier: channels of the first level." default:"16" unit:"channels" only:"model=unet|classifier"`
	ChannelMult json.RawMessage `help:"unet: channels of each level relative to the first, a list." default:"[1,2,2]" only:"model=unet"`
	ResBlocks   int             `help:"unet: residual blocks per level." default:"1" only:"model=unet"`
	Groups      int             `help:"unet: groups of the normalisations." default:"8" only:"model=unet"`
	Attention   json.RawMessage `help:"unet: downsampling factors (1, 2, 4, …) with attention." default:"[]" only:"model=unet"`
	Dropout     float64         `help:"unet: dropout of the residual blocks." default:"0" only:"model=unet"`
	WRNDepth    int             `name:"wrn-depth" help:"wrn: convolutions, 6n + 4." default:"10" unit:"layers" only:"model=wrn"`
	WRNWidth    int             `name:"wrn-width" help:"wrn: channels of the first stage, divided by 16." default:"1" only:"model=wrn"`
	Time        bool            `help:"wrn: t is an input of the network. Without it, one potential serves all times." default:"true" negatable:"" only:"model=wrn"`
	Features    int             `help:"classifier: dimensions of the feature vector." default:"64" only:"model=classifier"`

	// Measurements and execution; see also Snapshots.
	LogEvery        int         `help:"Steps between metrics lines." default:"20" unit:"steps" min:"1" effect:"none"`
	VarianceEvery   int         `help:"Steps between measurements of the gradient's variance; 0: none." default:"0" unit:"steps" only:"model=mlp|unet|wrn" min:"0" effect:"none"`
	VarianceBatches int         `help:"Batches per bin of time in a measurement." default:"8" min:"2" max:"1048576" effect:"none"`
	FieldEvery      int         `help:"Steps between comparisons with the closed form, for data from a mixture; 0: none." default:"0" unit:"steps" only:"model=mlp|unet|wrn" min:"0" effect:"none"`
	CheckpointEvery int         `help:"Steps between resumable checkpoints." default:"200" unit:"steps" keyed:"false" min:"1"`
	DataCache       int64       `help:"Bytes on local disk for streaming large data from the store; 0: none." default:"2147483648" unit:"bytes" keyed:"false" min:"0"`
	Backend         engine.Name `help:"Compute engine: ${engines}." default:"auto"`

	Snapshots watch.SnapshotParams `embed:""`
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

package main

import (
	"context"
	"encoding/json"
	"errors"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/stage"
	"vapo/lib/tensorfile"
)

type params struct {
	Model     string  `help:"Network: mlp (points), unet or wrn (images), classifier (labelled images)." default:"mlp" enum:"mlp,unet,wrn,classifier"`
	Objective string  `help:"Loss of a potential: matching (1/2 |grad Phi - v|², v the velocity of the path), energy (the Deep Ritz form with the same minimiser and more variance) or hybrid (that of the released code, on the linear schedule only; it has another minimiser)." default:"matching" enum:"matching,energy,hybrid" only:"model=mlp|unet|wrn"`
	Schedule  string  `help:"Path from noise to data: linear, cosine, vapo (the paper's, which goes on beyond t = 1) or vp (the variance-preserving diffusion's)." default:"linear" enum:"linear,cosine,vapo,vp" only:"model=mlp|unet|wrn"`
	PriorStd  float64 `help:"Standard deviation w of the prior." default:"1" only:"model=mlp|unet|wrn"`

	Times         string  `help:"Distribution of training times: uniform in the schedule's own variable, log-uniform in t, or logit-normal." default:"uniform" enum:"uniform,log-uniform,logit-normal" only:"model=mlp|unet|wrn"`
	TimesLocation float64 `help:"logit-normal times: mean of the logit; above 0 is nearer to the data." default:"0" only:"times=logit-normal"`
	TimesScale    float64 `help:"logit-normal times: standard deviation of the logit." default:"1" only:"times=logit-normal"`
	Weight        string  `help:"Weight of the loss by time: auto (what suits objective and schedule), none, sigma (sigma/w) or velocity (one over the velocity's square)." default:"auto" enum:"auto,none,sigma,velocity" only:"model=mlp|unet|wrn"`

	Steps      int    `help:"Optimiser steps. A run goes on from a shorter one that differs in nothing else." default:"1000" unit:"steps" min:"1"`
	Batch      int    `help:"Samples a step." default:"64" unit:"samples" min:"1" max:"1048576"`
	MicroBatch int    `help:"Samples computed at once, a divisor of batch: gradients of the parts are added up, in less memory; 0: the whole batch." default:"0" unit:"samples" min:"0"`
	Seed       uint64 `help:"Seed of the initial weights, batches, times and noise." default:"0"`
	Flip       bool   `help:"Mirror images at random." default:"false" negatable:""`

	LearningRate float64 `help:"Peak learning rate of Adam." default:"0.001"`
	Warmup       int     `help:"Steps over which the learning rate rises from 0." default:"100" unit:"steps"`
	Decay        string  `help:"Learning rate after the warm-up: constant, or cosine to 0 at the horizon." default:"cosine" enum:"constant,cosine"`
	Horizon      int     `help:"cosine: the step at which the learning rate is 0; 0: the last one. Given, it lets a longer run go on from a shorter one." default:"0" unit:"steps" min:"0"`
	Beta1        float64 `name:"beta1" help:"Adam's decay of the first moment." default:"0.9"`
	Beta2        float64 `name:"beta2" help:"Adam's decay of the second moment." default:"0.999"`
	Epsilon      float64 `help:"Adam's epsilon." default:"1e-8"`
	WeightDecay  float64 `help:"AdamW's decay of all weights, times the learning rate; 0: Adam." default:"0"`
	ClipNorm     float64 `help:"Bound on the global gradient norm; 0: none." default:"1"`
	ClipStd      float64 `help:"Bound on each element of the gradient, in its standard deviations so far and 0.1 more (the released code: 3); 0: none." default:"0"`
	SpikeFactor  float64 `help:"Skip a step whose gradient norm is more than so many times the median of the last 100; 0: none." default:"0"`

	EMAHalfLife json.RawMessage `name:"ema-half-life" help:"Half-lives of the weights' moving averages, one each; the first is the one that samples are drawn from." default:"[50000]" unit:"samples"`

	Conditional  bool    `help:"Tell the network the label of every sample, so that it can be sampled by class." default:"false" negatable:"" only:"model=mlp|unet|wrn"`
	LabelDropout float64 `help:"conditional: share of samples whose label is not told, so that the network serves without one, and guidance can compare." default:"0.1" only:"conditional=true"`

	Preset      string          `help:"Network by name, instead of the parameters below: mlp-2d, mlp-tabular, unet-small, unet-32, unet-cifar10 (that of the released code), wrn-small, wrn-10-4, wrn-16-4, wrn-28-4." default:"none" keyed:"false"`
	Width       int             `help:"mlp: units a layer." default:"128" unit:"units" only:"model=mlp"`
	Depth       int             `help:"mlp: hidden layers." default:"3" unit:"layers" only:"model=mlp"`
	Fourier     int             `help:"mlp: Fourier frequencies of t." default:"4" only:"model=mlp"`
	Channels    int             `help:"unet, classifier: channels of the first level." default:"16" unit:"channels" only:"model=unet|classifier"`
	ChannelMult json.RawMessage `help:"unet: channels of each level over those of the first, one level a number." default:"[1,2,2]" only:"model=unet"`
	ResBlocks   int             `help:"unet: residual blocks a level." default:"1" only:"model=unet"`
	Groups      int             `help:"unet: groups of the normalisations." default:"8" only:"model=unet"`
	Attention   json.RawMessage `help:"unet: downsampling factors (1, 2, 4, …) of the levels with attention." default:"[]" only:"model=unet"`
	Dropout     float64         `help:"unet: share of elements that the residual blocks drop in training." default:"0" only:"model=unet"`
	WRNDepth    int             `name:"wrn-depth" help:"wrn: convolutions, 6n + 4." default:"10" unit:"layers" only:"model=wrn"`
	WRNWidth    int             `name:"wrn-width" help:"wrn: channels of the first stage over 16." default:"1" only:"model=wrn"`
	Time        bool            `help:"wrn: tell the network t; without, it is one potential for all times." default:"true" negatable:"" only:"model=wrn"`
	Features    int             `help:"classifier: dimensions of the feature vector." default:"64" only:"model=classifier"`

	LogEvery        int         `help:"Steps between metrics lines." default:"20" unit:"steps" min:"1" effect:"none"`
	VarianceEvery   int         `help:"Steps between measurements of the gradient's variance by time; 0: none." default:"0" unit:"steps" only:"model=mlp|unet|wrn" min:"0" effect:"none"`
	VarianceBatches int         `help:"Batches of each bin of time in such a measurement." default:"8" min:"2" max:"1048576" effect:"none"`
	FieldEvery      int         `help:"Steps between comparisons with the closed-form field, for data from a known mixture; 0: none." default:"0" unit:"steps" only:"model=mlp|unet|wrn" min:"0" effect:"none"`
	CheckpointEvery int         `help:"Steps between resumable checkpoints." default:"200" unit:"steps" keyed:"false" min:"1"`
	DataCache       int64       `help:"Bytes on local disk for data that are in the store and larger than memory should hold: smaller ones are fetched whole, of larger ones the parts needed next are kept; 0: none." default:"2147483648" unit:"bytes" keyed:"false" min:"0"`
	Backend         engine.Name `help:"Compute engine: auto (a CUDA card, else tape), tape (the CPU), go, xla:cuda, xla:cpu or xla:/path/to/plugin.so; xla:cuda,tf32 and xla:cuda,bf16 multiply faster and less exactly." default:"auto"`

	Evaluate evaluateParams `embed:""`
}

var spec = stage.Stage[params]{
	Name:    "train",
	About:   "Train a potential whose gradient carries noise to data, or a classifier whose features score images.",
	Version: 6,
	Length:  "steps",
	Inputs: []contract.Port{
		{Name: "data", Media: contract.MediaArrow, Help: "training samples"},
		{Name: "test", Media: contract.MediaArrow, Help: "classifier: images for its accuracy", Optional: true},
		{Name: "features", Media: contract.MediaArrow, Help: "feature network of the scores of a potential in training, see eval and --sample-every; images only", Optional: true},
	},
	Outputs: []contract.Port{
		{Name: "checkpoint", Media: contract.MediaArrow, Help: "weights, their moving averages and the optimiser's state"},
		{Name: "metrics", Media: contract.MediaNDJSON, Help: "loss, gradient norms, field errors and scores by step, and loss, velocity and spread by time"},
		{Name: "end", Media: contract.MediaJSON, Help: "what a longer run needs to go on from this one, beside checkpoint and metrics: see --earlier"},
		{Name: "progress", Media: contract.MediaPNG, Help: "samples from the same noises through training, with --sample-every", Optional: true},
	},
	Resolve: resolve,
	Engines: engine.Linked(),
	Run:     run,
	Commands: []stage.Command{
		{Name: "import", Help: "Make a checkpoint of weights that PyTorch or another framework has trained.", Cmd: &importCmd{}},
		{Name: "export", Help: "Write the weights of a potential as safetensors for other frameworks.", Cmd: &exportCmd{}},
	},
}

func run(ctx context.Context, job *stage.Job, p *params) error {
	be, err := engine.Open(p.Backend)
	if err != nil {
		return err
	}
	engine.Record(job, be)
	open := openData
	if p.Model == "classifier" {
		open = wholeData
	}
	data, err := open(ctx, job, p)
	if err != nil {
		return err
	}
	defer data.close()
	var r runner
	if p.Model == "classifier" {
		r, err = newClassifierRun(ctx, job, be, p, data)
	} else {
		r, err = newPotentialRun(be, p, data)
	}
	if err != nil {
		return err
	}
	t := &trainer{job: job, p: p, r: r}
	if pr, ok := r.(*potentialRun); ok {
		if t.eval, err = newEvaluator(ctx, job, be, p, pr, data); err != nil {
			return err
		}
		if p.VarianceEvery > 0 {
			if t.variance, err = newVarianceProbe(be, p, pr, data); err != nil {
				return err
			}
		}
	}
	if err := t.loop(ctx); err != nil {
		return engine.Explain(err)
	}
	data.record(job)
	return nil
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
			return nil, badData(name, err)
		}
		return nil, failure.New(failure.Input, "", "input %s: %w", name, err)
	}
	if set.Len() == 0 {
		return nil, failure.New(failure.Input, "", "input %s has no samples", name)
	}
	return set, nil
}

func images(set dataset.Set, model string) (*dataset.Images, error) {
	im, ok := set.(*dataset.Images)
	if !ok {
		return nil, failure.New(failure.Input, "use --model mlp for points", "a %s needs images, the data are of shape %v", model, set.Shape())
	}
	return im, nil
}

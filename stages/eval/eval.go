package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"vapo/lib/backend"
	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/preview"
	"vapo/lib/stage"
)

type params struct {
	N           int `help:"Points in each set of a pair; points only." default:"10000" unit:"points" min:"2"`
	Pairs       int `help:"Pairs of sets whose distances are averaged; points only." default:"8" min:"1" max:"10000"`
	Projections int `help:"Directions of the sliced Wasserstein distance." default:"128" min:"1" max:"10000"`

	Panel      int `help:"Samples shown with their nearest images." default:"16" unit:"images" min:"1" effect:"none"`
	Neighbours int `help:"Nearest images shown under each sample." default:"3" unit:"images" min:"1" effect:"none"`
	Compared   int `help:"Samples compared with their nearest images." default:"500" unit:"images" min:"1" effect:"none"`

	Measures measures `embed:""`

	Baselines    bool    `help:"Also score a per-pixel Gaussian and the test images." default:"true" negatable:""`
	OODTime      float64 `name:"ood-time" help:"Time of the path, in (0, 1), at which outliers are scored." default:"0.5"`
	OODN         int     `name:"ood-n" help:"Number of inliers, and of outliers." default:"1000" unit:"rows" min:"2"`
	PathPoints   int     `help:"Images on each path in the input paths." default:"10" unit:"images" min:"3" effect:"none"`
	KeepFeatures bool    `help:"Write the reference's features, for later runs." effect:"none"`
	Seed         uint64  `help:"Seed of directions, baselines and fresh data." default:"0"`

	Backend engine.Name `help:"Compute engine of the feature network, see sample --help." default:"auto"`
}

// measures configure the Inception network and select the metrics.
type measures struct {
	Tap    int            `help:"Inception's layer: 64, 192, 768, 1280 or 2048 channels, or 1008 logits." default:"2048"`
	Resize feature.Resize `help:"Resize convention." enum:"pytorch-fid,tf1,clean" default:"pytorch-fid"`

	Metrics string `help:"all, none, or a list of interval,fid-infinity,kid,inception-score,manifold." default:"all"`
}

// selection validates the parameters and returns the selected metrics.
func (m measures) selection() (metricSelection, error) {
	if !slices.Contains(feature.Taps, m.Tap) {
		return metricSelection{}, fmt.Errorf("tap is %d; it must be one of %v", m.Tap, feature.Taps)
	}
	return parseMetrics(m.Metrics)
}

// open opens the feature network in a file. If a metric needs the logits, the network computes them too.
func (m measures) open(path, digest string, metrics metricSelection, be backend.Backend) (*feature.Extractor, error) {
	o := feature.Options{Tap: m.Tap, Resize: m.Resize}
	o.Logits, o.LogitsOptional = metrics.logits(m.Tap)
	return feature.Open(be, path, digest, o)
}

// opener opens the engine on its first call, so that scores that need no engine do not open one.
type opener func() (backend.Backend, error)

func openerFor(ctx context.Context, job *stage.Job, p *params) opener {
	return sync.OnceValues(func() (backend.Backend, error) { return engine.OpenFor(ctx, job, p.Backend) })
}

const (
	samplesHelp   = "the images or points to measure; or an .npz of images (arr_0)"
	referenceHelp = "the data that samples are compared with, usually the training split; or features, or an .npz " +
		"of images (arr_0) or moments (mu, sigma)"
	networkHelp = "feature network for images: a classifier's checkpoint, or Inception's weights (.pth or .safetensors)"
)

var spec = stage.Stage[params]{
	Name:    "eval",
	About:   "Measure samples against data, with baselines to interpret the result.",
	Version: 5,
	Inputs: []contract.Port{
		{Name: "samples", Media: contract.MediaArrow, Help: samplesHelp, Subject: true},
		{Name: "reference", Media: contract.MediaArrow, Help: referenceHelp},
		{Name: "test", Media: contract.MediaArrow, Optional: true, Help: "held-out data, for baselines and neighbours"},
		{Name: "features", Media: contract.MediaArrow, Optional: true, Help: networkHelp},
		{Name: "checkpoint", Media: contract.MediaArrow, Optional: true, Help: "a potential that detects the outliers"},
		{Name: "outliers", Media: contract.MediaArrow, Optional: true, Help: "data of another distribution"},
		{Name: "paths", Media: contract.MediaArrow, Optional: true, Help: "images on paths between samples"},
		stage.Tuning,
	},
	Outputs: []contract.Port{
		{Name: "score", Media: contract.MediaJSON, Score: true, Help: "the distance, with the facts needed to interpret it"},
		{Name: "neighbours", Media: contract.MediaPNG, Optional: true, Help: "samples above their nearest training images"},
		{Name: "reference", Media: contract.MediaPNG, Optional: true, Beside: "grid", Help: "some images of the reference"},
		{Name: "statistics", Media: contract.MediaNPZ, Optional: true, Help: "the reference's moments (mu, sigma)"},
		{Name: "features", Media: contract.MediaArrow, Optional: true, Help: "reference features: see --keep-features"},
	},
	Resolve: resolve,
	Pure:    func(p *params) bool { return engine.Pure(p.Backend) },
	Tune:    func(*params) {},
	Engines: engine.Linked(),
	Run:     run,
	Shard:   runShard,
	Commands: []stage.Command{
		{Name: "folders", Help: "Score two folders of PNG or JPEG images; no store needed.", Cmd: &foldersCmd{}},
		{Name: "features", Help: "Compute and cache the Inception features of a set or a shard.", Cmd: &extractCmd{}},
		{Name: "weights", Help: "Download Inception's weights, or import them into the store.", Cmd: &weightsCmd{}},
	},
}

func resolve(p *params, _ stage.Given) error {
	p.Backend = engine.Auto(p.Backend)
	if !(p.OODTime > 0 && p.OODTime < 1) {
		return fmt.Errorf("ood-time is %v; it must lie between 0 and 1", p.OODTime)
	}
	_, err := p.Measures.selection()
	return err
}

func run(ctx context.Context, job *stage.Job, p *params) error {
	samples, samplePoints, err := readInput(ctx, job, "samples")
	if err != nil {
		return err
	}
	reference, referencePoints, err := readInput(ctx, job, "reference")
	if err != nil {
		return err
	}
	if job.HasInput("checkpoint") != job.HasInput("outliers") {
		return failure.New(failure.Input, "give both or neither", "one of the inputs checkpoint and outliers is missing")
	}
	open := openerFor(ctx, job, p)
	var s *score
	switch {
	case (samplePoints == nil) != (referencePoints == nil):
		err = failure.New(failure.Input, sameKind,
			"one of the inputs samples and reference holds points and the other does not")
	case samplePoints != nil:
		s, err = scorePointInputs(ctx, job, p, open, samplePoints, referencePoints)
	default:
		s, err = scoreImages(ctx, job, p, open, samples, reference)
	}
	if err != nil {
		return err
	}
	if s.Warnings == nil {
		s.Warnings = []string{} // encoded as [], not null
	}
	for _, w := range s.Warnings {
		job.Warn("%s", w)
	}
	job.Set("headline", s.Headline)
	job.Summary("%s", s.Headline)
	job.Set("value", s.Value)
	return job.Output(ctx, "score", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	})
}

const sameKind = "give sets of the same kind (images or points) and of the same shape"

// readInput opens an input of the stage. It returns an imageSet or points; the other is nil.
func readInput(ctx context.Context, job *stage.Job, name string) (*imageSet, *dataset.Points, error) {
	path, err := job.Input(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return openSet("input "+name, path)
}

func scorePointInputs(
	ctx context.Context, job *stage.Job, p *params, open opener, samples, reference *dataset.Points,
) (*score, error) {
	if job.HasInput("paths") {
		return nil, failure.New(failure.Input, "leave out the input paths", "input paths is for images, not for points")
	}
	if job.HasInput("features") {
		return nil, failure.New(failure.Input, "leave out the input features",
			"points are compared directly, without a feature network")
	}
	if job.HasInput("test") {
		return nil, failure.New(failure.Input, "leave out the input test",
			"input test is for images: the baseline of points compares two sets of data")
	}
	if !p.Baselines {
		return nil, failure.New(failure.Usage, "leave out --no-baselines",
			"no-baselines is for images: the distance of points is always compared with that of data against data")
	}
	metrics, err := p.Measures.selection()
	if err != nil {
		return nil, err
	}
	if !metrics.all && len(metrics.names) > 0 {
		return nil, unmeasurable(metrics.names[0], "points are compared, without a feature network")
	}
	if samples.D != reference.D {
		return nil, shapeMismatch("input samples", samples, "input reference", reference)
	}
	s, err := scorePoints(ctx, p, samples, reference)
	if err != nil {
		return nil, err
	}
	if s.OOD, err = scoreOutliers(ctx, job, p, open, reference, splitName(reference.Name, reference.Split)); err != nil {
		return nil, err
	}
	plain := *reference
	plain.Labels = nil // unlabelled samples are drawn in one colour, and the two pictures should look alike
	return s, job.Output(ctx, "reference", func(w io.Writer) error { return preview.Set(w, &plain) })
}

func shapeMismatch(labelA string, a dataset.Set, labelB string, b dataset.Set) error {
	return failure.New(failure.Input, sameKind, "%s holds rows of shape %v, %s of shape %v",
		labelA, a.Shape(), labelB, b.Shape())
}

// splitName returns the name under which a score lists a data set and split.
func splitName(name, split string) string {
	if both := strings.TrimSpace(name + " " + split); both != "" {
		return both
	}
	return unnamed
}

const unnamed = "unnamed data"

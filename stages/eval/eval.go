package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/feature"
	"vapo/lib/report/preview"
	"vapo/lib/stage"
)

type params struct {
	N           int            `help:"Points on each side of a pair; points only." default:"10000" unit:"points"`
	Pairs       int            `help:"Pairs of sets whose distances are averaged; points only." default:"8"`
	Projections int            `help:"Directions of the sliced distance." default:"128"`
	Panel       int            `help:"Samples shown with their nearest training images; images only." default:"16" unit:"images"`
	Neighbours  int            `help:"Nearest training images shown under each sample." default:"3" unit:"images"`
	Compared    int            `help:"Samples whose distance to the nearest training image is compared with that of test images." default:"500" unit:"images"`
	Tap         int            `help:"Channels of the layer of Inception whose features are compared: 64, 192, 768, 1280, 2048, or 1008 for the logits." default:"2048"`
	Resize      feature.Resize `help:"How images are brought to Inception's size: ${enum}." enum:"pytorch-fid,tf1,clean" default:"pytorch-fid"`
	Seed        uint64         `help:"Seed of directions, baselines and fresh data." default:"0"`
	Backend     engine.Name    `help:"Compute engine of the feature network, see sample --help." default:"auto"`
}

var spec = stage.Stage[params]{
	Name:    "eval",
	About:   "Measure samples against data, beside baselines that say what the number means.",
	Version: 3,
	Inputs: []stage.Port{
		{Name: "samples", Media: stage.MediaArrow, Help: "what is measured, images or points"},
		{Name: "reference", Media: stage.MediaArrow, Help: "the data it is measured against, usually the training split"},
		{Name: "test", Media: stage.MediaArrow, Help: "held-out data, for the floor and for nearest neighbours", Optional: true},
		{Name: "features", Media: stage.MediaArrow, Help: "feature network, a classifier's checkpoint or Inception's weights (.pth); images only", Optional: true},
	},
	Outputs: []stage.Port{
		{Name: "score", Media: stage.MediaJSON, Help: "the number, with N, reference split, feature network and baselines"},
		{Name: "neighbours", Media: stage.MediaPNG, Help: "samples above the training images nearest to them", Optional: true},
		{Name: "reference", Media: stage.MediaPNG, Help: "real data, to see beside the samples"},
	},
	Auto:     map[string]func(*params) string{"backend": func(*params) string { return engine.Auto() }},
	Check:    check,
	Run:      run,
	Commands: []stage.Command{{Name: "folders", Help: "Score two folders of PNG or JPEG images; no store needed.", Cmd: &foldersCmd{}}},
}

// Bounds far above what is of use, which keep a slip of the finger from computing for years.
const (
	maxProjections = 10000
	maxPairs       = 10000
)

func check(p *params) error {
	if p.Projections > maxProjections || p.Pairs > maxPairs {
		return fmt.Errorf("projections and pairs are %d and %d; they must be at most %d and %d", p.Projections, p.Pairs, maxProjections, maxPairs)
	}
	if !slices.Contains(feature.Taps, p.Tap) {
		return fmt.Errorf("tap is %d; it must be one of %v", p.Tap, feature.Taps)
	}
	for _, c := range []struct {
		name     string
		v, least int
	}{{"n", p.N, 2}, {"pairs", p.Pairs, 1}, {"projections", p.Projections, 1}, {"panel", p.Panel, 1}, {"neighbours", p.Neighbours, 1}, {"compared", p.Compared, 1}} {
		if c.v < c.least {
			return fmt.Errorf("%s is %d; it must be at least %d", c.name, c.v, c.least)
		}
	}
	return nil
}

// A score is a number and what makes it a result. It is the output of the stage; reports read the first eight
// fields of any score, and show the others by name.
type score struct {
	Headline  string             `json:"headline"`
	Metric    string             `json:"metric"`
	Value     float64            `json:"value"`
	N         []int              `json:"n"`         // samples, reference
	Reference string             `json:"reference"` // data set and split
	Features  string             `json:"features,omitempty"`
	Baselines map[string]float64 `json:"baselines"`
	Warnings  []string           `json:"warnings"`

	MeanTerm float64 `json:"mean_term,omitempty"` // of the Fréchet distance
	CovTerm  float64 `json:"covariance_term,omitempty"`

	Ratio       float64    `json:"ratio_to_data_against_data,omitempty"` // of the sliced distance
	Pairs       int        `json:"pairs,omitempty"`
	Projections int        `json:"projections,omitempty"`
	Nearest     *nearScore `json:"nearest_training_image,omitempty"`
}

// A nearScore compares how near samples and test images are to the training set, in pixel space: L2 over grey
// levels 0..255.
type nearScore struct {
	Compared      int     `json:"compared"`
	SamplesMedian float64 `json:"samples_median"`
	SamplesLeast  float64 `json:"samples_least"`
	TestMedian    float64 `json:"test_median,omitempty"`
	TestLeast     float64 `json:"test_least,omitempty"`
	Copies        int     `json:"copies"` // samples equal to a training image, pixel by pixel
}

func (s *score) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

func run(ctx context.Context, job *stage.Job, p *params) error {
	samples, err := read(ctx, job, "samples")
	if err != nil {
		return err
	}
	reference, err := read(ctx, job, "reference")
	if err != nil {
		return err
	}
	var test dataset.Set
	if job.HasInput("test") {
		if test, err = read(ctx, job, "test"); err != nil {
			return err
		}
	}
	for name, set := range map[string]dataset.Set{"reference": reference, "test": test} {
		if set != nil && fmt.Sprint(set.Shape()) != fmt.Sprint(samples.Shape()) {
			return stage.Fail(stage.ExitInput, "samples are measured against data of their own kind and size",
				"input samples holds rows of shape %v, input %s of shape %v", samples.Shape(), name, set.Shape())
		}
	}
	var s *score
	switch samples := samples.(type) {
	case *dataset.Images:
		testImages, _ := test.(*dataset.Images)
		s, err = scoreImages(ctx, job, p, samples, reference.(*dataset.Images), testImages)
		err = engine.Explain(err)
	case *dataset.Points:
		if job.HasInput("features") {
			return stage.Fail(stage.ExitInput, "leave out the input features", "points are compared as they are, without a feature network")
		}
		if s, err = scorePoints(ctx, p, samples, reference.(*dataset.Points)); err == nil {
			real := *reference.(*dataset.Points)
			real.Labels = nil // samples have none: in one colour the two pictures compare
			err = job.Output(ctx, "reference", func(w io.Writer) error { return preview.PNG(w, &real) })
		}
	default:
		err = stage.Fail(stage.ExitInput, "", "input samples holds neither images nor points")
	}
	if err != nil {
		return err
	}
	if s.Warnings == nil {
		s.Warnings = []string{} // a list in every score
	}
	for _, w := range s.Warnings {
		job.Warn("%s", w)
	}
	job.Set("headline", s.Headline)
	job.Set("value", s.Value)
	return job.Output(ctx, "score", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	})
}

// read opens an input as a data set.
func read(ctx context.Context, job *stage.Job, name string) (dataset.Set, error) {
	path, err := job.Input(ctx, name)
	if err != nil {
		return nil, err
	}
	set, err := dataset.Read(path)
	if err != nil {
		return nil, stage.Fail(stage.ExitInput, "inputs are tensor files as prep and sample write them", "input %s: %w", name, err)
	}
	if set.Len() < 2 {
		return nil, stage.Fail(stage.ExitInput, "", "input %s holds %d rows; at least 2 are needed", name, set.Len())
	}
	return set, nil
}

// splitName is what a reference is called in a score.
func splitName(name, split string) string {
	if both := strings.TrimSpace(name + " " + split); both != "" {
		return both
	}
	return "unnamed data"
}

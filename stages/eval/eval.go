package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/preview"
	"vapo/lib/stage"
)

type params struct {
	N            int            `help:"Points on each side of a pair; points only." default:"10000" unit:"points" min:"2"`
	Pairs        int            `help:"Pairs of sets whose distances are averaged; points only." default:"8" min:"1" max:"10000"`
	Projections  int            `help:"Directions of the sliced distance." default:"128" min:"1" max:"10000"`
	Panel        int            `help:"Samples shown with their nearest training images; images only." default:"16" unit:"images" min:"1" effect:"none"`
	Neighbours   int            `help:"Nearest training images shown under each sample." default:"3" unit:"images" min:"1" effect:"none"`
	Compared     int            `help:"Samples whose distance to the nearest training image is compared with that of test images." default:"500" unit:"images" min:"1" effect:"none"`
	Tap          int            `help:"Channels of the layer of Inception whose features are compared: 64, 192, 768, 1280, 2048, or 1008 for the logits." default:"2048"`
	Resize       feature.Resize `help:"How images are brought to Inception's size: ${enum}." enum:"pytorch-fid,tf1,clean" default:"pytorch-fid"`
	Metrics      string         `help:"Beside the Fréchet distance: all that can be measured, none, or a list of interval, fid-infinity, kid, inception-score, manifold (precision, recall, density, coverage); images only." default:"all"`
	Baselines    bool           `help:"Score a per-pixel Gaussian and the test images too; images only." default:"true" negatable:""`
	OODTime      float64        `name:"ood-time" help:"Time t of the path, in (0, 1), at which outliers are told from data." default:"0.5"`
	OODN         int            `name:"ood-n" help:"Data and outliers compared." default:"1000" unit:"rows" min:"2"`
	KeepFeatures bool           `help:"Write the features of the reference, which a later run can take as its reference." effect:"none"`
	Seed         uint64         `help:"Seed of directions, baselines and fresh data." default:"0"`
	Backend      engine.Name    `help:"Compute engine of the feature network, see sample --help." default:"auto"`
}

var spec = stage.Stage[params]{
	Name:    "eval",
	About:   "Measure samples against data, beside baselines that say what the number means.",
	Version: 5,
	Inputs: []contract.Port{
		{Name: "samples", Media: contract.MediaArrow, Help: "what is measured, images or points; or an .npz of images (arr_0)", Subject: true},
		{Name: "reference", Media: contract.MediaArrow, Help: "the data it is measured against, usually the training split; or features, or an .npz of images (arr_0) or moments (mu, sigma)"},
		{Name: "test", Media: contract.MediaArrow, Help: "held-out data, for the floor and for nearest neighbours", Optional: true},
		{Name: "features", Media: contract.MediaArrow, Help: "feature network: a classifier's checkpoint, or Inception's weights (.pth, .safetensors or a checkpoint); images only", Optional: true},
		{Name: "checkpoint", Media: contract.MediaArrow, Help: "a potential that is to tell outliers from data", Optional: true},
		{Name: "outliers", Media: contract.MediaArrow, Help: "data of another distribution, for the input checkpoint", Optional: true},
	},
	Outputs: []contract.Port{
		{Name: "score", Media: contract.MediaJSON, Help: "the number, with N, reference split, feature network and baselines", Score: true},
		{Name: "neighbours", Media: contract.MediaPNG, Help: "samples above the training images nearest to them", Optional: true},
		{Name: "reference", Media: contract.MediaPNG, Help: "real data, to see beside the samples", Optional: true},
		{Name: "statistics", Media: contract.MediaNPZ, Help: "moments of the reference's features (mu, sigma), as other tools read them", Optional: true},
		{Name: "features", Media: contract.MediaArrow, Help: "features of the reference, with --keep-features", Optional: true},
	},
	Resolve: resolve,
	Engines: engine.Linked(),
	Run:     run,
	Commands: []stage.Command{
		{Name: "folders", Help: "Score two folders of PNG or JPEG images; no store needed.", Cmd: &foldersCmd{}},
		{Name: "features", Help: "Compute Inception's features of a set ahead of its score, several workers at once.", Cmd: &featuresCmd{}},
		{Name: "weights", Help: "Download Inception's weights, or import them into the store.", Cmd: &weightsCmd{}},
	},
}

// maxProjections is far above what is of use; it keeps a slip of the finger from computing for years.
const maxProjections = 10000

func resolve(p *params, _ stage.Given) error {
	p.Backend = engine.Auto(p.Backend)
	if _, err := parseMeasures(p.Metrics); err != nil {
		return err
	}
	if !(p.OODTime > 0 && p.OODTime < 1) {
		return fmt.Errorf("ood-time is %v; it must lie between 0 and 1", p.OODTime)
	}
	if !slices.Contains(feature.Taps, p.Tap) {
		return fmt.Errorf("tap is %d; it must be one of %v", p.Tap, feature.Taps)
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
	Tap       int                `json:"tap,omitempty"`    // of Inception
	Resize    string             `json:"resize,omitempty"` // of Inception
	Weights   string             `json:"weights_sha256,omitempty"`
	Baselines map[string]float64 `json:"baselines"`
	Warnings  []string           `json:"warnings"`

	MeanTerm float64 `json:"mean_term,omitempty"` // of the Fréchet distance
	CovTerm  float64 `json:"covariance_term,omitempty"`
	numbers

	MMD         *mmdScore  `json:"mmd,omitempty"`                        // of points
	Ratio       float64    `json:"ratio_to_data_against_data,omitempty"` // of the sliced distance
	Pairs       int        `json:"pairs,omitempty"`
	Projections int        `json:"projections,omitempty"`
	Nearest     *nearScore `json:"nearest_training_image,omitempty"`
	OOD         *oodScore  `json:"ood,omitempty"`
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
	samples, points, err := readSide(ctx, job, "samples")
	if err != nil {
		return err
	}
	reference, against, err := readSide(ctx, job, "reference")
	if err != nil {
		return err
	}
	if job.HasInput("checkpoint") != job.HasInput("outliers") {
		return failure.New(failure.Input, "give both, or neither", "of the inputs checkpoint and outliers one is missing")
	}
	var s *score
	switch {
	case (points == nil) != (against == nil):
		err = failure.New(failure.Input, "samples are measured against data of their own kind", "of the inputs samples and reference one holds points and the other does not")
	case points != nil:
		s, err = pointsScore(ctx, job, p, points, against)
	default:
		s, err = imagesScore(ctx, job, p, samples, reference)
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

func pointsScore(ctx context.Context, job *stage.Job, p *params, samples, reference *dataset.Points) (*score, error) {
	if job.HasInput("features") {
		return nil, failure.New(failure.Input, "leave out the input features", "points are compared as they are, without a feature network")
	}
	if samples.D != reference.D {
		return nil, otherShape("reference", samples, reference)
	}
	s, err := scorePoints(ctx, p, samples, reference)
	if err != nil {
		return nil, err
	}
	if s.OOD, err = scoreOutliers(ctx, job, p, reference, splitName(reference.Name, reference.Split)); err != nil {
		return nil, err
	}
	real := *reference
	real.Labels = nil // samples have none: in one colour the two pictures compare
	return s, job.Output(ctx, "reference", func(w io.Writer) error { return preview.Set(w, &real) })
}

func imagesScore(ctx context.Context, job *stage.Job, p *params, samples, reference *side) (*score, error) {
	var test *side
	if job.HasInput("test") {
		var err error
		if test, _, err = readSide(ctx, job, "test"); err != nil {
			return nil, err
		}
		if test == nil || test.set == nil {
			return nil, failure.New(failure.Input, "samples are measured against data of their own kind", "input test holds no images")
		}
	}
	s, err := scoreImages(ctx, job, p, samples, reference, test)
	if err != nil {
		return nil, engine.Explain(err)
	}
	inside := reference
	if test != nil {
		inside = test
	}
	if inside.set == nil && job.HasInput("outliers") {
		return nil, failure.New(failure.Input, "give images as the input test", "outliers are told from data, and %s holds no images", inside.label)
	}
	s.OOD, err = scoreOutliers(ctx, job, p, inside.set, inside.name)
	return s, err
}

func otherShape(name string, samples, other dataset.Set) error {
	return failure.New(failure.Input, "samples are measured against data of their own kind and size",
		"input samples holds rows of shape %v, input %s of shape %v", samples.Shape(), name, other.Shape())
}

// splitName is what a reference is called in a score.
func splitName(name, split string) string {
	if both := strings.TrimSpace(name + " " + split); both != "" {
		return both
	}
	return "unnamed data"
}

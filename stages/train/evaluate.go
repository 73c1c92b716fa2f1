package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/potential"
	"vapo/lib/preview"
	"vapo/lib/sampling"
	"vapo/lib/scoring"
	"vapo/lib/stage"
	"vapo/lib/training"
)

// evaluateParams say how a potential is looked at while it is trained.
type evaluateParams struct {
	SampleEvery    int `help:"Steps between looks at a potential: samples of the averaged weights from the same noises each time and, for points or with the input features, a score; 0: none." default:"0" unit:"steps" min:"0" only:"model=mlp|unet|wrn" effect:"none"`
	SampleSteps    int `help:"Equal steps of Heun's method from noise to a sample that is looked at." default:"20" unit:"steps" min:"1" effect:"none"`
	ScoreN         int `help:"Samples of a score." default:"1000" unit:"samples" min:"2" max:"1048576" effect:"none"`
	ScoreReference int `help:"Training samples, the first ones, that a score compares with; fewer where there are fewer." default:"10000" unit:"samples" min:"2" max:"1073741824" effect:"none"`
	ScoreTap       int `help:"Scores of images by Inception: channels of the layer, see eval." default:"2048" effect:"none"`
}

const (
	shownImages = 12  // of a look
	shownPoints = 500 // of a look
	// shownLooks bounds the rows of the picture beside the last: of more looks every second, fourth, eighth, … is kept.
	shownLooks = 40
	// lookSeed is that of the noises: those of sample's default.
	lookSeed = 0
)

// scoreLine is one line of the metrics output.
type scoreLine struct {
	Step  int64   `json:"step"`
	Score float64 `json:"score"`
	N     int     `json:"score_n"`
}

// evaluator draws and scores samples of a potential in training; nil does nothing.
type evaluator struct {
	p       evaluateParams
	s       *training.Step
	job     *stage.Job
	sampler *sampling.Sampler
	// first reads the first n training samples, which scores compare with.
	first func(n int) (dataset.Set, error)
	n     int // of them

	// What the reference comes to, nil until the first score: points as they are, images in the features of a network.
	points    *dataset.Points
	network   *scoring.Network // nil without the input features
	reference *metrics.Moments
}

// newEvaluator compiles what is needed. It is nil where nothing was asked for.
func newEvaluator(ctx context.Context, job *stage.Job, be backend.Backend, p *params, pr *potentialRun, data *data) (*evaluator, error) {
	if p.Evaluate.SampleEvery == 0 {
		if job.HasInput("features") {
			job.Warn("the input features is of no use without --sample-every")
		}
		return nil, nil
	}
	config := pr.config
	initial, err := config.Initial(p.Seed)
	if err != nil {
		return nil, err
	}
	field, err := potential.NewField(be, config, initial, sampling.Block(config))
	if err != nil {
		return nil, engine.Explain(err)
	}
	e := &evaluator{p: p.Evaluate, s: pr.s, job: job, first: data.head, n: min(p.Evaluate.ScoreReference, data.samples.Len())}
	e.sampler = &sampling.Sampler{Field: field, Solver: "heun", Steps: e.p.SampleSteps}
	if config.Classes > 0 { // as sample does with --class each
		e.sampler.Label = func(sample int) int { return sample % config.Classes }
	}
	points := len(config.Shape) == 1
	if points {
		e.record("sliced 2-Wasserstein distance")
	}
	if !job.HasInput("features") {
		return e, nil
	}
	if points {
		return nil, failure.New(failure.Input, "leave out the input features", "points are compared as they are, without a feature network")
	}
	path, err := job.Input(ctx, "features")
	if err != nil {
		return nil, err
	}
	// As eval does by default, so that each finds the other's features where they are kept.
	logits := e.p.ScoreTap == 2048
	if e.network, err = scoring.Open(be, path, job.Digest("features"), feature.Options{Tap: e.p.ScoreTap, Resize: feature.PyTorchFID, Logits: logits}, true); err != nil {
		return nil, err
	}
	// Looked at now, so that features that do not fit do not cost the training up to the first look.
	first, err := data.head(1)
	if err != nil {
		return nil, err
	}
	if err := e.network.Fits(ctx, feature.Of(first.(*dataset.Images)), "input data"); err != nil {
		return nil, err
	}
	e.record(e.network.Metric())
	job.Set("score_features", e.network.Network.Name()+" "+e.network.Weights)
	return e, nil
}

// record says in the manifest what the scores are.
func (e *evaluator) record(metric string) {
	e.job.Set("score_metric", metric)
	e.job.Set("score_n", []int{e.p.ScoreN, e.n})
}

// scores reports whether samples are scored, not only shown.
func (e *evaluator) scores() bool { return e.network != nil || len(e.sampler.Field.Config.Shape) == 1 }

// at looks at the state after step steps, if it is time to and it has not been done. What it adds to the history is a
// function of the state, so it does not matter whether a run was stopped before, while or after it looked. spent is what it took.
func (e *evaluator) at(ctx context.Context, step int64, h *history) (spent time.Duration, err error) {
	if e == nil || step == 0 || step <= h.Looks.Done || step%int64(e.p.SampleEvery) != 0 {
		return 0, nil
	}
	return e.look(ctx, step, h)
}

// last looks at the final state where it is not due anyway.
func (e *evaluator) last(ctx context.Context, step int64, h *history) error {
	if e == nil || step <= h.Looks.Done {
		return nil
	}
	_, err := e.look(ctx, step, h)
	return err
}

func (e *evaluator) look(ctx context.Context, step int64, h *history) (spent time.Duration, err error) {
	start := time.Now()
	weights, err := e.s.Averages(0)
	if err != nil {
		return 0, err
	}
	if err := e.sampler.Field.Load(weights); err != nil {
		return 0, err
	}
	config := e.sampler.Field.Config
	shown := shownImages
	if len(config.Shape) == 1 {
		shown = shownPoints
	}
	n := shown
	if e.scores() {
		n = max(n, e.p.ScoreN)
	}
	x := make([]float32, n*config.Dim())
	next := h.Looks // changed as a whole or not at all
	next.Done = step
	var failed *sampling.Error
	if _, err := e.sampler.Draw(ctx, lookSeed, 0, n, x, nil); errors.As(err, &failed) {
		// A potential that cannot be sampled yet may be one that can later.
		next.Warnings = append(next.Warnings, fmt.Sprintf("after %d steps: %v", step, failed))
		e.job.Log().Warn("samples", "step", step, "reason", failed)
		return next.leave(h, start), nil
	} else if err != nil {
		return 0, fmt.Errorf("samples after %d steps: %w", step, sampling.Explain(err))
	}
	l := look{Step: step}
	switch s := sampling.Set(config, x[:shown*config.Dim()], shown).(type) {
	case *dataset.Images:
		l.Pixels = s.Pixels
	case *dataset.Points:
		l.Points = s.X
	}
	next.keep(l, int64(e.p.SampleEvery))
	said := []any{"step", step}
	lines := h.Lines
	if e.scores() {
		score, warnings, err := e.score(ctx, sampling.Set(config, x[:e.p.ScoreN*config.Dim()], e.p.ScoreN))
		if err != nil {
			return 0, fmt.Errorf("score after %d steps: %w", step, err)
		}
		raw, err := json.Marshal(scoreLine{step, score, e.p.ScoreN})
		if err != nil {
			return 0, fmt.Errorf("score after %d steps: %w", step, err)
		}
		next.Score = &score
		for _, w := range warnings {
			if !slices.Contains(next.Warnings, w) {
				next.Warnings = append(next.Warnings, w)
			}
		}
		lines = append(lines, raw)
		said = append(said, "score", round(score, 5), "score_n", e.p.ScoreN)
	}
	h.Lines = lines
	took := next.leave(h, start)
	e.job.Log().Info("samples", append(said, "seconds", round(took.Seconds(), 3))...)
	return took, nil
}

// score is the distance of samples from the first of the training data: Fréchet's in the features of a network, as eval
// computes it, or for points the sliced 2-Wasserstein distance.
func (e *evaluator) score(ctx context.Context, samples dataset.Set) (value float64, warnings []string, err error) {
	if e.points == nil && e.reference == nil {
		if err := e.readReference(ctx); err != nil {
			return 0, nil, err
		}
	}
	if s, ok := samples.(*dataset.Points); ok {
		if value, err = metrics.SlicedW2(s.X, e.points.X, s.D, scoring.Projections, lookSeed); err != nil {
			return 0, nil, failure.New(failure.Numeric, "", "%w", err)
		}
		return value, nil, nil
	}
	m, err := e.network.Moments(ctx, feature.Of(samples.(*dataset.Images)), "samples")
	if err != nil {
		return 0, nil, err
	}
	f, err := metrics.FrechetDistance(m, e.reference)
	if err != nil {
		return 0, nil, failure.New(failure.Numeric, "", "%w", err)
	}
	return f.Value, f.Warnings, nil
}

// readReference reads the first training samples and, of images, takes the moments.
func (e *evaluator) readReference(ctx context.Context) error {
	set, err := e.first(e.n)
	if err != nil {
		return err
	}
	if points, ok := set.(*dataset.Points); ok {
		e.points = points
		return nil
	}
	with := *e.network
	if scoring.Inception(with.Network) { // costs enough to be kept
		if with.Keep, err = e.job.Parts(ctx); err != nil {
			return err
		}
	}
	e.reference, err = with.Moments(ctx, feature.Of(set.(*dataset.Images)), "input data")
	return err
}

// finish writes the picture and what the looks came to.
func (e *evaluator) finish(ctx context.Context, h *history) error {
	if e == nil {
		return nil
	}
	e.job.Set("evaluate_seconds", round(h.LookSeconds, 4))
	if h.Looks.Score != nil {
		e.job.Set("final_score", *h.Looks.Score)
	}
	for _, w := range h.Looks.Warnings {
		e.job.Warn("%s", w)
	}
	rows := h.Looks.rows()
	if len(rows) == 0 {
		return nil
	}
	return e.job.Output(ctx, "progress", func(w io.Writer) error { return e.picture(w, rows) })
}

func (e *evaluator) picture(w io.Writer, shown []look) error {
	c := e.sampler.Field.Config
	var rows []preview.Row
	var panels []preview.Panel
	for _, l := range shown {
		label := fmt.Sprintf("step %d", l.Step)
		if len(c.Shape) == 1 {
			panels = append(panels, preview.Panel{Title: label, Points: &dataset.Points{N: len(l.Points) / c.Dim(), D: c.Dim(), X: l.Points}})
			continue
		}
		rows = append(rows, preview.Row{Label: label, Images: &dataset.Images{N: len(l.Pixels) / c.Dim(), C: c.Shape[0], H: c.Shape[1], W: c.Shape[2], Pixels: l.Pixels}})
	}
	if panels != nil {
		return preview.Panels(w, panels)
	}
	return preview.Rows(w, nil, rows)
}

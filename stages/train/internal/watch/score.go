package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"vapo/lib/backend"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/potential"
	"vapo/lib/sampling"
	"vapo/lib/stage"
	"vapo/lib/training"
	"vapo/stages/train/internal/data"
)

// SnapshotParams are the stage parameters that control snapshots.
type SnapshotParams struct {
	// Snapshots draw samples from the same noise each time and, for points or with features, score them.
	SampleEvery int `help:"Snapshot interval; 0: none." default:"0" unit:"steps" min:"0" only:"${potential}" effect:"none"`
	// A score compares ScoreN samples with the first ScoreReference training samples.
	SampleSteps    int `help:"Steps from noise to a sample." default:"20" unit:"steps" min:"1" effect:"none"`
	ScoreN         int `help:"Samples per score." default:"1000" unit:"samples" min:"2" max:"1048576" effect:"none"`
	ScoreReference int `help:"${reference}" default:"10000" unit:"samples" min:"2" max:"1073741824" effect:"none"`
	ScoreTap       int `help:"Inception layer, named by its channels, as for eval." default:"2048" effect:"none"`
}

const (
	shownImages = 12  // images shown per snapshot
	shownPoints = 500 // points shown per snapshot
	projections = 128 // directions of the sliced distance; the default of the stage eval
	// snapshotSeed is the seed of the noise. It is also the default seed of the stage sample.
	snapshotSeed = 0
)

// ScoreLine is a line of the metrics output that holds a score.
type ScoreLine struct {
	Step  int64   `json:"step"`
	Score float64 `json:"score"`
	N     int     `json:"score_n"`
}

// Snapshots draws and scores samples of a potential during training. A nil Snapshots does nothing.
type Snapshots struct {
	p       SnapshotParams
	trainer *training.Trainer
	job     *stage.Job
	src     *data.Source
	sampler *sampling.Sampler
	shown   int // number of samples shown in one snapshot
	scored  int // number of samples that are scored; 0 if there is no score
	refs    int // number of training samples in the reference

	// The reference for the scores is read when the first score is computed. It consists of the training points
	// themselves, or of the moments of the training images' features.
	points    *dataset.Points
	network   *feature.Extractor // the feature network; nil without the features input
	reference *metrics.Moments
}

// NewSnapshots compiles the sampler and opens the feature network. It returns nil if snapshots are off (SampleEvery is
// 0).
func NewSnapshots(ctx context.Context, job *stage.Job, be backend.Backend, p SnapshotParams,
	t *training.Trainer, config potential.Config, src *data.Source) (*Snapshots, error) {
	if p.SampleEvery == 0 {
		if job.HasInput("features") {
			job.Warn("the input features has no effect without --sample-every")
		}
		return nil, nil
	}
	initial, err := config.Initial(t.Seed)
	if err != nil {
		return nil, err
	}
	sampler, err := sampling.New(be, config, initial, sampling.Settings{Solver: "heun", Steps: p.SampleSteps, Guidance: 1})
	if err != nil {
		return nil, err
	}
	e := &Snapshots{p: p, trainer: t, job: job, src: src, shown: shownImages, refs: min(p.ScoreReference, src.Len())}
	e.sampler = sampler
	if config.Classes > 0 { // one class after the other, like the stage sample with --class each
		e.sampler.Label = func(sample int) int { return sample % config.Classes }
	}
	points := len(config.Shape) == 1
	if points {
		e.shown = shownPoints
		e.record("sliced 2-Wasserstein distance")
	}
	if !job.HasInput("features") {
		return e, nil
	}
	if points {
		return nil, failure.New(failure.Input, "leave out the input features",
			"points are compared directly, without a feature network")
	}
	if err := e.openNetwork(ctx, be); err != nil {
		return nil, err
	}
	e.record(e.network.Metric())
	job.Set("score_features", e.network.Description())
	return e, nil
}

// openNetwork opens the feature network. It also checks that the network fits the data, so that a mistake is found
// before the training and not at the first snapshot.
func (e *Snapshots) openNetwork(ctx context.Context, be backend.Backend) error {
	path, err := e.job.Input(ctx, "features")
	if err != nil {
		return err
	}
	// These are the defaults of the stage eval, so that the two stages can use each other's cached features.
	o := feature.Options{
		Tap: e.p.ScoreTap, Resize: feature.PyTorchFID, Logits: e.p.ScoreTap == 2048, LogitsOptional: true,
	}
	if e.network, err = feature.Open(be, path, e.job.Digest("features"), o); err != nil {
		return err
	}
	first, err := e.src.Head(1)
	if err != nil {
		return err
	}
	images, err := data.Images(first, e.sampler.Config.Kind)
	if err != nil {
		return err
	}
	image := feature.Image{C: images.C, H: images.H, W: images.W, Pixels: images.Image(0)}
	if err := e.network.Network.Check(image); err != nil {
		return fmt.Errorf("input data: %w", err)
	}
	return nil
}

// record turns scoring on and writes the metric and the sample counts to the manifest.
func (e *Snapshots) record(metric string) {
	e.scored = e.p.ScoreN
	e.job.Set("score_metric", metric)
	e.job.Set("score_n", []int{e.p.ScoreN, e.refs})
}

// At takes a snapshot of the state at the given step, if one is due and has not been taken yet. It returns the time
// spent. Its additions to the history depend only on the state, so the history is the same even if the run is
// interrupted and resumed at any point.
func (e *Snapshots) At(ctx context.Context, step int64, h *History) (time.Duration, error) {
	if e == nil || step == 0 || step <= h.Snapshots.Done || step%int64(e.p.SampleEvery) != 0 {
		return 0, nil
	}
	return e.take(ctx, step, h)
}

// Last takes a snapshot of the final state, unless At has already taken it.
func (e *Snapshots) Last(ctx context.Context, step int64, h *History) error {
	if e == nil || step <= h.Snapshots.Done {
		return nil
	}
	_, err := e.take(ctx, step, h)
	return err
}

// take draws the samples, scores them and adds the snapshot. On an error it leaves the history unchanged.
func (e *Snapshots) take(ctx context.Context, step int64, h *History) (took time.Duration, err error) {
	start := time.Now()
	weights, err := e.trainer.Averages(0)
	if err != nil {
		return 0, err
	}
	if err := e.sampler.Load(weights); err != nil {
		return 0, err
	}
	config := e.sampler.Config
	n := max(e.shown, e.scored)
	x := make([]float32, n*config.Dim())
	next, lines := h.Snapshots, h.Lines
	next.Done = step
	fields := []any{"step", step}
	var failed *sampling.Error
	_, err = e.sampler.Draw(ctx, snapshotSeed, 0, n, x, nil)
	switch {
	case errors.As(err, &failed): // the sampler may fail early in training
		next.warn(fmt.Sprintf("after %d steps: %v", step, failed))
		e.job.Log().Warn("this snapshot is left out: its samples could not be drawn", "step", step, "reason", failed)
	case err != nil:
		return 0, fmt.Errorf("samples after %d steps: %w", step, err)
	default:
		first := func(n int) dataset.Set { return sampling.Set(config, x[:n*config.Dim()], n) }
		s := Snapshot{Step: step}
		switch set := first(e.shown).(type) {
		case *dataset.Images:
			s.Pixels = set.Pixels
		case *dataset.Points:
			s.Points = set.X
		}
		next.add(s, int64(e.p.SampleEvery))
		if e.scored > 0 {
			score, err := e.score(ctx, first(e.scored), &next)
			if err != nil {
				return 0, fmt.Errorf("score after %d steps: %w", step, err)
			}
			raw, err := json.Marshal(ScoreLine{step, score, e.scored})
			if err != nil {
				return 0, fmt.Errorf("score after %d steps: %w", step, err)
			}
			lines = append(lines, raw)
			fields = append(fields, "score", Round(score, 5), "score_n", e.scored)
		}
	}
	took = time.Since(start)
	h.Lines, h.Snapshots = lines, next
	h.SnapshotSeconds += took.Seconds()
	if failed == nil {
		e.job.Log().Info("samples", append(fields, "seconds", Round(took.Seconds(), 3))...)
	}
	return took, nil
}

// score returns the distance of samples from the first training samples. For images, this is the Fréchet distance of
// features, computed as in the stage eval; for points, the sliced 2-Wasserstein distance.
func (e *Snapshots) score(ctx context.Context, samples dataset.Set, log *SnapshotLog) (value float64, err error) {
	if e.points == nil && e.reference == nil {
		if err := e.readReference(ctx); err != nil {
			return 0, err
		}
	}
	switch s := samples.(type) {
	case *dataset.Points:
		value, err = metrics.SlicedW2(s.X, e.points.X, s.D, projections, snapshotSeed)
	case *dataset.Images:
		var m *metrics.Moments
		if m, err = e.network.Moments(ctx, feature.Of(s)); err != nil {
			return 0, err
		}
		var f metrics.Frechet
		f, err = metrics.FrechetDistance(m, e.reference)
		value = f.Value
		for _, w := range f.Warnings {
			log.warn(w)
		}
	}
	if err != nil {
		return 0, failure.New(failure.Numeric, "", "%w", err)
	}
	log.Score = &value
	return value, nil
}

// readReference reads the first training samples. For images, it computes the moments of their features.
func (e *Snapshots) readReference(ctx context.Context) error {
	set, err := e.src.Head(e.refs)
	if err != nil {
		return err
	}
	images, ok := set.(*dataset.Images)
	if !ok {
		e.points, _ = set.(*dataset.Points)
		return nil
	}
	network := *e.network
	if network.Inception() { // this network is slow enough for a cache to pay off
		if network.Cache, err = e.job.Parts(ctx); err != nil {
			return err
		}
	}
	if e.reference, err = network.Moments(ctx, feature.Of(images)); err != nil {
		return fmt.Errorf("input data: %w", err)
	}
	return nil
}

// Finish writes the snapshots as one picture, and the results to the manifest.
func (e *Snapshots) Finish(ctx context.Context, h *History) error {
	if e == nil {
		return nil
	}
	e.job.Set("evaluate_seconds", Round(h.SnapshotSeconds, 4))
	if h.Snapshots.Score != nil {
		e.job.Set("final_score", *h.Snapshots.Score)
	}
	for _, w := range h.Snapshots.Warnings {
		e.job.Warn("%s", w)
	}
	rows := h.Snapshots.rows()
	if len(rows) == 0 {
		return nil
	}
	return e.job.Output(ctx, "progress", func(w io.Writer) error { return picture(w, e.sampler.Config, rows) })
}

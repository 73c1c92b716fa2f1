package loop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"vapo/lib/artifact"
	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/training"
	"vapo/stages/train/internal/watch"
)

const (
	liveState    = "state"   // name of the resumable checkpoint
	extraHistory = "history" // name of the history inside that checkpoint
)

// ending holds the data that a longer run of the series needs in addition to checkpoint and metrics. It is a separate
// output, because the checkpoint must depend on the training alone: changing the intervals of logging or snapshots must
// not change the checkpoint's digest.
type ending struct {
	Series string `json:"series"` // key of the series, see stage.Job.Series
	Step   int64  `json:"step"`
	Lines  int    `json:"lines"` // number of metrics lines that a longer run takes over
	// Checkpoint and Metrics are the digests of the output checkpoint and of the first Lines lines of the metrics. They
	// detect outputs that come from different runs.
	Checkpoint string `json:"checkpoint"`
	Metrics    string `json:"metrics"`
	Averages   string `json:"averages,omitempty"` // digest of the output averages, if there is one
	watch.State
}

// mixed is the hint for outputs that come from different runs.
const mixed = "give the outputs checkpoint, metrics, end and, if there is one, averages of one run"

// start restores the state and the history, and returns the next step. It uses this run's resumable checkpoint if there
// is a usable one, otherwise the outputs of a shorter run of the series, and otherwise initialises the training.
func (l *Loop) start(ctx context.Context) (int64, error) {
	path, ok, err := l.Job.Live().Load(ctx, liveState)
	if err != nil {
		return 0, err
	}
	if ok {
		step, err := l.restore(ctx, path)
		if err == nil {
			l.Job.Log().Info("resuming", "step", step)
			return step, nil
		}
		l.Job.Log().Warn("the resumable checkpoint cannot be used and is ignored", "reason", err)
	}
	if path, ok, err = l.Job.Earlier(ctx, "checkpoint"); err != nil {
		return 0, err
	}
	if ok {
		step, err := l.extend(ctx, path)
		if err != nil {
			return 0, fmt.Errorf("--earlier checkpoint: %w", err)
		}
		l.Job.Log().Info("continuing a shorter run", "step", step)
		return step, nil
	}
	for _, output := range []string{"metrics", "end", "averages"} {
		_, ok, err := l.Job.Earlier(ctx, output)
		if err != nil {
			return 0, err
		}
		if ok {
			return 0, failure.New(failure.Usage, mixed,
				"--earlier %s is given without the output checkpoint of the same run", output)
		}
	}
	guard, err := training.NewGuard(l.Options.SpikeFactor)
	if err != nil {
		return 0, err
	}
	l.h = &watch.History{State: watch.State{Guard: *guard}}
	return 0, l.Trainer.Initialise(l.Options.Seed)
}

// restore loads this run's resumable checkpoint and returns the next step.
func (l *Loop) restore(ctx context.Context, path string) (int64, error) {
	c, err := checkpoint.Read(path)
	if err != nil {
		return 0, err
	}
	h := &watch.History{}
	if err := json.Unmarshal(c.Extra[extraHistory], h); err != nil {
		return 0, err
	}
	if err := l.checkAverages(ctx, c.Step); err != nil {
		return 0, err
	}
	if err := errors.Join(h.Guard.Check(), l.Trainer.Restore(c)); err != nil {
		return 0, err
	}
	l.h = h
	return c.Step, nil
}

// extend loads the outputs of a shorter run of the series and returns the next step.
func (l *Loop) extend(ctx context.Context, path string) (int64, error) {
	c, err := checkpoint.Read(path)
	if err != nil {
		return 0, failure.New(failure.Input, "give the checkpoint output of a shorter run", "%w", err)
	}
	endPath, err := l.earlier(ctx, "end")
	if err != nil {
		return 0, err
	}
	raw, err := os.ReadFile(endPath)
	if err != nil {
		return 0, err
	}
	digest, _, err := artifact.FileDigest(path)
	if err != nil {
		return 0, err
	}
	var end ending
	same := json.Unmarshal(raw, &end) == nil && end.Step == c.Step && end.Checkpoint == digest.Hex()
	if !same || end.Guard.Check() != nil {
		return 0, failure.New(failure.Input, mixed, "the given output end is not from the run of this checkpoint")
	}
	if end.Series != l.Job.Series() {
		return 0, failure.New(failure.Input,
			"only --steps may differ; with --decay=cosine, give both runs the same --horizon",
			"the checkpoint is from another series: its run differs in more than its length")
	}
	if c.Step > l.Options.Steps {
		return 0, failure.New(failure.Input, "raise --steps",
			"the checkpoint is from step %d, which is after the %d steps of this run", c.Step, l.Options.Steps)
	}
	lines, err := l.earlierLines(ctx, &end)
	if err != nil {
		return 0, err
	}
	if err := l.takeOverAverages(ctx, c.Step, end.Averages); err != nil {
		return 0, err
	}
	if err := l.Trainer.Restore(c); err != nil {
		return 0, failure.New(failure.Input, "", "%w", err)
	}
	l.h = &watch.History{Lines: lines, From: c.Step, State: end.State}
	return c.Step, nil
}

// earlier returns the path of one of the shorter run's outputs.
func (l *Loop) earlier(ctx context.Context, output string) (string, error) {
	path, ok, err := l.Job.Earlier(ctx, output)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", failure.New(failure.Usage, "give --earlier "+output+"=REF too",
			"the output %s of the checkpoint's run is missing", output)
	}
	return path, nil
}

// earlierLines returns the metrics lines that the longer run takes over from the shorter run: the first end.Lines.
func (l *Loop) earlierLines(ctx context.Context, end *ending) ([]json.RawMessage, error) {
	path, err := l.earlier(ctx, "metrics")
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []json.RawMessage
	for line := range bytes.Lines(raw) {
		lines = append(lines, json.RawMessage(bytes.TrimSuffix(line, []byte("\n"))))
	}
	if end.Lines < 0 || end.Lines > len(lines) {
		return nil, failure.New(failure.Input, mixed,
			"the given metrics have %d lines, expected at least %d according to the given end", len(lines), end.Lines)
	}
	if lines = lines[:end.Lines]; linesHex(lines) != end.Metrics {
		return nil, failure.New(failure.Input, mixed, "the given metrics are not from the run of this checkpoint")
	}
	return lines, nil
}

// save writes the resumable checkpoint for the state after the given step.
func (l *Loop) save(ctx context.Context, step int64) error {
	c, err := l.Trainer.Checkpoint(step)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(l.h)
	if err != nil {
		return err
	}
	c.Extra = map[string]json.RawMessage{extraHistory: raw}
	return l.Job.Live().Save(ctx, liveState, func(w io.Writer) error { return checkpoint.Write(w, c) })
}

// finish writes the outputs and records the results after the last step.
func (l *Loop) finish(ctx context.Context) error {
	steps := l.Options.Steps
	if _, err := l.Snapshots.At(ctx, steps, l.h); err != nil {
		return l.stopped(ctx, steps, err)
	}
	// The ending is made here because the lines that follow exist only if this step is the last. A longer run must not
	// take them over.
	end := ending{
		Series: l.Job.Series(), Step: steps, Lines: len(l.h.Lines), Metrics: linesHex(l.h.Lines), State: l.h.State,
	}
	if v := l.h.Interval; v.Count+v.Skipped > 0 {
		if err := l.h.Log(steps, nil, nil); err != nil {
			return err
		}
	}
	if err := l.Snapshots.Last(ctx, steps, l.h); err != nil {
		return l.stopped(ctx, steps, err)
	}
	c, err := l.Trainer.Checkpoint(steps)
	if err != nil {
		return err
	}
	if name, bad := c.NonFinite(); bad {
		return failure.New(failure.Numeric, "lower --learning-rate",
			"tensor %s of the final checkpoint is not finite", name)
	}
	output := func(name string, write func(io.Writer) error) (hex string) {
		sum := sha256.New()
		if err == nil {
			err = l.Job.Output(ctx, name, func(w io.Writer) error { return write(io.MultiWriter(w, sum)) })
		}
		return artifact.SumDigest(sum.Sum(nil)).Hex()
	}
	end.Checkpoint = output("checkpoint", func(w io.Writer) error { return checkpoint.Write(w, c) })
	if l.Options.AverageEvery > 0 {
		end.Averages = output("averages", func(w io.Writer) error { return l.writeAverages(ctx, w) })
	}
	output("end", func(w io.Writer) error { return json.NewEncoder(w).Encode(end) })
	output("metrics", func(w io.Writer) error { return watch.WriteLines(w, l.h.Lines) })
	if err != nil {
		return err
	}
	if err := l.Snapshots.Finish(ctx, l.h); err != nil {
		return err
	}
	return l.results()
}

// linesHex returns the SHA-256 of lines as hexadecimal digits.
func linesHex(lines []json.RawMessage) string {
	sum := sha256.New()
	_ = watch.WriteLines(sum, lines) // writing to a hash never fails
	return artifact.SumDigest(sum.Sum(nil)).Hex()
}

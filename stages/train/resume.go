package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/training"
)

// liveState is the name of the resumable checkpoint.
const liveState = "state"

// extraHistory is the name of the history in the resumable checkpoint.
const extraHistory = "history"

// ending is the end of a run as a longer one of its series must know it. It is an output of its own, since the checkpoint is
// to depend on nothing but the training: what was logged and looked at on the way must not make its samples new.
type ending struct {
	Series string `json:"series"` // what the two must have in common, see stage.Job
	Step   int64  `json:"step"`
	Lines  int    `json:"lines"` // lines of the metrics output that the longer run has too
	// Digests of the output checkpoint and of those lines, so that the outputs of different runs are not mixed.
	Checkpoint string `json:"checkpoint"`
	Metrics    string `json:"metrics"`
	standing
}

// mixed is what to do about outputs that are not of one run.
const mixed = "give the outputs checkpoint, metrics and end of one run"

// resume sets the state to where this run was stopped, or to where a shorter run of its series ended, or to the start. It
// returns the history and the step to go on with.
func (t *trainer) resume(ctx context.Context) (int64, error) {
	path, ok, err := t.job.Live().Load(ctx, liveState)
	if err != nil {
		return 0, err
	}
	if ok {
		step, err := t.restore(path)
		if err == nil {
			t.job.Log().Info("resuming", "step", step)
			return step, nil
		}
		t.job.Log().Warn("the resumable checkpoint cannot be used, starting over", "reason", err)
	}
	guard, err := training.NewGuard(t.p.SpikeFactor)
	if err != nil {
		return 0, err
	}
	t.h = &history{standing: standing{Guard: *guard}}
	path, ok, err = t.job.Earlier(ctx, "checkpoint")
	if err != nil {
		return 0, err
	}
	if !ok {
		for _, output := range []string{"metrics", "end"} {
			_, ok, err := t.job.Earlier(ctx, output)
			if err != nil {
				return 0, err
			}
			if ok {
				return 0, failure.New(failure.Usage, mixed, "--earlier %s is given without the output checkpoint of the same run", output)
			}
		}
		return 0, t.s.Initialise(t.p.Seed)
	}
	step, err := t.goOn(ctx, path)
	if err != nil {
		return 0, fmt.Errorf("--earlier checkpoint: %w", err)
	}
	t.job.Log().Info("going on from a shorter run", "step", step)
	return step, nil
}

func (t *trainer) restore(path string) (int64, error) {
	c, err := checkpoint.Read(path)
	if err != nil {
		return 0, err
	}
	h := &history{}
	if err := json.Unmarshal(c.Extra[extraHistory], h); err != nil {
		return 0, err
	}
	if err := errors.Join(h.Guard.Check(), t.s.Restore(c)); err != nil {
		return 0, err
	}
	t.h = h
	return c.Step, nil
}

// goOn takes over what a shorter run of the series has made.
func (t *trainer) goOn(ctx context.Context, path string) (int64, error) {
	c, err := checkpoint.Read(path)
	if err != nil {
		return 0, failure.New(failure.Input, "give the output checkpoint of a shorter run", "%w", err)
	}
	raw, err := t.earlier(ctx, "end")
	if err != nil {
		return 0, err
	}
	var end ending
	digest, err := fileDigest(path)
	if err != nil {
		return 0, err
	}
	if json.Unmarshal(raw, &end) != nil || end.Guard.Check() != nil || end.Step != c.Step || end.Checkpoint != digest {
		return 0, failure.New(failure.Input, mixed, "the end that was given is not that of this checkpoint's run")
	}
	if end.Series != t.job.Series() {
		return 0, failure.New(failure.Input, "only --steps may differ, and with --decay=cosine --horizon must be given and the same",
			"it is of another series: its run differs in more than its length")
	}
	if c.Step > int64(t.p.Steps) {
		return 0, failure.New(failure.Input, "raise --steps", "the checkpoint is of step %d, after the %d steps of this run", c.Step, t.p.Steps)
	}
	lines, err := t.earlierLines(ctx, &end)
	if err != nil {
		return 0, err
	}
	if err := t.s.Restore(c); err != nil {
		return 0, failure.New(failure.Input, "", "%w", err)
	}
	t.h = &history{Lines: lines, From: c.Step, standing: end.standing}
	return c.Step, nil
}

// earlier reads an output of the shorter run.
func (t *trainer) earlier(ctx context.Context, output string) ([]byte, error) {
	path, ok, err := t.job.Earlier(ctx, output)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, failure.New(failure.Usage, "give --earlier "+output+"=REF too", "the output %s of the run that the checkpoint is of is missing", output)
	}
	return os.ReadFile(path)
}

// earlierLines are the first lines of the shorter run's metrics, those before its end.
func (t *trainer) earlierLines(ctx context.Context, end *ending) ([]json.RawMessage, error) {
	raw, err := t.earlier(ctx, "metrics")
	if err != nil {
		return nil, err
	}
	var lines []json.RawMessage
	for l := range bytes.Lines(raw) {
		lines = append(lines, json.RawMessage(bytes.TrimSuffix(l, []byte("\n"))))
	}
	if end.Lines < 0 || end.Lines > len(lines) {
		return nil, failure.New(failure.Input, mixed, "the metrics have %d lines, expected %d as the end of that run says", len(lines), end.Lines)
	}
	if lines = lines[:end.Lines]; linesDigest(lines) != end.Metrics {
		return nil, failure.New(failure.Input, mixed, "the metrics that were given are not those of this checkpoint's run")
	}
	return lines, nil
}

// writeLines writes a metrics output.
func writeLines(w io.Writer, lines []json.RawMessage) error {
	for _, l := range lines {
		if _, err := w.Write(append(append([]byte(nil), l...), '\n')); err != nil {
			return err
		}
	}
	return nil
}

func linesDigest(lines []json.RawMessage) string {
	sum := sha256.New()
	_ = writeLines(sum, lines) // a hash takes everything
	return hex.EncodeToString(sum.Sum(nil))
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// save writes the resumable checkpoint after step steps.
func (t *trainer) save(ctx context.Context, step int64) error {
	c, err := t.s.Checkpoint(step)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(t.h)
	if err != nil {
		return err
	}
	c.Extra = map[string]json.RawMessage{extraHistory: raw}
	return t.job.Live().Save(ctx, liveState, func(w io.Writer) error { return checkpoint.Write(w, c) })
}

// saveTime bounds the writing of a last checkpoint after a signal.
const saveTime = 60 * time.Second

func (t *trainer) interrupted(ctx context.Context, step int64) error {
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err := t.save(saving, step); err != nil {
		return err
	}
	t.job.Log().Info("stopped, a resumable checkpoint is kept", "step", step)
	return context.Cause(ctx)
}

// stopped ends a run that failed, or was interrupted, after step steps and outside of the next one.
func (t *trainer) stopped(ctx context.Context, step int64, err error) error {
	if ctx.Err() != nil {
		return t.interrupted(ctx, step)
	}
	return err
}

// diverged ends a run whose next state would not be finite, or that does not take steps any more. The step graph has kept
// the state before it.
func (t *trainer) diverged(ctx context.Context, step int64, reason error) error {
	if err := t.save(ctx, step); err != nil {
		t.job.Log().Error("the last good state could not be saved", "reason", err)
	}
	hint := "lower --learning-rate or --clip-norm; the last good state is kept as the run's resumable checkpoint"
	var skipping *training.DivergedError
	if errors.As(reason, &skipping) {
		hint = "raise --spike-factor or lower --learning-rate; the last good state is kept as the run's resumable checkpoint"
	}
	return failure.New(failure.Numeric, hint,
		"training diverged at step %d: %w; the state after %d steps is kept", step, reason, step)
}

package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"vapo/lib/artifact"
	"vapo/lib/average"
	"vapo/lib/checkpoint"
	"vapo/lib/failure"
)

// Each snapshot of the averages with profiles is saved once, as a live state of its own, because the snapshots together
// can be many times as large as the resumable checkpoint. Since the number of steps is known, only the snapshots that
// the output keeps are saved. The output of a shorter run of the series has all of them up to the end of that run; see
// average.Steps.

func liveAverages(step int64) string { return fmt.Sprintf("averages-%d", step) }

// kept returns the steps, up to the given one, whose averages are saved for the output. These are all the steps that
// the output keeps, except the last.
func (l *Loop) kept(step int64) []int64 {
	if l.Options.AverageEvery == 0 {
		return nil
	}
	steps := average.Steps(l.Options.AverageEvery, l.Options.Steps)
	return slices.DeleteFunc(steps, func(s int64) bool { return s > step || s == l.Options.Steps })
}

// keepAverages saves the averages after the given step, if the output keeps them.
func (l *Loop) keepAverages(ctx context.Context, step int64) error {
	if !slices.Contains(l.kept(step), step) {
		return nil
	}
	c, err := l.Trainer.Profiles(step)
	if err != nil {
		return err
	}
	return l.saveAverages(ctx, step, c)
}

func (l *Loop) saveAverages(ctx context.Context, step int64, c *checkpoint.Checkpoint) error {
	return l.Job.Live().Save(ctx, liveAverages(step), func(w io.Writer) error { return checkpoint.Write(w, c) })
}

// eachAverages calls the function use with a temporary file for each saved snapshot up to the given step.
func (l *Loop) eachAverages(ctx context.Context, step int64, use func(path string) error) error {
	for _, s := range l.kept(step) {
		path, ok, err := l.Job.Live().Load(ctx, liveAverages(s))
		if err == nil && !ok {
			err = failure.New(failure.Integrity, "run the same command again; it starts over",
				"the snapshot of the averages after %d steps is missing or damaged", s)
		}
		if err != nil {
			return err
		}
		if err := errors.Join(use(path), os.Remove(path)); err != nil {
			return err
		}
	}
	return nil
}

// checkAverages returns an error unless all snapshots up to the given step exist and are intact.
func (l *Loop) checkAverages(ctx context.Context, step int64) error {
	return l.eachAverages(ctx, step, func(string) error { return nil }) // Load has verified the content
}

// takeOverAverages copies the snapshots up to the given step from the shorter run's output averages to the live state.
// It returns an error if the output does not have the given digest.
func (l *Loop) takeOverAverages(ctx context.Context, step int64, digest string) error {
	if l.Options.AverageEvery == 0 {
		return nil
	}
	path, err := l.earlier(ctx, "averages")
	if err != nil {
		return err
	}
	got, _, err := artifact.FileDigest(path)
	if err != nil {
		return err
	}
	if got.Hex() != digest {
		return failure.New(failure.Input, mixed, "the given averages are not from the run of this checkpoint")
	}
	all, err := checkpoint.Read(path)
	if err != nil {
		return failure.New(failure.Input, mixed, "%w", err)
	}
	for _, s := range l.kept(step) {
		c := &checkpoint.Checkpoint{Kind: all.Kind, Config: all.Config, Step: s}
		for _, a := range average.List(all) {
			if a.Step == s {
				for name, n := range all.Group(a.Group()) {
					n.Name = a.Group() + name
					c.Tensors = append(c.Tensors, n)
				}
			}
		}
		if err := l.saveAverages(ctx, s, c); err != nil {
			return err
		}
	}
	return nil
}

// writeAverages writes the output averages: the averages at the end and the saved snapshots.
func (l *Loop) writeAverages(ctx context.Context, w io.Writer) error {
	steps := l.Options.Steps
	c, err := l.Trainer.Profiles(steps)
	if err != nil {
		return err
	}
	err = l.eachAverages(ctx, steps, func(path string) error {
		snapshot, err := checkpoint.Read(path)
		if err == nil {
			c.Tensors = append(c.Tensors, snapshot.Tensors...)
		}
		return err
	})
	if err != nil {
		return err
	}
	return checkpoint.Write(w, c)
}

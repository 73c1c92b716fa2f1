package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/program"
	"vapo/pipeline/internal/report"
	"vapo/pipeline/internal/runner"
)

type reportCmd struct {
	RunID  string `arg:"" optional:"" name:"run" help:"ID of a run; pipeline ls runs lists them."`
	Output string `short:"o" help:"File to write (default: in the directory of the run)." placeholder:"FILE" type:"path"`
	Table  bool   `help:"Print the scores as Markdown tables instead, one for each metric and reference." xor:"form"`
	JSON   bool   `name:"json" help:"Print the scores as JSON instead." xor:"form"`
}

func (c *reportCmd) Run(ctx context.Context, a *app, store *openStore) error {
	run, err := loadRun(ctx, store.Store, c.RunID)
	if err != nil {
		return err
	}
	for _, s := range run.Steps {
		if s.Key == "" || s.State != runner.Done && s.State != runner.Cached {
			continue
		}
		rec, err := store.Record(ctx, s.Key)
		if errors.Is(err, artifact.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		s.Manifest = rec.Manifest
	}
	page, err := readRun(ctx, store.Store, run)
	if err != nil {
		return err
	}
	if c.Table || c.JSON {
		compared := report.Compare(page.Steps)
		if len(compared) == 0 {
			return failure.New(failure.Input,
				"a score needs a finished step such as eval; pipeline status "+run.ID+" lists the steps",
				"run %s has no scores", run.ID)
		}
		if c.JSON {
			return report.WriteJSON(a.stdout, compared)
		}
		return report.WriteMarkdown(a.stdout, compared)
	}
	path := c.Output
	if path == "" {
		path = filepath.Join(a.runner(store, nil).RunDir(run.ID), "report.html")
	}
	if err := writeReport(page, path); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "report: %s\n", program.ShortPath(path))
	return nil
}

func writeReport(run *report.Run, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return program.WriteFile(path, func(w io.Writer) error { return report.Write(w, run) })
}

// readRun fetches everything that the report of a run shows.
func readRun(ctx context.Context, store *artifact.Store, run *runner.Run) (*report.Run, error) {
	page := &report.Run{
		Name: run.Name, About: run.About, RecipeYAML: []byte(run.RecipeYAML), Error: run.Error,
		Started: run.Started, Wall: time.Duration(run.WallSeconds * float64(time.Second)), Store: run.Store,
	}
	for _, set := range run.Sets {
		page.RecipeYAML = append(page.RecipeYAML, []byte("# "+asFlag(set)+"\n")...)
	}
	for _, s := range run.Steps {
		if s.Shard != "" {
			continue
		}
		step := report.Step{
			Name: s.Name, Stage: s.Stage, Cached: s.State == runner.Cached, Seconds: s.Seconds,
			Key: s.Key, Error: s.Error, Manifest: s.Manifest,
		}
		for _, name := range s.Needs {
			need, ok := run.Step(name)
			if !ok || need.Shard == "" {
				step.Needs = append(step.Needs, name)
				continue
			}
			step.Seconds += need.Seconds
			if need.Error != "" && step.Error == "" {
				step.Error = fmt.Sprintf("shard %s: %s", need.Shard, need.Error)
			}
		}
		if p := s.Place; p != nil {
			step.Host, step.Job, step.Queued = p.Host, p.Job, p.QueuedSeconds
		}
		if d := s.Declared; d != nil {
			step.Ports, step.NoEffect = d.Outputs, d.NoEffect
			// An input from a step is STEP.OUTPUT. A path or a ref names no step, so in that case Subject matches none.
			if from, err := artifact.ParseReference(s.Inputs[d.Subject].From); err == nil {
				step.Subject = from.Step
			}
		}
		if step.Error == "" && (s.State == runner.Skipped || s.State == runner.Waiting) {
			step.NotRun = cmp.Or(s.Reason, s.State)
		}
		for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
			out := s.Outputs[name]
			o := report.Output{Name: name, Digest: out.Digest, Media: out.Media, Size: out.Size}
			switch out.Media {
			case contract.MediaPNG, contract.MediaJSON, contract.MediaNDJSON:
				data, err := readFigure(ctx, store, out)
				if err != nil && !errors.Is(err, objectstore.ErrNotFound) {
					return nil, fmt.Errorf("report: output %s.%s: %w", s.Name, name, err)
				}
				o.Data = data
			}
			step.Outputs = append(step.Outputs, o)
		}
		page.Steps = append(page.Steps, step)
	}
	return page, nil
}

// loadRun reads the run with the given ID, or the latest run if id is "".
func loadRun(ctx context.Context, store *artifact.Store, id string) (*runner.Run, error) {
	if id == "" {
		ids, err := latestRuns(ctx, store, 1)
		if err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			return nil, failure.New(failure.Input, "start one with: pipeline run RECIPE", "the store has no runs")
		}
		id = ids[0]
	}
	data, err := store.Run(ctx, id)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, failure.New(failure.Input, "pipeline ls runs lists them", "the store has no run %s", id)
	}
	if err != nil {
		return nil, err
	}
	return runner.DecodeRun(id, data)
}

// latestRuns returns the IDs of up to n runs, newest first. IDs begin with the time, and a store lists them oldest
// first. latestRuns therefore lists today's runs, then those of this month, of this year and of all years, until it has
// found enough.
func latestRuns(ctx context.Context, store *artifact.Store, n int) (ids []string, err error) {
	today := time.Now().UTC().Format("20060102")
	for _, prefix := range []string{today, today[:6], today[:4], ""} {
		ids = nil
		for run, err := range store.Runs(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			ids = append(ids, run.ID)
		}
		if len(ids) >= n {
			break
		}
	}
	slices.Reverse(ids)
	return ids[:min(n, len(ids))], nil
}

// recentRuns reads up to n runs, newest first. It skips damaged runs with a warning.
func (a *app) recentRuns(ctx context.Context, store *artifact.Store, n int) ([]*runner.Run, error) {
	ids, err := latestRuns(ctx, store, n)
	if err != nil {
		return nil, err
	}
	runs, damaged := make([]*runner.Run, len(ids)), make([]error, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, id := range ids {
		group.Go(func() (err error) {
			runs[i], err = loadRun(ctx, store, id)
			switch failure.ClassOf(err) {
			case failure.Integrity:
				damaged[i] = err
				return nil
			case failure.Input: // deleted after it was listed
				return nil
			}
			return err
		})
	}
	err = group.Wait()
	for _, err := range damaged {
		if err != nil {
			fmt.Fprintf(a.stderr, "warning: %v\n", err)
		}
	}
	return slices.DeleteFunc(runs, func(r *runner.Run) bool { return r == nil }), err
}

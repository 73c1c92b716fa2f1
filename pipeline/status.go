package main

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"text/tabwriter"

	"vapo/pipeline/internal/report"
	"vapo/pipeline/internal/runner"
)

// ordered iterates over a map in ascending order of its keys.
func ordered[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

type statusCmd struct {
	RunID string `arg:"" optional:"" name:"run" help:"ID of a run; pipeline ls runs lists them."`
}

func (c *statusCmd) Run(ctx context.Context, a *app, store *openStore) error {
	run, err := loadRun(ctx, store.Store, c.RunID)
	if err != nil {
		return err
	}
	state := a.state(store, run)
	fmt.Fprintf(a.stdout, "run %s of %s: %s, started %s", run.ID, run.Name, state,
		run.Started.Local().Format("2006-01-02 15:04:05"))
	if run.State != runner.Running {
		fmt.Fprintf(a.stdout, ", took %s", report.Duration(run.WallSeconds))
	}
	fmt.Fprintln(a.stdout)
	for _, set := range run.Sets {
		fmt.Fprintf(a.stdout, "  --set %s\n", oneLine(set))
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tSTAGE\tSTATE\tTIME\tKEY\tNOTE")
	for _, s := range run.Steps {
		shown := s.State
		if shown == runner.Running && state == interrupted {
			shown = interrupted
		}
		time := ""
		if s.Seconds > 0 {
			time = report.Duration(s.Seconds)
		}
		note := s.Reason
		if s.Error != "" {
			note = fmt.Sprintf("exit %d: %s", s.Exit, oneLine(s.Error))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.12s\t%s\n", s.Name, s.Stage, shown, time, s.Key, note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, text := range run.Warnings {
		fmt.Fprintf(a.stdout, "warning: %s\n", text)
	}
	if state == interrupted {
		fmt.Fprintln(a.stdout, "its runner has ended; run the same command again to resume")
	}
	return nil
}

const interrupted = "interrupted"

// state returns the state of a run. A run that was recorded as running, but whose runner no longer exists, is
// interrupted.
func (a *app) state(store *openStore, run *runner.Run) string {
	if run.State == runner.Running {
		if alive, known := a.runner(store, nil).Alive(run.ID); known && !alive {
			return interrupted
		}
	}
	return run.State
}

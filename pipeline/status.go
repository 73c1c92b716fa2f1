package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"vapo/lib/failure"
	"vapo/lib/program"
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
	jsonFlag
}

type runStatus struct {
	document
	runItem
	Sets     []string     `json:"sets,omitempty"`
	Error    string       `json:"error,omitempty"`
	Hint     string       `json:"hint,omitempty"`
	Steps    []stepStatus `json:"steps"`
	Warnings []string     `json:"warnings,omitempty"`
}

type stepStatus struct {
	Step    string        `json:"step"`
	Stage   string        `json:"stage"`
	State   string        `json:"state"`
	Seconds float64       `json:"seconds"`
	Key     string        `json:"key,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Exit    failure.Class `json:"exit,omitempty"`
	Error   string        `json:"error,omitempty"`
	Hint    string        `json:"hint,omitempty"`
	Retries int           `json:"retries,omitempty"`

	Place *runner.Placement `json:"place,omitempty"`
}

func (c *statusCmd) Run(ctx context.Context, a *app, store *openStore) error {
	run, err := loadRun(ctx, store.Store, c.RunID)
	if err != nil {
		return err
	}
	st := a.runStatus(store, run)
	return c.print(a, st, st.table)
}

// runStatus returns the document that describes a run.
func (a *app) runStatus(store *openStore, run *runner.Run) runStatus {
	st := runStatus{
		document: version1, runItem: a.item(store, run), Sets: run.Sets, Error: run.Error, Hint: run.Hint,
		Steps: []stepStatus{}, Warnings: run.Warnings,
	}
	for _, s := range run.Steps {
		if s.Idle() {
			continue
		}
		state := s.State
		if state == runner.Running && st.State == interrupted {
			state = interrupted
		}
		st.Steps = append(st.Steps,
			stepStatus{s.Name, s.Stage, state, s.Seconds, s.Key, s.Reason, s.Exit, s.Error, s.Hint, len(s.Retries), s.Place})
	}
	return st
}

// asFlag returns a stored argument of --set or --input with its flag. Arguments of --input are stored with the flag.
func asFlag(set string) string {
	if strings.HasPrefix(set, "--input ") {
		return oneLine(set)
	}
	return "--set " + oneLine(set)
}

func (st runStatus) table(w io.Writer) {
	fmt.Fprintf(w, "run %s of %s: %s, started %s", st.Run, st.Recipe, st.State, local(st.Started))
	if st.State != runner.Running && st.State != interrupted {
		fmt.Fprintf(w, ", took %s", program.Duration(st.Seconds))
	}
	fmt.Fprintln(w)
	for _, set := range st.Sets {
		fmt.Fprintf(w, "  %s\n", asFlag(set))
	}
	if st.Error != "" {
		fmt.Fprintf(w, "error: %s\n", oneLine(st.Error))
	}
	if st.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", oneLine(st.Hint))
	}
	where := "HOST"
	jobs := slices.ContainsFunc(st.Steps, func(s stepStatus) bool { return s.Place != nil && s.Place.Job != "" })
	if jobs {
		where = "HOST\tJOB\tQUEUED"
	}
	fmt.Fprintf(w, "STEP\tSTAGE\tSTATE\tTIME\t%s\tKEY\tNOTE\n", where)
	for _, s := range st.Steps {
		time := ""
		if s.Seconds > 0 {
			time = program.Duration(s.Seconds)
		}
		note := s.Reason
		if s.Error != "" {
			note = fmt.Sprintf("exit %d: %s", s.Exit, oneLine(s.Error))
		}
		if s.Retries > 0 && s.State != runner.Waiting {
			note = strings.TrimSpace(fmt.Sprintf("%s (retries: %d)", note, s.Retries))
		}
		place := cmp.Or(s.Place, &runner.Placement{})
		if place.Restarts > 0 {
			note = strings.TrimSpace(fmt.Sprintf("%s (restarts: %d)", note, place.Restarts))
		}
		where = place.Host
		if jobs {
			where += "\t" + place.Job + "\t"
			if place.Job != "" {
				where += program.Duration(place.QueuedSeconds)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.12s\t%s\n", s.Step, s.Stage, s.State, time, where, s.Key, note)
	}
	for _, text := range st.Warnings {
		fmt.Fprintf(w, "warning: %s\n", text)
	}
	switch st.State {
	case runner.Submitted:
		fmt.Fprintln(w, "its jobs continue without a runner; run the same command again to wait for them")
	case interrupted:
		fmt.Fprintln(w, "its runner has ended; run the same command again to resume")
	}
}

const interrupted = "interrupted"

// state returns the state of a run. A run that was recorded as running, but whose runner no longer exists, is
// interrupted. The runners of a workflow are never on this machine.
func (a *app) state(store *openStore, run *runner.Run) string {
	if run.State == runner.Running && run.Workflow == "" {
		if alive, known := a.runner(store, nil).Alive(run.ID); known && !alive {
			return interrupted
		}
	}
	return run.State
}

package runner

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vapo/lib/failure"
)

// Workflow describes the workflow of another program in which this process is a pod. All pods write one run, so that
// the history has the workflow as a whole.
type Workflow struct {
	UID     string
	Started time.Time
	Steps   int // number of steps, with shards; each has a pod
}

// runID returns the ID of the workflow's run.
func (w Workflow) runID() string {
	uid, _, _ := strings.Cut(w.UID, "-")
	return stamp(w.Started) + "-" + uid
}

// saveInWorkflow adds what this pod knows to the run of its workflow.
func (a *attempt) saveInWorkflow(ctx context.Context) error {
	w := a.opt.Workflow
	return a.Store.UpdateRun(ctx, w.runID(), func(document []byte) ([]byte, error) {
		all := *a.run
		all.ID, all.Path, all.Started = w.runID(), filepath.Base(a.run.Path), w.Started
		all.Steps, all.Warnings, all.Workflow, all.byName = nil, nil, w.UID, nil
		if document != nil {
			stored, err := DecodeRun(all.ID, document)
			if err != nil {
				return nil, err
			}
			all = *stored
		}
		all.add(a.run, a.opt.Only, w.Steps)
		return all.encode()
	})
}

// add adds the steps of a pod, which ran the step only, to the run of a workflow with the given number of steps. The
// pod knows the steps that its own needs, but their own pods know more about them.
func (r *Run) add(pod *Run, only string, steps int) {
	for _, s := range pod.Steps {
		stored, ok := r.Step(s.Name)
		switch {
		case !ok:
			r.Steps = append(r.Steps, s)
		case stored.State == Done && slices.Contains([]string{Waiting, Cached}, s.State): // a pod that was started again
		case s.Name == only, s.State == Cached && !slices.Contains([]string{Cached, Done}, stored.State):
			*stored = *s
		}
	}
	for _, text := range pod.Warnings {
		if !slices.Contains(r.Warnings, text) {
			r.Warnings = append(r.Warnings, text)
		}
	}
	r.WallSeconds = time.Since(r.Started).Seconds()
	r.State, r.Exit = Done, failure.OK
	active := len(r.Steps) < steps
	for _, s := range slices.Backward(r.Steps) { // the first failure counts
		if s.State == Failed || s.State == Terminated {
			r.State, r.Exit = s.State, s.Exit
		}
		active = active || s.State == Waiting || s.State == Running
	}
	if active && r.Exit == failure.OK {
		r.State = Running
	}
}

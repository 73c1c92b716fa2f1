package runner

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"
)

// How often a run looks at its jobs. Records and logs are files, so reading them costs the batch system nothing. Its
// controller is asked rarely: after askFirst, and then after pauses that grow by half up to askLast.
const (
	readEvery = 500 * time.Millisecond
	askFirst  = 2 * time.Second
	askLast   = time.Minute
)

// settle is how long a run waits for the record of a job that has ended, because shared file systems show new files
// late. It also limits the calls that cancel jobs or delete credentials at the end of a run.
const settle = 10 * time.Second

// followed is a job that a run waits for.
type followed struct {
	*Job
	step   *Step
	lines  *lineReader
	read   int64     // bytes of the log that lines has received
	text   string    // the latest state in the queue that was shown
	seen   sighting  // the latest record that was shown
	gone   time.Time // time of the first answer that lists the job as ended, or not at all; zero: there was none
	missed int       // number of such answers in a row
	ending JobState  // the final state that the batch system reported, if it did
	over   bool      // the step has its final state
}

// sighting is the part of a record whose changes are shown.
type sighting struct {
	state, reason string
	place         Placement
}

// schedule submits all steps without a cached result to the batch system, and waits for them unless the run detaches.
func (a *attempt) schedule(ctx context.Context) error {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	defer signal.Stop(interrupted)
	planned, err := a.planJobs(ctx)
	if err != nil || len(planned) == 0 {
		return err
	}
	dir, err := filepath.Abs(a.RunDir(a.run.ID)) // the jobs may have another working directory
	if err != nil {
		return err
	}
	if err := a.saveImported(ctx, dir); err != nil {
		return err
	}
	err = a.opt.Scheduler.Submit(ctx, dir, planned)
	if err != nil && ctx.Err() == nil {
		a.cancel(ctx, planned)
		a.close(ctx, planned, nil)
		return err
	}
	var jobs []*followed
	for _, j := range planned {
		f := &followed{Job: j}
		f.step, _ = a.run.Step(j.Node.Name())
		f.lines = newLineReader(io.Discard, func(l Line) { a.show(f.step, l) })
		jobs = append(jobs, f)
		if j.ID != "" {
			a.queued(f, "submitted")
		}
	}
	_ = a.save(ctx) // a failure is only a warning
	if ctx.Err() == nil && a.opt.Detach {
		a.leave(ctx, jobs)
		return nil
	}
	if ctx.Err() == nil {
		err = a.follow(ctx, jobs)
	}
	if ctx.Err() == nil {
		a.close(ctx, planned, jobs)
		return err
	}
	select {
	case <-interrupted:
		a.cancel(ctx, planned)
		for _, f := range jobs {
			if !f.over && !f.Found {
				a.set(f.step, Terminated, "job cancelled")
			}
		}
		a.close(ctx, planned, jobs)
	case <-time.After(100 * time.Millisecond): // another signal, or the terminal is gone
		a.leave(ctx, jobs)
	}
	return fmt.Errorf("run %s: %w", a.run.ID, context.Cause(ctx))
}

// leave ends the run but not its jobs.
func (a *attempt) leave(ctx context.Context, jobs []*followed) {
	a.detached = true
	var left []*Job
	for _, f := range jobs {
		if !f.over && f.ID != "" {
			left = append(left, f.Job)
		}
	}
	if len(left) > 0 {
		a.Display.Left(left)
		a.close(ctx, left, nil)
	}
}

// follow waits until all jobs have ended. It returns the first failure in the order of the steps.
func (a *attempt) follow(ctx context.Context, jobs []*followed) error {
	failures := map[*followed]*Failure{}
	var useless []*Job // whose steps do not run
	pause := askFirst
	for ask := time.Now().Add(pause); ; {
		open := false
		for _, f := range jobs {
			if f.over {
				continue
			}
			if f.over = a.ready(f.Node) == Skipped; f.over {
				a.skip(f.step, "")
				useless = append(useless, f.Job)
				continue
			}
			if slices.ContainsFunc(jobs, func(n *followed) bool { return !n.over && slices.Contains(f.Needs, n.Job) }) {
				open = true
				continue
			}
			failed, err := a.look(ctx, f)
			if err != nil {
				return err
			}
			if failed != nil {
				failures[f] = failed
			}
			open = open || !f.over
		}
		if !open {
			break
		}
		if time.Now().After(ask) {
			states, err := a.opt.Scheduler.States(ctx)
			if err != nil {
				return err
			}
			a.compare(jobs, states)
			pause = min(pause+pause/2, askLast)
			ask = time.Now().Add(pause)
			if slices.ContainsFunc(jobs, func(f *followed) bool { return !f.over && f.missed == 1 }) {
				ask = time.Now().Add(min(pause, settle)) // ask again before giving up on a job
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(readEvery):
		}
	}
	a.cancel(ctx, useless)
	for _, f := range jobs {
		if failures[f] != nil {
			return failures[f]
		}
	}
	return nil
}

// compare updates the jobs with the states that the batch system reports.
func (a *attempt) compare(jobs []*followed, states map[string]JobState) {
	for _, f := range jobs {
		state, known := states[f.ID]
		switch {
		case f.over:
		case !known || state.Ended:
			if f.missed++; f.gone.IsZero() {
				f.gone = time.Now()
			}
			if known {
				f.ending = state
			}
		default:
			f.gone, f.missed, f.ending = time.Time{}, 0, JobState{}
			if f.step.State == Waiting && f.seen.state != Waiting || state.Pending {
				a.queued(f, state.Text)
			}
		}
	}
}

// queued shows that a job is in the queue. It does nothing if the text is the one that was shown last.
func (a *attempt) queued(f *followed, text string) {
	if f.text == text {
		return
	}
	f.text = text
	a.set(f.step, Waiting, fmt.Sprintf("for job %s (%s)", f.ID, text))
	a.Display.StepWaiting(f.step)
}

func (a *attempt) set(s *Step, state, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.State, s.Reason = state, reason
}

// close deletes the credentials of the jobs, now or after the last job has ended. It does not wait for the jobs of
// steps that have their final state.
func (a *attempt) close(ctx context.Context, jobs []*Job, seen []*followed) {
	var dirs []string
	for _, j := range jobs {
		if j.Dir != "" && !slices.Contains(dirs, j.Dir) {
			dirs = append(dirs, j.Dir)
		}
	}
	if len(dirs) == 0 {
		return
	}
	var over []string
	for _, f := range seen {
		if f.over {
			over = append(over, f.ID)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	if err := a.opt.Scheduler.Close(ctx, dirs, over); err != nil {
		a.warn(fmt.Sprintf("the credentials in %s could not be deleted: %v", filepath.Join(dirs[0], StoreEnvFile), err))
	}
}

// cancel cancels the jobs that this run has submitted.
func (a *attempt) cancel(ctx context.Context, jobs []*Job) {
	own := slices.DeleteFunc(slices.Clone(jobs), func(j *Job) bool { return j.Found || j.ID == "" })
	if len(own) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	if err := a.opt.Scheduler.Cancel(ctx, own); err != nil {
		a.warn(fmt.Sprintf("the jobs could not be cancelled: %v", err))
	}
}

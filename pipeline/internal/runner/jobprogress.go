package runner

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vapo/lib/failure"
)

// look reads the record and the log of a job. It returns a failure if the job has failed.
func (a *attempt) look(ctx context.Context, f *followed) (*Failure, error) {
	rec, began := f.record()
	gone := f.missed > 1 && time.Since(f.gone) > settle
	ended := rec != nil && slices.Contains([]string{Done, Cached, Failed, Skipped}, rec.State)
	if !ended && gone { // the job left no final record, but the store may have its result
		return a.lost(ctx, f, rec)
	}
	if rec == nil {
		return nil, nil
	}
	if wait := began.Sub(f.Submitted).Seconds(); wait > 0 && !f.Submitted.IsZero() {
		rec.Place.QueuedSeconds = wait
	}
	if !ended {
		a.running(ctx, f, rec)
		f.readLog()
		return nil, nil
	}
	f.readLog()
	f.lines.flush()
	f.over = true
	var manifest []byte
	if (rec.State == Done || rec.State == Cached) && !f.Node.IsShard() {
		made, err := a.Store.Record(ctx, rec.Key)
		if err != nil {
			return nil, fmt.Errorf("the result of step %s, which job %s made: %w", rec.Name, f.ID, err)
		}
		manifest = made.Manifest
	}
	a.absorb(f.step, rec, manifest)
	failed := f.failure()
	a.Display.StepEnded(f.step, failed)
	_ = a.save(ctx) // a failure is only a warning
	return failed, nil
}

// running shows a job that has started, whose step waits for another run, or that was stopped and will be restarted.
func (a *attempt) running(ctx context.Context, f *followed, rec *Step) {
	a.mu.Lock()
	s := f.step
	now := sighting{rec.State, rec.Reason, *rec.Place}
	changed := f.seen != now && (rec.State != Waiting || rec.Reason != "") // a job that is just starting has no reason
	f.seen = now
	s.Place, s.Key, s.Action, s.Inputs = rec.Place, rec.Key, rec.Action, rec.Inputs
	retries := len(rec.Retries) > len(s.Retries)
	s.Earlier, s.Retries = rec.Earlier, rec.Retries
	if changed && rec.State != Terminated {
		s.State, s.Reason = rec.State, rec.Reason
	}
	a.mu.Unlock()
	switch {
	case !changed:
		return
	case rec.State == Running:
		a.Display.StepStarted(s)
	case rec.State == Waiting && retries:
		a.Display.StepRetries(s)
	case rec.State == Waiting:
		a.Display.StepWaiting(s)
	case rec.State == Terminated: // shortly before its time limit, by a preemption or by scancel
		a.queued(f, "stopped; its state is saved")
	}
	_ = a.save(ctx) // a failure is only a warning
}

// lost ends a step whose job has ended without a final record. The job may still have published the result, so lost
// looks in the store first.
func (a *attempt) lost(ctx context.Context, f *followed, rec *Step) (*Failure, error) {
	f.over = true
	f.readLog()
	f.lines.flush()
	if d, err := a.lookUpStep(ctx, f.Node, f.step); d == nil || err != nil {
		if err == nil {
			a.Display.StepEnded(f.step, nil)
		}
		return nil, err
	}
	failed := &Step{Name: f.step.Name, State: Failed, Exit: f.ending.Failure, Hint: "see " + f.Output()}
	failed.Error = fmt.Sprintf("job %s is no longer in the queue and has recorded no result", f.ID)
	if f.ending.Text != "" {
		failed.Error = fmt.Sprintf("job %s ended as %s and recorded no result", f.ID, f.ending.Text)
	}
	if failed.Exit == 0 {
		failed.Exit = failure.Bug
	}
	if failed.Exit == failure.Terminated {
		failed.State, failed.Hint = Terminated, failure.HintOf(failure.ErrTerminated)
	}
	failed.Place = &Placement{Job: f.ID}
	if rec != nil {
		failed.Place, failed.Key, failed.Action, failed.Inputs = rec.Place, rec.Key, rec.Action, rec.Inputs
	}
	if len(f.lines.tail()) == 0 { // the stage logged nothing; the output of the job's script may explain the failure
		_, _ = f.lines.Write(tailOf(f.Output()))
		f.lines.flush()
	}
	a.absorb(f.step, failed, nil)
	why := f.failure()
	a.Display.StepEnded(f.step, why)
	_ = a.save(ctx) // a failure is only a warning
	return why, nil
}

// absorb replaces a step by the record of its job, which has ended. It keeps the fields that only the run knows.
func (a *attempt) absorb(s, rec *Step, manifest []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	own := *s
	*s = *rec
	s.Needs, s.Declared, s.Stage, s.Shard, s.Manifest = own.Needs, own.Declared, own.Stage, own.Shard, manifest
	if manifest != nil {
		a.made[s.Name] = s.Outputs
	}
}

// failure returns the failure of the job's step, or nil if it has not failed.
func (f *followed) failure() *Failure {
	s := f.step
	if s.State != Failed && s.State != Terminated {
		return nil
	}
	return &Failure{Step: s.Name, Stage: s.Stage, Code: s.Exit, Text: s.Error, Advice: s.Hint, Tail: f.lines.tail(),
		LogFile: jobLog(f.Dir, s.Name)}
}

func (a *attempt) show(s *Step, l Line) {
	if l.Progress != nil {
		a.Display.StepProgress(s, *l.Progress)
	} else {
		a.Display.StepLog(s, l)
	}
}

// jobLog returns the path of the log of a job's stage.
func jobLog(dir, step string) string { return filepath.Join(dir, step+".log") }

// readLog shows what the stage has logged since the last call.
func (f *followed) readLog() {
	file, err := os.Open(jobLog(f.Dir, f.step.Name))
	if err != nil {
		return // not started yet
	}
	defer file.Close()
	n, _ := io.Copy(f.lines, io.NewSectionReader(file, f.read, 1<<62)) // after an error, the next call continues
	f.read += n
}

// tailOf returns the end of a file, or nothing if it cannot be read.
func tailOf(path string) []byte {
	const most = 4 << 10
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return data[max(0, len(data)-most):]
}

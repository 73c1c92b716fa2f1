package runner

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/pipeline/internal/graph"
)

// step runs one step, from finding its inputs to publishing its outputs.
func (a *attempt) step(ctx context.Context, n *graph.Node, s *Step) *Failure {
	began := time.Now()
	err := a.persist(ctx, n, s)
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Seconds = time.Since(began).Seconds()
	if err == nil {
		return nil
	}
	f := asFailure(s.Name, s.Stage, err)
	s.Exit, s.Error, s.Hint = f.Code, f.Text, f.Advice
	s.State = Failed
	if f.Code == failure.Terminated {
		s.State = Terminated
	}
	return f
}

// skips evaluates the condition of a step, and marks the step as skipped if it does not hold. It ignores comparisons
// whose score does not exist yet. When the step is about to run, all scores exist.
func (a *attempt) skips(ctx context.Context, n *graph.Node, s *Step) (bool, error) {
	a.mu.Lock()
	made := maps.Clone(a.made)
	a.mu.Unlock()
	v, err := a.judge(ctx, n, made)
	if err != nil || v.skip == "" {
		return false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.State, s.Reason = Skipped, v.skip
	return true, nil
}

// carryOut looks up the result of a step, and computes the result if the store lacks it. It does neither if the
// condition of the step does not hold.
func (a *attempt) carryOut(ctx context.Context, n *graph.Node, s *Step) error {
	if skipped, err := a.skips(ctx, n, s); skipped || err != nil {
		return err
	}
	var key string // key of the action if another run worked on it at the same time
	for done := false; !done; {
		d, err := a.lookUpStep(ctx, n, s)
		if d == nil && err == nil && key != "" && !n.IsShard() {
			// If this run was frozen while its stage was saving state, it may have written the state after the other run
			// finished the action.
			_ = a.Store.Live(key).DeleteAfter(ctx, a.run.ID)
		}
		if d == nil || err != nil {
			return err
		}
		key = d.Key
		if a.opt.Only != "" && n.Name() != a.opt.Only {
			return failure.New(failure.Input, "run that step first", "step %s needs step %s, which has not run", a.opt.Only,
				n.Name())
		}
		part, err := a.takeCapacity(ctx, d, s)
		if err != nil {
			return err
		}
		done, err = a.underLease(ctx, d.leaseKey(), s, func(ctx context.Context, lease string) error {
			d, err := a.lookUpStep(ctx, n, s) // another runner may just have published the result
			if d == nil || err != nil {
				return err
			}
			d.env = part.env()
			return a.compute(ctx, d, s, lease)
		})
		a.pool.giveBack(part)
		if err != nil {
			return err
		}
	}
	return nil
}

// takeCapacity waits until the machine has capacity for a step.
func (a *attempt) takeCapacity(ctx context.Context, d *Decision, s *Step) (capacity, error) {
	want := d.Node.Step.Resources
	if lacks := a.pool.all.lacks(want); lacks != "" {
		a.Display.StepLog(s, Line{Level: "WARN", Text: lacks + ": it runs with what there is"})
	}
	return a.pool.take(ctx, want, func() { a.waiting(ctx, s, "for resources that other steps use") })
}

// lookUpStep returns the decision about a step. If the result of the step is cached, lookUpStep finishes the step and
// returns nil, unless the run is to execute every step (Options.Fresh).
func (a *attempt) lookUpStep(ctx context.Context, n *graph.Node, s *Step) (*Decision, error) {
	a.mu.Lock()
	made, idle := maps.Clone(a.made), n.IsShard() && a.cached[n.Whole().Name()]
	a.mu.Unlock()
	if idle {
		a.finish(s, Cached, &contract.Manifest{}, nil)
		return nil, nil
	}
	var d *Decision
	for renewed := false; !renewed; { // decide again if the record changed or was deleted since it was read
		var err error
		if d, err = a.decide(ctx, n, made, true); err != nil {
			return nil, err
		}
		used := cmp.Or(d.Hit, d.Earlier)
		if used == nil {
			break
		}
		if renewed, err = a.Store.Renew(ctx, used); err != nil {
			return nil, err
		}
	}
	preimage, err := d.Action.Preimage()
	if err != nil {
		return nil, err
	}
	if n.IsShard() {
		preimage = nil // the run has it in the whole step
	}
	a.mu.Lock()
	s.Key, s.Action, s.Inputs, s.Reason = d.Key, preimage, d.Inputs, d.Reason
	a.mu.Unlock()
	if a.opt.Fresh {
		d.Earlier = nil // do not continue from a cached result
	}
	if n.IsShard() {
		return a.lookUpShard(ctx, d, s)
	}
	if a.opt.Fresh || d.Hit == nil {
		return d, nil
	}
	a.finish(s, Cached, d.Made, d.Hit.Manifest)
	return nil, nil
}

// compute runs the stage of a step and publishes the result.
func (a *attempt) compute(ctx context.Context, d *Decision, s *Step, lease string) error {
	for {
		a.mu.Lock()
		s.State, s.Earlier, s.Reason, s.Place = Running, "", d.Reason, &a.opt.Place
		if d.Earlier != nil {
			s.Earlier, s.Reason = d.Earlier.Key, d.Continues()
		}
		a.mu.Unlock()
		_ = a.save(ctx)          // a failure is only a warning
		a.Display.StepStarted(s) // once for each attempt
		ran, err := a.execute(ctx, d, s, lease)
		if err == nil && d.Node.IsShard() {
			return a.finishShard(ctx, d, s)
		}
		if err == nil {
			return a.publish(ctx, d, s, ran)
		}
		// Continuing from an earlier action only saves time. If that action is damaged, warn and continue from the next
		// shorter one, or start from the beginning if no shorter one is left.
		if d.Earlier == nil || failure.ClassOf(err) != failure.Integrity {
			return err
		}
		a.warn(fmt.Sprintf("step %s could not continue after %d %s of action %.12s: %s",
			s.Name, d.EarlierLength, d.Node.Stage.Length, d.Earlier.Key, asFailure(s.Name, s.Stage, err).Text))
		if err := a.headStart(ctx, d, d.EarlierLength); err != nil {
			return err
		}
	}
}

func (a *attempt) finish(s *Step, state string, m *contract.Manifest, raw []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.State, s.Outputs, s.Manifest = state, m.Outputs, raw
	a.made[s.Name] = m.Outputs
}

// publish makes the step's result the cached one. If another runner published a result first, that result stays. Any
// difference between the two results is recorded as a warning, since it means that the stage's outputs do not depend on
// its key alone.
//
// The order matters if the runner is killed in between. The record is written before the series, because a series may
// name only recorded actions. The live state is deleted last, because another attempt may need it until the record
// exists.
func (a *attempt) publish(ctx context.Context, d *Decision, s *Step, ran *executed) error {
	digests := map[string]artifact.Digest{}
	for name, out := range ran.manifest.Outputs {
		digests[name] = artifact.Digest(out.Digest)
	}
	preimage, err := d.Action.Preimage()
	if err != nil {
		return err
	}
	winner, won, err := a.Store.Publish(ctx, artifact.Record{
		Key: d.Key, Action: preimage, Manifest: ran.raw, Outputs: digests, Created: time.Now().UTC(),
	})
	if err != nil {
		return fmt.Errorf("publishing the result of step %s: %w", s.Name, err)
	}
	manifest, raw := ran.manifest, ran.raw
	if !won {
		first, err := contract.DecodeManifest(winner.Manifest)
		if err != nil {
			return fmt.Errorf("the record of action %s: %w", d.Key, err)
		}
		same := true
		for name, out := range first.Outputs {
			if mine := ran.manifest.Outputs[name].Digest; mine != out.Digest {
				same = false
				a.warn(fmt.Sprintf("step %s is not reproducible: output %s is %s here, but action %s was published with %s",
					s.Name, name, mine, d.Key, out.Digest))
			}
		}
		if same && a.opt.Fresh {
			a.mu.Lock()
			s.Reason = "reproduced the stored result"
			a.mu.Unlock()
		}
		manifest, raw = first, winner.Manifest
	}
	if d.Series != "" {
		if err := a.Store.AddToSeries(ctx, d.Series, d.Length, d.Key); err != nil {
			a.warn(fmt.Sprintf("longer runs will not continue from step %s: %v", s.Name, err))
		}
	}
	_ = a.Store.Live(d.Key).Delete(ctx) // no longer needed
	a.finish(s, Done, manifest, raw)
	return nil
}

func (a *attempt) warn(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.run.Warnings = append(a.run.Warnings, text)
}

// Package runner carries out a recipe. For each step, it looks for a cached result; if there is none, it runs the stage
// and publishes the stage's outputs.
//
// Killing the runner at any time does no harm. A step is done when its action record exists; only the runner writes
// this record, after all outputs and with put-if-absent. A killed runner or stage leaves behind only blobs and live
// state. Blobs are content-addressed and therefore always correct; the state under live/ saves the next attempt some
// work.
package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/pipeline/internal/graph"
)

// Runner carries out recipes against one store.
type Runner struct {
	Store     *artifact.Store
	StoreName string        // shown to the user
	Env       []string      // environment of the stages: that of this process with the store's variables
	Dir       string        // local directory (.vapo) for logs, reports and scratch files
	Jobs      int           // steps to run at once; stages use all cores, so more than 1 helps only small steps
	Grace     time.Duration // time for stages to save their state after SIGTERM
	Display   Display

	imports sync.Map // digests of local files that were imported, by path
}

// Display shows a run to the user. Several goroutines may call its methods at once.
type Display interface {
	Started(run *Run)
	Uploading(path string, done, size int64) // a local file, of which done bytes are sent
	StepWaiting(step *Step)                  // step.Reason says what the step waits for
	StepStarted(step *Step)
	StepRetries(step *Step) // step.Reason says why and when the step is tried again
	StepProgress(step *Step, p Progress)
	StepLog(step *Step, line Line)
	StepEnded(step *Step, failure *Failure)
	Left(jobs []*Job) // the run ends before these jobs
	Ended(run *Run)
}

// Options control which steps a run executes, and how.
type Options struct {
	// Only, if set, names the only step that may be executed. The other steps of the graph must be cached.
	Only string
	// KeepGoing continues after a failure with the steps that do not need the failed one. Otherwise no step starts after a
	// failure, and the steps that are already running finish.
	KeepGoing bool
	// Fresh executes every step even if its result is cached, to check that results are reproducible.
	Fresh bool
	// NoWait lets a step fail with class Busy if another run is working on the same action. Otherwise the step waits for
	// that run and uses its result.
	NoWait bool

	// Scheduler, if set, runs the steps as jobs of a batch system.
	Scheduler Scheduler
	// Detach ends the run when its jobs are submitted.
	Detach bool
	// JobDir, if set, says that this process is a job, which executes the step Only. The job keeps its record and its log
	// in JobDir.
	JobDir string
	// Workflow, if set, says that this process is a pod of a workflow, which executes the step Only.
	Workflow *Workflow
	// Place says where this process runs. If it names no host, the host is this machine.
	Place Placement
}

// attempt is the state of one call of Runner.Run.
type attempt struct {
	*Runner
	graph *graph.Graph
	opt   Options
	run   *Run
	pool  *pool

	mu        sync.Mutex // guards made and the steps of run
	made      outputs
	cached    map[string]bool // steps with shards whose result was found in the store, by name
	noHistory bool            // storing the run failed, and the warning about it was given
	detached  bool            // the run ends before its jobs
}

// Run carries out g. If steps failed, the error is that of the first failed step in recipe order, and the run is
// returned too.
func (r *Runner) Run(ctx context.Context, g *graph.Graph, opt Options) (*Run, error) {
	started := time.Now()
	a := &attempt{Runner: r, graph: g, opt: opt, made: outputs{}, cached: map[string]bool{}, pool: newPool(machine()),
		run: newRun(g, r.StoreName, started)}
	if a.opt.Place.Host == "" {
		a.opt.Place.Host, _ = os.Hostname() // only shown
	}
	ended, release, err := r.claim(ctx, a.run.ID)
	if err != nil {
		return nil, err
	}
	defer release()
	for _, id := range ended {
		r.tidy(ctx, id)
	}
	if err := r.checkReferences(ctx, g); err != nil {
		return nil, err
	}
	if s, ok := a.run.Step(opt.Only); ok && opt.inJob() {
		s.Place = &a.opt.Place // set while the step still waits, so that the record always names its job
	}
	_ = a.save(ctx) // a failure is only a warning
	r.Display.Started(a.run)
	err = a.upload(ctx)
	switch {
	case err != nil:
	case opt.Scheduler != nil:
		err = a.schedule(ctx)
	default:
		err = a.steps(ctx)
	}

	// Store the final state even if ctx has ended: the history is needed most after a problem.
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	a.run.WallSeconds = time.Since(started).Seconds()
	a.run.Exit = failure.ClassOf(err)
	switch {
	case a.detached:
		a.run.State = Submitted
	case err == nil:
		a.run.State = Done
	case a.run.Exit == failure.Terminated:
		a.run.State = Terminated
	default:
		a.run.State = Failed
		if f := (*Failure)(nil); !errors.As(err, &f) {
			a.run.Error, a.run.Hint = err.Error(), failure.HintOf(err)
		}
	}
	_ = a.save(final) // a failure is only a warning
	r.Display.Ended(a.run)
	return a.run, err
}

// steps runs the steps in order, at most Jobs at once, until no more steps can run.
func (a *attempt) steps(ctx context.Context) error {
	type result struct {
		i       int
		failure *Failure
	}
	nodes := a.graph.Nodes
	results := make(chan result)
	running := 0
	started := make([]bool, len(nodes))
	var first *Failure // first failure in the order of the steps
	firstAt := len(nodes)
	for {
		for i, n := range nodes {
			if started[i] || ctx.Err() != nil {
				continue
			}
			switch a.ready(n) {
			case Running:
				if running >= max(1, a.Jobs) {
					continue
				}
				if first != nil && !a.opt.KeepGoing {
					started[i] = true
					a.skip(a.run.Steps[i], "not started after the failure of "+first.Step)
					continue
				}
				started[i] = true
				running++
				go func() { results <- result{i, a.step(ctx, n, a.run.Steps[i])} }()
			case Skipped:
				started[i] = true
				a.skip(a.run.Steps[i], "")
			}
		}
		if running == 0 {
			break
		}
		res := <-results
		running--
		step := a.run.Steps[res.i]
		if res.failure != nil && res.i < firstAt {
			first, firstAt = res.failure, res.i
		}
		a.Display.StepEnded(step, res.failure)
		if !step.Idle() {
			_ = a.save(ctx) // a failure is only a warning
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", a.run.ID, context.Cause(ctx))
	}
	if first != nil {
		return first
	}
	return nil
}

// upload imports the local files that the steps use. A file that cannot be read must not cost the time of the steps
// before the one that needs it. If only one step may run, its own files are imported with it.
func (a *attempt) upload(ctx context.Context) error {
	if a.opt.Only != "" {
		return nil
	}
	for _, n := range a.graph.Nodes {
		for _, name := range slices.Sorted(maps.Keys(n.Sources)) {
			src := n.Sources[name]
			if src.Path == "" {
				continue
			}
			if _, err := a.file(ctx, src.Path, true); err != nil {
				return located(src.Pos, fmt.Errorf("step %s: input %s: %w", n.Name(), name, err))
			}
		}
	}
	return nil
}

// save stores the run in the history or, in a job, in the job's file. A pod adds its part to the run of its workflow. A
// failure becomes a warning, which is given only once, because no result depends on the history.
func (a *attempt) save(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	switch {
	case a.opt.inJob():
		err = saveJob(a.opt.JobDir, a.opt.Only, a.run)
	case a.opt.Workflow != nil:
		err = a.saveInWorkflow(ctx)
	default:
		err = a.run.save(ctx, a.Store)
	}
	if err != nil && !a.noHistory && ctx.Err() == nil {
		a.noHistory = true
		a.run.Warnings = append(a.run.Warnings, fmt.Sprintf("the history lacks this run: %v", err))
	}
	return err
}

// ready returns Running if a step can run now, Skipped if it can never run, and Waiting otherwise.
func (a *attempt) ready(n *graph.Node) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	verdict := Running
	for _, need := range n.Needs {
		s, _ := a.run.Step(need)
		switch s.State {
		case Cached, Done:
		case Failed, Skipped, Terminated:
			return Skipped
		default:
			verdict = Waiting
		}
	}
	return verdict
}

// skip records that a step does not run. If no reason is given, the reason is a step that it needs and that failed or
// did not run.
func (a *attempt) skip(s *Step, reason string) {
	a.mu.Lock()
	s.State, s.Reason = Skipped, reason
	for _, need := range s.Needs {
		n, _ := a.run.Step(need)
		if reason != "" || !slices.Contains([]string{Failed, Skipped, Terminated}, n.State) {
			continue
		}
		if s.Reason = "needs " + need; n.Shard != "" && n.State == Skipped {
			s.Reason = n.Reason // the reason for a shard is also that for the whole step
		}
		break
	}
	a.mu.Unlock()
	a.Display.StepEnded(s, nil)
}

// Plan looks up the result of every step without running any.
func (r *Runner) Plan(ctx context.Context, g *graph.Graph) ([]*Decision, error) {
	made := outputs{}
	skipped := map[string]bool{}
	var out []*Decision
	for _, n := range g.Nodes {
		v, err := r.judge(ctx, n, made)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(n.Needs, func(need string) bool { return skipped[need] })
		if i >= 0 && v.skip == "" {
			v.skip = "needs " + n.Needs[i]
		}
		if v.skip != "" {
			skipped[n.Name()] = true
			out = append(out, &Decision{Node: n, Skip: v.skip})
			continue
		}
		d, err := r.decide(ctx, n, made, false)
		if err != nil {
			return nil, err
		}
		if n.IsShard() && d.Hit == nil {
			if d.done, err = r.marked(ctx, d); err != nil {
				return nil, err
			}
		}
		d.Unknown = v.unknown
		if d.Hit != nil {
			made[n.Name()] = d.Made.Outputs
		}
		out = append(out, d)
	}
	return out, nil
}

// file returns the digest of a local file. If keep is set, it also imports the file into the store.
func (r *Runner) file(ctx context.Context, path string, keep bool) (string, error) {
	if d, ok := r.imports.Load(path); ok {
		return d.(string), nil
	}
	digest, size, err := artifact.FileDigest(path)
	if !keep || err != nil {
		return string(digest), err
	}
	// Every run imports its files, so a file that the store already has is neither read back nor uploaded again.
	stored, ok, err := r.Store.Has(ctx, digest)
	there := ok && stored == size
	if err == nil && there {
		err = r.Store.Retain(ctx, digest)
		there = err == nil
	}
	if !there && (err == nil || errors.Is(err, artifact.ErrNotFound) || errors.Is(err, artifact.ErrCorrupt)) {
		digest, _, err = r.Store.PutFile(ctx, path, func(done, size int64) { r.Display.Uploading(path, done, size) })
	}
	if err != nil {
		return "", fmt.Errorf("importing %s: %w", path, err)
	}
	r.imports.Store(path, string(digest))
	return string(digest), nil
}

// Package runner carries out a recipe: for each step it looks for a cached result and, if there is none, runs the stage
// and publishes its outputs.
//
// Correctness does not depend on the runner surviving. A step is done when its action record exists, which only the
// runner writes, last and with put-if-absent. A killed runner or stage leaves behind only blobs, which
// are content-addressed and therefore correct, and state under live/, which saves the next attempt some work.
package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/pipeline/internal/graph"
)

// Runner carries out recipes against one store.
type Runner struct {
	Store     *artifact.Store
	StoreName string        // for display
	Env       []string      // of the stages: the process environment with the store's variables
	Dir       string        // local directory for logs, reports and scratch (.vapo)
	Jobs      int           // steps at once; stages use all cores, so more than 1 only helps small ones
	Grace     time.Duration // for stages to save their state after SIGTERM
	Display   Display

	imports sync.Map // path → digest
}

// Display shows a run to a user. Its methods may be called from several goroutines.
type Display interface {
	Started(run *Run)
	StepStarted(step *Step)
	StepProgress(step *Step, p Progress)
	StepLog(step *Step, line Line)
	StepEnded(step *Step, failure *Failure)
	Ended(run *Run)
}

// Options narrow a run.
type Options struct {
	// Only, if set, is the only step that may run. The steps it needs must be cached, the others are ignored.
	Only string
	// Fresh runs every step even if it is cached, to check that results are reproducible.
	Fresh bool
}

// attempt is the state of one call to Run.
type attempt struct {
	*Runner
	graph *graph.Graph
	opt   Options
	run   *Run

	mu        sync.Mutex // guards the steps of run and made
	made      outputs
	noHistory bool // storing the record failed once, and a warning says so
}

// Run carries out g. It returns the run and, if steps failed, the error of the first of them in recipe order.
func (r *Runner) Run(ctx context.Context, g *graph.Graph, opt Options) (*Run, error) {
	started := time.Now()
	a := &attempt{Runner: r, graph: g, opt: opt, made: outputs{}, run: newRun(g, r.StoreName, started)}
	if opt.Only != "" {
		if _, ok := g.Node(opt.Only); !ok {
			return nil, failure.New(failure.Usage, "", "the recipe has no step %s", opt.Only)
		}
	}
	release, err := r.claim(a.run.ID)
	if err != nil {
		return nil, err
	}
	defer release()
	_ = a.save(ctx) // warns
	r.Display.Started(a.run)
	err = a.steps(ctx)

	// The stored run is needed most when something went wrong.
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	a.run.WallSeconds = time.Since(started).Seconds()
	a.run.Exit = failure.ClassOf(err)
	switch {
	case err == nil:
		a.run.State = Done
	case a.run.Exit == failure.Terminated:
		a.run.State = Terminated
	default:
		a.run.State = Failed
	}
	_ = a.save(final) // warns
	r.Display.Ended(a.run)
	return a.run, err
}

// steps runs the steps, in order and at most Jobs at once, until none is left that can run. A failure only stops the
// steps that need its outputs.
func (a *attempt) steps(ctx context.Context) error {
	type result struct {
		i       int
		failure *Failure
	}
	nodes := a.graph.Nodes
	results := make(chan result)
	running := 0
	started := make([]bool, len(nodes))
	var first *Failure // in the order of the steps
	firstAt := len(nodes)
	for {
		for i, n := range nodes {
			if started[i] || running >= max(1, a.Jobs) || ctx.Err() != nil {
				continue
			}
			switch a.ready(n) {
			case Running:
				started[i] = true
				running++
				go func() { results <- result{i, a.step(ctx, n, a.run.Steps[i])} }()
			case Skipped:
				started[i] = true
				a.skip(a.run.Steps[i])
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
		_ = a.save(ctx) // warns
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", a.run.ID, context.Cause(ctx))
	}
	if first != nil {
		return first
	}
	return nil
}

// save stores the record of the run. A failure is only a warning, once: no result depends on the history.
func (a *attempt) save(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.run.save(ctx, a.Store)
	if err != nil && !a.noHistory && ctx.Err() == nil {
		a.noHistory = true
		a.run.Warnings = append(a.run.Warnings, fmt.Sprintf("the history lacks this run: %v", err))
	}
	return err
}

// unwritable reports whether an error means that the store cannot be written, for all writers or for these credentials.
func unwritable(err error) bool {
	return errors.Is(err, objectstore.ErrReadOnly) || errors.Is(err, objectstore.ErrDenied) ||
		errors.Is(err, objectstore.ErrNoSpace)
}

// ready returns whether a step can run now (Running), never (Skipped) or not yet (Waiting).
func (a *attempt) ready(n *graph.Node) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.opt.Only != "" && n.Name() != a.opt.Only && !a.needs(a.opt.Only, n.Name()) {
		return Skipped
	}
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

// needs reports whether a step depends on another one.
func (a *attempt) needs(step, other string) bool {
	n, ok := a.graph.Node(step)
	return ok && slices.ContainsFunc(n.Needs, func(need string) bool { return need == other || a.needs(need, other) })
}

func (a *attempt) skip(s *Step) {
	a.mu.Lock()
	s.State = Skipped
	for _, need := range s.Needs {
		if n, _ := a.run.Step(need); n.State == Failed || n.State == Skipped {
			s.Reason = "needs " + need
			break
		}
	}
	a.mu.Unlock()
	if a.opt.Only == "" {
		a.Display.StepEnded(s, nil)
	}
}

// Plan decides every step without running any.
func (r *Runner) Plan(ctx context.Context, g *graph.Graph) ([]*Decision, error) {
	made := outputs{}
	var out []*Decision
	for _, n := range g.Nodes {
		d, err := r.decide(ctx, n, made, false)
		if err != nil {
			return nil, err
		}
		if d.Hit != nil {
			made[n.Name()] = d.Made.Outputs
		}
		out = append(out, d)
	}
	return out, nil
}

// RunDir returns the directory of the local files of a run.
func (r *Runner) RunDir(id string) string { return filepath.Join(r.Dir, "runs", id) }

// file returns the digest of a local file and, if keep is set, imports it.
func (r *Runner) file(ctx context.Context, path string, keep bool) (string, error) {
	if d, ok := r.imports.Load(path); ok {
		return d.(string), nil
	}
	digest, size, err := artifact.FileDigest(path)
	if !keep || err != nil {
		return string(digest), err
	}
	// Every run imports its files, so one that the store has is not read back.
	stored, ok, err := r.Store.Has(ctx, digest)
	if err == nil && (!ok || stored != size) {
		digest, _, err = r.Store.PutFile(ctx, path)
	}
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			return "", failure.New(failure.Input, "", "importing %s: %w", path, err)
		}
		return "", fmt.Errorf("importing %s: %w", path, err)
	}
	r.imports.Store(path, string(digest))
	return string(digest), nil
}

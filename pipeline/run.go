package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/argo"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/runner"
)

type runCmd struct {
	recipeFlags
	targets
	Jobs      int           `help:"Steps to run at once; more than 1 helps if steps are small." default:"1"`
	Fresh     bool          `help:"Run every step even if it is cached, and warn if the result differs."`
	KeepGoing bool          `help:"After a failure, continue with the steps that do not need the failed one."`
	NoWait    bool          `help:"Fail if another run is working on the same step, instead of waiting for its result."`
	Report    string        `help:"File for the report (default: in the run's directory)." placeholder:"FILE" type:"path"`
	Grace     time.Duration `help:"Time for a stage to save its state after SIGTERM before it is killed." default:"30s"`
	Hook      string        `help:"Shell command to run at the end; gets status --json on stdin." placeholder:"COMMAND"`

	DetailedExitcode bool `help:"Exit with 10 instead of 0 if the result of any step was computed, not cached."`

	executor
	Detach bool `help:"With --executor slurm: submit the jobs and exit. Run again without --detach to wait for them."`

	check func(*graph.Graph) error // returns an error if the graph must not run; may be nil
}

func (c *runCmd) Run(ctx context.Context, a *app) error {
	if err := c.compatible(); err != nil {
		return err
	}
	record, err := a.runRecipe(ctx, c, runner.Options{
		Fresh: c.Fresh, KeepGoing: c.KeepGoing, NoWait: c.NoWait, Detach: c.Detach,
	})
	if record == nil {
		return err
	}
	if c.Hook != "" {
		a.callHook(ctx, c.Hook, record, hookTime)
	}
	a.changed = c.DetailedExitcode && computed(record)
	return err
}

type execCmd struct {
	recipeFlags
	Step   string        `arg:"" help:"The step to run."`
	NoWait bool          `help:"Fail if another run is working on the step, instead of waiting for its result."`
	Grace  time.Duration `help:"Time for the stage to save its state after SIGTERM before it is killed." default:"30s"`

	Job       string `hidden:"" help:"Run as a job with its files in this directory." type:"path" placeholder:"DIR"`
	Described string `hidden:"" help:"Digest that the description of the stage must have." placeholder:"DIGEST"`

	Files    string `hidden:"" help:"Run in an exported workflow; RECIPE is one of these files." placeholder:"JSON"`
	Workflow string `hidden:"" help:"The exported workflow to which this step belongs." placeholder:"STARTED/UID/STEPS"`
}

func (c *execCmd) Run(ctx context.Context, a *app) error {
	run := &runCmd{recipeFlags: c.recipeFlags, Jobs: 1, Grace: c.Grace}
	run.Only = c.Step
	opt := runner.Options{Only: c.Step, NoWait: c.NoWait}
	if c.Job != "" {
		return c.runJob(ctx, a, run, opt)
	}
	if c.Files != "" {
		remove, err := run.unpack(c.Files)
		if err != nil {
			return err
		}
		defer remove()
		run.check = leaveRetries
	}
	if c.Workflow != "" {
		var err error
		if opt.Workflow, err = argo.ParseID(c.Workflow); err != nil {
			return err
		}
	}
	_, err := a.runRecipe(ctx, run, opt)
	return err
}

// runRecipe runs a recipe and writes the report. It returns a nil run if the run has not begun.
func (a *app) runRecipe(ctx context.Context, c *runCmd, opt runner.Options) (*runner.Run, error) {
	if c.Jobs < 1 || c.Grace < 0 {
		return nil, failure.New(failure.Usage, "",
			"--jobs is %d and --grace is %v: expected at least 1 and at least 0s", c.Jobs, c.Grace)
	}
	if c.Report != "" { // report a bad path before the run, not after it
		if err := os.MkdirAll(filepath.Dir(c.Report), 0o777); err != nil {
			return nil, failure.New(failure.Usage, "", "--report: %w", err)
		}
	}
	g, err := c.load(ctx, a, c.Steps...)
	if err != nil {
		return nil, err
	}
	if opt.Only != "" {
		if _, ok := g.Node(opt.Only); !ok {
			return nil, failure.New(failure.Usage, "name one of them, see pipeline plan; or use pipeline run, which runs all",
				"step %s stands for %d instances", opt.Only, g.Instances(opt.Only))
		}
	}
	if opt.Fresh || opt.Only != "" { // --fresh uses no shards; with exec, other jobs compute them
		g = g.WithoutShards(opt.Only)
	}
	if c.check != nil {
		if err := c.check(g); err != nil {
			return nil, err
		}
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	show := newDisplay(a.raw.stderr)
	defer show.close()
	a.warn = show.warn
	r := a.runner(store, show)
	r.Jobs, r.Grace = c.Jobs, c.Grace
	if c.Executor == onSlurm {
		cluster, err := a.cluster(&c.recipeFlags, c.executor, g, store)
		if err != nil {
			return nil, err
		}
		opt.Scheduler = cluster
	}
	record, err := r.Run(ctx, g, opt)
	if record == nil || len(record.Steps) == 0 {
		return nil, err
	}
	if opt.Only == "" && record.State != runner.Submitted && !errors.Is(err, failure.ErrTerminated) {
		path := c.Report
		if path == "" {
			path = filepath.Join(r.RunDir(record.ID), "report.html")
		}
		run, reportErr := readRun(ctx, store.Store, record)
		if reportErr == nil {
			reportErr = writeReport(run, path)
		}
		switch {
		case reportErr == nil:
			for step, headline := range run.Headlines() {
				fmt.Fprintf(a.stdout, "%s: %s\n", step, oneLine(headline))
			}
			fmt.Fprintf(a.stdout, "report: %s\n", program.ShortPath(path))
		case err == nil:
			err = reportErr
		default:
			fmt.Fprintf(a.stderr, "warning: no report: %v\n", reportErr)
		}
	}
	return record, err
}

// maxFigure is the largest size, in bytes, of an output that a report includes.
const maxFigure = 16 << 20

// readFigure returns the content of an output, or nil if it is too large for a report. It does not rely on the size
// that the run states.
func readFigure(ctx context.Context, store *artifact.Store, out contract.Output) ([]byte, error) {
	if out.Size > maxFigure {
		return nil, nil
	}
	r, err := store.Open(ctx, artifact.Digest(out.Digest))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxFigure+1))
	if len(data) > maxFigure {
		return nil, err
	}
	return data, err
}

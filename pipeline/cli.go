package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/catalog"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
	"vapo/pipeline/internal/runner"
	"vapo/pipeline/internal/slurm"
)

const name = "pipeline"

const about = `Run recipes of stages with cached results.

Without VAPO_STORE, an embedded S3 gateway keeps the results in .vapo/ under --dir. To use another ` +
	`store, set VAPO_STORE=s3://bucket/prefix and the usual AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY ` +
	`and AWS_REGION, or AWS_PROFILE.`

// app holds the command line and the state that all commands share.
type app struct {
	Dir string `help:"Directory that holds .vapo (logs, embedded store)." default:"." placeholder:"DIR" type:"existingdir"`
	Bin string `help:"Directory of the stage programs (default: that of this program)." placeholder:"DIR" type:"path"`

	Version kong.VersionFlag `help:"Print the version and exit."`

	Run     runCmd     `cmd:"" help:"Run a recipe and reuse cached results."`
	Plan    planCmd    `cmd:"" help:"Show which steps would run, and why."`
	New     newCmd     `cmd:"" help:"Write a recipe for your own data."`
	Exec    execCmd    `cmd:"" help:"Run one step of a recipe; its inputs must exist."`
	Export  exportCmd  `cmd:"" help:"Write a recipe as a workflow for another program."`
	Status  statusCmd  `cmd:"" help:"Show the steps of a run (default: the latest)."`
	Report  reportCmd  `cmd:"" help:"Write the HTML report of a run (default: the latest)."`
	Ls      lsCmd      `cmd:"" help:"List outputs, runs, refs or cached actions."`
	Get     getCmd     `cmd:"" help:"Copy an artifact out of the store and verify it."`
	Put     putCmd     `cmd:"" help:"Put a file into the store, or give an artifact a name."`
	Lineage lineageCmd `cmd:"" help:"Show how an artifact was made, back to the source data."`
	Rm      rmCmd      `cmd:"" help:"Remove a run from the history, or a ref."`
	Store   storeCmd   `cmd:"" help:"Serve, check, measure or clean the store, or print its environment."`

	stdout, stderr io.Writer // for text, see program.Printable; raw holds the underlying writers
	raw            struct {
		stdout, stderr io.Writer
	}
	store *openStore        // nil until the store is opened
	warn  func(text string) // shows a warning about the store

	changed bool // exit with failure.Changed unless there is an error
}

func run(args []string, stdout, stderr io.Writer) int {
	return int(program.Main(name, stderr, func() error { return dispatch(args, stdout, stderr) }))
}

// results is standard output. It remembers the first failed write. Commands therefore need not check every line that
// they print, and still fail if their output is incomplete.
type results struct {
	io.Writer
	err error
}

func (r *results) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("standard output: %w", err)
	}
	return n, err
}

func dispatch(args []string, stdout, stderr io.Writer) error {
	if err := noneEmpty(args); err != nil {
		return err
	}
	out := &results{Writer: stdout}
	a := &app{stdout: program.Printable(out), stderr: program.Printable(stderr)}
	a.raw.stdout, a.raw.stderr = stdout, stderr
	a.warn = func(text string) { fmt.Fprintf(a.stderr, "warning: %s\n", text) }
	help := kong.Help(func(options kong.HelpOptions, ctx *kong.Context) error {
		if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
			return err
		}
		fmt.Fprintln(ctx.Stdout)
		return failure.WriteExitCodes(ctx.Stdout)
	})
	parser, err := kong.New(a, append(program.Options(name, about, stdout, stderr), help)...)
	if err != nil {
		panic(err)
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return program.Usage(name, err)
	}
	ctx, stop := program.Lifetime()
	defer stop()
	kctx.BindTo(ctx, (*context.Context)(nil))
	defer a.closeStore()
	err = kctx.Run(a)
	if err == nil {
		err = out.err
	}
	if err != nil && errors.Is(context.Cause(ctx), failure.ErrTerminated) && !errors.Is(err, failure.ErrTerminated) {
		err = fmt.Errorf("%w: %w", failure.ErrTerminated, err)
	}
	if err == nil && a.changed {
		program.Exit(int(failure.Changed))
	}
	return err
}

// noneEmpty returns an error if an argument is empty, as if a variable in a script is not set. To the commands, ""
// stands for an argument that was omitted: pipeline rm "" would delete the latest run.
func noneEmpty(args []string) error {
	before := name
	for _, arg := range args {
		flag, found := strings.CutSuffix(arg, "=")
		if arg == "" || found && strings.HasPrefix(flag, "--") && !strings.Contains(flag, "=") {
			if arg != "" {
				before = flag
			}
			return failure.New(failure.Usage, "if it comes from a variable, is the variable set?",
				"the argument after %s is empty", before)
		}
		before = arg
	}
	return nil
}

// recipeFlags are the arguments of all commands that take a recipe.
type recipeFlags struct {
	Recipe string   `arg:"" help:"Recipe file (YAML)."`
	Set    []string `help:"Set a parameter of a step for this run. Repeatable." placeholder:"STEP.PARAM=VALUE" sep:"none"`
	Input  []string `help:"Replace an input, or remove it (no FROM). Repeatable." placeholder:"STEP.INPUT=FROM" sep:"none"`

	Job  string `kong:"-"` // if set, the directory of the job that runs the recipe
	Only string `kong:"-"` // if set, a step that is to run without looking at steps that it does not need
}

// targets are the arguments of commands that may be limited to some steps.
type targets struct {
	Steps []string `arg:"" optional:"" name:"step" help:"Only these steps and what they need (default: all)."`
}

// load reads the recipe, applies --set and --input, and checks the result against the stages. The graph has only the
// targets and the steps that they need, or all steps if there are no targets.
func (f *recipeFlags) load(ctx context.Context, a *app, targets ...string) (*graph.Graph, error) {
	var r *recipe.Recipe
	var err error
	if f.Job == "" {
		r, err = recipe.Load(f.Recipe)
	} else if r, err = recipe.LoadCopy(slurm.RecipeFile(f.Job), f.Recipe); err == nil {
		r.Imported, err = runner.Imported(f.Job)
	}
	if err != nil {
		return nil, err
	}
	for _, arg := range f.Set {
		if err := r.Set(arg); err != nil {
			return nil, err
		}
	}
	for _, arg := range f.Input {
		if err := r.SetInput(arg); err != nil {
			return nil, err
		}
	}
	stages, err := a.catalog()
	if err != nil {
		return nil, err
	}
	var g *graph.Graph
	if f.Only != "" {
		g, err = graph.BuildOnly(ctx, r, stages, f.Only)
	} else {
		g, err = graph.Build(ctx, r, stages, targets...)
	}
	if err == nil {
		stages.Save()
	}
	return g, err
}

// catalog returns the catalog of stage programs in --bin or, by default, in this program's directory.
func (a *app) catalog() (*catalog.Catalog, error) {
	dir, err := a.bin()
	if err != nil {
		return nil, err
	}
	return catalog.New(dir, filepath.Join(a.local(), "answers")), nil
}

// bin returns the directory of the stage programs.
func (a *app) bin() (string, error) {
	if a.Bin != "" {
		return a.Bin, nil
	}
	exe, err := os.Executable()
	return filepath.Dir(exe), err
}

// oneLine replaces all white space in s, line breaks included, with single spaces.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

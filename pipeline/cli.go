package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/catalog"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
)

const name = "pipeline"

const about = `Run recipes of stages with cached results.

Without VAPO_STORE the results are kept by an embedded S3 gateway under .vapo/ in the working directory. With VAPO_STORE=s3://bucket/prefix and the usual AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION they are kept there.`

// app is the command line, and what all commands share.
type app struct {
	Dir string `help:"Directory in which .vapo lies, with logs, reports and the embedded store; by default the working directory." default:"." placeholder:"DIR" type:"existingdir"`
	Bin string `help:"Directory of the stage programs; by default that of this program." placeholder:"DIR" type:"path"`

	Version kong.VersionFlag `help:"Print the version and exit."`

	Run     runCmd     `cmd:"" help:"Run a recipe; steps with a cached result are not run again."`
	Plan    planCmd    `cmd:"" help:"Show which steps would run, and why."`
	Exec    execCmd    `cmd:"" help:"Run one step of a recipe whose inputs have been made."`
	Status  statusCmd  `cmd:"" help:"Show the steps of a run, by default the latest."`
	Report  reportCmd  `cmd:"" help:"Write the HTML report of a run, by default the latest."`
	Ls      lsCmd      `cmd:"" help:"List outputs, runs, refs or cached actions."`
	Get     getCmd     `cmd:"" help:"Copy an artifact out of the store, verified."`
	Put     putCmd     `cmd:"" help:"Put a file into the store, or name an artifact."`
	Lineage lineageCmd `cmd:"" help:"Show how an artifact was made, back to its origins."`
	Store   storeCmd   `cmd:"" help:"Serve, name or check the store."`

	stdout, stderr io.Writer
}

type exited int

func run(args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exited:
			code = int(r)
		default:
			fmt.Fprintf(stderr, "%s", debug.Stack())
			program.PrintError(stderr, name, fmt.Errorf("panic: %v", r))
			code = 1
		}
	}()
	err := dispatch(args, stdout, stderr)
	if err != nil {
		program.PrintError(stderr, name, err)
	}
	return int(failure.ClassOf(err))
}

func dispatch(args []string, stdout, stderr io.Writer) error {
	a := &app{stdout: stdout, stderr: stderr}
	parser, err := kong.New(a, kong.Name(name), kong.Description(about), kong.Vars{"version": program.Version(name)},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Help(func(options kong.HelpOptions, ctx *kong.Context) error {
			if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
				return err
			}
			fmt.Fprintln(ctx.Stdout)
			return failure.WriteExitCodes(ctx.Stdout)
		}))
	if err != nil {
		panic(err)
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return usage(err)
	}
	ctx, stop := program.Lifetime()
	defer stop()
	kctx.BindTo(ctx, (*context.Context)(nil))
	kctx.Bind(a)
	err = kctx.Run()
	if err != nil && errors.Is(context.Cause(ctx), failure.ErrTerminated) && !errors.Is(err, failure.ErrTerminated) {
		err = fmt.Errorf("%w: %w", failure.ErrTerminated, err)
	}
	return err
}

// usage turns a parse error into one line and where to look.
func usage(err error) error {
	where := name + " --help"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		where = parse.Context.Selected().FullPath() + " --help"
	}
	return failure.Default(failure.Usage, "see "+where, err)
}

// recipeFlags are shared by the commands that take a recipe.
type recipeFlags struct {
	Recipe string   `arg:"" help:"Recipe file (YAML)."`
	Set    []string `help:"Set a parameter of a step for this run. May be given several times." placeholder:"STEP.PARAM=VALUE" sep:"none"`
	Input  []string `help:"Take an input of a step from elsewhere for this run: step.output, ref:name, sha256:… or a path; nothing after = leaves it out. May be given several times." placeholder:"STEP.INPUT=FROM" sep:"none"`
}

// load reads, connects and checks the recipe against the stages.
func (f *recipeFlags) load(ctx context.Context, a *app) (*graph.Graph, error) {
	r, err := recipe.Load(f.Recipe)
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
	return graph.Build(ctx, r, stages)
}

// catalog finds the stage programs.
func (a *app) catalog() (*catalog.Catalog, error) {
	if a.Bin != "" {
		return catalog.New(a.Bin), nil
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return catalog.New(filepath.Dir(exe)), nil
}

// oneLine keeps a description to a line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

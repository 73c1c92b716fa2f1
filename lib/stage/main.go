package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"vapo/lib/failure"
	"vapo/lib/program"
)

// runCmd is the command that executes the stage; it is the default.
type runCmd[P any] struct {
	Input    inputFlags `help:"Input NAME: sha256:…, ref:name or a path. Give it once per input." placeholder:"NAME=REF"`
	Earlier  inputFlags `help:"Continue from OUTPUT of a shorter run. Give it once per output." placeholder:"OUTPUT=REF"`
	Out      string     `help:"Save outputs and manifest in DIR; needed without VAPO_STORE." placeholder:"DIR" type:"path"`
	Manifest string     `help:"Write the manifest to this file." placeholder:"FILE" type:"path"`
	JSON     bool       `help:"Print the manifest, not a summary, on standard output." name:"json"`
	Sharded  bool       `help:"Take what the command shard has saved, instead of computing it again."`
	Live     string     `help:"Resume from and save to the state of action KEY in the store." placeholder:"KEY"`
	Lease    string     `help:"With --live: save only while no other run has taken over lease ID." placeholder:"ID"`
	P        P          `embed:"" group:"Parameters:"`
}

// inputFlags collects --input name=REF. A REF may contain any character.
type inputFlags map[string]string

func (f *inputFlags) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("NAME=REF", &text); err != nil {
		return err
	}
	name, ref, ok := strings.Cut(text, "=")
	if !ok || name == "" || ref == "" {
		return fmt.Errorf("expected NAME=REF, got %q", text)
	}
	if *f == nil {
		*f = inputFlags{}
	}
	if _, twice := (*f)[name]; twice {
		return fmt.Errorf("%s is given twice", name)
	}
	(*f)[name] = ref
	return nil
}

func (*inputFlags) IsCumulative() bool { return true }

// Main runs a stage program and returns its exit code.
func Main[P any](spec Stage[P], args []string, stdout, stderr io.Writer) failure.Class {
	scr := newScreen(stderr)
	return program.Main(spec.Name, scr, func() error {
		defer scr.end()
		return dispatch(&spec, args, stdout, scr)
	})
}

func dispatch[P any](spec *Stage[P], args []string, stdout io.Writer, scr *screen) error {
	var cli struct {
		Run      runCmd[P]   `cmd:"" default:"withargs" help:"Run the stage (the default command)."`
		Describe describeCmd `cmd:"" help:"Print parameters, inputs and outputs as JSON."`

		Version kong.VersionFlag `help:"Print the version and exit."`
	}
	common := program.Options(spec.Name, spec.About, stdout, scr, spec.Engines...)
	options := slices.Concat(mappers(varsOf[P]()), common, help(spec))
	names := []string{"run", "describe"}
	for _, c := range spec.Commands {
		options = append(options, kong.DynamicCommand(c.Name, c.Help, "", c.Cmd))
		names = append(names, c.Name)
	}
	tune := &runCmd[P]{}
	if spec.Tune != nil {
		const about = "Choose kernels for a run on a card, and write the choices as the output tuning."
		options = append(options, kong.DynamicCommand("tune", about, "", tune))
		names = append(names, "tune")
	}
	shard := &shardCmd[P]{}
	if spec.Shard != nil {
		const about = "Compute one of N shares of a run, which run --sharded then takes."
		options = append(options, kong.DynamicCommand("shard", about, "", shard))
		names = append(names, "shard")
	}
	parser, err := kong.New(&cli, options...)
	if err != nil {
		panic(fmt.Sprintf("stage %s: %v", spec.Name, err))
	}
	if len(args) == 0 || !slices.Contains(names, args[0]) {
		args = append([]string{"run"}, args...)
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return program.Usage(spec.Name, err)
	}

	ctx, stop := program.Lifetime()
	defer stop()
	switch kctx.Command() {
	case "describe":
		return runDescribe(spec, &cli.Describe, stdout)
	case "run":
		err = runStage(ctx, spec, &cli.Run, given(kctx), false, stdout, scr)
	case "tune":
		err = runStage(ctx, spec, tune, given(kctx), true, stdout, scr)
	case "shard <shard>":
		err = runShard(ctx, spec, shard, given(kctx), scr)
	default:
		err = runCommand(ctx, kctx, stdout, scr)
	}
	terminated := errors.Is(context.Cause(ctx), failure.ErrTerminated)
	if terminated && errors.Is(err, context.Canceled) && !errors.Is(err, failure.ErrTerminated) {
		return fmt.Errorf("%w: %w", failure.ErrTerminated, err)
	}
	return err
}

func writeJSON(w io.Writer, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

func runStage[P any](
	ctx context.Context, spec *Stage[P], cmd *runCmd[P], given map[string]bool, tunes bool, stdout io.Writer, scr *screen,
) error {
	started := time.Now()
	job, p, err := start(ctx, spec, cmd, given, tunes, false, scr)
	if err != nil {
		return err
	}
	defer job.close()
	err = spec.Run(ctx, job, p)
	if answer := (Answer{}); errors.As(err, &answer) {
		return writeJSON(stdout, answer.Value)
	}
	if err != nil {
		return err
	}
	if tunes {
		write, err := job.tuning()
		if err != nil {
			return err
		}
		if err := job.Output(ctx, Tuning.Name, write); err != nil {
			return err
		}
	}
	manifest, err := job.finish(started)
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = writeJSON(stdout, manifest)
	} else {
		err = job.writeSummary(stdout)
	}
	if err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// start resolves the parameters of a run and prepares its job.
func start[P any](
	ctx context.Context, spec *Stage[P], cmd *runCmd[P], given map[string]bool, tunes, partsOnly bool, scr *screen,
) (*Job, *P, error) {
	params := newParams[P]()
	params.holder.P, params.given = cmd.P, given
	resolved, err := resolve(spec, params)
	if err != nil {
		return nil, nil, err
	}
	if cmd.Sharded && spec.Shard == nil {
		return nil, nil, failure.New(failure.Usage, "leave out --sharded", "stage %s has no command shard", spec.Name)
	}
	paths := jobPaths{cmd.Out, cmd.Manifest, cmd.Live, cmd.Lease, partsOnly}
	d := describe(spec)
	if tunes {
		d = tuneDescription(d)
		spec.Tune(&params.holder.P)
	}
	job, err := newJob(ctx, d, resolved, cmd.Input, cmd.Earlier, paths, scr)
	if err != nil {
		return nil, nil, err
	}
	job.sharded = cmd.Sharded
	if tunes {
		job.tune = &tuneState{}
	}
	return job, &params.holder.P, nil
}

func runCommand(ctx context.Context, kctx *kong.Context, stdout io.Writer, scr *screen) error {
	log := scr.logger()
	scratch, remove, err := program.Scratch()
	if err != nil {
		return err
	}
	defer remove()
	src := &source{scratch: scratch, log: log}
	defer src.close()
	kctx.BindTo(ctx, (*context.Context)(nil))
	return kctx.Run(&Console{
		Stdout: stdout, Stderr: scr, Log: log,
		Store: src.open, HasStore: hasStore,
		Resolve: func(ctx context.Context, ref string) (string, error) {
			in, err := src.locate(ctx, ref)
			if err != nil {
				return "", fmt.Errorf("%s: %w", ref, err)
			}
			return in.file(ctx)
		},
		Parts: func(ctx context.Context, dir string) (Parts, error) {
			if dir != "" {
				return partsIn(dir, scratch, log)
			}
			return openParts(ctx, src, log)
		},
		Progress: func(total int64, unit string) *Progress { return newProgress(scr, log, total, unit) },
	})
}

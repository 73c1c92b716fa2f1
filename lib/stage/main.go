package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/program"
)

// runCmd is the default command.
type runCmd[P any] struct {
	Input    inputFlags `help:"Input NAME from REF: sha256:…, ref:name or a path. Once per input." placeholder:"NAME=REF"`
	Earlier  inputFlags `help:"Go on from OUTPUT of a shorter run that differs in nothing but its length. Once per output." placeholder:"OUTPUT=REF"`
	Out      string     `help:"Also write the outputs and manifest.json to this directory." placeholder:"DIR" type:"path"`
	Manifest string     `help:"Write the manifest to this file." placeholder:"FILE" type:"path"`
	Live     string     `help:"Resume from and save to the state of action KEY in the store." placeholder:"KEY"`
	P        P          `embed:"" group:"Parameters:"`
}

// describeCmd prints the contract of the stage.
type describeCmd struct {
	Check string `help:"Validate these parameters and print them resolved." placeholder:"JSON"`
}

// inputFlags collects --input name=REF; a REF may contain any character.
type inputFlags map[string]string

func (f *inputFlags) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("NAME=REF", &text); err != nil {
		return err
	}
	name, ref, ok := strings.Cut(text, "=")
	if !ok || name == "" || ref == "" {
		return fmt.Errorf("want NAME=REF, got %q", text)
	}
	if *f == nil {
		*f = inputFlags{}
	}
	if _, twice := (*f)[name]; twice {
		return fmt.Errorf("input %s is given twice", name)
	}
	(*f)[name] = ref
	return nil
}

func (*inputFlags) IsCumulative() bool { return true }

// exited carries kong's wish to exit (after --help) out of its parser.
type exited int

// Main runs one stage program and returns its exit code.
func Main[P any](spec Stage[P], args []string, stdout, stderr io.Writer) (code failure.Class) {
	scr := newScreen(stderr)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exited:
			code = failure.Class(r)
		default:
			// A panic left alone would exit 2, which means wrong usage here.
			fmt.Fprintf(scr, "%s", debug.Stack())
			program.PrintError(scr, spec.Name, fmt.Errorf("panic: %v", r))
			code = 1
		}
	}()
	err := dispatch(&spec, args, stdout, scr)
	scr.end()
	if err != nil {
		program.PrintError(scr, spec.Name, err)
	}
	return failure.ClassOf(err)
}

func dispatch[P any](spec *Stage[P], args []string, stdout io.Writer, scr *screen) error {
	var cli struct {
		Run      runCmd[P]   `cmd:"" default:"withargs" help:"Run the stage (the default command)."`
		Describe describeCmd `cmd:"" help:"Print parameters, inputs and outputs as JSON."`

		Version kong.VersionFlag `help:"Print the version and exit."`
	}
	options := append(mappers(),
		kong.Name(spec.Name),
		kong.Description(spec.About),
		kong.Vars{"version": program.Version(spec.Name, spec.Engines...)},
		kong.Writers(stdout, scr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Help(helpPrinter(spec)),
		kong.ValueFormatter(helpValue),
		kong.PostBuild(func(k *kong.Kong) error {
			for _, node := range k.Model.Children {
				if node.Name == "run" {
					node.Help = spec.About
				}
			}
			return nil
		}),
	)
	names := []string{"run", "describe"}
	for _, c := range spec.Commands {
		options = append(options, kong.DynamicCommand(c.Name, c.Help, "", c.Cmd))
		names = append(names, c.Name)
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
		return usage(spec.Name, kctx, err)
	}

	ctx, stop := program.Lifetime()
	defer stop()
	switch kctx.Command() {
	case "describe":
		return runDescribe(spec, &cli.Describe, stdout)
	case "run":
		return runStage(ctx, spec, &cli.Run, given(kctx), stdout, scr)
	}
	return runCommand(ctx, kctx, spec.Name, stdout, scr)
}

// usage turns a parse error into one line and where to look.
func usage(name string, kctx *kong.Context, err error) error {
	var parse *kong.ParseError
	if kctx == nil && errors.As(err, &parse) {
		kctx = parse.Context
	}
	where := name + " --help"
	if kctx != nil && kctx.Selected() != nil && kctx.Selected().Name != "run" {
		where = kctx.Selected().FullPath() + " --help"
	}
	return failure.Default(failure.Usage, "see "+where, err)
}

// helpPrinter prints one command. `STAGE --help` is the help of run, which is
// what one wants to know about, and so it also lists the other commands.
func helpPrinter[P any](spec *Stage[P]) kong.HelpPrinter {
	return func(options kong.HelpOptions, ctx *kong.Context) error {
		if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
			return err
		}
		w := ctx.Stdout
		if node := ctx.Selected(); node != nil && node.Name == "run" {
			writePorts(w, "Inputs:", spec.Inputs)
			writePorts(w, "Outputs:", spec.Outputs)
			fmt.Fprintln(w, "\nCommands:")
			for _, c := range ctx.Model.Children {
				help := c.Help
				if c == node {
					help = "this one; the word run may be left out"
				}
				fmt.Fprintf(w, "  %-12s %s\n", c.Name, help)
			}
		}
		fmt.Fprintln(w)
		return failure.WriteExitCodes(w)
	}
}

func writePorts(w io.Writer, title string, ports []contract.Port) {
	if len(ports) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, p := range ports {
		note := ""
		if p.Optional {
			note = " (optional)"
		}
		fmt.Fprintf(w, "  %-12s %s%s\n", p.Name, p.Help, note)
	}
}

func helpValue(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if v.Tag != nil {
		if unit := v.Tag.Get("unit"); unit != "" {
			text = strings.TrimSpace(text + " [" + unit + "]")
		}
		if v.Enum != "" && !strings.Contains(text, v.Enum) {
			text = strings.TrimSpace(text + " One of " + strings.ReplaceAll(v.Enum, ",", ", ") + ".")
		}
	}
	return text
}

// runDescribe prints the description. With --check it also resolves the given
// parameters; if they are wrong it prints {"error":…,"hint":…} instead.
func runDescribe[P any](spec *Stage[P], cmd *describeCmd, stdout io.Writer) error {
	d := describeHere(spec)
	var err error
	if cmd.Check != "" {
		if d.Resolved, err = check(spec, d, cmd.Check); err != nil {
			_ = writeJSON(stdout, map[string]string{"error": err.Error(), "hint": failure.HintOf(err)}) // the error itself is returned
			return err
		}
	}
	return writeJSON(stdout, d)
}

func check[P any](spec *Stage[P], d contract.Description, text string) (map[string]any, error) {
	var given map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&given); err != nil {
		return nil, failure.New(failure.Usage, "", "--check wants a JSON object: %w", err)
	}
	params := make(map[string]any, len(given))
	for name, v := range given {
		p, ok := d.Param(name)
		if !ok {
			return nil, failure.New(failure.Usage, "see "+spec.Name+" --help", "unknown parameter %s", name)
		}
		value, err := p.Value(v)
		if err != nil {
			return nil, failure.New(failure.Usage, "", "%w", err)
		}
		params[name] = value
	}
	s := newParams[P]()
	if err := s.parse(contract.Flags(params)); err != nil {
		return nil, failure.New(failure.Usage, "", "%w", err)
	}
	return resolve(spec, s)
}

func writeJSON(w io.Writer, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

func runStage[P any](ctx context.Context, spec *Stage[P], cmd *runCmd[P], given map[string]bool, stdout io.Writer, scr *screen) error {
	started := time.Now()
	params := newParams[P]()
	params.holder.P, params.given = cmd.P, given
	resolved, err := resolve(spec, params)
	if err != nil {
		return err
	}
	job, err := newJob(ctx, describe(spec), resolved, cmd.Input, cmd.Earlier, jobPaths{cmd.Out, cmd.Manifest, cmd.Live}, scr)
	if err != nil {
		return err
	}
	defer job.close()
	if err := spec.Run(ctx, job, &params.holder.P); err != nil {
		if terminated(ctx) && !errors.Is(err, failure.ErrTerminated) && errors.Is(err, context.Canceled) {
			return fmt.Errorf("%w: %w", failure.ErrTerminated, err)
		}
		return err
	}
	manifest, err := job.finish(started)
	if err != nil {
		return err
	}
	return writeJSON(stdout, manifest)
}

func runCommand(ctx context.Context, kctx *kong.Context, name string, stdout io.Writer, scr *screen) error {
	log := scr.logger()
	scratch, remove, err := program.Scratch()
	if err != nil {
		return err
	}
	defer remove()
	src := &source{scratch: scratch}
	console := &Console{
		Stdout: stdout, Stderr: scr, Log: log,
		Store: src.open,
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
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	kctx.Bind(console)
	if err := kctx.Run(); err != nil {
		if terminated(ctx) && errors.Is(err, context.Canceled) {
			return fmt.Errorf("%w: %w", failure.ErrTerminated, err)
		}
		return err
	}
	return nil
}

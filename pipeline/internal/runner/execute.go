package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/child"
	"vapo/pipeline/internal/command"
)

// Failure describes a failed step, with the stage's own error and last log lines.
type Failure struct {
	Step, Stage string
	Code        failure.Class
	Text        string // error message of the stage
	Advice      string
	Tail        []Line // last log lines of the stage
	LogFile     string
}

func (f *Failure) Error() string { return fmt.Sprintf("step %s: %s", f.Step, f.Text) }

// FailureClass implements failure.Carrier.
func (f *Failure) FailureClass() failure.Class { return f.Code }

// FailureHint implements failure.Carrier.
func (f *Failure) FailureHint() string { return f.Advice }

func asFailure(step, stageName string, err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	text := strings.TrimPrefix(err.Error(), "step "+step+": ")
	return &Failure{Step: step, Stage: stageName, Code: failure.ClassOf(err), Text: text, Advice: failure.HintOf(err)}
}

// ExitText returns an exit code with the name of its class. The codes of signals have none, except that of SIGTERM.
func ExitText(code failure.Class) string {
	if code > signalled && code != failure.Terminated {
		return fmt.Sprintf("exit code %d", code)
	}
	return fmt.Sprintf("exit code %d (%s)", code, code)
}

// signalled plus the number of a signal is the exit code for a program that was killed by that signal, as in shells.
const signalled = 128

// classOfCommand returns the class of a command that ended with an exit code. A command uses other codes than the
// programs of vapo: its 10 must not make a failed run look like a success, and its 8 not like a run that found another
// one at work. Only the codes after which the step is tried again, and those for signals, mean the same.
func classOfCommand(code int) failure.Class {
	if c := failure.Class(code); slices.Contains(passing, c) || c > signalled && c <= signalled+64 {
		return c
	}
	return failure.Command
}

// executed is the result of a stage that succeeded: its manifest, decoded and as bytes.
type executed struct {
	manifest *contract.Manifest
	raw      []byte
}

// execute runs the stage of a step as a child process. On failure, the error is a *Failure or an error of the runner
// itself.
func (a *attempt) execute(ctx context.Context, d *Decision, s *Step, lease string) (*executed, error) {
	scratch := filepath.Join(a.scratchDir(a.run.ID), s.Name)
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return nil, err
	}
	defer removeAll(scratch) // otherwise release tries again
	logPath := a.logFile(s)
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) // append, since a step may run twice
	if err != nil {
		return nil, err
	}
	defer logFile.Close()

	lines := newLineReader(logFile, func(l Line) { a.show(s, l) })
	var e *execution
	if d.Node.Step.Command == nil {
		e = a.stage(d, s, lease, scratch)
	} else if e, err = a.command(ctx, d, scratch, lines); err != nil {
		return nil, err
	}
	e.cmd.Stderr = lines
	running, cancel := ctx, context.CancelFunc(func() {})
	if limit := d.Node.Step.Timeout; limit > 0 {
		running, cancel = context.WithTimeoutCause(ctx, limit, errTimeout)
	}
	defer cancel()
	runErr := e.run(running, e.cmd, a.Grace)
	lines.flush()
	if runErr == nil {
		result, err := e.finish(ctx)
		if err != nil {
			f := asFailure(s.Name, s.Stage, err)
			f.Tail, f.LogFile = lines.tail(), logPath
			return nil, f
		}
		return result, nil
	}
	return nil, a.failed(running, d, s, runErr, lines, logPath)
}

// stage prepares the execution of a stage program.
func (a *attempt) stage(d *Decision, s *Step, lease, scratch string) *execution {
	manifestPath := filepath.Join(scratch, "manifest.json")
	args := []string{"run", "--manifest", manifestPath, "--live", d.Key, "--lease", lease}
	switch {
	case d.Node.IsShard():
		args = []string{"shard", d.Node.Shard.String()}
	case d.Node.Step.Shards > 0 && !a.opt.Fresh:
		args = append(args, "--sharded")
	}
	for _, name := range slices.Sorted(maps.Keys(d.Inputs)) {
		args = append(args, "--input", name+"="+d.Inputs[name].Digest)
	}
	if d.Earlier != nil {
		for _, name := range slices.Sorted(maps.Keys(d.Earlier.Outputs)) {
			args = append(args, "--earlier", name+"="+string(d.Earlier.Outputs[name]))
		}
	}
	cmd := exec.Command(d.Node.Stage.Path, append(args, contract.Flags(d.Node.Params)...)...)
	cmd.Env = slices.Concat(a.Env, d.env, []string{"TMPDIR=" + scratch})
	return &execution{cmd, child.Run, func(context.Context) (*executed, error) {
		if d.Node.IsShard() {
			return &executed{}, nil
		}
		raw, err := os.ReadFile(manifestPath)
		if err != nil {
			return nil, fmt.Errorf("stage %s ended with exit code 0 and no manifest: %v", s.Stage, err)
		}
		return a.accept(d, s, raw)
	}}
}

// accept decodes a manifest and checks that it belongs to the action that was run.
func (a *attempt) accept(d *Decision, s *Step, raw []byte) (*executed, error) {
	m, err := contract.DecodeManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("stage %s wrote a manifest that cannot be read: %w", s.Stage, err)
	}
	want := d.Node.Stage.Description
	inputs := map[string]string{}
	for name, in := range d.Inputs {
		inputs[name] = in.Digest
	}
	if m.Stage != want.Stage || m.Version != want.Version || !maps.Equal(m.Inputs, inputs) {
		return nil, failure.New(failure.Integrity, "were the stage programs rebuilt during the run? run it again",
			"the manifest is from stage %s version %d, not %s version %d with the given inputs", m.Stage, m.Version,
			want.Stage, want.Version)
	}
	return &executed{m, raw}, nil
}

// failed returns the Failure of a stage or command that ended with err.
func (a *attempt) failed(
	ctx context.Context, d *Decision, s *Step, err error, lines *lineReader, logPath string,
) error {
	f := &Failure{Step: s.Name, Stage: s.Stage, Tail: lines.tail(), LogFile: logPath}
	isCommand := d.Node.Step.Command != nil
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		f.Code = failure.Timeout
		f.Text = "stopped after its timeout of " + program.Duration(d.Node.Step.Timeout.Seconds())
		f.Advice = "raise the timeout in the recipe and run it again"
		if !isCommand {
			f.Advice += "; the step resumes from its saved state, if any"
		}
	case ctx.Err() != nil:
		f.Code, f.Text, f.Advice = failure.Terminated, "terminated", failure.HintOf(failure.ErrTerminated)
	case isCommand:
		f.ofCommand(d.Node.Step.Command.Run[0], d.Node.Stage.Path, err)
	default:
		f.Text, f.Advice = lines.lastError()
		f.ofStage(err, lines.panicked)
	}
	return f
}

// ofCommand explains why a command failed. what is the program as the recipe names it, path its file.
func (f *Failure) ofCommand(what, path string, err error) {
	code, bySignal, ran := child.ExitCode(err)
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		f.Code, f.Text = failure.Input, what+" ended before a process that it started, which still has its output open"
		f.Advice = "let the program wait for its processes, in a shell script with: wait"
	case !ran:
		why := command.NotStarted(what, path, err)
		f.Code, f.Text, f.Advice = failure.ClassOf(why), why.Error(), failure.HintOf(why)
	case bySignal:
		f.killed(what, code)
	default:
		f.Code, f.Text = classOfCommand(code), fmt.Sprintf("%s ended with exit code %d", what, code)
		f.Advice = "what it printed is in " + program.ShortPath(f.LogFile)
	}
}

// ofStage explains why a stage failed, unless it has logged the reason. panicked says that it has logged a panic.
func (f *Failure) ofStage(err error, panicked bool) {
	code, bySignal, ran := child.ExitCode(err)
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		f.Code, f.Text = failure.Bug, "a process that the stage started still holds the stage's standard error open"
	case !ran:
		f.Code, f.Text = failure.ClassOf(err), "could not be started: "+err.Error()
	case bySignal:
		f.killed("stage "+f.Stage, code)
	case panicked && code == 2:
		f.Code, f.Text, f.Advice = failure.Bug, fmt.Sprintf("stage %s crashed", f.Stage),
			"this is a bug in the stage; its log has the stack"
	case code == int(failure.Changed): // no stage of vapo fails with the code for a success
		f.Code = failure.Bug
	default:
		f.Code = failure.Class(code)
	}
	if f.Text == "" {
		f.Text = fmt.Sprintf("stage %s failed with exit code %d (%s)", f.Stage, f.Code, f.Code)
	}
}

// killed sets the failure of a program that a signal killed. code is its exit code, as child.ExitCode returns it.
func (f *Failure) killed(what string, code int) {
	signal := syscall.Signal(code - signalled)
	f.Code, f.Text = failure.Class(code), fmt.Sprintf("%s was killed by signal %d (%v)", what, signal, signal)
	if signal == syscall.SIGKILL {
		f.Advice = "if nobody killed it, memory probably ran out (see dmesg); run the same command again to resume"
	}
}

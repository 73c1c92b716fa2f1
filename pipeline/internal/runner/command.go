package runner

import (
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"time"

	"vapo/pipeline/internal/child"
	"vapo/pipeline/internal/command"
)

// execution is a process that carries out a step. run starts the process and waits for it; finish reads its result
// after a success.
type execution struct {
	cmd    *exec.Cmd
	run    func(ctx context.Context, cmd *exec.Cmd, grace time.Duration) error
	finish func(ctx context.Context) (*executed, error)
}

// command prepares the execution of a step of stage command, in the directory scratch.
func (a *attempt) command(ctx context.Context, d *Decision, scratch string, output io.Writer) (*execution, error) {
	job := &command.Job{
		Step: d.Node.Step, Program: d.Node.Stage.Path, Params: d.Node.Params, Inputs: map[string]string{}, Store: a.Store,
		Dir: scratch,
	}
	for name, in := range d.Inputs {
		job.Inputs[name] = in.Digest
	}
	cmd, err := job.Start(ctx)
	if err != nil {
		return nil, err
	}
	cmd.Stdout = output
	began := time.Now()
	return &execution{cmd, child.RunForeign, func(ctx context.Context) (*executed, error) {
		m, err := job.Finish(ctx, began)
		if err != nil {
			return nil, err
		}
		raw, err := json.MarshalIndent(m, "", "  ")
		return &executed{m, raw}, err
	}}, nil
}

// Package stage is the program around a stage: everything that all stages must do in the same way.
//
// A stage turns named, content-addressed inputs and a set of parameters into named outputs, and records them in a
// manifest. How parameters are declared, how inputs are resolved and verified, what is written in which order, exit
// codes, progress, and behaviour on SIGTERM and when the parent dies are implemented here once, so that a runner, a
// cluster engine or a person at a shell can drive any stage without knowing what it computes.
//
// A stage is a value:
//
//	type params struct {
//		Steps int    `help:"Optimiser steps." default:"1000" unit:"steps"`
//		Every int    `help:"Report every so many steps." default:"50" keyed:"false"`
//		Engine string `name:"backend" help:"Compute engine." default:"auto" enum:"auto,tape"`
//	}
//
//	func main() { os.Exit(int(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr))) }
//
// The tags of the parameter struct are the only declaration: flags, `describe`, recipe validation, the manifest and the
// cache key are all read from them. Besides kong's own tags there are
//
//   - unit:"…";
//   - keyed:"false" for a parameter that cannot change any output byte;
//   - effect:"none" for a parameter that changes neither a score nor what is scored;
//   - min:"1" and max:"9", the least and greatest value of a number;
//   - only:"solver=rk45" for a parameter that has no effect otherwise and is then refused.
//
// The order of effects is fixed: outputs first, the manifest last. A manifest that exists means success; a killed stage
// leaves none.
//
// Note: an earlier sketch let a stage publish its own cache records. Then two writers (runner and stage) would have to
// agree on what a success is; now a stage never writes under actions/, and a run outside the runner is harmless.
package stage

import (
	"context"
	"io"
	"log/slog"

	"vapo/lib/artifact"
	"vapo/lib/contract"
)

// Stage is a whole stage program. P is a struct whose fields are parameters: int, float, string and bool kinds, and
// json.RawMessage for structured ones.
type Stage[P any] struct {
	Name, About string
	// Version is the semantic version of the outputs. It changes whenever the same inputs and parameters would give
	// other bytes.
	Version         int
	Inputs, Outputs []contract.Port
	// Length names the int parameter that says how long a run is, if there is one, such as the steps of a training. It
	// must not affect the state of a run after a given number of steps. Runs that differ only in their length form a
	// series, in which a longer run can continue from a shorter one (Job.Earlier).
	Length string
	// Resolve completes the parameters before the run is keyed, and validates them together. It replaces "auto", applies a
	// preset (Given.Preset) and sets parameters that follow from others. Its error is a usage error unless it carries
	// another class. describe calls it with the defaults to find out what "auto" means, and ignores the error.
	Resolve func(p *P, given Given) error
	// Run does the work. When ctx is cancelled (with the cause failure.ErrTerminated) it saves what it can to job.Live()
	// and returns an error.
	Run func(ctx context.Context, job *Job, p *P) error
	// Engines are the compute engines in the program, for --version.
	Engines []string
	// Commands are subcommands besides run and describe.
	Commands []Command
}

// Command is a further subcommand. Cmd points to a kong struct with a method Run(ctx context.Context, c *Console)
// error.
type Command struct {
	Name, Help string
	Cmd        any
}

// Console is what a further subcommand can use.
type Console struct {
	Stdout, Stderr io.Writer
	// Store opens the store that VAPO_STORE names.
	Store func(ctx context.Context) (*artifact.Store, error)
	// Resolve makes the artifact behind REF (sha256:…, ref:name or a path) a verified local file, which is removed when
	// the command ends unless REF is a path.
	Resolve func(ctx context.Context, ref string) (path string, err error)
	// Parts keeps intermediate values in dir or, if dir is "", in the store. It is nil without either.
	Parts    func(ctx context.Context, dir string) (Parts, error)
	Log      *slog.Logger
	Progress func(total int64, unit string) *Progress
}

// Package stage is the program around a stage: it contains everything that all stages must do in the same way.
//
// A stage turns named, content-addressed inputs and a set of parameters into named outputs, and records them in a
// manifest. This package parses the parameters, resolves and verifies the inputs, stores the outputs, reports progress
// and sets the exit code. It also handles SIGTERM and the death of the parent. So a runner, a cluster scheduler or a
// person at a shell can drive any stage without knowledge of what the stage computes.
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
// The tags of the parameter struct are the only declaration. Flags, `describe`, recipe validation, the manifest and the
// cache key are all derived from them. In addition to kong's tags there are
//
//   - unit:"…": the unit of the value;
//   - keyed:"false": the parameter is not part of the cache key, because it cannot change any byte of an output, or
//     because Resolve puts its effect into keyed parameters (for a path, the digest of the files there);
//   - effect:"none": the parameter changes neither a score nor the data that is scored;
//   - min:"1" and max:"9": the smallest and the largest allowed value of a number;
//   - only:"solver=rk45": the parameter has an effect only if solver is rk45; otherwise it must keep its default.
//
// help, default, enum and only may contain variables ${name}, which a method Vars() map[string]string of the struct
// defines. The variable engines describes the names of the engines.
//
// A stage writes its outputs first and the manifest last. So a manifest exists only if the run succeeded.
//
// Note: an earlier sketch let a stage publish its own cache records. Two writers, the runner and the stage, would then
// have to agree on what success means. Now a stage never writes under actions/, so a run outside the runner cannot harm
// the cache.
package stage

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"

	"vapo/lib/artifact"
	"vapo/lib/contract"
)

// Stage is a whole stage program. P is a struct whose fields are the parameters. A field has an int, float, string or
// bool kind, or the type json.RawMessage for a structured value.
type Stage[P any] struct {
	Name, About string
	// Version is the semantic version of the outputs. It must change whenever the same inputs and parameters give
	// different bytes.
	Version         int
	Inputs, Outputs []contract.Port
	// Length names the int parameter that sets the length of a run, such as the number of training steps, or is "". The
	// length must not affect the state of a run after a given number of steps. Runs that differ only in their length form
	// a series, in which a longer run can continue from a shorter one (Job.Earlier).
	Length string
	// Resolve completes the parameters before the run is keyed, and validates them together. It replaces "auto", applies a
	// preset (Given.Preset) and sets parameters that follow from others. Its error is a usage error unless the error
	// carries another class. describe also calls Resolve with the defaults to determine what "auto" means, and ignores the
	// error.
	Resolve func(p *P, given Given) error
	// Pure reports whether the result of Resolve depends only on the given parameters and on enginename.FindPlugin, not on
	// files or devices. A runner remembers such results. If Pure is nil, the runner asks before every run.
	Pure func(p *P) bool
	// Run does the work. When ctx is cancelled (with the cause failure.ErrTerminated), Run saves its state to job.Live()
	// and returns an error.
	Run func(ctx context.Context, job *Job, p *P) error
	// Tune changes the parameters for the tune command: it makes the run short, but the short run must still compile
	// everything that the full run compiles. If Tune is nil, the stage has no such command; see Tuning.
	Tune func(p *P)
	// Shard computes one worker's share of the run and saves it as parts. Run loads these parts if Job.Sharded returns
	// true. Shard and Run get the same inputs and parameters. If Shard is nil, the stage cannot share its work.
	Shard func(ctx context.Context, job *Job, p *P, shard contract.Shard) error
	// Engines are the compute engines in the program, which --version lists.
	Engines []string
	// Commands are additional subcommands.
	Commands []Command
}

// Answer is the error that Run returns if the parameters ask for information about the run instead of its outputs. The
// program prints the value as JSON and succeeds.
type Answer struct{ Value any }

func (Answer) Error() string { return "the parameters ask only for information about the run" }

// Command is an additional subcommand. Cmd points to a kong struct with a method Run(ctx context.Context, c *Console)
// error.
type Command struct {
	Name, Help string
	Cmd        any
}

// Console is passed to additional subcommands.
type Console struct {
	Stdout, Stderr io.Writer
	// Store opens the store that VAPO_STORE names. If VAPO_STORE is not set, it opens the one in the working directory,
	// and creates it if necessary.
	Store func(ctx context.Context) (*artifact.Store, error)
	// HasStore reports whether VAPO_STORE is set or the working directory has a store.
	HasStore func() bool
	// Resolve returns the path of a verified local file with the artifact that ref denotes (sha256:…, ref:name or a path).
	// The file is removed when the command ends, unless ref is a path.
	Resolve func(ctx context.Context, ref string) (path string, err error)
	// Parts returns the parts in dir or, if dir is "", in the store. It returns nil if dir is "" and no store is
	// configured.
	Parts    func(ctx context.Context, dir string) (Parts, error)
	Log      *slog.Logger
	Progress func(total int64, unit string) *Progress
}

// Print writes v to standard output as one line of JSON, for other programs.
func (c *Console) Print(v any) error {
	enc := json.NewEncoder(c.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

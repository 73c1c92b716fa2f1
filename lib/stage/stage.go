// Package stage is the contract every stage binary keeps.
//
// A stage is a program that turns named, content-addressed inputs and a set of
// parameters into named outputs, and says so in a manifest. Everything that
// must be the same in each of them — how parameters are declared, how inputs
// are resolved and verified, what is written and in which order, exit codes,
// progress, behaviour on SIGTERM and when the parent dies — lives here once, so
// that a runner, a cluster engine or a person at a shell can drive any of them
// without knowing what it computes.
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
// The kong tags of the parameter struct are the only declaration there is:
// flags, `describe`, recipe validation, the manifest and the cache key are all
// read from them. Besides kong's own tags these are understood: unit:"…",
// keyed:"false" for a parameter that cannot change any output byte, min:"1" and
// max:"9" for the least and greatest value of a number, and only:"solver=rk45"
// for a parameter that has no effect otherwise and is refused then.
//
// The order of effects is fixed: outputs first, the manifest last. A manifest
// that exists is a success; a killed stage leaves none.
//
// Note: an earlier sketch let a stage publish its own cache records. Then two
// writers (runner and stage) would have to agree on what a success is; now a
// stage never writes under actions/, and a run outside the runner is harmless.
package stage

import (
	"context"
	"io"
	"log/slog"

	"vapo/lib/artifact"
	"vapo/lib/contract"
)

// Stage is a whole stage program. P is a struct whose fields are parameters:
// int, float, string and bool kinds, and json.RawMessage for structured ones.
type Stage[P any] struct {
	Name, About string
	// Version is the semantic version of the outputs: it moves when the same
	// inputs and parameters would give other bytes.
	Version         int
	Inputs, Outputs []contract.Port
	// Length names an int parameter that says how long a run goes on, as steps does for train, and decides nothing else:
	// what a run has made after k of them is the same whatever its length. Runs that differ in it alone are a series, and
	// a longer one is given what a shorter one made (Job.Earlier). Empty: there is no such parameter.
	Length string
	// Resolve completes the parameters before the run is keyed, and validates them together. It replaces "auto", applies a
	// preset (Given.Preset) and sets parameters that follow from others. Its error is a usage error unless it carries
	// another class. describe calls it with the defaults to find out what "auto" means, and ignores the error.
	Resolve func(p *P, given Given) error
	// Run does the work. On cancellation of ctx (cause failure.ErrTerminated) it saves
	// what it can to job.Live() and returns an error.
	Run func(ctx context.Context, job *Job, p *P) error
	// Engines are the compute engines in the program, for --version.
	Engines []string
	// Commands are further subcommands beside run and describe.
	Commands []Command
}

// Command is a further subcommand. Cmd points to a kong struct with a method
// Run(ctx context.Context, c *Console) error.
type Command struct {
	Name, Help string
	Cmd        any
}

// Console is what a further subcommand gets.
type Console struct {
	Stdout, Stderr io.Writer
	// Store opens the store named by VAPO_STORE.
	Store func(ctx context.Context) (*artifact.Store, error)
	// Resolve makes the artifact behind REF (sha256:…, ref:name or a path) a
	// verified local file, removed when the command ends unless REF is a path.
	Resolve func(ctx context.Context, ref string) (path string, err error)
	// Parts keeps intermediate values in dir, or, if it is "", in the store; nil without either.
	Parts    func(ctx context.Context, dir string) (Parts, error)
	Log      *slog.Logger
	Progress func(total int64, unit string) *Progress
}

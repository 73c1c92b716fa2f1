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
//	func main() { os.Exit(stage.Main(spec, os.Args[1:], os.Stdout, os.Stderr)) }
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
	"encoding/json"
	"io"
	"log/slog"
	"time"

	"vapo/lib/artifact"
)

// Contract is the version of the agreement between runner and stages. It is
// part of every cache key.
const Contract = 1

// Media types of ports.
const (
	MediaArrow  = "application/vnd.apache.arrow.file"
	MediaPNG    = "image/png"
	MediaJSON   = "application/json"
	MediaNDJSON = "application/x-ndjson"
	MediaHTML   = "text/html"
	MediaNPZ    = "application/x-npz"
)

// Port is a named input or output. An Optional input may be left out; an
// Optional output may be left unwritten.
type Port struct {
	Name     string `json:"name"`
	Media    string `json:"media"`
	Help     string `json:"help,omitempty"`
	Optional bool   `json:"optional,omitempty"`
}

// Param describes one parameter as `describe` prints it.
type Param struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // int, float, string, bool or json
	Unit     string   `json:"unit,omitempty"`
	Help     string   `json:"help,omitempty"`
	Default  any      `json:"default"`
	Required bool     `json:"required,omitempty"`
	Keyed    bool     `json:"keyed"`          // part of the cache key
	Auto     any      `json:"auto,omitempty"` // what "auto" means on this machine
	Enum     []string `json:"enum,omitempty"`
	Min      any      `json:"min,omitempty"`  // least value
	Max      any      `json:"max,omitempty"`  // greatest value
	Only     string   `json:"only,omitempty"` // PARAMETER=VALUE|VALUE: it has an effect with these values of another one
}

// Description is what `describe` prints. Resolved is present only after
// `describe --check`: every parameter with its final value.
type Description struct {
	Contract int            `json:"contract"`
	Stage    string         `json:"stage"`
	Version  int            `json:"version"`
	About    string         `json:"about,omitempty"`
	Length   string         `json:"length,omitempty"` // the parameter that only says how long a run goes on
	Params   []Param        `json:"params"`
	Inputs   []Port         `json:"inputs"`
	Outputs  []Port         `json:"outputs"`
	Resolved map[string]any `json:"resolved,omitempty"`
}

// Stage is a whole stage program. P is a struct whose fields are parameters:
// int, float, string and bool kinds, and json.RawMessage for structured ones.
type Stage[P any] struct {
	Name, About string
	// Version is the semantic version of the outputs: it moves when the same
	// inputs and parameters would give other bytes.
	Version         int
	Inputs, Outputs []Port
	// Length names an int parameter that says how long a run goes on, as steps does for train, and decides nothing else:
	// what a run has made after k of them is the same whatever its length. Runs that differ in it alone are a series, and
	// a longer one is given what a shorter one made (Job.Earlier). Empty: there is no such parameter.
	Length string
	// Auto resolves a parameter whose value is "auto", before keying.
	Auto map[string]func(p *P) string
	// Expand says, by name and as text, what parameters a parameter that names a set of them (a preset) stands for. They
	// take these values, in manifests and keys too; one that was given another value is a usage error, which calls the set
	// by what Expand calls it.
	Expand func(p *P) (set string, values map[string]string, err error)
	// Resolve gives parameters that follow from others their values, before keying.
	Resolve func(p *P)
	// Check validates parameters together; its error is a usage error.
	Check func(p *P) error
	// Run does the work. On cancellation of ctx (cause ErrTerminated) it saves
	// what it can to job.Live() and returns an error.
	Run func(ctx context.Context, job *Job, p *P) error
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

// Manifest is the record of one successful execution.
type Manifest struct {
	Contract    int               `json:"contract"`
	Stage       string            `json:"stage"`
	Version     int               `json:"version"`
	Params      map[string]any    `json:"params"`
	Units       map[string]string `json:"units,omitempty"`
	Inputs      map[string]string `json:"inputs"`
	Outputs     map[string]Output `json:"outputs"`
	Backend     string            `json:"backend,omitempty"`
	Results     map[string]any    `json:"results,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`
	Versions    map[string]string `json:"versions,omitempty"`
	Started     time.Time         `json:"started"`
	WallSeconds float64           `json:"wall_seconds"`
}

// Output is one output in a manifest.
type Output struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Media  string `json:"media"`
}

// Extension is the file name extension, dot included, of a media type.
func Extension(media string) string {
	switch media {
	case MediaArrow:
		return ".arrow"
	case MediaPNG:
		return ".png"
	case MediaJSON:
		return ".json"
	case MediaNDJSON:
		return ".ndjson"
	case MediaHTML:
		return ".html"
	case MediaNPZ:
		return ".npz"
	}
	return ".bin"
}

// DecodeManifest reads what a stage wrote.
func DecodeManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	return &m, nil
}

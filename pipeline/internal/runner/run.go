package runner

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/pipeline/internal/graph"
)

// States of a run and of its steps.
const (
	Waiting    = "waiting"
	Running    = "running"
	Cached     = "cached" // a step whose record was found
	Done       = "done"
	Failed     = "failed"
	Skipped    = "skipped" // a step whose inputs could not be made
	Terminated = "stopped" // by a signal to the runner
)

// Run is one run of a recipe. It is kept in the store under runs/ to explain results; no computation depends on it.
// Stores keep runs for years, so the JSON names of its fields must not change.
type Run struct {
	ID          string        `json:"id"`
	Name        string        `json:"name"`
	About       string        `json:"about,omitempty"`
	Path        string        `json:"path"`
	RecipeYAML  string        `json:"recipe_yaml"`
	Sets        []string      `json:"sets,omitempty"`
	Store       string        `json:"store"`
	State       string        `json:"state"`
	Started     time.Time     `json:"started"`
	WallSeconds float64       `json:"wall_seconds"`
	Exit        failure.Class `json:"exit"`
	Warnings    []string      `json:"warnings,omitempty"`
	Steps       []*Step       `json:"steps"`
}

// Step is one step of a run. Action is the preimage of Key.
type Step struct {
	Name    string                     `json:"name"`
	Stage   string                     `json:"stage"`
	State   string                     `json:"state"`
	Needs   []string                   `json:"needs,omitempty"`
	Key     string                     `json:"key,omitempty"`
	Action  json.RawMessage            `json:"action,omitempty"`
	Reason  string                     `json:"reason,omitempty"`
	Earlier string                     `json:"earlier,omitempty"` // the shorter action from which it continued
	Inputs  map[string]Input           `json:"inputs,omitempty"`
	Outputs map[string]contract.Output `json:"outputs,omitempty"`
	Seconds float64                    `json:"seconds"` // spent in this run
	Exit    failure.Class              `json:"exit,omitempty"`
	Error   string                     `json:"error,omitempty"`
	Hint    string                     `json:"hint,omitempty"`

	// Declared is nil in runs of older versions.
	Declared *Declared `json:"declared,omitempty"`

	Manifest json.RawMessage `json:"-"`
}

// Declared is what a report needs of the declaration of a stage. It is kept with the run, because the stage program may
// have changed by the time a report is made.
type Declared struct {
	Outputs  []contract.Port `json:"outputs"`
	Subject  string          `json:"subject,omitempty"`   // name of the input that is marked so
	NoEffect []string        `json:"no_effect,omitempty"` // parameters that change neither a score nor what is scored
}

// Declare extracts the declaration from a description.
func Declare(d contract.Description) *Declared {
	out := &Declared{Outputs: d.Outputs}
	for _, p := range d.Inputs {
		if p.Subject {
			out.Subject = p.Name
		}
	}
	for _, p := range d.Params {
		if !p.Keyed || p.Effect == contract.NoEffect {
			out.NoEffect = append(out.NoEffect, p.Name)
		}
	}
	return out
}

// Input is the origin and digest of an input of a step.
type Input struct {
	From   string `json:"from"`
	Digest string `json:"digest"`
}

// DecodeRun reads a run from a store that others can write to.
func DecodeRun(id string, data []byte) (*Run, error) {
	var r Run
	err := json.Unmarshal(data, &r)
	switch {
	case err != nil:
	case r.ID != id: // the id becomes the name of a directory
		err = fmt.Errorf("it has the id %q", r.ID)
	case slices.Contains(r.Steps, nil):
		err = errors.New("a step is null")
	default:
		return &r, nil
	}
	return nil, failure.New(failure.Integrity, "delete runs/"+id+".json from the store; only history is lost",
		"the stored run %s is damaged: %w", id, err)
}

// Step finds a step by name.
func (r *Run) Step(name string) (*Step, bool) {
	i := slices.IndexFunc(r.Steps, func(s *Step) bool { return s.Name == name })
	if i < 0 {
		return nil, false
	}
	return r.Steps[i], true
}

// newID returns the name of a run: its start to the millisecond, in a form that sorts, and four random digits in case
// two start at once.
func newID(now time.Time) string {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	stamp := strings.Replace(now.UTC().Format("20060102-150405.000"), ".", "", 1)
	return stamp + "-" + hex.EncodeToString(b[:])
}

func newRun(g *graph.Graph, storeName string, now time.Time) *Run {
	r := &Run{
		ID: newID(now), Name: g.Recipe.Name, About: g.Recipe.About, Path: g.Recipe.Path,
		RecipeYAML: string(g.Recipe.Source), Sets: g.Recipe.Sets, Store: storeName,
		State: Running, Started: now.UTC().Truncate(time.Millisecond),
	}
	for _, n := range g.Nodes {
		r.Steps = append(r.Steps, &Step{
			Name: n.Name(), Stage: n.Stage.Stage, State: Waiting, Needs: n.Needs, Declared: Declare(n.Stage.Description),
		})
	}
	return r
}

// save stores the run. It must not be called from two goroutines at once.
func (r *Run) save(ctx context.Context, store *artifact.Store) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	if err := store.SaveRun(ctx, r.ID, data); err != nil {
		return fmt.Errorf("saving run %s: %w", r.ID, err)
	}
	return nil
}

func (r *Run) encode() ([]byte, error) { return json.MarshalIndent(r, "", " ") }

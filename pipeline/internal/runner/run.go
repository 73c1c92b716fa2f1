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
	Cached     = "cached" // a step whose result was in the cache
	Done       = "done"
	Failed     = "failed"
	Skipped    = "skipped"   // a step that did not run, because of a failed step or a condition that did not hold
	Terminated = "stopped"   // stopped by a signal to the runner
	Submitted  = "submitted" // a run that ended before its jobs
)

// Run describes one execution of a recipe. The store keeps it under runs/ to explain results; no computation depends on
// it. Stores keep runs for years, so the JSON names of the fields must not change.
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
	Error       string        `json:"error,omitempty"` // why the run failed, unless a step says so
	Hint        string        `json:"hint,omitempty"`
	Warnings    []string      `json:"warnings,omitempty"`
	Steps       []*Step       `json:"steps"`
	Workflow    string        `json:"workflow,omitempty"` // UID of the workflow whose pods run the steps, if there is one

	byName map[string]*Step // nil if the run was decoded
}

// Step is one step of a run. Key is the cache key, and Action the document whose digest is Key.
type Step struct {
	Name    string                     `json:"name"`
	Stage   string                     `json:"stage"`
	State   string                     `json:"state"`
	Needs   []string                   `json:"needs,omitempty"`
	Key     string                     `json:"key,omitempty"`
	Action  json.RawMessage            `json:"action,omitempty"`
	Reason  string                     `json:"reason,omitempty"`
	Earlier string                     `json:"earlier,omitempty"` // key of the shorter action that it continued
	Inputs  map[string]Input           `json:"inputs,omitempty"`
	Outputs map[string]contract.Output `json:"outputs,omitempty"`
	Seconds float64                    `json:"seconds"` // time spent in this run
	Exit    failure.Class              `json:"exit,omitempty"`
	Error   string                     `json:"error,omitempty"`
	Hint    string                     `json:"hint,omitempty"`
	Retries []Retry                    `json:"retries,omitempty"`
	Place   *Placement                 `json:"place,omitempty"` // where it ran; nil if its result was cached
	Shard   string                     `json:"shard,omitempty"` // such as 2/8, if this is one worker's share of a step

	Declared *Declared       `json:"declared,omitempty"`
	Manifest json.RawMessage `json:"-"`
}

// Idle reports whether the step is a shard that was not run. The line of the whole step says why.
func (s *Step) Idle() bool { return s.Shard != "" && (s.State == Cached || s.State == Skipped) }

// Placement says where a step ran.
type Placement struct {
	Host          string  `json:"host,omitempty"`
	Job           string  `json:"job,omitempty"`            // its ID in the batch system; "" without a batch system
	QueuedSeconds float64 `json:"queued_seconds,omitempty"` // from submitting the job to its latest start
	Restarts      int     `json:"restarts,omitempty"`       // how often the batch system started the job again
}

// Retry is a failed attempt after which a step was tried again.
type Retry struct {
	Exit        failure.Class `json:"exit"`
	Error       string        `json:"error"`
	WaitSeconds float64       `json:"wait_seconds"` // between the failure and the next attempt
}

// Declared is the part of a stage's description that a report needs. The run stores it, because the stage program may
// have changed by the time the report is made.
type Declared struct {
	Outputs  []contract.Port `json:"outputs"`
	Subject  string          `json:"subject,omitempty"`   // name of the input that the outputs are about, if any
	NoEffect []string        `json:"no_effect,omitempty"` // parameters that affect neither samples nor scores
}

// declare extracts the part of a stage's description that reports need.
func declare(d contract.Description) *Declared {
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

// Input is the origin and digest of one input of a step.
type Input struct {
	From   string `json:"from"`
	Digest string `json:"digest"`
}

// DecodeRun decodes and validates a stored run. Validation is needed because others may write to the store.
func DecodeRun(id string, data []byte) (*Run, error) {
	var r Run
	err := json.Unmarshal(data, &r)
	switch {
	case err != nil:
	case r.ID != id: // checked because the id becomes a directory name
		err = fmt.Errorf("it has the id %q", r.ID)
	case slices.Contains(r.Steps, nil):
		err = errors.New("a step is null")
	default:
		return &r, nil
	}
	return nil, failure.New(failure.Integrity, "delete runs/"+id+".json from the store; only history is lost",
		"the stored run %s is damaged: %w", id, err)
}

// Step returns the step with the given name.
func (r *Run) Step(name string) (*Step, bool) {
	if r.byName != nil {
		s, ok := r.byName[name]
		return s, ok
	}
	i := slices.IndexFunc(r.Steps, func(s *Step) bool { return s.Name == name })
	if i < 0 {
		return nil, false
	}
	return r.Steps[i], true
}

// newID returns the ID of a run. It begins with the start time to the millisecond, so that IDs sort by time. Four
// random hexadecimal digits distinguish runs that start at the same time.
func newID(now time.Time) string {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	return stamp(now) + "-" + hex.EncodeToString(b[:])
}

// stamp returns a time to the millisecond, as IDs of runs have it.
func stamp(t time.Time) string {
	return strings.Replace(t.UTC().Format("20060102-150405.000"), ".", "", 1)
}

func newRun(g *graph.Graph, storeName string, now time.Time) *Run {
	r := &Run{
		ID: newID(now), Name: g.Recipe.Name, About: g.Recipe.About, Path: g.Recipe.Path,
		RecipeYAML: string(g.Recipe.Source), Sets: g.Recipe.Sets, Store: storeName,
		State: Running, Started: now.UTC().Truncate(time.Millisecond), byName: map[string]*Step{},
	}
	for _, n := range g.Nodes {
		s := &Step{
			Name: n.Name(), Stage: n.Stage.Stage, State: Waiting, Needs: n.Needs, Declared: declare(n.Stage.Description),
		}
		if n.IsShard() {
			s.Shard, s.Declared = n.Shard.String(), &Declared{} // a shard has no outputs
		}
		r.Steps = append(r.Steps, s)
		r.byName[s.Name] = s
	}
	return r
}

// save stores the run. Calls must not overlap.
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

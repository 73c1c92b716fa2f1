package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"vapo/lib/cachekey"
	"vapo/lib/program"
	"vapo/pipeline/internal/runner"
)

type planCmd struct {
	recipeFlags
	targets
	executor
	Verbose bool `short:"v" help:"Also show the key of each step and its fields."`
	jsonFlag
}

// explainRuns is the largest number of earlier runs with which a cache miss is compared.
const explainRuns = 50

// runPlan describes what a run of a recipe would do.
type runPlan struct {
	document
	Recipe string     `json:"recipe"`
	Cached int        `json:"cached"`
	Steps  []stepPlan `json:"steps"`
}

// stepPlan describes a step that is a hit, a miss or skipped. For a hit, Created and Seconds say when the result was
// computed and how long that took.
type stepPlan struct {
	Step      string            `json:"step"`
	Stage     string            `json:"stage"`
	State     string            `json:"state"` // hit, miss or skip
	Key       string            `json:"key,omitempty"`
	Created   time.Time         `json:"created,omitzero"`
	Seconds   float64           `json:"seconds,omitempty"`
	Reason    string            `json:"reason,omitempty"`    // why it is a miss or is skipped
	Changes   []change          `json:"changes,omitempty"`   // compared with the step and run that Reason names
	Continues string            `json:"continues,omitempty"` // the shorter action that the step continues
	WaitsFor  map[string]string `json:"waits_for,omitempty"` // inputs that do not exist yet, and their origins
	Condition string            `json:"condition,omitempty"` // comparison with a score that does not exist yet
	Shards    int               `json:"shards,omitempty"`    // workers that share the step
	Warning   string            `json:"warning,omitempty"`   // the step asks for more than this machine has
	Action    json.RawMessage   `json:"action,omitempty"`    // with --verbose
	Job       *jobPlan          `json:"job,omitempty"`       // with --executor slurm
}

// jobPlan is the job of a step: one in the queue, with its ID and state, or one that would be submitted.
type jobPlan struct {
	Name    string   `json:"name"`
	Job     string   `json:"job,omitempty"`
	State   string   `json:"state,omitempty"`
	Options []string `json:"options,omitempty"` // of sbatch, for the resources and the timeout of the step
	After   []string `json:"after,omitempty"`   // names of jobs
}

// change is a field of an action that differs from that of an earlier action.
type change struct {
	Field string `json:"field"`
	Was   string `json:"was,omitempty"`
	Is    string `json:"is,omitempty"`
}

func (c *planCmd) Run(ctx context.Context, a *app) error {
	if err := c.executor.check(); err != nil {
		return err
	}
	g, err := c.load(ctx, a, c.Steps...)
	if err != nil {
		return err
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	decisions, err := a.runner(store, nil).Plan(ctx, g)
	if err != nil {
		return err
	}
	plan := runPlan{document: version1, Recipe: g.Recipe.Name}
	var runs []*runner.Run
	for _, d := range decisions {
		if d.Node.IsShard() {
			continue // the line of the whole step gives the number of shards
		}
		s := stepPlan{Step: d.Node.Name(), Stage: d.Node.Stage.Stage, State: "miss", Key: d.Key}
		if d.Skip != "" {
			s.State, s.Reason = "skip", d.Skip
			plan.Steps = append(plan.Steps, s)
			continue
		}
		s.Condition, s.Shards = d.Unknown, d.Node.Step.Shards
		if c.Verbose {
			if s.Action, err = d.Action.Preimage(); err != nil {
				return err
			}
		}
		if d.Hit != nil {
			s.State, s.Created, s.Seconds = "hit", d.Hit.Created.UTC(), d.Made.WallSeconds
			plan.Cached++
		} else {
			if runs == nil {
				if runs, err = a.recentRuns(ctx, store.Store, explainRuns); err != nil {
					return err
				}
			}
			if c.Executor != onSlurm {
				s.Warning = d.Lacks()
			}
			s.explain(d, runner.Nearest(runs, g.Recipe.Name, d.Node.Name(), d.Action))
		}
		plan.Steps = append(plan.Steps, s)
	}
	if c.Executor == onSlurm {
		if err := c.planJobs(ctx, a, g, store, decisions, plan.Steps); err != nil {
			return err
		}
	}
	return c.print(a, plan, plan.table)
}

// explain says why a step has no cached result. near is the most similar earlier action, or nil.
func (s *stepPlan) explain(d *runner.Decision, near *runner.Near) {
	if d.Reason != "" {
		s.Reason = d.Reason
		return
	}
	switch {
	case near == nil:
		s.Reason = fmt.Sprintf("no run of stage %s is known", s.Stage)
	case len(near.Diffs) == 0:
		s.Reason = fmt.Sprintf("run %s computed this step, but its record is gone from the store", near.Run)
	default:
		s.Reason = fmt.Sprintf("compared with step %s of run %s", near.Step, near.Run)
		for _, diff := range near.Diffs {
			if !runner.Unmade(diff) { // WaitsFor lists these inputs
				s.Changes = append(s.Changes, change(diff))
			}
		}
	}
	s.Continues = d.Continues()
	for name, in := range d.Inputs {
		if in.Digest == "" {
			if s.WaitsFor == nil {
				s.WaitsFor = map[string]string{}
			}
			s.WaitsFor[name] = in.From
		}
	}
}

func (p runPlan) table(w io.Writer) {
	width := 0
	for _, s := range p.Steps {
		width = max(width, len(s.Step)+len(s.Stage)+2)
	}
	for _, s := range p.Steps {
		note := s.Reason
		if s.State == "hit" {
			note = fmt.Sprintf("made %s in %s", s.Created.Local().Format("2006-01-02 15:04"), program.Duration(s.Seconds))
		}
		if len(s.Changes) > 0 {
			note += ":"
		}
		fmt.Fprintf(w, "%-*s  %-4s  %s\n", width, s.Step+"  "+s.Stage, s.State, note)
		for _, c := range s.Changes {
			fmt.Fprintf(w, "    %s\n", cachekey.FieldDiff(c))
		}
		if s.Continues != "" {
			fmt.Fprintf(w, "    %s\n", s.Continues)
		}
		if s.Condition != "" {
			fmt.Fprintf(w, "    only when %s, which is not known yet\n", s.Condition)
		}
		if s.Shards > 0 && s.State == "miss" {
			fmt.Fprintf(w, "    in %d shards\n", s.Shards)
		}
		if s.Job != nil {
			fmt.Fprintf(w, "    %s\n", s.Job)
		}
		if s.Warning != "" {
			fmt.Fprintf(w, "    warning: %s\n", s.Warning)
		}
		for name, from := range ordered(s.WaitsFor) {
			fmt.Fprintf(w, "    inputs.%s: %s has to be made first; this may still be a hit\n", name, from)
		}
		if s.Action != nil {
			if s.Key != "" {
				fmt.Fprintf(w, "    key %s\n", s.Key)
			}
			fmt.Fprintf(w, "    %s\n", strings.ReplaceAll(strings.TrimSpace(string(s.Action)), "\n", "\n    "))
		}
	}
	fmt.Fprintf(w, "%d of %d steps are cached\n", p.Cached, len(p.Steps))
}

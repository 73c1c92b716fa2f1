package runner

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/pipeline/internal/catalog"
	"vapo/pipeline/internal/graph"
	"vapo/pipeline/internal/recipe"
)

// chain returns the decisions of two steps, the second of which uses the output of the first.
func chain(steps int64, when string) []*Decision {
	entry := &catalog.Entry{Description: contract.Description{
		Contract: contract.Contract, Stage: "toy", Version: 1, Params: []contract.Param{{Name: "steps", Keyed: true}},
	}}
	first := &graph.Node{Step: &recipe.Step{Name: "first"}, Stage: entry, Params: map[string]any{"steps": steps}}
	second := &graph.Node{
		Step: &recipe.Step{Name: "second"}, Stage: entry, Params: map[string]any{"steps": int64(1)}, Needs: []string{"first"},
		Sources: map[string]graph.Source{"data": {Reference: artifact.Reference{Step: "first", Output: "out"}}},
	}
	if when != "" {
		second.Step.When = []recipe.Term{{}}
		second.Step.When[0].Text = when
	}
	return []*Decision{{Node: first}, {Node: second, Inputs: map[string]Input{"data": {From: "first.out"}}}}
}

// TestJobsFor checks that the name of a job depends on everything that it computes, even if the digest of an input is
// not known yet.
func TestJobsFor(t *testing.T) {
	names := func(store string, d []*Decision) (first, second string) {
		jobs, err := jobsFor(store, d)
		if err != nil || len(jobs) != 2 || len(jobs[1].Needs) != 1 || jobs[1].Needs[0] != jobs[0] {
			t.Fatalf("jobs %v, error %v; want two jobs, of which the second needs the first", jobs, err)
		}
		return jobs[0].Name, jobs[1].Name
	}
	first, second := names("s3://a", chain(1, ""))
	if first != "vapo-first-04cdc52af8f3b681" || second != "vapo-second-015cf86394afcac0" {
		t.Errorf("%s, %s: the names have changed, so jobs that are already in a queue would not be found", first, second)
	}
	for what, other := range map[string]struct {
		store    string
		plan     []*Decision
		firstToo bool
	}{
		"another parameter of the first step": {"s3://a", chain(2, ""), true},
		"another store":                       {"s3://b", chain(1, ""), true},
		"a condition":                         {"s3://a", chain(1, "first.steps > 0"), false},
	} {
		a, b := names(other.store, other.plan)
		if (a != first) != other.firstToo || b == second {
			t.Errorf("%s: the names are %s and %s; they were %s and %s", what, a, b, first, second)
		}
	}
	cached := chain(1, "")
	cached[0].Hit = &artifact.Record{}
	cached[1].Inputs["data"] = Input{"first.out", "sha256:00"}
	// A job in the queue keeps its name when the step that it needs has a result.
	if jobs, err := jobsFor("s3://a", cached); err != nil || len(jobs) != 1 || len(jobs[0].Needs) > 0 ||
		jobs[0].Name != second {
		t.Errorf("after the first step: jobs %v, want one named %s; error %v", jobs, second, err)
	}
}

// TestJobRecord checks that a run accepts only complete records of its own job.
func TestJobRecord(t *testing.T) {
	dir := t.TempDir()
	j := &Job{ID: "12", Dir: dir, Node: chain(1, "")[0].Node}
	if s, _ := j.record(); s != nil {
		t.Errorf("a record before the job has written one: %+v", s)
	}
	cause := failure.New(failure.Store, "look at it", "no store")
	if err := SaveJobFailure(dir, "first", Placement{Job: "12", Host: "n1"}, cause); err != nil {
		t.Fatal(err)
	}
	s, _ := j.record()
	if s == nil || s.State != Failed || s.Exit != failure.Store || s.Hint != "look at it" || s.Place.Host != "n1" {
		t.Errorf("the record is %+v, want a failure with exit code 4, the hint and the host", s)
	}
	j.ID = "13"
	if s, _ := j.record(); s != nil {
		t.Errorf("the record of another job was read: %+v", s)
	}
	path := filepath.Join(dir, "first.json")
	data, err := os.ReadFile(path)
	if err = errors.Join(err, os.WriteFile(path, data[:len(data)/2], 0o644)); err != nil {
		t.Fatal(err)
	}
	if s, _ := j.record(); s != nil {
		t.Errorf("half a record was read: %+v", s)
	}
}

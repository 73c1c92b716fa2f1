package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// gc runs `store gc --json` and returns its report.
func (w *workplace) gc(args ...string) (out gcReport) {
	w.t.Helper()
	time.Sleep(1100 * time.Millisecond) // the store's clock counts whole seconds
	text := w.must(append([]string{"store", "gc", "--grace=0s", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		w.t.Fatalf("%v:\n%s", err, text)
	}
	return out
}

// freedOf returns the number of objects of a kind that a collection freed.
func freedOf(r gcReport, kind string) int {
	for _, u := range r.Freed {
		if u.Kind == kind {
			return u.Objects
		}
	}
	return 0
}

// TestGC checks that runs are dropped according to the flags, and that everything that kept runs and refs need remains.
func TestGC(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.serve()
	w.write("a.yaml", "name: a\nsteps:\n  s: {stage: toy}\n")
	w.write("b.yaml", "name: b\nsteps:\n  s: {stage: toy}\n  t: {stage: toy, inputs: {data: s.out}}\n")
	for _, salt := range []string{"1", "2", "3"} {
		w.must("run", "a.yaml", "--set", "s.salt="+salt)
	}
	w.must("put", "s.out", "--ref", "best") // salt 3
	w.must("run", "a.yaml", "--set", "s.salt=4")
	w.must("run", "b.yaml", "--set", "s.salt=5")
	if r := w.gc("--delete"); r.KeptRuns != 5 || len(r.Freed) != 0 {
		t.Errorf("without options: %+v, want 5 kept runs and nothing freed", r)
	}
	for _, c := range []struct {
		args          []string
		runs, actions int
	}{
		{[]string{"--keep-last=1"}, 3, 2}, {[]string{"--keep-last=1", "--recipe=b"}, 0, 0}, {[]string{"--keep-last=0"}, 5, 5},
		{[]string{"--keep-within=1d"}, 0, 0}, {[]string{"--keep-last=0", "--keep-within=1h"}, 0, 0},
		{[]string{"--keep-last=0", "--recipe=b"}, 1, 2}, {[]string{"--keep-last=0", "--grace=1h"}, 0, 0},
	} {
		if r := w.gc(c.args...); freedOf(r, "runs") != c.runs || freedOf(r, "actions") != c.actions || r.Deleted {
			t.Errorf("%v: %+v, want nothing deleted, and %d runs and %d actions to free", c.args, r, c.runs, c.actions)
		}
	}
	if out := w.must("store", "gc", "--keep-last=1", "--grace=0s"); !strings.Contains(out, "nothing was deleted") {
		t.Errorf("a dry run does not say that nothing was deleted:\n%s", out)
	}
	if r := w.gc("--keep-last=1", "--delete"); freedOf(r, "actions") != 2 || !r.Deleted || r.KeptRuns != 2 {
		t.Errorf("got %+v, want 2 actions freed and 2 runs kept", r)
	}
	if out := w.must("store", "check", "--deep"); !strings.Contains(out, " 0 damaged") {
		t.Errorf("the check finds damage:\n%s", out)
	}
	if out := w.must("lineage", "ref:best"); !strings.Contains(out, "salt=3") {
		t.Errorf("the lineage of ref:best lacks salt=3:\n%s", out)
	}
	for salt, want := range map[string]string{"1": "done", "3": "cached", "4": "cached"} {
		w.must("run", "a.yaml", "--set", "s.salt="+salt)
		w.wantStates("salt "+salt, map[string]string{"s": want})
	}
	w.fails(2, []string{"--recipe alone"}, "store", "gc", "--recipe=a")
	w.fails(2, []string{"30d or 12h"}, "store", "gc", "--keep-within=soon")
}

// TestRm checks that rm removes a run or a ref, and that gc then frees what only that run or ref needed.
func TestRm(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.serve()
	w.write("a.yaml", "name: a\nsteps:\n  s: {stage: toy}\n")
	w.must("run", "a.yaml")
	id := strings.Fields(w.must("status"))[1]
	w.must("put", "s.out", "--ref", "best")
	var du spaceReport
	measured := func() spaceReport {
		du = spaceReport{}
		if err := json.Unmarshal([]byte(w.must("store", "du", "--json")), &du); err != nil {
			t.Fatal(err)
		}
		return du
	}
	if m := measured(); len(m.Runs) != 1 || m.Runs[0].Size != m.Refs[0].Size || m.Runs[0].Own != 0 || m.Unreferenced != 0 {
		t.Errorf("a run and a ref to its output: %+v, want equal sizes, and no bytes that only the run needs", m)
	}
	if out := w.must("rm", id); !strings.Contains(out, "store gc") {
		t.Errorf("rm prints %q, want advice to run store gc", out)
	}
	if m := measured(); len(m.Runs) != 0 || m.Refs[0].Own != m.Refs[0].Size || m.Refs[0].Size == 0 {
		t.Errorf("after rm of the run: %+v, want no run, and a ref that alone needs all its bytes", m)
	}
	if r := w.gc("--delete"); len(r.Freed) != 0 {
		t.Errorf("gc while the ref exists: %+v, want nothing freed", r)
	}
	w.must("rm", "ref:best")
	if m := measured(); m.Unreferenced == 0 || m.Stages[0].Objects != 1 {
		t.Errorf("after rm of the ref: %+v, want unreferenced bytes and one object of the stage", m)
	}
	w.must("store", "du")
	if r := w.gc("--delete"); freedOf(r, "actions") != 1 {
		t.Errorf("gc after rm of the ref: %+v, want 1 action freed", r)
	}
	w.fails(3, []string{"no ref best"}, "rm", "ref:best")
	w.fails(3, []string{"no run"}, "rm", id)
}

package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

// TestLatestRuns checks that the latest runs are found, however long ago they were, and that another object among them
// is ignored.
func TestLatestRuns(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	env := w.serve()
	cfg, err := objectstore.FromEnv(func(name string) string {
		for _, kv := range env {
			if v, ok := strings.CutPrefix(kv, name+"="); ok {
				return v
			}
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := objectstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	store := artifact.New(objects)
	stray := []byte("{}")
	if _, err := objects.Put(t.Context(), "runs/no run.json", bytes.NewReader(stray), int64(len(stray)),
		objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	var want []string // newest first
	for i, ago := range []time.Duration{1000, 500, 40, 3, 1, 0, 0} {
		id := now.Add(-24*ago*time.Hour).Format("20060102-150405") + "000-000" + string(rune('0'+i))
		if err := store.SaveRun(t.Context(), id, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		want = append([]string{id}, want...)
		for n := range len(want) + 2 {
			got, err := latestRuns(t.Context(), store, n)
			if err != nil || !slices.Equal(got, want[:min(n, len(want))]) {
				t.Errorf("the latest %d of %d runs are %v, want %v: %v", n, len(want), got, want, err)
			}
		}
	}
}

func TestAsFlag(t *testing.T) {
	for set, want := range map[string]string{
		"potential.steps=2\n000": "--set potential.steps=2 000", "--input score.test=": "--input score.test=",
	} {
		if got := asFlag(set); got != want {
			t.Errorf("%q is shown as %q, want %q", set, got, want)
		}
	}
}

// TestWrongRun checks that a command with an empty argument, as from a variable that is not set, or with a text that is
// not the ID of a run, fails and removes nothing.
func TestWrongRun(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.must("run", "one.yaml")
	runs := w.must("ls", "runs")
	for _, args := range [][]string{
		{"rm", ""}, {"status", ""}, {"report", ""}, {"ls", "--run", ""}, {"ls", ""}, {"get", ""}, {"get", "s.out", ""},
		{"get", "s.out", "x", "--run="}, {"lineage", "s.out", "--run", ""}, {"put", "one.yaml", "--ref", ""}, {"put", ""},
		{"report", "-o", ""}, {"run", "one.yaml", ""}, {"run", "one.yaml", "--report", ""}, {"plan", ""},
		{"store", "gc", "--keep-last", ""}, {"store", "gc", "--keep-last", "0", "--recipe=", "--delete"},
		{"--dir", "", "status"}, {"run", "one.yaml", "--hook="},
	} {
		before := strings.TrimSuffix(args[max(0, slices.Index(args, "")-1)], "=")
		if slices.Index(args, "") < 0 {
			before = "--"
		}
		w.fails(failure.Usage, []string{"the argument after " + before, " is empty\nhint: "}, args...)
	}
	for _, id := range []string{"a b", "../x", ".", "é", "a/b", "-"} {
		for _, args := range [][]string{{"rm", id}, {"status", id}, {"report", id}, {"ls", "--run", id},
			{"get", "s.out", "--run", id}, {"lineage", "s.out", "--run", id}} {
			w.fails(failure.Usage, []string{`"` + id + `" is not the ID of a run`, "hint: pipeline ls runs lists"}, args...)
		}
		w.fails(failure.Usage, []string{"is not a valid name", "hint: "}, "rm", "ref:"+strings.Replace(id, "a/b", "", 1))
	}
	w.fails(failure.Input, []string{"the store has no run x"}, "rm", "x")
	if now := w.must("ls", "runs"); now != runs {
		t.Errorf("the runs were\n%sand are now\n%s", runs, now)
	}
	if reports, err := filepath.Glob(w.dir + "/.vapo/runs/*/report.html"); err != nil || len(reports) != 1 {
		t.Errorf("the run lost its report: %v, %v", reports, err)
	}
}

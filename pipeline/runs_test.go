package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/objectstore"
)

// TestLatestRuns checks that the latest runs are found, however long ago they were.
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

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A longer run of the same configuration continues from a shorter run in the store. Its outputs equal those of a run
// from the start.
func TestSeries(t *testing.T) {
	t.Parallel()
	const recipe = "name: chain\nsteps:\n  one: {stage: toy, params: {steps: 40}}\n"
	whole := newWorkplace(t)
	whole.write("chain.yaml", recipe)
	whole.must("run", "chain.yaml")
	want := whole.digests()

	w := newWorkplace(t)
	w.write("chain.yaml", recipe)
	resumed := func(steps string, args ...string) string {
		t.Helper()
		res := w.run(append([]string{"run", "chain.yaml", "--set", "one.steps=" + steps}, args...)...)
		if res.code != 0 {
			t.Fatalf("%s steps: exit code %d\n%s", steps, res.code, res.stderr)
		}
		logs, err := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/one.log"))
		if err != nil || len(logs) == 0 {
			t.Fatalf("step one has no log: %v", err)
		}
		log, err := os.ReadFile(slices.Max(logs)) // run directories sort by time
		if err != nil {
			t.Fatal(err)
		}
		_, after, found := strings.Cut(string(log), `"msg":"resuming","step":`)
		if !found {
			return "0"
		}
		at, _, _ := strings.Cut(after, "}")
		if !strings.Contains(res.stderr, "started, continues after "+at+" steps") {
			t.Errorf("no message that the step continues after %s steps:\n%s", at, res.stderr)
		}
		return at
	}
	for _, c := range []struct{ steps, set, from string }{
		{"10", "one.salt=0.5", "0"},
		{"25", "one.salt=0.5", "10"},
		{"12", "one.salt=0.5", "10"}, // does not continue from the longer run
		{"30", "one.salt=0.7", "0"},  // belongs to another series
		{"30", "one.backend=fast", "0"},
		{"40", "one.salt=0.5", "25"},
	} {
		plan := w.must("plan", "chain.yaml", "--set", "one.steps="+c.steps, "--set", c.set)
		if continues := strings.Contains(plan, "continues after "+c.from+" steps of action"); continues != (c.from != "0") {
			t.Errorf("%s steps, %s: want a plan that continues after %s steps (0: that continues nothing)\n%s", c.steps,
				c.set, c.from, plan)
		}
		if got := resumed(c.steps, "--set", c.set); got != c.from {
			t.Errorf("%s steps, %s: continued from %q, want %s", c.steps, c.set, got, c.from)
		}
	}
	if got := w.digests(); got["one.out"] != want["one.out"] || got["one.log"] != want["one.log"] {
		t.Errorf("digests %v, want those of a run from the start: %v", got, want)
	}
	// A fresh run does not continue from any earlier result.
	if got := resumed("40", "--fresh"); got != "0" {
		t.Errorf("a fresh run continued from %s", got)
	}
	// A run does not continue from a shorter run whose outputs are missing.
	digests := w.digests()
	if err := os.Remove(w.blob(digests["one.out"])); err != nil {
		t.Fatal(err)
	}
	if got := resumed("50"); got != "25" {
		t.Errorf("continued from %s, want 25, since an output of 40 steps is missing", got)
	}
	// If the outputs of the longest run are damaged, the new run warns and continues from the next shorter run.
	w.damage(w.digests()["one.log"])
	if got := resumed("55"); got != "25" {
		t.Errorf("continued from %s, want 25, since an output of 50 steps is damaged", got)
	}
	if out := w.must("status"); !strings.Contains(out, "step one could not continue after 50 steps of action") ||
		!strings.Contains(out, "corrupt") {
		t.Errorf("the damage is not reported:\n%s", out)
	}
	// If the index of the series is damaged, the run starts from the beginning.
	entries, err := filepath.Glob(filepath.Join(w.dir, ".vapo/store/vapo/series/*/*"))
	if err != nil || len(entries) != 8 {
		t.Fatalf("entries of series: %v, %v; want 8", entries, err)
	}
	for _, path := range entries {
		if err := os.WriteFile(path, []byte("no key\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := resumed("60"); got != "0" {
		t.Errorf("continued from %s, although the index of the series is damaged", got)
	}
}

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestResources checks that steps run one after the other if together they ask for more than the machine has, that a
// stage gets no more threads than its step asks for, and that resources are not part of the key.
func TestResources(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	const recipe = `name: r
steps:
  one: {stage: toy, params: {delay: 0.1}, resources: {cores: 1, memory: 1MB}}
  big: {stage: toy, params: {delay: 0.1, salt: 2}, resources: {cores: 1000000}}
  all: {stage: toy, params: {delay: 0.1, salt: 3}, resources: {cores: 1000000}}
`
	w.write("r.yaml", recipe)
	const lacks = "warn: it asks for 1000000 cores, and this machine has "
	if out := w.must("plan", "r.yaml"); strings.Count(out, "    "+strings.Replace(lacks, "warn", "warning", 1)) != 2 {
		t.Errorf("the plan does not warn of the missing cores of two steps:\n%s", out)
	}
	res := w.run("run", "r.yaml", "--jobs", "3")
	if res.code != 0 || strings.Count(res.stderr, lacks) != 2 {
		t.Errorf("exit code %d, want 0 and two warnings about missing cores\n%s", res.code, res.stderr)
	}
	// The two large steps must not overlap.
	var order []string
	for line := range strings.Lines(res.stderr) {
		f := strings.Fields(line)
		if len(f) > 2 && (f[0] == "big" || f[0] == "all") && (f[2] == "started" || f[2] == "done") {
			order = append(order, f[0], f[2])
		}
	}
	if len(order) != 8 || order[0] != order[2] || order[4] != order[6] {
		t.Errorf("the large steps must start and end one after the other: %v\n%s", order, res.stderr)
	}
	logs, err := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/one.log"))
	if err != nil || len(logs) != 1 || !strings.Contains(read(t, logs[0]), `"threads":1`) {
		t.Errorf("logs of step one: %v, %v; want one log, which reports one thread", logs, err)
	}
	w.write("r.yaml", strings.ReplaceAll(recipe, "resources: {cores: 1000000}", "resources: {gpus: 9}"))
	w.must("run", "r.yaml")
	w.wantStates("with other resources", map[string]string{"one": "cached", "big": "cached", "all": "cached"})
}

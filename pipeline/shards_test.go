package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
)

const sharded = `name: sharded
steps:
  data: {stage: toy}
  chain: {stage: toy, inputs: {data: data.out}, params: {same: 7, %s}, shards: 3}
  end: {stage: toy, inputs: {data: chain.out}}
`

// TestShards checks that after the failure of one shard the next run computes only this shard, and that the result is
// that of a run without shards.
func TestShards(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", fmt.Sprintf(sharded, "steps: 3"))
	if plan := w.must("plan", "r.yaml"); !strings.Contains(plan, "\n    in 3 shards\n") ||
		!strings.Contains(plan, "0 of 3 steps") {
		t.Errorf("the plan lacks \"in 3 shards\" or \"0 of 3 steps\":\n%s", plan)
	}
	res := w.run("run", "r.yaml", "--jobs", "3", "--keep-going", "--set", "chain.fail-shard=2")
	if res.code != 3 || !strings.Contains(res.stderr, "shard 2/3 cannot be computed") ||
		!strings.Contains(res.stderr, "needs chain[shard=2]") {
		t.Errorf("exit code %d, want 3, the error of shard 2 and a step that needs it\n%s", res.code, res.stderr)
	}
	w.wantStates("one shard fails", map[string]string{"data": "done", "chain": "skipped", "end": "skipped",
		"chain[shard=1]": "done", "chain[shard=2]": "failed", "chain[shard=3]": "done"})

	res = w.run("run", "r.yaml")
	if res.code != 0 || strings.Contains(res.stderr, "its part is there already") ||
		!strings.Contains(res.stderr, "parts found parts=3") || !strings.Contains(res.stderr, "1 cached, 2 done in") {
		t.Errorf("exit code %d, want 0, one new part, three parts found, 1 step cached, 2 done\n%s", res.code, res.stderr)
	}
	w.wantStates("only the failed shard runs", map[string]string{"data": "cached", "chain": "done", "end": "done",
		"chain[shard=2]": "done"})
	first := w.digests()
	w.must("run", "r.yaml")
	w.wantStates("again", map[string]string{"data": "cached", "chain": "cached", "end": "cached"})
	if res := w.run("run", "r.yaml", "--fresh"); res.code != 0 || strings.Contains(res.stderr, "[shard=") ||
		!maps.Equal(first, w.digests()) {
		t.Errorf("--fresh: exit code %d, want 0, no shards and the same digests\n%s", res.code, res.stderr)
	}
	// exec runs one shard alone, as a batch system does. The whole step does not wait for shards that nobody runs.
	w.write("r.yaml", fmt.Sprintf(sharded, "steps: 4"))
	for _, step := range []string{"chain[shard=3]", "chain"} {
		if res := w.run("exec", "r.yaml", step); res.code != 0 {
			t.Errorf("exec %s: exit code %d\n%s", step, res.code, res.stderr)
		}
	}
	w.must("run", "r.yaml")
	w.wantStates("after exec", map[string]string{"data": "cached", "chain": "cached", "end": "done"})

	whole := newWorkplace(t)
	whole.write("r.yaml", strings.Replace(fmt.Sprintf(sharded, "steps: 3"), ", shards: 3", "", 1))
	whole.must("run", "r.yaml")
	if got := whole.digests(); !maps.Equal(first, got) {
		t.Errorf("digests with shards:\n%v\nwithout:\n%v", first, got)
	}
}

// TestSharedSamples checks that shards of the real stages sample and eval do not change any digest.
func TestSharedSamples(t *testing.T) {
	t.Parallel()
	const recipe = `name: shared
steps:
  data: {stage: prep, params: {source: 8gaussians, n-train: 500, n-test: 100}}
  potential:
    stage: train
    foreach: {seed: [0, 1]}
    inputs: {data: data.train}
    params: {model: mlp, width: 8, depth: 1, steps: 5, batch: 16}
  samples:
    stage: sample
    foreach: potential
    inputs: {checkpoint: potential.checkpoint}
    params: {n: 1000, steps: 3}
    shards: 3
  score:
    stage: eval
    foreach: samples
    inputs: {samples: samples.samples, reference: data.train}
    params: {n: 100, pairs: 2}
    shards: 2
`
	digests := map[bool]map[string]string{}
	for _, shards := range []bool{true, false} {
		w := newWorkplace(t)
		text := recipe
		if !shards {
			text = strings.NewReplacer("    shards: 3\n", "", "    shards: 2\n", "").Replace(recipe)
		}
		w.write("r.yaml", text)
		res := w.run("--bin", buildStages(t), "run", "r.yaml", "--jobs", "4")
		if res.code != 0 {
			t.Fatalf("exit code %d\n%s", res.code, res.stderr)
		}
		if got := strings.Contains(res.stderr, "samples[seed=1,shard=3]"); got != shards {
			t.Errorf("shards are shown: %v, want %v\n%s", got, shards, res.stderr)
		}
		digests[shards] = w.digests()
		var status struct{ Steps []struct{ Step string } }
		if err := json.Unmarshal([]byte(w.must("status", "--json")), &status); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 7 + 6 + 4, false: 7}[shards]; len(status.Steps) != want {
			t.Errorf("status lists %d steps, want %d", len(status.Steps), want)
		}
	}
	if !maps.Equal(digests[true], digests[false]) {
		t.Errorf("digests with shards:\n%v\nwithout:\n%v", digests[true], digests[false])
	}
}

// If the condition of a step does not hold, the whole step is skipped for this reason, and no shard is mentioned.
func TestShardsWhen(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", `name: r
steps:
  a: {stage: toy}
  b: {stage: toy, foreach: {salt: [1, 2]}, when: a.value < 3, shards: 2}
`)
	res := w.run("run", "r.yaml")
	if res.code != 0 || strings.Contains(res.stderr, "shard") ||
		strings.Count(res.stderr, "a.value < 3 does not hold") != 2 {
		t.Errorf("exit code %d, want 0, no shard, and two steps whose condition does not hold\n%s", res.code, res.stderr)
	}
	for _, document := range []string{w.must("status", "--json"), w.must("plan", "r.yaml", "--json")} {
		state, reason := w.item(document, "b[salt=2]")
		if !strings.HasPrefix(state, "skip") || reason != "a.value < 3 does not hold: a.value is 3" {
			t.Errorf("step b[salt=2]: state %s, reason %q; want it skipped, since a.value is 3", state, reason)
		}
	}
}

func TestShardMistakes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	for _, c := range []struct{ step, want string }{
		{"{stage: toy, shards: 1}", "shards must be a whole number from 2 to 1000, not 1"},
		{"{stage: toy, shards: x}", "shards must be a whole number"},
		{"{stage: toy, foreach: {salt: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}, shards: 1000}",
			"the steps and their shards are more than 10000"},
		{"{stage: command, run: [true], outputs: {o: o.txt}, shards: 2}", "cannot share its work among shards"},
	} {
		w.write("r.yaml", "name: r\nsteps:\n  a: "+c.step+"\n")
		w.fails(2, []string{"r.yaml:3:", c.want}, "run", "r.yaml")
	}
	w.write("r.yaml", "name: r\nsteps:\n  a: {stage: prep, params: {source: 8gaussians}, shards: 2}\n")
	w.fails(2, []string{"r.yaml:3:3: step a: stage prep cannot share its work"}, "--bin", buildStages(t), "run", "r.yaml")
}

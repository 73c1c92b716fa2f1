package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

const sweep = `name: sweep
steps:
  data: {stage: toy}
  chain:
    stage: toy
    foreach: {steps: [2, 10], salt: [0.5, 1e-3]}
    inputs: {data: data.out}
    retries: {limit: 1, backoff: 1ms}
  again: {stage: toy, foreach: chain, inputs: {data: chain.out}}
  table:
    stage: command
    run: [./table.sh]
    inputs: {lengths: again.*.length, all: chain.*.out}
    outputs: {table: table.md}
    when: chain.*.value < 11 and data.backend == 'slow'
`

const tableScript = `#!/bin/sh
cp lengths/index.tsv table.md
ls lengths all >>table.md
tail -n +2 lengths/index.tsv | while IFS='	' read -r file steps salt; do
	test -s "lengths/$file" && echo "| $steps | $salt |" >>table.md
done
`

// item returns the state and reason of a step in a document of status --json or plan --json.
func (w *workplace) item(document, step string) (state, reason string) {
	w.t.Helper()
	var d struct {
		Steps []struct{ Step, State, Reason string }
	}
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		w.t.Fatal(err)
	}
	for _, s := range d.Steps {
		if s.Step == step {
			return s.State, s.Reason
		}
	}
	w.t.Errorf("no step %s in\n%s", step, document)
	return "", ""
}

// TestForeach runs one step for each combination of two parameters and a second step for each instance of the first,
// and collects the outputs of both.
func TestForeach(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("sweep.yaml", sweep)
	w.script("table.sh", tableScript)
	plan := w.must("plan", "sweep.yaml")
	for _, want := range []string{"chain[steps=2,salt=0.5]  toy    miss",
		"\n    only when chain.*.value < 11, which is not known yet",
		"inputs.data: chain[steps=10,salt=1e-3].out has to be made first", "0 of 10 steps"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
	w.must("run", "sweep.yaml", "--jobs", "3")
	const want = `file	steps	salt
steps=2,salt=1e-3	2	1e-3
steps=2,salt=0.5	2	0.5
steps=10,salt=1e-3	10	1e-3
steps=10,salt=0.5	10	0.5
all:
index.tsv
steps=10,salt=0.5
steps=10,salt=1e-3
steps=2,salt=0.5
steps=2,salt=1e-3

lengths:
index.tsv
steps=10,salt=0.5
steps=10,salt=1e-3
steps=2,salt=0.5
steps=2,salt=1e-3
| 2 | 1e-3 |
| 2 | 0.5 |
| 10 | 1e-3 |
| 10 | 0.5 |
`
	if got := w.must("get", "table.table"); got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	digests := w.digests()
	if n := len(digests); n != 9*3+1 {
		t.Errorf("%d outputs, want 28: %v", n, digests)
	}
	seen := map[string]string{}
	for output, digest := range digests {
		if strings.HasPrefix(output, "again[") && strings.HasSuffix(output, ".out") {
			if twin, ok := seen[digest]; ok {
				t.Errorf("%s and %s have the same digest", output, twin)
			}
			seen[digest] = output
		}
	}
	if len(seen) != 4 {
		t.Errorf("step again has the outputs %v, want those of 4 instances", seen)
	}
	// An instance has the same key as a step that is written out.
	w.write("one.yaml", "name: one\nsteps:\n  data: {stage: toy}\n"+
		"  chain: {stage: toy, inputs: {data: data.out}, params: {steps: 10, salt: 0.001}}\n")
	w.must("run", "one.yaml")
	w.wantStates("written out", map[string]string{"data": "cached", "chain": "cached"})
	if got := w.must("get", "chain.out"); got != w.must("get", digests["chain[steps=10,salt=1e-3].out"]) {
		t.Errorf("the step that is written out has another output than the instance: %s", got)
	}

	w.must("run", "sweep.yaml")
	status := w.must("status", "--json")
	for _, step := range []string{"chain[steps=2,salt=0.5]", "again[steps=10,salt=1e-3]", "table"} {
		if state, _ := w.item(status, step); state != "cached" {
			t.Errorf("step %s is %s:\n%s", step, state, status)
		}
	}
	w.must("get", "again[steps=2,salt=1e-3].length", "length.json")
	w.must("run", "sweep.yaml", "again[steps=2,salt=0.5]")
	w.wantStates("one target", map[string]string{"data": "cached", "chain[steps=2,salt=0.5]": "cached",
		"again[steps=2,salt=0.5]": "cached"})
	w.must("run", "sweep.yaml", "chain")
	if n := len(w.states()); n != 5 {
		t.Errorf("the target chain runs %d steps, not 5", n)
	}
	w.must("exec", "sweep.yaml", "again[steps=2,salt=0.5]")
	w.fails(failure.Usage, []string{"step chain stands for 4 instances"}, "exec", "sweep.yaml", "chain")
	html := filepath.Join(w.dir, "r.html")
	w.must("report", "--output", html)
	if !strings.Contains(read(t, html), "again[2,0.5]") {
		t.Error("the report lacks an instance")
	}
	// The order of values changes no key.
	w.write("sweep.yaml", strings.NewReplacer("[2, 10]", "[10, 2]").Replace(sweep))
	if out := w.must("plan", "sweep.yaml"); !strings.Contains(out, "10 of 10 steps are cached") {
		t.Errorf("after a change of the order, not all 10 steps are cached:\n%s", out)
	}
}

// TestWhen checks that a step whose condition does not hold is skipped together with the steps that need it, and that
// the run succeeds.
func TestWhen(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", `name: r
steps:
  a: {stage: toy}
  b: {stage: toy, params: {salt: 2}, when: a.value < 3}
  c: {stage: toy, inputs: {data: b.out}}
  d: {stage: toy, params: {salt: 3}, when: a.value <= 3 and a.backend != 'fast' and d.steps == 3}
`)
	w.must("run", "r.yaml")
	w.wantStates("run", map[string]string{"a": "done", "b": "skipped", "c": "skipped", "d": "done"})
	w.must("report", "-o", "r.html")
	page := read(t, filepath.Join(w.dir, "r.html"))
	if !strings.Contains(page, "not run: a.value &lt; 3 does not hold") || strings.Contains(page, "This run failed") {
		t.Errorf("the report does not say why b did not run, or says that it failed:\n%.2000s", page)
	}
	status, plan := w.must("status", "--json"), w.must("plan", "r.yaml", "--json")
	for _, document := range []string{status, plan} {
		state, reason := w.item(document, "b")
		if !strings.HasPrefix(state, "skip") || reason != "a.value < 3 does not hold: a.value is 3" {
			t.Errorf("step b: state %s, reason %q; want it skipped, since a.value is 3", state, reason)
		}
		if state, reason = w.item(document, "c"); !strings.HasPrefix(state, "skip") || reason != "needs b" {
			t.Errorf("step c: state %s, reason %q; want it skipped, since it needs b", state, reason)
		}
	}
	w.must("run", "r.yaml", "--set", "a.steps=2")
	w.wantStates("with two steps", map[string]string{"a": "done", "b": "done", "c": "done", "d": "cached"})
	w.must("run", "r.yaml", "--set", "d.steps=4")
	w.wantStates("without d", map[string]string{"a": "cached", "b": "skipped", "c": "skipped", "d": "skipped"})
	w.must("run", "r.yaml", "d") // d needs the score of a
	w.wantStates("target d", map[string]string{"a": "cached", "d": "cached"})
	// A condition may compare default parameters of a step that is not among the targets.
	w.write("r.yaml", "name: r\nsteps:\n  a: {stage: toy}\n"+
		"  b: {stage: toy, when: a.steps == 3 and a.backend == 'slow'}\n")
	w.must("run", "r.yaml", "b")
	w.wantStates("target b", map[string]string{"b": "cached"})
}

func TestForeachMistakes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	const each = "  a: {stage: toy, foreach: {steps: [1, 2]}}\n"
	for _, mistake := range [][2]string{ // steps and error
		{"  a: {stage: toy, foreach: {}}\n",
			"r.yaml:3:28: foreach is empty"},
		{"  a: {stage: toy, foreach: {steps: 3}}\n",
			"r.yaml:3:36: foreach needs a list of values for steps"},
		{"  a: {stage: toy, foreach: {steps: []}}\n",
			"r.yaml:3:36: foreach needs a list of values for steps"},
		{"  a: {stage: toy, foreach: {steps: [1, 1]}}\n",
			"r.yaml:3:40: foreach has the value 1 of steps twice"},
		{"  a: {stage: toy, foreach: {file: [a/b]}}\n",
			"r.yaml:3:36: foreach cannot use this value of file"},
		{"  a: {stage: toy, foreach: {shape: [[1]]}}\n",
			"r.yaml:3:37: foreach cannot use this value of shape"},
		{"  a: {stage: toy, foreach: {stpes: [1]}}\n",
			"r.yaml:3:37: step a[stpes=1]: stage toy has no parameter"},
		{"  a: {stage: toy, foreach: b}\n",
			"r.yaml:3:28: step a: foreach: the recipe has no step b"},
		{"  a: {stage: toy, foreach: a}\n",
			"r.yaml:3:28: foreach of step a leads back to itself"},
		{"  a: {stage: toy}\n  b: {stage: toy, foreach: a}\n",
			"r.yaml:4:28: step b: foreach: step a has no instances"},
		{"  a: {stage: toy, foreach: {steps: [1]}, params: {steps: 2}}",
			"step a: parameter steps is set here and by foreach"},
		{each + "  b: {stage: toy, inputs: {data: a.out}}\n",
			"r.yaml:4:34: step b: a.out stands for 2 instances\nhint: add foreach: a to this step, or collect all with a.*.out"},
		{each + "  b: {stage: toy, foreach: {steps: [1]}, inputs: {data: a.out}}\n",
			"step b: a.out stands for 2 instances"},
		{each + "  b: {stage: toy, inputs: {data: a.*.out}}\n",
			"r.yaml:4:34: step b: input data takes one artifact, but a.*.out stands for 2"},
		{"  a: {stage: toy}\n  b: {stage: toy, inputs: {data: a.*.out}}\n",
			"r.yaml:4:34: step b: input data: there is no step a with a foreach"},
		{each + "  b: {stage: toy, when: a.value < 1}\n",
			"r.yaml:4:25: step b: a.value stands for 2 instances"},
		{"  a: {stage: toy}\n  b: {stage: toy, when: a.*.value < 1}\n",
			"r.yaml:4:25: step b: when: step a has no instances"},
		{"  a: {stage: toy}\n  b: {stage: toy, when: a.value < }\n",
			"r.yaml:4:34: when: expected a number, or text in"},
		{"  a: {stage: toy}\n  b: {stage: toy, when: a.value << 1}\n",
			"r.yaml:4:34: when: expected a number, or text in"},
		{"  a: {stage: toy}\n  b: {stage: toy, when: a.value < 1 or}\n",
			"r.yaml:4:37: when: expected the word and, or the end of the condition"},
		{"  a: {stage: toy}\n  b: {stage: toy, when: c.value < 1}\n",
			"r.yaml:4:25: step b: when: the recipe has no step c"},
		{"  a: {stage: toy}\n  b: {stage: toy, when: a.stesp < 1}\n",
			"when: step a (stage toy) has no parameter stesp"},
		{"  a: {stage: toy}\n  b: {stage: toy, when: a.steps == 'x'}\n",
			"when: parameter steps is of type int"},
		{"  a: {stage: toy}\n  b: {stage: toy, when: a.value == 'x'}\n",
			"when: a score is a number, not text"},
		{"  a: {stage: command, run: [x], outputs: {t: t}}\n  b: {stage: toy, when: a.run == 'x'}\n",
			"r.yaml:4:25: step b: when: step a is a command, which has neither parameters nor a score\nhint: compare"},
		{"  a: {stage: command, run: [x], outputs: {t: t}}\n  b: {stage: toy, when: a.value < 1}\n",
			"step b: when: step a is a command, which has neither parameters nor a score"},
		{"  a: {stage: toy, when: a.value < 1}\n",
			"r.yaml:3:25: steps form a cycle: a → a"},
		{"  a: {stage: toy, inputs: {'data[x=1]': ./r.yaml}}\n",
			"stage toy has no input data[x=1]"},
		{"  a: {stage: toy, foreach: {steps: [1], salt: [1]}, when: 3}\n",
			"r.yaml:3:59: when must be text"},
		{"  a: {stage: command, run: [x], inputs: {'d[x=1]': ./r.yaml}, outputs: {t: t}}\n",
			"\"d[x=1]\" cannot be the name"},
	} {
		w.write("r.yaml", "name: r\nsteps:\n"+mistake[0])
		w.fails(failure.Usage, []string{mistake[1]}, "run", "r.yaml")
	}
	many := "  a: {stage: toy, foreach: {steps: [1]}}\n"
	for _, axis := range []string{"salt", "same", "delay"} {
		var values []string
		for i := range 11 {
			values = append(values, string('0'+rune(i%10))+"."+string('0'+rune(i/10)))
		}
		many = strings.Replace(many, "]}}", "], "+axis+": ["+strings.Join(values, ", ")+"]}}", 1)
	}
	w.write("r.yaml", "name: r\nsteps:\n"+many)
	w.fails(failure.Usage, []string{"step a: foreach makes more than 1000 instances"}, "run", "r.yaml")
	if _, err := os.Stat(w.dir + "/.vapo"); !os.IsNotExist(err) {
		t.Errorf("something was started for a wrong recipe: %v", err)
	}
}

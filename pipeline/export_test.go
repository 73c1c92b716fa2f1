package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	yaml3 "go.yaml.in/yaml/v3"

	"vapo/lib/failure"
	"vapo/pipeline/internal/runner"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden file of export argo")

// exported is a recipe with everything that an export translates.
const exported = `name: nightly_run
steps:
  data: {stage: toy, resources: {memory: 1500MB}}
  chain_a:
    stage: toy
    foreach: {steps: [2, 10], salt: [0.5, 1e-3]}
    inputs: {data: data.out}
    timeout: 90m
    retries: {limit: 3, backoff: 30s}
    resources: {cores: 4, memory: 8GiB, gpus: 1}
  table:
    stage: command
    run: [./table.sh, '{{x}}']
    inputs: {lengths: chain_a.*.length, notes: ./sub/notes.txt}
    outputs: {table: table.md}
    when: chain_a.*.value < 11
`

// exportedScript has what Kubernetes would replace: $$ and $(NAME) of a variable that pods have.
const exportedScript = `#!/bin/sh
AWS_REGION() { echo region; }
cat lengths/index.tsv notes >table.md
echo "$@" "$(AWS_REGION)" '$$' >>table.md
`

// withExported returns a workplace that has the address of a store, and the recipe above with its files.
func withExported(t *testing.T) *workplace {
	w := newWorkplace(t)
	w.env = append(w.env, "VAPO_STORE=s3://bucket/team", "AWS_ENDPOINT_URL=https://s3.example.org", "AWS_REGION=eu-1")
	if err := os.Mkdir(filepath.Join(w.dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write("nightly.yaml", exported)
	w.write("sub/notes.txt", "{{\tnotes <&> }}")
	w.script("table.sh", exportedScript)
	return w
}

const goldenExport = "testdata/argo.yaml"

func TestExportGolden(t *testing.T) {
	t.Parallel()
	w := withExported(t)
	got := w.must("export", "argo", "nightly.yaml", "--schedule", "*/5 2 * * *", "--set", "data.salt=0.25", "--image",
		"registry.example.org/vapo:1.0")
	if *updateGolden {
		if err := os.WriteFile(goldenExport, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, goldenExport), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestExportRetries checks that exec in a pod does not retry a step, because the workflow starts the pod again.
func TestExportRetries(t *testing.T) {
	t.Parallel()
	w := withExported(t)
	w.write("r.yaml", "name: r\nsteps:\n  a: {stage: toy, params: {fail: memory}, retries: {limit: 3, backoff: 1h}}\n")
	pods := podsOf(t, w.must("export", "argo", "r.yaml"), nil)
	w.env = newWorkplace(t).env
	if res := w.run(pods[0].args...); res.code != failure.Resources || strings.Contains(res.stderr, "retry") {
		t.Errorf("exit code %d, want 7 and no retry\n%s", res.code, res.stderr)
	}
}

// TestExportNames checks that pods get names and arguments as they are: those that YAML takes for something else, that
// look like flags, and that Kubernetes would replace.
func TestExportNames(t *testing.T) {
	t.Parallel()
	w := withExported(t)
	for _, name := range []string{"1e3", "-r.yaml", "$(AWS_REGION).yaml", "a$$b.yaml", "? x.yaml"} {
		w.write(name, "name: r\nsteps:\n  a: {stage: toy}\n")
		export := []string{"export", "argo", "./" + name, "--set", "a.file='$$'", "--set", "a.file=null"}
		for _, p := range podsOf(t, w.must(export...), nil) {
			if !slices.Contains(p.args, "a.file='$$'") {
				t.Errorf("recipe %s: the pod gets the arguments %q, want a.file='$$'", name, p.args)
			}
			newWorkplace(t).must(p.args...)
		}
		var cron struct{ Spec struct{ Schedules []string } }
		const schedule = "? 3 * * *"
		text := w.must(append(export, "--schedule", schedule)...)
		if err := yaml3.Unmarshal([]byte(text), &cron); err != nil || !slices.Equal(cron.Spec.Schedules, []string{schedule}) {
			t.Errorf("recipe %s: another reader of YAML finds the schedules %q, %v", name, cron.Spec.Schedules, err)
		}
	}
}

// TestExportHistory checks that all pods of a workflow are in one run of the history, also if they end at once, and
// that a collection keeps their results together.
func TestExportHistory(t *testing.T) {
	t.Parallel()
	w := withExported(t)
	w.write("history.yaml", `name: history
about: It takes {a.steps}, {b.steps} and {c.steps} steps.
steps:
  a: {stage: toy, params: {steps: 30, delay: 0.02, salt: 1}}
  b: {stage: toy, params: {steps: 30, delay: 0.02, salt: 2}}
  c: {stage: toy, params: {steps: 30, delay: 0.02, salt: 3}}
  d: {stage: toy, inputs: {data: a.out}, params: {fail: numeric}}
`)
	pods := podsOf(t, w.must("export", "argo", "history.yaml"), nil)
	cloud := newWorkplace(t)
	cloud.env = append(cloud.env, cloud.serve()...)
	var running sync.WaitGroup
	for _, p := range pods[:3] {
		running.Go(func() {
			if res := cloud.run(p.args...); res.code != 0 {
				t.Errorf("task %s: exit code %d\n%s", p.task, res.code, res.stderr)
			}
		})
	}
	running.Wait()
	want := map[string]string{"a": "done", "b": "done", "c": "done"}
	cloud.wantStates("three pods at once", want)
	status := func() (st runStatus) {
		if err := json.Unmarshal([]byte(cloud.must("status", "--json")), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	cloud.must("report") // which makes a directory for the run
	if st := status(); st.State != runner.Running || st.Run != "20261127-093000000-c0ffee00" {
		t.Errorf("run %s is %s; want 20261127-093000000-c0ffee00, which is running until the last pod ends", st.Run, st.State)
	}
	cloud.must(pods[0].args...) // as after the loss of a pod that had published its result
	cloud.wantStates("a pod again", want)
	cloud.fails(failure.Numeric, nil, pods[3].args...)
	want["d"] = "failed"
	cloud.wantStates("a pod that fails", want)
	if st := status(); st.State != runner.Failed {
		t.Errorf("the run is %s, want failed", st.State)
	}
	cloud.must("report")
	if page := read(t, cloud.latest("report.html")); !strings.Contains(page, "It takes 30, 30 and 30 steps.") {
		t.Error("the report lacks the description of the recipe with its values")
	}
	cloud.must("store", "gc", "--keep-last", "1", "--grace", "0s", "--delete")
	for _, step := range []string{"a", "b", "c"} {
		cloud.must("get", step+".out", step+".json")
	}
}

// TestExportSome checks that the pods of chosen steps need neither the stage programs nor the files of other steps.
func TestExportSome(t *testing.T) {
	t.Parallel()
	w := withExported(t)
	w.write("big.json", strings.Repeat("0", 200<<10))
	w.write("some.yaml", `name: some
steps:
  other: {stage: toy, inputs: {data: ./big.json}}
  data: {stage: toy}
  b: {stage: toy, inputs: {data: data.out}, shards: 2, when: other.steps > 1}
`)
	pods := podsOf(t, w.must("export", "argo", "some.yaml", "b"), nil)
	cloud := newWorkplace(t)
	for _, p := range pods {
		cloud.must(p.args...)
	}
	if len(pods) != 4 { // data, two shards of b, and b
		t.Errorf("%d pods, want 4", len(pods))
	}
	cloud.wantStates("the workflow", map[string]string{
		"data": "done", "b[shard=1]": "done", "b[shard=2]": "done", "b": "done"})

	cloud.write("some.yaml", "name: some\nsteps:\n  other: {stage: tyo}\n  b: {stage: toy, inputs: {data: other.out}}\n"+
		"  c: {stage: toy}\n")
	cloud.must("exec", "some.yaml", "c")
	cloud.fails(failure.Usage, []string{"some.yaml:3:3: step other: there is no stage tyo"}, "exec", "some.yaml", "b")
	cloud.fails(failure.Usage, []string{"there is no stage tyo"}, "run", "some.yaml", "c")
}

func TestExportMistakes(t *testing.T) {
	t.Parallel()
	w := withExported(t)
	w.write("here.yaml", "name: here\nsteps:\n  a:\n    stage: toy\n    params:\n      file: sub/notes.txt\n"+
		"  b: {stage: toy, inputs: {data: a.out}}\n")
	w.write("when.yaml", "name: r\nsteps:\n  a: {stage: toy, params: {file: sub/notes.txt}}\n"+
		"  b: {stage: toy, inputs: {data: a.out}, when: a.steps > 1}\n")
	w.write("big.json", strings.Repeat("0", 200<<10))
	w.write("half.json", strings.Repeat("0", 60<<10))
	w.write("binary.json", "\xff")
	input := func(from string) string { return "name: r\nsteps:\n  a: {stage: toy, inputs: {data: " + from + "}}\n" }
	w.write("big.yaml", input("./big.json"))
	w.write("binary.yaml", input("./binary.json"))
	w.write("two.yaml", input("./half.json")+
		"  b: {stage: command, run: [cat], inputs: {x: ./other.json}, outputs: {y: y}}\n")
	w.write("a{{x}}.yaml", input("./half.json"))
	w.write("other.json", strings.Repeat("1", 60<<10))
	w.write("sub/up.yaml", input("../half.json"))
	w.write("sub/program.yaml", "name: r\nsteps:\n  a: {stage: command, run: [../table.sh], outputs: {y: y}}\n")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"here.yaml"}, []string{
			"here.yaml:6:7: step a: parameter file is a path on this machine, which a pod cannot read",
			"pipeline run RECIPE a", "pipeline put a.OUTPUT --ref NAME"}},
		{[]string{"when.yaml", "b", "--input", "b.data=ref:mine/a"}, []string{
			"when.yaml:4:48: step b: when: a pod cannot check the parameters of step a, because its parameter file is a path",
			"hint: remove the condition"}},
		{[]string{"big.yaml"}, []string{
			"big.yaml:3:34: step a: input data: a workflow cannot carry ./big.json: it has 204800 bytes",
			"hint: put it into the store with pipeline put FILE --ref NAME, and export with --input a.data=ref:NAME"}},
		{[]string{"binary.yaml"}, []string{"a workflow cannot carry binary.json: it is not text in UTF-8"}},
		{[]string{"two.yaml"}, []string{
			"the recipe and its files (half.json, other.json, two.yaml) have 123 kB; a workflow can carry 98.3 kB"}},
		{[]string{"sub/up.yaml"}, []string{"a pod cannot read ../half.json, because it is not written as a path in the"}},
		{[]string{"sub/program.yaml"}, []string{"a pod cannot read ../table.sh", "put it into the recipe's directory"}},
		{[]string{"big.yaml", "--input", "a.data=./half.json"}, []string{"a pod cannot read ./half.json"}},
		{[]string{"nightly.yaml", "--set", "data.shape='{{1}}'"}, []string{
			`"data.shape='{{1}}'": a workflow cannot have {{`}},
		{[]string{"nightly.yaml", "--schedule", "61 * * * *"}, []string{"--schedule: end of range (61) above maximum (59)",
			`hint: for example --schedule "30 2 * * *"`}},
		{[]string{"nightly.yaml", "--schedule", "TZ=UTC"}, []string{`"TZ=UTC" has a time zone but no times`}},
		{[]string{"nightly.yaml", "--schedule", ""}, []string{"the argument after --schedule is empty"}},
		{[]string{"nightly.yaml", "--schedule", " "}, []string{"--schedule: ", "hint: for example"}},
		{[]string{"nightly.yaml", "--image", " "}, []string{`--image: " " is not the name of a container image`}},
		{[]string{"a{{x}}.yaml"}, []string{`"a{{x}}.yaml": a workflow cannot have {{`, "hint: rename the file"}},
		{[]string{"nightly.yaml", "--name", "Nightly"}, []string{
			`does not accept the name "Nightly"`, "at most 63 lower-case"}},
		{[]string{"nightly.yaml", "--name", strings.Repeat("x", 53), "--schedule", "@daily"}, []string{
			"at most 52 lower-case"}},
		{[]string{"nightly.yaml", "--secret", "a b"}, []string{`--secret: Kubernetes does not accept the name "a b"`}},
	} {
		res := w.fails(failure.Usage, c.want, append([]string{"export", "argo"}, c.args...)...)
		if res.stdout != "" {
			t.Errorf("%v: standard output is not empty:\n%s", c.args, res.stdout)
		}
	}
	w.must("export", "argo", "here.yaml", "b", "--input", "b.data=ref:mine/a")
	w.must("export", "argo", "nightly.yaml", "--schedule", "CRON_TZ=Europe/Berlin 0 3 * * 1-5")
	w.fails(failure.Usage, []string{"--files: unexpected end of JSON input"}, "exec", "r.yaml", "a", "--files", "{")
	w.env = append(w.env, "VAPO_STORE=", "AWS_ENDPOINT_URL=")
	w.fails(failure.Usage, []string{"pods cannot use the embedded store\nhint: set VAPO_STORE"}, "export", "argo",
		"nightly.yaml")
	w.env = append(w.env, "VAPO_STORE=s3://bucket", "AWS_ENDPOINT_URL=https://ann:secret@s3.example.org")
	res := w.run("export", "argo", "nightly.yaml")
	if res.code != failure.Usage || !strings.Contains(res.stderr, "AWS_ENDPOINT_URL contains credentials") ||
		bytes.Contains([]byte(res.stdout+res.stderr), []byte("secret@")) {
		t.Errorf("exit code %d, want 2 and an error that does not show the credentials\n%s%s", res.code, res.stdout,
			res.stderr)
	}
}

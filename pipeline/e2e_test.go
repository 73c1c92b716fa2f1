package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

const chain = `name: chain
about: Three links.
steps:
  one:   {stage: toy}
  two:   {stage: toy, inputs: {data: one.out}, params: {salt: 1e-3}}
  three: {stage: toy, inputs: {data: two.out}}
`

func TestRunThenHit(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	out := w.must("run", "chain.yaml")
	if !strings.Contains(out, "three: the chain ends in ") || !strings.Contains(out, "report: .vapo/runs/") {
		t.Errorf("the output lacks headlines and report:\n%s", out)
	}
	first := w.digests()
	w.wantStates("first run", map[string]string{"one": "done", "two": "done", "three": "done"})
	w.must("run", "chain.yaml")
	w.wantStates("second run", map[string]string{"one": "cached", "two": "cached", "three": "cached"})
	if second := w.digests(); !maps.Equal(first, second) {
		t.Errorf("the second run has other digests than the first:\n%v\nwant\n%v", second, first)
	}

	// Running the recipe with another, empty store gives the same digests.
	other := newWorkplace(t)
	other.write("chain.yaml", chain)
	other.must("run", "chain.yaml", "--jobs", "3")
	if got := other.digests(); !maps.Equal(first, got) {
		t.Errorf("the digests in another store are\n%v\nwant\n%v", got, first)
	}
}

func TestReportIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	w.must("run", "chain.yaml", "--report", "out/r.html")
	html, err := os.ReadFile(filepath.Join(w.dir, "out", "r.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"chain", "Three links.", w.digests()["three.out"][7:20]} {
		if !strings.Contains(string(html), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	w.must("report", "--output", "again.html")
	if again, err := os.ReadFile(filepath.Join(w.dir, "again.html")); err != nil || len(again) < len(html)*9/10 {
		t.Errorf("the report of the stored run has %d bytes, the first one %d; %v", len(again), len(html), err)
	}
}

func TestScoresSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	w.must("run", "chain.yaml", "--set", "two.steps=5")
	want := `| step | toy salt | toy steps | value | metric | N |
| --- | --- | --- | --- | --- | --- |
| one | 0.5 | 3 | 3 | links | 3 |
| two | 0.001 | 5 | 5 | links | 5 |
| three | 0.5 | 3 | 3 | links | 3 |
`
	if got := w.must("report", "--table"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var all []struct {
		Rows []struct {
			Step  string
			Value float64
			Facts map[string]any
		}
	}
	if err := json.Unmarshal([]byte(w.must("report", "--json")), &all); err != nil || len(all) != 1 ||
		len(all[0].Rows) != 3 || all[0].Rows[1].Value != 5 || all[0].Rows[1].Facts["toy salt"] != 0.001 {
		t.Errorf("error %v, %+v; want one table with three rows, the second with value 5 and salt 0.001", err, all)
	}
	w.fails(2, []string{"--table"}, "report", "--table", "--json")
	w.write("failed.yaml", "name: failed\nsteps:\n  one: {stage: toy, params: {fail: input, salt: 9}}\n")
	w.run("run", "failed.yaml")
	w.fails(3, []string{"has no scores"}, "report", "--table")
}

func TestSetRerunsOnlyWhatItChanges(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	w.must("run", "chain.yaml")
	w.must("run", "chain.yaml", "--set", "two.salt=0.25")
	w.wantStates("after --set", map[string]string{"one": "cached", "two": "done", "three": "done"})
	// Step two runs again with the same result, so step three remains cached.
	w.must("run", "chain.yaml", "--set", "two.same=1")
	w.wantStates("after a change without effect", map[string]string{"one": "cached", "two": "done", "three": "cached"})
	// Changing a parameter that is not part of the key runs nothing.
	w.must("run", "chain.yaml", "--set", "two.delay=0.001", "--set", "one.backend=slow")
	w.wantStates("after a change outside the key", map[string]string{"one": "cached", "two": "cached", "three": "cached"})
}

func TestPlanExplains(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	if out := w.must("plan", "chain.yaml"); !strings.Contains(out, "no run of stage toy is known") ||
		!strings.Contains(out, "0 of 3") {
		t.Errorf("the plan in an empty store lacks \"no run of stage toy is known\" or \"0 of 3\":\n%s", out)
	}
	w.must("run", "chain.yaml")
	if out := w.must("plan", "chain.yaml"); strings.Contains(out, "miss") || !strings.Contains(out, "3 of 3") {
		t.Errorf("the plan after the run has a miss, or lacks \"3 of 3\":\n%s", out)
	}
	out := w.must("plan", "chain.yaml", "--set", "two.salt=0.25", "--set", "two.shape={a: [1, x]}")
	for _, want := range []string{"one  toy    hit", "params.salt: 0.001 -> 0.25", "params.shape",
		"inputs.data: two.out has to be made first", "1 of 3"} {
		if !strings.Contains(out, want) {
			t.Errorf("plan does not print %q:\n%s", want, out)
		}
	}
	if got := w.must("ls", "runs"); strings.Count(got, "chain") != 1 {
		t.Errorf("the history must have the one run and nothing from plan:\n%s", got)
	}
}

func TestFailingStep(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", `name: branches
steps:
  good:   {stage: toy}
  bad:    {stage: toy, inputs: {data: good.out}, params: {fail: numeric}}
  after:  {stage: toy, inputs: {data: bad.out}}
  beside: {stage: toy, inputs: {data: good.out}, params: {salt: 2}}
`)
	res := w.fails(6, []string{
		"exit code 6 (numeric)", "| warn: it does not look good loss=1000000000", "| toy: error: loss is NaN at step 3",
		"pipeline: error: step bad: loss is NaN at step 3", "hint: lower the rate", "skipped                needs bad",
		"\nskipped    beside  not started after the failure of bad\n",
	}, "run", "r.yaml")
	if !strings.Contains(res.stdout, "report:") {
		t.Errorf("a failed run has no report:\n%s", res.stdout)
	}
	w.wantStates("run", map[string]string{"good": "done", "bad": "failed", "after": "skipped", "beside": "skipped"})
	w.fails(6, []string{"1 cached, 1 done, 1 failed, 1 skipped in ", "\nfailed     bad     exit code 6 (numeric)\n",
		"\nskipped    after   needs bad\n"}, "run", "r.yaml", "--keep-going")
	w.wantStates("--keep-going", map[string]string{"good": "cached", "bad": "failed", "after": "skipped",
		"beside": "done"})
	// Successful steps are cached; failed steps are not.
	w.must("run", "r.yaml", "--set", "bad.fail=no")
	w.wantStates("run", map[string]string{"good": "cached", "bad": "done", "after": "done", "beside": "cached"})
}

func TestEveryWayToFail(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	for _, test := range []struct {
		how  string
		code failure.Class
		want string
	}{
		{"input", 3, "step s: the data is no chain\nhint: look at it"},
		{"numeric", 6, "step s: loss is NaN at step 3"},
		{"bug", 1, "step s: nobody classified this"},
		{"panic", 1, "step s: panic: at the disco"},
		{"go", 1, "step s: stage toy crashed"},
		{"kill", 137, "step s: stage toy was killed by signal 9 (killed)"},
		{"silent", 1, "exit code 0 and no manifest"},
	} {
		w.fails(test.code, []string{test.want}, "run", "one.yaml", "--set", "s.fail="+test.how)
	}
	if got := w.must("ls", "actions"); strings.Contains(got, "toy") {
		t.Errorf("a failure was published:\n%s", got)
	}
}

func TestNondeterminismIsWrittenDown(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.must("run", "one.yaml")
	before := w.digests()
	if res := w.run("run", "one.yaml", "--fresh"); !strings.Contains(res.stderr, "reproduced the stored result") {
		t.Errorf("a fresh run does not say whether the result is the same:\n%s", res.stderr)
	}
	if got := w.must("status"); strings.Contains(got, "warning") {
		t.Errorf("a reproducible step is called irreproducible:\n%s", got)
	}
	w.must("run", "one.yaml", "--fresh", "--set", "s.random=true")
	if got := w.must("status"); !strings.Contains(got, "step s is not reproducible: output out") {
		t.Errorf("the nondeterminism is not reported:\n%s", got)
	}
	if got := w.digests(); !maps.Equal(got, before) {
		t.Errorf("the digests changed from\n%v\nto\n%v", before, got)
	}
}

func TestExecRunsOneStep(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("chain.yaml", chain)
	w.fails(3, []string{"step two needs step one"}, "exec", "chain.yaml", "two")
	w.must("exec", "chain.yaml", "one")
	w.must("exec", "chain.yaml", "two")
	w.fails(2, []string{"no step four"}, "exec", "chain.yaml", "four")
	w.must("run", "chain.yaml")
	w.wantStates("after exec", map[string]string{"one": "cached", "two": "cached", "three": "done"})
}

// TestTargets checks that a run can be limited to some steps and what they need, even if the stage refuses the
// parameters of another step.
func TestTargets(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", `name: r
about: It takes {one.steps} and {other.steps} steps.
steps:
  other: {stage: toy, params: {steps: 0}}
  one:   {stage: toy}
  two:   {stage: toy, inputs: {data: one.out}}
  three: {stage: toy, inputs: {data: two.out}}
`)
	w.fails(2, []string{"step other: steps must be positive"}, "plan", "r.yaml")
	w.fails(2, []string{"the recipe has no step tow\nhint: did you mean two?"}, "plan", "r.yaml", "tow")
	if out := w.must("plan", "r.yaml", "two"); !strings.Contains(out, "0 of 2 steps") {
		t.Errorf("the plan of step two lacks \"0 of 2 steps\":\n%s", out)
	}
	w.must("run", "r.yaml", "two")
	w.wantStates("two", map[string]string{"one": "done", "two": "done"})
	w.must("run", "r.yaml", "three", "one")
	w.wantStates("three and one", map[string]string{"one": "cached", "two": "cached", "three": "done"})
	w.fails(2, []string{"r.yaml:4:32: step other: steps must be positive"}, "run", "r.yaml", "other")
}

func TestImportsAndRefs(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("data.json", `{"link": "outside"}`)
	w.write("file.yaml", "name: file\nsteps:\n  s: {stage: toy, inputs: {data: ./data.json}}\n")
	w.write("ref.yaml", "name: ref\nsteps:\n  s: {stage: toy, inputs: {data: 'ref:the/data'}}\n")
	w.fails(3, []string{"ref.yaml:3:34: step s: input data: the store has no ref the/data"}, "run", "ref.yaml")
	digest := strings.TrimSpace(w.must("put", "data.json", "--ref", "the/data"))
	w.must("run", "ref.yaml")
	fromRef := w.digests()
	w.must("run", "file.yaml")
	if got := w.states()["s"]; got != "cached" {
		t.Errorf("with the same bytes from a file as input, the step is %s, not cached", got)
	}
	if got := w.digests(); !maps.Equal(got, fromRef) {
		t.Errorf("the digests are %v, want %v", got, fromRef)
	}
	if got := w.must("lineage", "s.out"); !strings.Contains(got, digest+"  imported") {
		t.Errorf("lineage does not go back to the file:\n%s", got)
	}
	w.must("get", "ref:the/data", "copy.json")
	if got, err := os.ReadFile(filepath.Join(w.dir, "copy.json")); err != nil || string(got) != `{"link": "outside"}` {
		t.Errorf("the copy of the ref has %q, %v", got, err)
	}
	if got := w.must("get", digest); got != `{"link": "outside"}` {
		t.Errorf("get of the digest prints %q", got)
	}
	w.must("put", "s.out", "--ref", "best")
	if got := w.must("ls", "refs"); !strings.Contains(got, fromRef["s.out"]) {
		t.Errorf("the refs lack the digest of s.out:\n%s", got)
	}
	w.fails(3, []string{"did you mean s.out?"}, "get", "s.ouz", "x")
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/failure"
	"vapo/pipeline/internal/recipe"
)

// TestRecipeMistakes checks that every mistake in a recipe is found before any step runs. The error is one line with
// the position of the mistake, in most cases followed by a hint.
func TestRecipeMistakes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	for _, test := range []struct {
		name, recipe string
		args         []string
		code         failure.Class
		want         string
	}{
		{"unknown key", "name: r\nsteps:\n  a: {stage: toy, parms: {}}\n", nil, 2,
			"r.yaml:3:19: unknown key parms in step a\nhint: did you mean params?\n"},
		{"timeout without a unit", "name: r\nsteps:\n  a: {stage: toy, timeout: 90}\n", nil, 2,
			"r.yaml:3:28: timeout cannot be 90\nhint: a number and a unit, such as 90s, 15m or 1h30m\n"},
		{"negative timeout", "name: r\nsteps:\n  a: {stage: toy, timeout: -1h}\n", nil, 2,
			"r.yaml:3:28: timeout cannot be -1h\nhint: a number and a unit, such as 90s, 15m or 1h30m\n"},
		{"retries without end", "name: r\nsteps:\n  a: {stage: toy, retries: {backoff: 1s}}\n", nil, 2,
			"r.yaml:3:28: retries need a limit\nhint: for example retries: {limit: 3, backoff: 30s}\n"},
		{"too many retries", "name: r\nsteps:\n  a: {stage: toy, retries: {limit: 1000}}\n", nil, 2,
			"r.yaml:3:36: limit of retries must be a whole number from 1 to 100, not 1000\n"},
		{"no cores", "name: r\nsteps:\n  a: {stage: toy, resources: {cores: 0}}\n", nil, 2,
			"r.yaml:3:38: cores must be a whole number from 1 to 2147483647, not 0\n"},
		{"memory without a unit", "name: r\nsteps:\n  a: {stage: toy, resources: {memory: 4}}\n", nil, 2,
			"r.yaml:3:39: memory cannot be 4\nhint: a number and a unit, such as 4GiB or 500MB\n"},
		{"memory of Kubernetes", "name: r\nsteps:\n  a: {stage: toy, resources: {memory: 4Gi}}\n", nil, 2,
			"r.yaml:3:39: memory cannot be 4Gi\nhint: a number and a unit, such as 4GiB or 500MB\n"},
		{"NUL", "name: r\nsteps:\n  a: {stage: command, run: [echo, \"a\\0b\"], outputs: {o: o}}\n", nil, 2,
			"r.yaml:3:35: the text contains a NUL character (\\0)\nhint: no argument of a program can contain one\n"},
		{"NUL in a parameter", "name: r\nsteps:\n  a: {stage: toy}\n", []string{"--set", `a.shape="\x00"`}, 2,
			"--set a.shape=\"\\x00\": the text contains a NUL character (\\0)\n" +
				"hint: no argument of a program can contain one\n"},
		{"unknown stage", "name: r\nsteps:\n  a: {stage: tyo}\n", nil, 2,
			"r.yaml:3:3: step a: there is no stage tyo\nhint: did you mean toy?\n"},
		{"unknown parameter", "name: r\nsteps:\n  a:\n    stage: toy\n    params:\n      stesp: 3\n", nil, 2,
			"r.yaml:6:7: step a: stage toy has no parameter stesp\nhint: did you mean steps?\n"},
		{"wrong type", "name: r\nsteps:\n  a: {stage: toy, params: {steps: many}}\n", nil, 2,
			"r.yaml:3:28: step a: parameter steps is of type int; it cannot be \"many\"\nhint: Links of the chain.\n"},
		{"fraction for a whole number", "name: r\nsteps:\n  a: {stage: toy, params: {steps: 2.5}}\n", nil, 2,
			"r.yaml:3:28: step a: parameter steps is of type int; it cannot be 2.5\nhint: Links of the chain.\n"},
		{"text for a number", "name: r\nsteps:\n  a: {stage: toy, params: {salt: '1'}}\n", nil, 2,
			"r.yaml:3:28: step a: parameter salt is of type float; it cannot be \"1\"\nhint: Goes into the first link.\n"},
		{"not in enum", "name: r\nsteps:\n  a: {stage: toy, params: {fail: always}}\n", nil, 2,
			"r.yaml:3:28: step a: parameter fail must be one of [no input integrity numeric memory bug panic go kill silent], " +
				"not \"always\"\nhint: How.\n"},
		{"refused by the stage", "name: r\nsteps:\n  a: {stage: toy, params: {steps: -1}}\n", nil, 2,
			"r.yaml:3:28: step a: steps must be positive, not -1\nhint: a chain has at least one link\n"},
		{"unknown input", "name: r\nsteps:\n  a: {stage: toy}\n  b: {stage: toy, inputs: {dat: a.out}}\n", nil, 2,
			"r.yaml:4:33: step b: stage toy has no input dat\nhint: did you mean data?\n"},
		{"unknown step", "name: r\nsteps:\n  first: {stage: toy}\n  b: {stage: toy, inputs: {data: frist.out}}\n", nil, 2,
			"r.yaml:4:34: step b: input data comes from step frist, which the recipe does not have\n" +
				"hint: did you mean first?\n"},
		{"unknown output", "name: r\nsteps:\n  a: {stage: toy}\n  b: {stage: toy, inputs: {data: a.model}}\n", nil, 2,
			"r.yaml:4:34: step b: input data: step a (stage toy) has no output model\n" +
				"hint: its outputs are: out, log, length\n"},
		{"wrong media type", "name: r\nsteps:\n  a: {stage: toy}\n  b: {stage: toy, inputs: {data: a.log}}\n", nil, 2,
			"r.yaml:4:34: step b: input data takes application/json, but a.log is application/x-ndjson\n"},
		{"no output", "name: r\nsteps:\n  a: {stage: toy}\n  b: {stage: toy, inputs: {data: a}}\n", nil, 2,
			"r.yaml:4:34: step b: input data comes from step a, but does not say from which output\n" +
				"hint: its outputs are: a.out, a.log, a.length\n"},
		{"no source", "name: r\nsteps:\n  b: {stage: toy, inputs: {data: data}}\n", nil, 2,
			"r.yaml:3:34: step b: input data cannot come from \"data\"\n" +
				"hint: an input is STEP.OUTPUT, ref:NAME, sha256:… or a path such as ./file\n"},
		{"no such file", "name: r\nsteps:\n  b: {stage: toy, inputs: {data: ./nothing.json}}\n", nil, 3,
			"r.yaml:3:34: step b: input data: no such file: nothing.json\nhint: a path is relative to the recipe's directory\n"},
		{"directory", "name: r\nsteps:\n  b: {stage: toy, inputs: {data: ./.}}\n", nil, 3,
			"r.yaml:3:34: step b: input data: . is a directory\n" +
				"hint: an input is one file; pack several with tar, for example\n"},
		{"device", "name: r\nsteps:\n  b: {stage: toy, inputs: {data: /dev/null}}\n", nil, 3,
			"r.yaml:3:34: step b: input data: /dev/null is not a regular file\nhint: write its content to a file first\n"},
		{"cycle", "name: r\nsteps:\n  a: {stage: toy, inputs: {data: c.out}}\n  b: {stage: toy, inputs: {data: a.out}}\n" +
			"  c: {stage: toy, inputs: {data: b.out}}\n", nil, 2,
			"r.yaml:4:34: steps form a cycle: a → b → c → a\n" +
				"hint: a step can only use outputs of steps that do not depend on it\n"},
		{"step that needs itself", "name: r\nsteps:\n  a: {stage: toy, inputs: {data: a.out}}\n", nil, 2,
			"r.yaml:3:34: steps form a cycle: a → a\nhint: a step can only use outputs of steps that do not depend on it\n"},
		{"--set of an unknown step", "name: r\nsteps:\n  a: {stage: toy}\n", []string{"--set", "b.steps=1"}, 2,
			"--set b.steps=1: the recipe has no step b\nhint: did you mean a?\n"},
		{"--set of an unknown parameter", "name: r\nsteps:\n  a: {stage: toy}\n", []string{"--set", "a.stps=1"}, 2,
			"--set a.stps=1: step a: stage toy has no parameter stps\nhint: did you mean steps?\n"},
		{"--input of an unknown input", "name: r\nsteps:\n  a: {stage: toy}\n", []string{"--input", "a.dta=./x"}, 2,
			"--input a.dta=./x: step a: stage toy has no input dta\nhint: did you mean data?\n"},
		{"--input that removes an unknown input", "name: r\nsteps:\n  a: {stage: toy}\n", []string{"--input", "a.dta="}, 2,
			"--input a.dta=: step a: stage toy has no input dta\nhint: did you mean data?\n"},
		{"--input of an unknown input of a command",
			"name: r\nsteps:\n  a: {stage: command, run: [x], inputs: {features: ./r.yaml}, outputs: {t: t}}\n",
			[]string{"--input", "a.featurs=./r.yaml"}, 2,
			"--input a.featurs=./r.yaml: step a has no input featurs\nhint: did you mean features?\n"},
		{"--set of a wrong type", "name: r\nsteps:\n  a: {stage: toy}\n", []string{"--set", "a.steps=x"}, 2,
			"--set a.steps=x: step a: parameter steps is of type int; it cannot be \"x\"\nhint: Links of the chain.\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.write("r.yaml", test.recipe)
			res := w.run(append([]string{"run", "r.yaml"}, test.args...)...)
			if want := "pipeline: error: " + test.want; res.code != test.code || res.stderr != want || res.stdout != "" {
				t.Errorf("exit code %d, want %d; standard output %q, want none\ngot  %swant %s", res.code, test.code,
					res.stdout, res.stderr, want)
			}
		})
	}
	if _, err := os.Stat(w.dir + "/.vapo"); !os.IsNotExist(err) {
		t.Errorf("something was started for a wrong recipe: %v", err)
	}
}

func TestUsageMistakes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"rnu"}, "hint: see pipeline --help\n"},
		{nil, "hint: see pipeline --help\n"},
		{[]string{"run"}, "hint: see pipeline run --help\n"},
		{[]string{"run", "none.yaml"}, "recipe: stat none.yaml: no such file or directory\nhint: give the path"},
		{[]string{"run", "r.yaml", "--job", "1"}, `unknown flag --job, did you mean "--jobs"?`},
		{[]string{"ls", "everything"}, "must be one of"},
		{[]string{"store", "check", "--repair"}, "hint: add --deep\n"},
	} {
		w.fails(2, []string{test.want}, test.args...)
	}
}

func TestHelpEndsWithExitCodes(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	for _, args := range []string{"", "run", "plan", "exec", "status", "report", "ls", "get", "put", "lineage", "store",
		"store serve", "store env", "store check"} {
		out := w.must(append(strings.Fields(args), "--help")...)
		if !strings.Contains(out, "Exit codes:\n    0  ok") || !strings.Contains(out, "143  terminated") {
			t.Errorf("pipeline %s --help lacks the exit codes:\n%s", args, out)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if out := newWorkplace(t).must("--version"); !strings.HasPrefix(out, "pipeline of vapo ") ||
		!strings.Contains(out, "built with go") {
		t.Errorf("got %q, want the name of the program and the version of Go", out)
	}
}

// TestRunnerLinksNoNumerics checks what the runner links. The runner must start within milliseconds, and must work on
// machines on which no engine can be installed.
func TestRunnerLinksNoNumerics(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	own := []string{
		"artifact", "cachekey", "contract", "enginename", "failure",
		"objectstore", "objectstore/embedded", "objectstore/embedded/server", "objectstore/gateway", "program", "stall",
	}
	for dep := range strings.FieldsSeq(string(out)) {
		lib, ok := strings.CutPrefix(dep, "vapo/lib/")
		if ok && !slices.Contains(own, lib) || strings.HasPrefix(dep, "github.com/ebitengine/purego") {
			t.Errorf("the runner links %s", dep)
		}
	}
}

// TestShippedRecipes checks each recipe in this repository against the stages, including the stages' own validation of
// the parameters.
func TestShippedRecipes(t *testing.T) {
	t.Parallel()
	recipes, err := filepath.Glob("recipes/*.yaml")
	if err != nil || len(recipes) == 0 {
		t.Fatal("found no recipes to check")
	}
	w := newWorkplace(t)
	w.photos(3, "photos")
	w.write("table.csv", "x,y\n1,2\n2,3\n3,5\n")
	stages := buildStages(t)
	for _, path := range recipes {
		abs, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := recipe.Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		asWritten, withoutFiles := []string{"plan", abs, "--bin", stages}, []string{"plan", abs, "--bin", stages}
		for _, s := range r.Steps {
			for _, p := range s.Params {
				if p.Name != "source" {
					continue
				}
				switch p.Value {
				case "8gaussians", "two-moons", "rings", "mixture", "mnist": // these sources need no files
				case "images":
					withoutFiles = append(withoutFiles, "--set", s.Name+".path=photos")
				case "csv":
					withoutFiles = append(withoutFiles, "--set", s.Name+".path=table.csv")
				case "fashion-mnist":
					withoutFiles = append(withoutFiles, "--set", s.Name+".source=mnist")
				default: // the recipe needs the path of a data set that no package installs
					asWritten = append(asWritten, "--set", s.Name+".path=nowhere")
					withoutFiles = append(withoutFiles, "--set", s.Name+".source=mnist")
				}
			}
			for _, in := range s.Inputs {
				if strings.HasPrefix(in.From, "ref:") {
					withoutFiles = append(withoutFiles, "--input", s.Name+"."+in.Name+"=")
				}
			}
		}
		// A data set that is not installed here is not a mistake in the recipe, but the error of its step hides errors of
		// later steps. The recipe is therefore planned again with another data set.
		args := asWritten
		res := w.run(args...)
		if res.code == 3 {
			args = withoutFiles
			res = w.run(args...)
		}
		if res.code != 0 {
			t.Errorf("pipeline %s: exit code %d\n%s", strings.Join(args, " "), res.code, res.stderr)
		}
	}
}

// TestGetTargets checks that get refuses a target that is not a regular file, because writing would replace it.
func TestGetTargets(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nsteps:\n  s: {stage: toy}\n")
	w.must("run", "one.yaml")
	w.write("file", "old")
	if err := os.Symlink("file", filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("mkfifo", filepath.Join(w.dir, "pipe")).Run(); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"link", "pipe", "/dev/null"} {
		w.fails(failure.Usage, []string{target + " is not a regular file", "hint: "}, "get", "s.out", target)
	}
	w.fails(failure.Usage, []string{"is a directory"}, "get", "s.out", w.dir)
	w.must("get", "s.out", "file")
}

// TestNamesAreEscaped checks that names in a shared store cannot send control sequences to the terminal of a reader.
func TestNamesAreEscaped(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("one.yaml", "name: one\nabout: \"\\e]0;title\\a\"\nsteps:\n  s: {stage: toy}\n")
	out := w.must("run", "one.yaml") + w.must("status") + w.must("ls", "runs") + w.must("plan", "one.yaml")
	if strings.ContainsAny(out, "\x1b\a") {
		t.Errorf("control characters are printed:\n%q", out)
	}
}

// TestWrongReference checks that a dangling reference in the last step is reported before the first step runs.
func TestWrongReference(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	for from, want := range map[string]string{
		"ref:weights/missing":               "the store has no ref weights/missing",
		"sha256:" + strings.Repeat("0", 64): "the store has no blob sha256:000",
	} {
		w.write("r.yaml", "name: r\nsteps:\n  a: {stage: toy}\n  b: {stage: toy, inputs: {data: "+from+"}}\n")
		w.fails(failure.Input, []string{"r.yaml:4:34: step b: input data: " + want}, "run", "r.yaml")
	}
	if logs, _ := filepath.Glob(filepath.Join(w.dir, ".vapo/runs/*/*.log")); len(logs) > 0 {
		t.Errorf("a stage was started: %v", logs)
	}
}

// TestPaths checks that paths in the inputs and parameters of a recipe are relative to the recipe, and that paths on a
// command line are relative to the working directory. A number is a valid name of a file.
func TestPaths(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	if err := os.Mkdir(filepath.Join(w.dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write("sub/r.yaml", "name: r\nsteps:\n  a: {stage: toy, inputs: {data: d.json}, params: {file: 2024}}\n")
	w.write("sub/d.json", "{}\n")
	w.write("sub/2024", "")
	w.must("run", "sub/r.yaml")
	w.must("run", "sub/r.yaml", "--fresh", "--set", "a.file=sub/2024", "--input", "a.data=./sub/d.json")
	w.fails(failure.Input, []string{"2024: no such file"}, "run", "sub/r.yaml", "--fresh", "--set", "a.file=2024")
	w.fails(failure.Input, []string{"no such file: d.json"}, "run", "sub/r.yaml", "--input", "a.data=./d.json")
}

// TestKilledWhileDescribing checks that a stage that is killed before it has described itself is not reported as a
// mistake in the recipe.
func TestKilledWhileDescribing(t *testing.T) {
	t.Parallel()
	w := newWorkplace(t)
	w.write("r.yaml", "name: r\nsteps:\n  a: {stage: victim}\n")
	if err := os.WriteFile(filepath.Join(w.dir, "victim"), []byte("#!/bin/sh\nkill -KILL $$\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.fails(128+9, []string{"killed by signal 9", "if nobody killed it"}, "plan", "r.yaml", "--bin", ".")
}

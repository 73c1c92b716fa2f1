package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"vapo/lib/failure"
	"vapo/lib/objectstore/objectstoretest"
	"vapo/pipeline/internal/recipe"
)

// TestExportLint checks that Argo's linter accepts the export of every shipped recipe, and that the program accepts the
// command of each pod. The shipped recipes that need a file of the user's are exported without the step that reads it.
func TestExportLint(t *testing.T) {
	t.Parallel()
	w := withExported(t)
	recipes, err := filepath.Glob("recipes/*.yaml")
	if err != nil || len(recipes) == 0 {
		t.Fatal("found no recipes")
	}
	// Names that YAML takes for other values unless they are in quotes.
	odd := []string{"on", "null", "1e3", "0x1f", "1_000", "017", "2026-11-27"}
	w.write("odd.yaml", "name: odd\nsteps:\n  '"+strings.Join(odd, "': {stage: toy}\n  '")+"': {stage: toy}\n")
	w.write("odd-export.yaml", w.must("export", "argo", "odd.yaml"))
	stages := buildStages(t)
	files := []string{goldenExport, "odd-export.yaml"}
	for _, path := range recipes {
		args := []string{"--bin", stages, "export", "argo"}
		abs, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := recipe.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		res := w.run(append(args, abs)...)
		if res.code == failure.Input || res.code == failure.Usage && strings.Contains(res.stderr, "a pod cannot read") {
			res = w.run(append(args, withoutStep(abs, r, "data")...)...)
		}
		if res.code != 0 {
			t.Errorf("%s: exit code %d\n%s", path, res.code, res.stderr)
			continue
		}
		for _, p := range podsOf(t, res.stdout, nil) {
			parser, err := kong.New(&app{}, kong.Name(name), kong.Exit(func(int) {}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(p.args); err != nil {
				t.Errorf("%s: pipeline %s: %v", path, strings.Join(p.args, " "), err)
			}
		}
		files = append(files, filepath.Base(path))
		w.write(filepath.Base(path), res.stdout)
	}
	linter, err := exec.LookPath("argolint")
	if err != nil {
		t.Skip("no Argo linter: put argolint into PATH (go -C .ci/argolint install)")
	}
	files[0], err = filepath.Abs(goldenExport)
	if err != nil {
		t.Fatal(err)
	}
	w.write("broken.yaml", strings.Replace(read(t, goldenExport), " - data\n", " - date\n", 1))
	lint := func(files ...string) (string, error) {
		cmd := exec.Command(linter, files...)
		cmd.Dir = w.dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := lint(files...); err != nil {
		t.Errorf("the linter rejects the exports: %v\n%s", err, out)
	}
	if out, err := lint("broken.yaml"); err == nil || !strings.Contains(out, "date") {
		t.Errorf("a task needs the unknown task date, but the linter reports: %v, %s", err, out)
	}
}

// withoutStep returns arguments that export a recipe without one of its steps. The steps that need it take its outputs
// from the store.
func withoutStep(path string, r *recipe.Recipe, without string) (args []string) {
	steps := []string{path}
	for _, s := range r.Steps {
		if s.Name != without {
			steps = append(steps, s.Name)
		}
		for _, in := range s.Inputs {
			if output, ok := strings.CutPrefix(in.From, without+"."); ok {
				args = append(args, "--input", fmt.Sprintf("%s.%s=ref:mine/%s", s.Name, in.Name, output))
			}
		}
	}
	return append(args, steps...)
}

// pod is what Kubernetes starts for a task of a workflow.
type pod struct {
	task    string
	needs   []string
	args    []string
	env     []string
	secrets []string
}

// podsOf returns the pods of an exported workflow, with the parameters of the workflow replaced by those given.
func podsOf(t *testing.T, text string, given map[string]string) (pods []pod) {
	t.Helper()
	type parameters struct {
		Parameters []struct{ Name, Value string }
	}
	var w struct {
		Spec struct {
			Entrypoint string
			Arguments  parameters
			Templates  []struct {
				Name string
				DAG  struct {
					Tasks []struct {
						Name, Template string
						Dependencies   []string
						Arguments      parameters
					}
				}
				Container struct {
					Image         string
					Command, Args []string
					Env           []struct{ Name, Value string }
					EnvFrom       []struct {
						SecretRef struct{ Name string } `yaml:"secretRef"`
					} `yaml:"envFrom"`
					WorkingDir string `yaml:"workingDir"`
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	// Pairs of a placeholder and its value.
	global := []string{"{{workflow.creationTimestamp.RFC3339}}", "2026-11-27T09:30:00Z",
		"{{workflow.uid}}", "c0ffee00-1111-4222-8333-444455556666"}
	for _, p := range w.Spec.Arguments.Parameters {
		if value, ok := given[p.Name]; ok {
			p.Value = value
		}
		global = append(global, "{{workflow.parameters."+p.Name+"}}", p.Value)
	}
	templates := map[string]int{}
	for i, tmpl := range w.Spec.Templates {
		templates[tmpl.Name] = i
	}
	for _, task := range w.Spec.Templates[templates[w.Spec.Entrypoint]].DAG.Tasks {
		pairs := slices.Clone(global)
		for _, p := range task.Arguments.Parameters {
			pairs = append(pairs, "{{inputs.parameters."+p.Name+"}}", p.Value)
		}
		fill := strings.NewReplacer(pairs...).Replace
		c := w.Spec.Templates[templates[task.Template]].Container
		if !slices.Equal(c.Command, []string{"pipeline"}) || c.WorkingDir != "/tmp" {
			t.Errorf("task %s: command %v in %s, want pipeline in /tmp", task.Name, c.Command, c.WorkingDir)
		}
		p := pod{task: task.Name, needs: task.Dependencies}
		vars := map[string]string{}
		for _, v := range c.Env {
			vars[v.Name] = expanded(fill(v.Value), vars)
			p.env = append(p.env, v.Name+"="+vars[v.Name])
		}
		for _, arg := range c.Args {
			p.args = append(p.args, expanded(fill(arg), vars))
		}
		for _, from := range c.EnvFrom {
			p.secrets = append(p.secrets, from.SecretRef.Name)
		}
		pods = append(pods, p)
	}
	return pods
}

var expansion = regexp.MustCompile(`\$\$|\$\([^)]*\)`)

// expanded does what Kubernetes does with arguments and with the values of variables: $$ stands for $, and $(NAME) for
// the value of a variable, if there is one (third_party/forked/golang/expansion in k8s.io/kubernetes).
func expanded(text string, vars map[string]string) string {
	return expansion.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		if value, ok := vars[found[2:len(found)-1]]; ok {
			return value
		}
		return found
	})
}

const podRecipe = `name: pods
steps:
  data: {stage: prep, params: {source: 8gaussians, n-train: 500, n-test: 300}}
  potential:
    stage: train
    foreach: {seed: [0, 1]}
    inputs: {data: data.train}
    params: {model: mlp, width: 16, depth: 1, batch: 32, steps: 20, ema-half-life: [100]}
    retries: {limit: 2, backoff: 1h}
    timeout: 10m
  samples:
    stage: sample
    foreach: potential
    inputs: {checkpoint: potential.checkpoint}
    params: {n: 600, batch: 100, steps: 4}
    shards: 2
  score: {stage: eval, foreach: samples, inputs: {samples: samples.samples, reference: data.test}}
  table:
    stage: command
    run: [./table.sh, '{{x}}', $$]
    inputs: {lengths: score.*.score, notes: ./sub/notes.txt}
    outputs: {table: table.md}
  never: {stage: eval, inputs: {samples: data.test, reference: data.train}, when: score.*.value < 0}
  after: {stage: eval, inputs: {samples: data.test, reference: data.train}, when: never.value > 0}
`

// TestExportedPods runs the commands of a workflow's pods as processes, each with only what a pod has: an empty
// directory, the variables of the workflow, and the secret. The results must be those of a run on this machine.
func TestExportedPods(t *testing.T) {
	t.Parallel()
	w := withExported(t)
	w.bin = imageOf(t)
	w.write("pods.yaml", podRecipe)
	local := newWorkplace(t)
	local.bin, local.dir = w.bin, w.dir
	local.must("run", "pods.yaml", "--set", "samples.n=500")
	want := local.digests()

	text := w.must("export", "argo", "pods.yaml", "--set", "samples.n=500")
	cloud := newWorkplace(t)
	cloud.bin = w.bin
	env := map[string]string{}
	for _, v := range objectstoretest.EmbeddedEnv(t).Environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
		cloud.env = append(cloud.env, v)
	}
	pods := podsOf(t, text, map[string]string{
		"store": env["VAPO_STORE"], "endpoint": env["AWS_ENDPOINT_URL"], "region": env["AWS_REGION"],
	})
	done := map[string]bool{}
	for len(done) < len(pods) {
		before := len(done)
		for _, p := range slices.Backward(pods) {
			if done[p.task] || slices.ContainsFunc(p.needs, func(need string) bool { return !done[need] }) {
				continue
			}
			if !slices.Equal(p.secrets, []string{"vapo-store"}) {
				t.Errorf("task %s: secrets %v, want vapo-store alone", p.task, p.secrets)
			}
			tmp := t.TempDir()
			cmd := exec.Command(filepath.Join(w.bin, "pipeline"), p.args...)
			cmd.Dir = tmp
			cmd.Env = append(p.env, "TMPDIR="+tmp, "AWS_ACCESS_KEY_ID="+env["AWS_ACCESS_KEY_ID"],
				"AWS_SECRET_ACCESS_KEY="+env["AWS_SECRET_ACCESS_KEY"])
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("task %s: %v\n%s", p.task, err, out)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) != 1 || left[0].Name() != ".vapo" {
				t.Errorf("task %s leaves %v, %v; want .vapo alone", p.task, left, err)
			}
			done[p.task] = true
		}
		if len(done) == before {
			t.Fatalf("the tasks wait for each other; done: %v", done)
		}
	}

	cloud.write("pods.yaml", podRecipe)
	if err := os.Mkdir(filepath.Join(cloud.dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	cloud.write("sub/notes.txt", read(t, filepath.Join(w.dir, "sub/notes.txt")))
	cloud.script("table.sh", exportedScript)
	cloud.must("run", "pods.yaml", "--set", "samples.n=500")
	status := cloud.must("status") // never and after are skipped
	if strings.Contains(status, " done ") || strings.Count(status, " cached ") != 8 {
		t.Errorf("after the workflow, a run does not find all 8 steps cached:\n%s", status)
	}
	if got := cloud.digests(); !maps.Equal(got, want) {
		t.Errorf("digests %v, want %v", got, want)
	}
}

// imageOf returns a directory with all programs, as in a container image.
func imageOf(t *testing.T) string {
	dir := t.TempDir()
	stages := buildStages(t)
	for _, path := range []string{
		filepath.Join(binaries, "pipeline"), filepath.Join(binaries, "toy"), filepath.Join(stages, "prep"),
		filepath.Join(stages, "train"), filepath.Join(stages, "sample"), filepath.Join(stages, "eval"),
	} {
		if err := os.Link(path, filepath.Join(dir, filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

package recipe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/failure"
)

const good = `# a comment
name: demo
about: one
  line
steps:
  data:
    stage: prep
    params: {source: fashion-mnist, small: 1e-3, octal: 010, big: 18446744073709551615, half: .5}
  potential:
    stage: train
    inputs:
      data: data.train
    params:
      steps: 1000
      quoted: "1000"
      on: true
      nothing: null
      mixture:
        components:
          - {weight: 1, mean: [0.5, -2]}
      text: |
        two
        lines
`

func TestParse(t *testing.T) {
	r, err := Parse([]byte(good), "demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := &Recipe{
		Name: "demo", About: "one line", Path: "demo.yaml", Source: []byte(good),
		Steps: []*Step{
			{Name: "data", Stage: "prep", Pos: Pos{"demo.yaml", 6, 3}, Params: []Param{
				{"source", "fashion-mnist", "fashion-mnist", Pos{"demo.yaml", 8, 14}},
				{"small", 1e-3, "1e-3", Pos{"demo.yaml", 8, 37}},
				{"octal", int64(10), "010", Pos{"demo.yaml", 8, 50}},
				{"big", uint64(18446744073709551615), "18446744073709551615", Pos{"demo.yaml", 8, 62}},
				{"half", 0.5, ".5", Pos{"demo.yaml", 8, 89}},
			}},
			{Name: "potential", Stage: "train", Pos: Pos{"demo.yaml", 9, 3},
				Inputs: []Input{{Name: "data", From: "data.train", Pos: Pos{"demo.yaml", 12, 13}}},
				Params: []Param{
					{"steps", int64(1000), "1000", Pos{"demo.yaml", 14, 7}},
					{"quoted", "1000", "1000", Pos{"demo.yaml", 15, 7}},
					{"on", true, "true", Pos{"demo.yaml", 16, 7}},
					{"nothing", nil, "", Pos{"demo.yaml", 17, 7}},
					{"mixture", map[string]any{"components": []any{map[string]any{"weight": int64(1), "mean": []any{0.5, int64(-2)}}}},
						"", Pos{"demo.yaml", 18, 7}},
					{"text", "two\nlines\n", "", Pos{"demo.yaml", 21, 7}},
				}},
		},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestForms checks that Parse accepts a byte order mark and a %YAML line, and that Param.Text is the value as a command
// line would give it.
func TestForms(t *testing.T) {
	const text = "name: x\nsteps: {a: {stage: s, params: {p: %s}}}"
	for _, start := range []string{"\ufeff", "%YAML 1.2\n---\n", "\ufeff%YAML 1.1\n---\n"} {
		if r, err := Parse([]byte(start+strings.Replace(text, "%s", "1", 1)), "r"); err != nil || r.Name != "x" {
			t.Errorf("%q: error %v, want a recipe named x", start, err)
		}
	}
	for value, want := range map[string]string{
		"3": "3", "010": "010", "1.50": "1.50", "-2": "-2", "true": "true", "[a, b]": "a,b", "[1, 2.0]": "1,2.0",
		"'[a, b]'": "[a, b]", "null": "", "['a,b', c]": "", "[[a], b]": "", "{a: 1}": "",
	} {
		r, err := Parse([]byte(strings.Replace(text, "%s", value, 1)), "r")
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if got := r.Steps[0].Params[0].Text; got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, test := range []struct{ name, text, want, hint string }{
		{"empty", "", "r:1:1: the file is empty", "pipeline new"},
		{"tabs", "name: x\nsteps:\n\ta: {stage: s}", "r:3:1: found character", "spaces, not with tabs"},
		{"UTF-16", "\xff\xfen\x00a\x00:\x00", "r: not a text file in UTF-8", "UTF-8"},
		{"not YAML", "a: [", "r:1:4: sequence end token ']' not found", "YAML"},
		{"not a mapping", "- a", "r:1:1: a recipe must be a mapping", ""},
		{"unknown key", "name: x\nstep: {}", "r:2:1: unknown key step in a recipe", "did you mean steps?"},
		{"unknown key in a step", "name: x\nsteps:\n  a: {stage: s, input: {}}", "r:3:17: unknown key input in step a",
			"did you mean inputs?"},
		{"duplicate key", "name: x\nname: y", `r:2:1: mapping key "name" already defined`, "must differ"},
		{"no name", "steps: {a: {stage: s}}", "r:1:1: the recipe has no name", "name: demo"},
		{"bad name", "name: A B\nsteps: {a: {stage: s}}", `r:1:7: "A B" cannot be a name`, "lower-case"},
		{"name not text", "name: 12\nsteps: {a: {stage: s}}", "r:1:7: name must be text", ""},
		{"no steps", "name: x", "r:1:1: the recipe has no steps", ""},
		{"steps not a mapping", "name: x\nsteps: [a]", "r:2:8: steps must be a mapping", ""},
		{"step name", "name: x\nsteps: {a.b: {stage: s}}", `r:2:9: "a.b" cannot be the name of a step`, ""},
		{"no stage", "name: x\nsteps:\n  a: {}", "r:3:3: step a has no stage", ""},
		{"stage is a path", "name: x\nsteps: {a: {stage: ../evil}}", `r:2:20: "../evil" cannot be a stage`, ""},
		{"input not text", "name: x\nsteps: {a: {stage: s, inputs: {i: [b]}}}", "r:2:35: input i must be text", ""},
		{"input empty", "name: x\nsteps: {a: {stage: s, inputs: {i: ''}}}", "r:2:35: input i of step a is empty", ""},
		{"anchor", "name: x\nsteps: {a: {stage: s, params: {p: &v 1}}}", "r:2:35: anchors, aliases and tags", ""},
		{"alias", "name: x\nsteps: {a: {stage: s, params: {p: *v}}}", "r:2:35: ", ""},
		{"tag", "name: x\nsteps: {a: {stage: s, params: {p: !!int 1}}}", "r:2:35: anchors, aliases and tags", ""},
		{"merge", "name: x\nsteps: {a: {stage: s, params: {<<: {p: 1}}}}", `r:2:32: "<<" cannot be a key`, ""},
		{"not finite", "name: x\nsteps: {a: {stage: s, params: {p: .inf}}}", "r:2:35: a parameter must be a finite number",
			""},
		{"out of range", "name: x\nsteps: {a: {stage: s, params: {p: 1e999}}}", "r:2:35: 1e999 is out of range", ""},
		{"two documents", "name: x\n---\nname: y", "r:3:", ""},
		{"too deep", "name: x\nsteps: {a: {stage: s, params: {p: " + strings.Repeat("[", 20) + strings.Repeat("]", 20) +
			"}}}", "nested more than 16 levels", ""},
		{"far too deep", strings.Repeat("[", 1<<16), "r: nested too deeply", ""},
		{"too large", strings.Repeat("#", maxSize+1), "r: larger than 256 KiB", ""},
	} {
		_, err := Parse([]byte(test.text), "r")
		if err == nil || !strings.HasPrefix(err.Error(), test.want) && !strings.Contains(err.Error(), test.want) ||
			failure.ClassOf(err) != failure.Usage {
			t.Errorf("%s: got %v (exit code %d), want %q", test.name, err, failure.ClassOf(err), test.want)
			continue
		}
		if !strings.Contains(failure.HintOf(err), test.hint) {
			t.Errorf("%s: hint %q, want %q", test.name, failure.HintOf(err), test.hint)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %v", test.name, err)
		}
	}
}

func TestSet(t *testing.T) {
	r, err := Parse([]byte(good), "demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{"data.source=mnist", "potential.steps=2e3", "potential.new={a: [1]}", "potential.quoted=",
		"potential.url=a=b"} {
		if err := r.Set(arg); err != nil {
			t.Errorf("%s: %v", arg, err)
		}
	}
	if err := r.Set("data.octal=null"); err != nil {
		t.Error(err)
	}
	got := map[string]any{}
	for _, s := range r.Steps {
		for _, p := range s.Params {
			if p.Name == "octal" {
				t.Errorf("null does not remove a parameter: %+v", p)
			}
			if strings.HasPrefix(p.Pos.File, "--set ") {
				got[s.Name+"."+p.Name] = p.Value
			}
		}
	}
	want := map[string]any{"data.source": "mnist", "potential.steps": 2e3,
		"potential.new": map[string]any{"a": []any{int64(1)}}, "potential.quoted": "", "potential.url": "a=b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for arg, want := range map[string]string{
		"steps=1": "--set steps=1: want step.param=value", "a.b": "want step.param=value", ".b=1": "want step.param=value",
		"potental.steps=1": "the recipe has no step potental", "data.x=[": "--set data.x=[: ",
	} {
		if err := r.Set(arg); err == nil || !strings.Contains(err.Error(), want) || failure.ClassOf(err) != failure.Usage {
			t.Errorf("%s: %v, want a usage error with %q", arg, err, want)
		}
	}
}

func TestSetInput(t *testing.T) {
	r, err := Parse([]byte("name: x\nsteps:\n  a: {stage: prep}\n"+
		"  b: {stage: eval, inputs: {samples: a.test, reference: a.train, test: a.test}}\n"), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{"b.reference=ref:data/test", "b.features=/some=where.pth", "b.test=", "b.nothing="} {
		if err := r.SetInput(arg); err != nil {
			t.Errorf("%s: %v", arg, err)
		}
	}
	got := map[string]string{}
	b, _ := r.Step("b")
	for _, in := range b.Inputs {
		got[in.Name] = in.From
	}
	if diff := cmp.Diff(map[string]string{"samples": "a.test", "reference": "ref:data/test",
		"features": "/some=where.pth"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for arg, want := range map[string]string{"x=y": "--input x=y: want step.input=from",
		"c.x=y": "the recipe has no step c"} {
		if err := r.SetInput(arg); err == nil || !strings.Contains(err.Error(), want) ||
			failure.ClassOf(err) != failure.Usage {
			t.Errorf("%s: %v, want a usage error with %q", arg, err, want)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none.yaml"), dir} {
		if _, err := Load(path); failure.ClassOf(err) != failure.Usage {
			t.Errorf("%s: %v, want a usage error", path, err)
		}
	}
	path := filepath.Join(dir, "r.yaml")
	if err := os.WriteFile(path, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
}

func TestSuggest(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{"stesp", "did you mean steps?"}, {"step", "did you mean steps?"}, {"quite-other", "they are: steps, rate"},
	} {
		if got := Suggest(test.got, []string{"steps", "rate"}, "they are"); got != test.want {
			t.Errorf("%s: %q, want %q", test.got, got, test.want)
		}
	}
	if got := Suggest("x", nil, "they are"); got != "they are: none" {
		t.Errorf("without names: %q", got)
	}
}

// FuzzParse checks that any bytes give either a recipe or a usage error that begins with a position, and likewise for
// the expansion of the recipe.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("name: x\nsteps:\n  a: {stage: s, foreach: {p: [1, x], q: [1e3]}, timeout: 1h, retries: {limit: 2}}\n" +
		"  b: {stage: s, foreach: a, inputs: {i: a.o}, resources: {cores: 1, memory: 1GiB}}\n" +
		"  c: {stage: command, run: [p, 1], inputs: {i: b.*.o}, outputs: {o: f}, env: {E: 1}, when: b.*.value < 1}\n"))
	for _, text := range []string{"name: x\nsteps: {a: {stage: s, params: {p: [1, {q: 1e3}]}}}", "a: &x [*x]", "<<: *a",
		"? [a]\n: b", "%YAML 1.2\n---\na", "name: |\n  x\n", "- - - a", "{a: , b}", "a:\n\t- b"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data, "r")
		if err != nil {
			if failure.ClassOf(err) != failure.Usage || !strings.HasPrefix(err.Error(), "r") {
				t.Fatalf("not a usage error that begins with a position: %v", err)
			}
			return
		}
		if r.Name == "" || len(r.Steps) == 0 {
			t.Fatalf("a recipe without a name or without steps was accepted: %+v", r)
		}
		seen := map[string]bool{}
		for _, s := range r.Steps {
			if seen[s.Name] || s.Stage == "" || s.Pos.Line < 1 {
				t.Fatalf("a step has no stage, no line, or a name that another step has: %+v", s)
			}
			seen[s.Name] = true
		}
		steps, err := r.Expand()
		if err != nil {
			if failure.ClassOf(err) != failure.Usage || !strings.HasPrefix(err.Error(), "r:") {
				t.Fatalf("not a usage error that begins with a position: %v", err)
			}
			return
		}
		names := map[string]bool{}
		for _, s := range steps {
			if names[s.Name] || s.Base == "" {
				t.Fatalf("after the expansion, a step has no base, or a name that another step has: %+v", s)
			}
			names[s.Name] = true
		}
	})
}

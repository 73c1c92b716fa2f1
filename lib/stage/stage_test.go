package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
)

var update = flag.Bool("update", false, "rewrite golden files")

type params struct {
	Steps   int             `help:"Optimiser steps." default:"3" unit:"steps"`
	Rate    float64         `help:"Learning rate." default:"1e-3"`
	Small   float32         `help:"Single precision." default:"0.1"`
	Seed    uint64          `help:"Seed." default:"18446744073709551615"`
	Mode    string          `help:"How to end." default:"ok" enum:"${modes}"`
	Fast    bool            `help:"Cut corners."`
	Mixture json.RawMessage `help:"Components."`
	Doubled int             `help:"0: twice the steps." default:"0"`
	Every   int             `help:"Report interval." default:"50" keyed:"false" effect:"none"`
	Backend string          `help:"Engine." default:"auto" enum:"auto,other,tape"`
}

func (params) Vars() map[string]string {
	return map[string]string{"modes": "ok,nothing,twice,undeclared,numeric,bug,panic,diskfull,terminated"}
}

type shout struct {
	Words []string `arg:""`
	From  string
}

func (s *shout) Run(ctx context.Context, c *Console) error {
	if s.From != "" {
		path, err := c.Resolve(ctx, s.From)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s.Words = append(s.Words, string(data))
	}
	_, err := fmt.Fprintln(c.Stdout, strings.ToUpper(strings.Join(s.Words, " ")))
	return err
}

func spec() Stage[params] {
	return Stage[params]{
		Name: "demo", About: "Demo does nothing in particular.", Version: 7,
		Inputs: []contract.Port{
			{Name: "data", Media: contract.MediaJSON, Help: "What to work on.", Subject: true},
			{Name: "extra", Media: contract.MediaArrow, Help: "More of it.", Optional: true},
		},
		Outputs: []contract.Port{
			{Name: "model", Media: contract.MediaArrow, Help: "The result."},
			{Name: "notes", Media: contract.MediaNDJSON, Help: "Remarks.", Optional: true},
			{Name: "mark", Media: contract.MediaJSON, Help: "How good it is.", Optional: true, Score: true},
		},
		Length: "steps",
		Resolve: func(p *params, _ Given) error {
			if p.Steps < 0 {
				return fmt.Errorf("steps must not be negative")
			}
			if p.Backend == "auto" {
				p.Backend = "tape"
			}
			if p.Doubled == 0 {
				p.Doubled = 2 * p.Steps
			}
			return nil
		},
		Engines: []string{"tape"},
		Run:     work,
		Commands: []Command{
			{Name: "shout", Help: "Say it louder.", Cmd: &shout{}},
		},
	}
}

func work(ctx context.Context, job *Job, p *params) error {
	path, err := job.Input(ctx, "data")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if _, err := job.Input(ctx, "extra"); !job.HasInput("extra") && !errors.Is(err, errNoInput) {
		return fmt.Errorf("absent input: %w", err)
	}
	progress := job.Progress(int64(p.Steps), "steps")
	progress.Set(1, "loss", 0.5)
	progress.Done()
	job.SetBackend(p.Backend)
	job.Set("length", len(data))
	job.Summary("the steps of a text of %d letters", len(data))
	job.Warn("only a test")
	write := func(w io.Writer) error { _, err := fmt.Fprintf(w, "%s%d", data, p.Steps); return err }
	switch p.Mode {
	case "nothing":
		return nil
	case "undeclared":
		return job.Output(ctx, "other", write)
	case "twice":
		return errors.Join(job.Output(ctx, "model", write), job.Output(ctx, "model", write))
	case "numeric":
		return failure.New(failure.Numeric, "lower the rate", "loss is NaN at step 2")
	case "bug":
		return errors.New("unclassified")
	case "panic":
		panic("oh")
	case "diskfull":
		return job.Output(ctx, "model", func(io.Writer) error {
			return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
		})
	case "terminated":
		if err := terminate(); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	return job.Output(ctx, "model", write)
}

func demo(t *testing.T, args ...string) (code failure.Class, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Main(spec(), args, &out, &err)
	return code, out.String(), err.String()
}

func noStore(t *testing.T) (dir, data string) {
	t.Helper()
	t.Setenv("VAPO_STORE", "")
	t.Setenv("TMPDIR", t.TempDir())
	dir = t.TempDir()
	data = filepath.Join(dir, "data.json")
	if err := os.WriteFile(data, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, data
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestHelp(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	for _, args := range [][]string{{"--help"}, {"describe", "--help"}, {"shout", "--help"}} {
		code, out, _ := demo(t, args...)
		if code != 0 {
			t.Errorf("%v: exit code %d, want 0", args, code)
		}
		golden(t, "help-"+strings.TrimPrefix(args[0], "--")+".txt", out)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"describe", "--version"}} {
		code, out, stderr := demo(t, args...)
		if code != 0 || !strings.HasPrefix(out, "demo of vapo ") || !strings.HasSuffix(out, "\nengines: tape\n") {
			t.Errorf("%v: exit code %d, %q, want 0, the version of vapo and the engine tape\n%s", args, code, out, stderr)
		}
	}
}

func TestDescribe(t *testing.T) {
	code, out, stderr := demo(t, "describe")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	golden(t, "describe.json", out)
	d, err := contract.DecodeDescription([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"steps": int64(3), "rate": 1e-3, "small": 0.1, "seed": uint64(18446744073709551615), "mode": "ok", "fast": false,
		"mixture": json.RawMessage("null"), "every": int64(50), "backend": "auto", "doubled": int64(0),
	}
	for _, p := range d.Params {
		if diff := cmp.Diff(want[p.Name], p.Default); diff != "" && !(p.Name == "mixture" && p.Default == nil) {
			t.Errorf("default of %s (-want +got):\n%s", p.Name, diff)
		}
	}
}

// TestCheckAgreesWithFlags: the runner computes a key from the output of describe --check, and the stage computes it
// from its flags. Both keys must be equal.
func TestCheckAgreesWithFlags(t *testing.T) {
	dir, data := noStore(t)
	code, out, stderr := demo(t, "describe", "--check",
		`{"rate": 2, "steps": 5.0, "mixture": [{"weight": 1e0, "mean": [0.1]}], "every": 7}`)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	d, err := contract.DecodeDescription([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if d.Pure {
		t.Error("the description is marked as pure, but the stage has no Pure")
	}
	if d.Resolved["backend"] != "tape" || d.Resolved["steps"] != int64(5) || d.Resolved["rate"] != 2.0 ||
		d.Resolved["doubled"] != int64(10) {
		t.Errorf("resolved: %v, want backend tape, steps 5, rate 2 and doubled 10", d.Resolved)
	}
	digest, _, err := artifact.FileDigest(data)
	if err != nil {
		t.Fatal(err)
	}
	action := d.Action(d.Resolved, map[string]string{"data": string(digest)})
	if action.Backend != "tape" || action.Params["backend"] != nil || action.Params["every"] != nil {
		t.Errorf("action: %+v, want engine class tape and no parameters backend and every", action)
	}
	key, err := action.Key()
	if err != nil {
		t.Fatal(err)
	}
	// A parameter whose value follows from the length is part of the series key, with its resolved value.
	inSeries := func(steps, doubled int64) string {
		resolved := maps.Clone(d.Resolved)
		resolved["steps"], resolved["doubled"] = steps, doubled
		series, length, ok := d.Series(resolved, action.Inputs)
		if !ok || length != steps {
			t.Errorf("%d steps: in a series: %v, length %d, want true and as many", steps, ok, length)
		}
		return series
	}
	if s := inSeries(5, 10); s == key || s != inSeries(6, 10) || s == inSeries(5, 12) {
		t.Error("the series key depends on steps (the length), ignores doubled, or equals the action's key")
	}
	args := append([]string{"--input", "data=" + data, "--out", dir, "--live", key}, contract.Flags(d.Resolved)...)
	if code, _, stderr := demo(t, args...); code != 0 {
		t.Errorf("exit code %d, want 0: the stage should compute the same key\n%s", code, stderr)
	}
	if code, _, stderr := demo(t, append(args, "--steps=6")...); code != failure.Integrity ||
		!strings.Contains(stderr, "disagree") {
		t.Errorf("another action under this key: exit code %d, want %d and \"disagree\"\n%s",
			code, failure.Integrity, stderr)
	}
}

func TestRunWithoutStore(t *testing.T) {
	dir, data := noStore(t)
	manifestPath := filepath.Join(dir, "m.json")
	code, out, stderr := demo(t, "--input", "data="+data, "--out", filepath.Join(dir, "out"), "--manifest", manifestPath,
		"--steps=9", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	raw, err := os.ReadFile(manifestPath)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != out {
		t.Error("the manifest on standard output differs from the file")
	}
	m, err := contract.DecodeManifest(raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "out", "model.arrow"))
	if err != nil || string(got) != "abc9" {
		t.Errorf("the output is %q, error %v, want %q", got, err, "abc9")
	}
	digest, _, err := artifact.FileDigest(filepath.Join(dir, "out", "model.arrow"))
	if err != nil || m.Outputs["model"] != (contract.Output{Digest: string(digest), Size: 4, Media: contract.MediaArrow}) {
		t.Errorf("output in the manifest: %+v, error %v, want digest %s, size 4 and type Arrow",
			m.Outputs["model"], err, digest)
	}
	if m.Backend != "tape" || m.Params["steps"] != 9.0 || m.Units["steps"] != "steps" || m.Results["length"] != 3.0 ||
		len(m.Warnings) != 1 {
		t.Errorf("manifest: %+v, want backend tape, 9 steps with their unit, length 3 and one warning", m)
	}
	if !strings.Contains(stderr, `"msg":"progress","done":1,"total":9,"unit":"steps","loss":0.5`) {
		t.Errorf("the log has no JSON line of the progress after step 1 of 9:\n%s", stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestExitCodes(t *testing.T) {
	dir, data := noStore(t)
	input := "--input=data=" + data
	out := "--out=" + filepath.Join(dir, "out")
	for _, test := range []struct {
		name string
		code failure.Class
		says string
		args []string
	}{
		{"unknown flag", 2, "demo: error: unknown flag --stps, did you mean \"--steps\"?\nhint: see demo --help\n",
			[]string{"--stps=1"}},
		{"wrong type", 2, "--steps: expected a valid 64 bit int but got \"x\"", []string{input, out, "--steps=x"}},
		{"not in enum", 2, "--mode must be one of", []string{input, out, "--mode=x"}},
		{"not finite", 2, "rate is NaN", []string{input, out, "--rate=NaN"}},
		{"check", 2, "demo: error: steps must not be negative\n", []string{input, out, "--steps=-1"}},
		{"not JSON", 2, "--mixture: not valid JSON", []string{input, out, "--mixture={"}},
		{"no place for outputs", 2, "hint: give --out DIR, or set VAPO_STORE", []string{input}},
		{"input missing", 2, "input data (application/json) is missing\nhint: give it as --input data=REF", []string{out}},
		{"input unknown", 2, "unknown input dta\nhint: the inputs are: data, extra", []string{"--input=dta=x", out}},
		{"earlier output unknown", 2, "unknown output modl\nhint: the outputs are: model, notes, mark",
			[]string{input, out, "--earlier=modl=" + data}},
		{"earlier output missing", 3, "--earlier: output model: no such file",
			[]string{input, out, "--earlier=model=/nowhere"}},
		{"input twice", 2, "data is given twice", []string{input, input, out}},
		{"input malformed", 2, "expected NAME=REF", []string{"--input=data", out}},
		{"digest malformed", 2, "input data: ", []string{"--input=data=sha256:12", out}},
		{"digest without store", 3, "input data: there is no store in this directory",
			[]string{"--input=data=sha256:" + strings.Repeat("0", 64), out}},
		{"no such file", 3, "input data: no such file: /nowhere", []string{"--input=data=/nowhere", out}},
		{"directory", 3, "is not a regular file\nhint: it is a directory", []string{"--input=data=" + dir, out}},
		{"output not written", 1, "without writing output model", []string{input, out, "--mode=nothing"}},
		{"output twice", 1, "output model is written twice", []string{input, out, "--mode=twice"}},
		{"output undeclared", 1, "output other is not declared", []string{input, out, "--mode=undeclared"}},
		{"numeric", 6, "demo: error: loss is NaN at step 2\nhint: lower the rate\n", []string{input, out, "--mode=numeric"}},
		{"bug", 1, "demo: error: unclassified\nhint: this is a bug", []string{input, out, "--mode=bug"}},
		{"panic", 1, "demo: error: panic: oh", []string{input, out, "--mode=panic"}},
		{"disk full", 7, "no space left on device\nhint: free some disk space", []string{input, out, "--mode=diskfull"}},
		{"terminated", 143, "demo: error: terminated", []string{input, out, "--mode=terminated"}},
		{"check unknown", 2, "unknown parameter stps", []string{"describe", "--check", `{"stps": 1}`}},
		{"check type", 2, "parameter steps is of type int; it cannot be 5.5",
			[]string{"describe", "--check", `{"steps": 5.5}`}},
		{"check together", 2, "steps must not be negative", []string{"describe", "--check", `{"steps": -5}`}},
		{"check no JSON", 2, "--check expects a JSON object", []string{"describe", "--check", `[`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			manifest := filepath.Join(t.TempDir(), "m.json")
			args := test.args
			if args[0] != "describe" {
				if err := os.WriteFile(manifest, []byte("{}"), 0o644); err != nil {
					t.Fatal(err)
				}
				args = append([]string{"--manifest=" + manifest}, args...)
			}
			code, _, stderr := demo(t, args...)
			if code != test.code || !strings.Contains(stderr, test.says) {
				t.Errorf("exit code %d, want %d saying %q:\n%s", code, test.code, test.says, stderr)
			}
			if data, err := os.ReadFile(manifest); err == nil && string(data) != "{}" {
				t.Error("a failed run wrote a manifest")
			}
		})
	}
}

// TestStaleManifest: a failed run removes the manifest of an earlier run, because the earlier outputs may no longer be
// complete.
func TestStaleManifest(t *testing.T) {
	dir, data := noStore(t)
	if code, _, stderr := demo(t, "--input=data="+data, "--out="+dir); code != 0 {
		t.Fatal(stderr)
	}
	if code, _, _ := demo(t, "--input=data="+data, "--out="+dir, "--mode=numeric"); code != failure.Numeric {
		t.Fatalf("the second run: exit code %d, want %d", code, failure.Numeric)
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of the manifest of the earlier run: error %v, want os.ErrNotExist", err)
	}
}

func TestCommand(t *testing.T) {
	_, data := noStore(t)
	if code, out, stderr := demo(t, "shout", "a", "b", "--from", data); code != 0 || out != "A B ABC\n" {
		t.Errorf("shout a b: exit code %d, %q, want 0 and %q\n%s", code, out, "A B ABC\n", stderr)
	}
	if code, _, stderr := demo(t, "shout"); code != 2 || !strings.Contains(stderr, "hint: see demo shout --help") {
		t.Errorf("shout without arguments: exit code %d, want 2 and a hint to see its help\n%s", code, stderr)
	}
	if code, _, _ := demo(t, "shout", "a", "--from", "/nowhere"); code != failure.Input {
		t.Errorf("shout with a missing file: exit code %d, want %d", code, failure.Input)
	}
}

func terminate() error {
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return p.Signal(syscall.SIGTERM)
}

package device

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// choose collects the choices for one program, as a run of the tune command does, and returns the tuning file.
func choose(t *testing.T, class, program string) string {
	t.Helper()
	dir := t.TempDir()
	tuner, err := NewTuner(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := tuner.admit([]byte(program)); err != nil {
		t.Fatal(err)
	}
	if tuner.repeats() {
		t.Error("a run that chooses kernels promises to repeat")
	}
	if err := tuner.Write(&bytes.Buffer{}, class, "test"); err == nil {
		t.Error("a tuning without choices was written")
	}
	if err := os.WriteFile(tuner.path, []byte("version: 3\nresults { device: \"card\" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := tuner.Write(&out, class, "test"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tuning.json")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A run loads what the tune command wrote: XLA gets the same results, with the options that forbid it to choose
// kernels.
func TestTuner(t *testing.T) {
	file := choose(t, "xla-cuda-tf32", "program")
	dir := t.TempDir()
	tuner, err := LoadTuner(file, "xla-cuda-tf32", dir)
	if err != nil {
		t.Fatal(err)
	}
	results, err := os.ReadFile(tuner.path)
	if err != nil || string(results) != "version: 3\nresults { device: \"card\" }\n" {
		t.Errorf("the file that XLA loads contains %q (%v), want the results that were written", results, err)
	}
	path := filepath.Join(dir, "autotune.textproto")
	want := []string{"--xla_gpu_exclude_nondeterministic_ops=true", "--xla_gpu_load_autotune_results_from=" + path,
		"--xla_gpu_require_complete_aot_autotune_results=true"}
	if got := tuner.flags(); !slices.Equal(got, want) {
		t.Errorf("flags %q, want %q", got, want)
	}
	if err := tuner.admit([]byte("program")); err != nil || !tuner.repeats() {
		t.Errorf("admitting the tuned program: error %v, repeats %v; want no error and true", err, tuner.repeats())
	}
	mustName(t, file, tuner.admit([]byte("another program")))
	mustName(t, file, tuner.explain(errors.New("No AOT autotuning result was found for key: …")))
	if err := tuner.explain(errors.New("PJRT error (code=8)")); failure.ClassOf(err) == failure.Input {
		t.Errorf("%v became an input error, although it has nothing to do with the tuning file", err)
	}
	_, err = LoadTuner(file, "xla-cuda", dir)
	mustName(t, file, err)
}

// mustName checks that err is an input error that names the file and says what to do.
func mustName(t *testing.T, file string, err error) {
	t.Helper()
	if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), file) || failure.HintOf(err) == "" {
		t.Errorf("error %v with hint %q, want an input error that names %s", err, failure.HintOf(err), file)
	}
}

func TestNewTuner(t *testing.T) {
	dir := t.TempDir()
	tuner, err := NewTuner(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"--xla_gpu_exclude_nondeterministic_ops=true",
		"--xla_gpu_dump_autotune_results_to=" + filepath.Join(dir, "autotune.textproto")}
	if got := tuner.flags(); !slices.Equal(got, want) {
		t.Errorf("flags %q, want %q", got, want)
	}
	if _, err := NewTuner("/tmp/two words"); failure.ClassOf(err) != failure.Resources {
		t.Errorf("a folder that XLA_FLAGS cannot name: error is %v, want one of class resources", err)
	}
}

// A damaged file causes an input error that names the file.
func TestDamagedTuning(t *testing.T) {
	good, err := os.ReadFile(choose(t, "xla-cuda", "program"))
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(b []byte) []byte{
		"empty":        func([]byte) []byte { return nil },
		"cut off":      func(b []byte) []byte { return b[:len(b)/2] },
		"no tuning":    func([]byte) []byte { return []byte("{}") },
		"a picture":    func([]byte) []byte { return []byte("\x89PNG\r\n") },
		"changed":      func(b []byte) []byte { return bytes.Replace(b, []byte("version: 3"), []byte("version: 4"), 1) },
		"two of them":  func(b []byte) []byte { return append(b, b...) },
		"other fields": func(b []byte) []byte { return bytes.Replace(b, []byte(`"programs"`), []byte(`"program"`), 1) },
	} {
		file := filepath.Join(t.TempDir(), "tuning.json")
		if err := os.WriteFile(file, edit(slices.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadTuner(file, "xla-cuda", t.TempDir())
		if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error is %v, want an input error that names the file", name, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "tuning.json")
	if _, err := readTuning(missing); failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing file: error is %v, want an input error that names the file", err)
	}
}

// Engines whose results repeat anyway, and those that XLA does not tune, refuse a tuning.
func TestCanTune(t *testing.T) {
	for name, want := range map[string]failure.Class{
		"tape": failure.Usage, "go": failure.Usage, "xla:cpu": failure.Usage,
		"xla:cuda": failure.OK, "xla:cuda,bf16": failure.OK, "xla:/opt/plugin.so": failure.OK,
	} {
		err := CanTune(parse(t, name))
		if failure.ClassOf(err) != want {
			t.Errorf("%s: error %v has class %v, want %v", name, err, failure.ClassOf(err), want)
		}
	}
}

func FuzzTuning(f *testing.F) {
	f.Add([]byte(`{"backend":"xla-cuda","programs":["00"],"digest":"","results":""}`))
	f.Add([]byte(`{"backend":"xla-cuda","programs":["00"],"digest":"` + hexDigest([]byte("a")) + `","results":"a"}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := parseTuning(data)
		if err == nil && (len(parsed.Programs) == 0 || hexDigest([]byte(parsed.Results)) != parsed.Digest) {
			t.Errorf("%q was accepted, but lists no program or has a wrong digest", data)
		}
	})
}

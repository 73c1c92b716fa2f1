package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/safetensors"
)

// Exporting and importing weights preserves every bit of the weights, the potential and its gradient. The exported file
// describes its network.
func TestExportRoundTrip(t *testing.T) {
	for _, config := range []potential.Config{smallMLP(), released()} {
		from := checkpointOf(t, config)
		for weights, group := range map[string]string{"ema": checkpoint.EMA, "raw": checkpoint.Param} {
			dir := t.TempDir()
			file, back := filepath.Join(dir, "w.safetensors"), filepath.Join(dir, "back.arrow")
			code, stdout, stderr := command(t, "export", from, file, "--weights", weights)
			if code != 0 || strings.Count(stdout, "\n") != 1 {
				t.Fatalf("exit %d, want 0 and one line on standard output, not %q: %s", code, stdout, stderr)
			}
			var e exported
			if err := json.Unmarshal([]byte(stdout), &e); err != nil {
				t.Fatal(err)
			}
			digest, _, err := artifact.FileDigest(file)
			if err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr = command(t, "import", file, "--out", back)
			l := importLine(t, code, stdout, stderr)
			want := exported{File: file, Digest: string(digest), Kind: "potential", Parameters: l.Parameters, Tensors: l.Tensors,
				Step: 77, Weights: weights}
			if e != want || l.Step != 77 || l.Weights != "model" {
				t.Errorf("exported %+v, want %+v; imported %+v, want step 77 and the weights \"model\"", e, want, l)
			}

			x, times := make([]float32, 5*config.Dim()), []float32{0.1, 0.3, 0.5, 0.7, 0.9}
			random.New(9, "test", 0).Normal(x)
			phi, grad := evaluate(t, from, group, x, times)
			for _, g := range []string{checkpoint.Param, checkpoint.EMA} {
				phi2, grad2 := evaluate(t, back, g, x, times)
				if !slices.Equal(phi, phi2) || !slices.Equal(grad, grad2) {
					t.Errorf("%s, %s: export and import changed the potential or its gradient", config.Kind, weights)
				}
			}
			other, _ := evaluate(t, from, checkpoint.AdamM, x, times)
			if slices.Equal(phi, other) {
				t.Error("other weights give the same potential: this test could not detect a change")
			}

			a, err := checkpoint.Read(from)
			if err != nil {
				t.Fatal(err)
			}
			b, err := checkpoint.Read(back)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.Config, b.Config) {
				t.Errorf("the configuration came back as %s, was %s", b.Config, a.Config)
			}
			for name, n := range b.Group(checkpoint.Param) {
				if was := a.Group(group)[name]; !slices.Equal(was.Data, n.Data) || !slices.Equal(was.Shape, n.Shape) {
					t.Errorf("export and import changed %s", name)
				}
			}
		}
	}
}

func TestExportFile(t *testing.T) {
	from := checkpointOf(t, smallMLP())
	file := filepath.Join(t.TempDir(), "w.safetensors")
	code, first, stderr := command(t, "export", from, file)
	if code != 0 {
		t.Fatal(stderr)
	}
	if code, stdout, stderr := command(t, "export", from, file); code != failure.Usage || stdout != "" ||
		!strings.Contains(stderr, "--force") {
		t.Errorf("over an existing file: exit %d, want %d, no output and a message with --force, got %q: %s", code,
			failure.Usage, stdout, stderr)
	}
	if code, again, stderr := command(t, "export", from, file, "--force"); code != 0 || again != first {
		t.Errorf("with --force: exit %d, want 0; printed %s, want %s: %s", code, again, first, stderr)
	}
	f, err := safetensors.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Metadata(); got["step"] != "77" || got["weights"] != "ema" ||
		!strings.Contains(got["config"], `"kind":"mlp"`) {
		t.Errorf("metadata are %v, want step 77, the weights ema, and a config of kind mlp", got)
	}
	if want := []string{"layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight", "out.bias",
		"out.weight"}; !slices.Equal(f.Names(), want) {
		t.Errorf("tensors are %v, expected %v", f.Names(), want)
	}

	// Explicit flags override the network description in the file.
	back := filepath.Join(t.TempDir(), "back.arrow")
	code, stdout, stderr := command(t, "import", file, "--schedule", "linear", "--prior-std", "0.5", "--out", back)
	importLine(t, code, stdout, stderr)
	ck, err := checkpoint.Read(back)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := potential.ParseConfig(ck.Config); err != nil || c.Schedule != "linear" || c.PriorStd != 0.5 {
		t.Errorf("the network is %s (%v), want the schedule linear and prior_std 0.5", ck.Config, err)
	}

	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no checkpoint"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none.safetensors")
	for name, path := range map[string]string{"no checkpoint": text, "no file": text + "s"} {
		if code, stdout, stderr := command(t, "export", path, none); code != failure.Input || stdout != "" {
			t.Errorf("%s: exit %d, want %d and nothing on standard output, not %q: %s", name, code, failure.Input, stdout,
				stderr)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a failed export wrote a file")
	}
}

package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/engine"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/safetensors"
)

// A state dict in guided diffusion's layout, with a table of labels, gives, once imported, the potential and the
// gradient that PyTorch computes, both with a label and without. The same holds after exporting and importing the
// weights again.
func TestImportGuided(t *testing.T) {
	raw, err := os.ReadFile("testdata/guided.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		X, T, Phi, Grad []float32
		Labels          []int
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	c := released()
	c.Classes, c.UNet.Dropout = 5, 0
	dir := t.TempDir()
	first, weights, again := filepath.Join(dir, "first.arrow"), filepath.Join(dir, "w.safetensors"), filepath.Join(dir,
		"again.arrow")
	code, stdout, stderr := command(t, "import", "testdata/guided.pth", "--like", checkpointOf(t, c), "--out", first)
	if l := importLine(t, code, stdout, stderr); l.Weights != "model" || l.Ignored != nil {
		t.Errorf("want the weights \"model\" and no ignored tensors, got %s", stdout)
	}
	if code, _, stderr := command(t, "export", first, weights); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := command(t, "import", weights, "--out", again); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	be, err := engine.Open("tape")
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want []float32) {
		t.Helper()
		var diff, norm float64
		for i := range want {
			diff += math.Pow(float64(got[i]-want[i]), 2)
			norm += math.Pow(float64(want[i]), 2)
		}
		if relative := math.Sqrt(diff / norm); len(got) != len(want) || !(relative < 1e-5) {
			t.Errorf("%s differs from PyTorch's by %.2g of its norm", what, relative)
		} else {
			t.Logf("%s: %.2g of its norm", what, relative)
		}
	}
	for _, path := range []string{first, again} {
		ck, err := checkpoint.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		config, w, err := potential.FromCheckpoint(ck, checkpoint.EMA)
		if err != nil || config.Classes != 5 {
			t.Fatalf("the network has %d classes, want 5 (%v)", config.Classes, err)
		}
		f, err := potential.NewField(be, config, w, len(golden.T))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.SetLabels(golden.Labels); err != nil {
			t.Fatal(err)
		}
		phi, grad := make([]float32, len(golden.T)), make([]float32, len(golden.X))
		if err := f.Eval(golden.X, golden.T, phi, grad); err != nil {
			t.Fatal(err)
		}
		near("Phi", phi, golden.Phi)
		near("grad Phi", grad, golden.Grad)
	}
	// For a network without classes, the table of labels is an extra tensor.
	plain := c
	plain.Classes = 0
	code, _, stderr = command(t, "import", "testdata/guided.pth", "--like", checkpointOf(t, plain), "--out",
		filepath.Join(dir, "none.arrow"))
	if code != failure.Input || !strings.Contains(stderr, "label_emb.weight") {
		t.Errorf("exit %d, want %d and a message that names label_emb.weight: %s", code, failure.Input, stderr)
	}
}

// The preset does not set the number of classes; the file does.
func TestImportPresetClasses(t *testing.T) {
	c := potential.Presets()["unet-small"]
	c.Schedule, c.PriorStd, c.Classes = "linear", 1, 7
	params, err := c.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	file := func(edit func(n *safetensors.Tensor)) string {
		var list []safetensors.Tensor
		for _, p := range params {
			n := safetensors.Tensor{Name: "module." + p.Name, Shape: p.Shape, Data: p.Draw(1)}
			if edit != nil {
				edit(&n)
			}
			list = append(list, n)
		}
		return safetensorsFile(t, list)
	}
	out := filepath.Join(t.TempDir(), "out.arrow")
	if code, _, stderr := command(t, "import", file(nil), "--preset=unet-small", "--out", out); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	ck, err := checkpoint.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if config, err := potential.ParseConfig(ck.Config); err != nil || config.Classes != 7 {
		t.Errorf("the network has %d classes, want 7 (%v)", config.Classes, err)
	}
	for message, edit := range map[string]func(n *safetensors.Tensor){
		"has shape [448]":   func(n *safetensors.Tensor) { n.Shape = []int{len(n.Data)} },
		"has shape [1 448]": func(n *safetensors.Tensor) { n.Shape = []int{1, len(n.Data)} },
		"expected [14 64]": func(n *safetensors.Tensor) {
			n.Shape = []int{14, 32}
		},
	} {
		path := file(func(n *safetensors.Tensor) {
			if n.Name == "module.label_emb.weight" {
				edit(n)
			}
		})
		code, _, stderr := command(t, "import", path, "--preset=unet-small", "--out",
			filepath.Join(t.TempDir(), "none.arrow"))
		if code != failure.Input || !strings.Contains(stderr, message) {
			t.Errorf("exit %d, want %d and a message with %q: %s", code, failure.Input, message, stderr)
		}
	}
}

package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/homotopy"
	"vapo/lib/potential"
)

// A checkpoint as saved by torchcfm's training script gives the same velocity as in PyTorch, for both sets of weights.
func TestImportTorchCFM(t *testing.T) {
	raw, err := os.ReadFile("testdata/torchcfm.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ X, T, Model, EMA []float32 }
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	small := potential.Presets()["unet-cfm"]
	network := *small.UNet
	network.Channels, network.Mult, network.ResBlocks, network.Groups, network.HeadChannels = 4, []int{1, 2}, 1, 2, 4
	small.UNet, small.Shape, small.Schedule, small.PriorStd = &network, []int{1, 8, 8}, "linear", 1
	out := filepath.Join(t.TempDir(), "imported.arrow")
	code, stdout, stderr := command(t, "import", "testdata/torchcfm.pth", "--like", checkpointOf(t, small),
		"--output=velocity", "--out", out)
	if l := importLine(t, code, stdout, stderr); l.Weights != "ema+model" || l.Step != 40 {
		t.Errorf("imported %+v, want the weights \"ema+model\" of step 40", l)
	}
	ck, err := checkpoint.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := potential.ParseConfig(ck.Config); err != nil || c.Output != homotopy.Velocity {
		t.Errorf("the network is %s (%v), want one whose output is the velocity", ck.Config, err)
	}
	for group, want := range map[string][]float32{checkpoint.Param: golden.Model, checkpoint.EMA: golden.EMA} {
		velocity := make([]float32, len(golden.X))
		if err := fieldOf(t, out, group, len(golden.T)).Eval(golden.X, golden.T, nil, velocity); err != nil {
			t.Fatal(err)
		}
		var diff, norm float64
		for i, v := range want {
			diff += math.Pow(float64(velocity[i]-v), 2)
			norm += math.Pow(float64(v), 2)
		}
		if relative := math.Sqrt(diff / norm); !(relative < 1e-5) {
			t.Errorf("%s: the velocity differs from PyTorch's by %.2g of its norm", group, relative)
		}
	}
}

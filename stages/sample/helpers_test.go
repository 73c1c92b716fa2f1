package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/backend/tape"
	"vapo/lib/checkpoint"
	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/optim"
	"vapo/lib/potential"
	"vapo/lib/program"
	"vapo/lib/stage"
	"vapo/lib/training"
)

// binary is the path of the compiled stage program, which is built once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sample-test-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "sample")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("go build: %v\n%s", err, out))
	}
	os.Unsetenv("VAPO_STORE")
	return m.Run()
}

// sample runs the stage in this process, without a store.
func sample(t *testing.T, args ...string) (code failure.Class, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = stage.Main(spec, args, &out, &errs)
	return code, out.String(), errs.String()
}

func mustSample(t *testing.T, args ...string) (dir string, m *contract.Manifest) {
	t.Helper()
	dir = t.TempDir()
	code, stdout, stderr := sample(t, append(args, "--out="+dir, "--json")...)
	if code != 0 {
		t.Fatalf("sample %v: exit %d\n%s", args, code, stderr)
	}
	m, err := contract.DecodeManifest([]byte(stdout))
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

var adam = optim.Config{LearningRate: 1e-3, Decay: "constant", Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8,
	BatchImages: 2, EMAHalfLifeImages: []float64{1386}}

func pointsConfig(schedule string) potential.Config {
	return potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: schedule, PriorStd: 1.5,
		MLP: &potential.MLP{Width: 24, Depth: 2, Fourier: 3}}
}

func imagesConfig() potential.Config {
	return potential.Config{Kind: "unet", Shape: []int{1, 4, 4}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2}}
}

// checkpointOf writes a checkpoint as training does. The weights of an mlp are drawn so that its field is not trivial,
// and its raw weights differ from the averages. Other networks are untrained.
func checkpointOf(t *testing.T, c potential.Config, edit func(c *checkpoint.Checkpoint)) string {
	t.Helper()
	objective := map[homotopy.Output]string{"": "matching", homotopy.Velocity: "velocity", homotopy.Noise: "denoising"}
	s, err := training.Potential(tape.Tape{}, c, objective[c.Output], adam, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Initialise(1); err != nil {
		t.Fatal(err)
	}
	ck, err := s.Checkpoint(7)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range ck.Tensors {
		for group, bound := range map[string]float64{checkpoint.EMA: 0.6, checkpoint.Param: 0.3} {
			if name, ok := strings.CutPrefix(n.Name, group); ok && c.Kind == "mlp" {
				ck.Tensors[i].Data = layer.Param{Name: name, Shape: n.Shape, Init: layer.Init{Bound: bound}}.Draw(2)
			}
		}
	}
	if edit != nil {
		edit(ck)
	}
	return write(t, ck)
}

func write(t *testing.T, ck *checkpoint.Checkpoint) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checkpoint.arrow")
	if err := program.WriteFile(path, func(w io.Writer) error { return checkpoint.Write(w, ck) }); err != nil {
		t.Fatal(err)
	}
	return path
}

func classifier(t *testing.T) string {
	t.Helper()
	config := feature.Classifier{Shape: []int{1, 4, 4}, Classes: 2, Channels: 2, Features: 3}
	s, err := training.Classifier(tape.Tape{}, config, adam)
	if err != nil {
		t.Fatal(err)
	}
	ck, err := s.Checkpoint(0)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, ck)
}

func read(t *testing.T, dir string) dataset.Set {
	t.Helper()
	s, err := dataset.Read(filepath.Join(dir, "samples.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

package main

import (
	"encoding/json"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/homotopy"
	"vapo/lib/potential"
	"vapo/lib/random"
)

// writePotential writes an untrained potential, Phi = |x|²/2. On the linear schedule, its density equals that of the
// prior at all times.
func writePotential(t testing.TB, dir string, shape ...int) string {
	return writeModel(t, dir, homotopy.Potential, shape...)
}

func writeModel(t testing.TB, dir string, output homotopy.Output, shape ...int) string {
	t.Helper()
	c := potential.Config{
		Output: output,
		Kind:   "unet", Shape: shape, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2},
	}
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	params, err := c.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	ck := &checkpoint.Checkpoint{Kind: checkpoint.Potential, Config: config}
	for _, p := range params {
		ck.Tensors = append(ck.Tensors, checkpoint.Named{Name: checkpoint.EMA + p.Name, Shape: p.Shape, Data: p.Draw(1)})
	}
	return writeFile(t, filepath.Join(dir, "potential.arrow"), func(w io.Writer) error { return checkpoint.Write(w, ck) })
}

// contrast draws n images. Each pixel differs from medium grey by a random fraction, between from and to, of the
// largest possible difference.
func contrast(n int, from, to float64) *dataset.Images {
	s := &dataset.Images{N: n, C: 1, H: 8, W: 8, Pixels: make([]uint8, n*64)}
	for i := range s.Pixels {
		u := random.New(3, "contrast", uint64(i)).Uniform64()
		s.Pixels[i] = uint8(math.Round(127.5 + (from+(to-from)*u)*[]float64{-127, 127}[i%2]))
	}
	return s
}

// An untrained potential has the prior's density, which depends only on an image's norm. It therefore scores vivid
// images below pale ones.
func TestOutliers(t *testing.T) {
	dir := t.TempDir()
	pale, vivid, middling := contrast(100, 0.1, 0.3), contrast(80, 0.5, 0.9), contrast(100, 0.1, 0.3)
	for i := range 50 { // half of the images become vivid
		copy(middling.Image(i), vivid.Image(i))
	}
	inputs := func(samples, outliers *dataset.Images) []string {
		set := writeSet(t, dir, "s", samples)
		return []string{
			"--input=samples=" + set, "--input=reference=" + set, "--input=outliers=" + writeSet(t, dir, "o", outliers),
			"--input=checkpoint=" + writePotential(t, dir, 1, 8, 8), "--backend=tape", "--out=" + filepath.Join(dir, "out"),
		}
	}
	for _, c := range []struct {
		name        string
		in, outside *dataset.Images
		least, most float64
	}{
		{"vivid outliers", pale, vivid, 1, 1}, {"pale outliers", vivid, pale, 0, 0},
		{"the same", pale, pale, 0.5, 0.5}, {"half", pale, middling, 0.7, 0.8},
	} {
		code, _, stderr := eval(t, append(inputs(c.in, c.outside), "--ood-time=0.7")...)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		s := readScore(t, filepath.Join(dir, "out")).OOD
		outside := func(v float64) bool { return v < c.least || v > c.most }
		if s == nil || outside(s.Density) || outside(s.Gradient) || s.Time != 0.7 || s.N[0] != c.in.N ||
			s.N[1] != c.outside.N {
			t.Errorf("%s: %+v, want AUROCs from %v to %v at time 0.7 for %d and %d images", c.name, s, c.least, c.most,
				c.in.N, c.outside.N)
		}
	}
	for _, c := range []struct {
		want string
		code failure.Class
		args []string
	}{
		{"the potential takes [1 4 4]", failure.Input,
			append(inputs(pale, vivid), "--input=checkpoint="+writePotential(t, t.TempDir(), 1, 4, 4))},
		{"models the velocity", failure.Input,
			append(inputs(pale, vivid), "--input=checkpoint="+writeModel(t, t.TempDir(), homotopy.Velocity, 1, 8, 8))},
		{"ood-time", failure.Usage, append(inputs(pale, vivid), "--ood-time=1")},
		{"is missing", failure.Input, inputs(pale, vivid)[:3]},
		{"expected a potential", failure.Input, append(inputs(pale, vivid), "--input=checkpoint="+writeNetwork(t, dir, 4))},
	} {
		args := c.args
		for i, a := range args[:len(args)-1] { // if the checkpoint is given twice, keep only the second
			if strings.HasPrefix(args[len(args)-1], "--input=checkpoint=") && strings.HasPrefix(a, "--input=checkpoint=") {
				args = append(append([]string{}, args[:i]...), args[i+1:]...)
				break
			}
		}
		code, _, stderr := eval(t, append(args, "--out="+filepath.Join(dir, "refused"))...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("exit %d, want %d and a message with %q: %s", code, c.code, c.want, stderr)
		}
	}
}

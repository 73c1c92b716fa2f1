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
	"vapo/lib/potential"
	"vapo/lib/random"
)

// writePotential writes a potential as it is before training: Phi = |x|²/2, whose density is that of the prior at all
// times, by whatever path it is to be trained.
func writePotential(t testing.TB, dir string, shape ...int) string {
	t.Helper()
	c := potential.Config{Kind: "unet", Shape: shape, Schedule: "linear", PriorStd: 1, UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2}}
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

// contrast draws images whose pixels lie so far from grey.
func contrast(n int, from, to float64) *dataset.Images {
	s := &dataset.Images{N: n, C: 1, H: 8, W: 8, Pixels: make([]uint8, n*64)}
	for i := range s.Pixels {
		s.Pixels[i] = uint8(math.Round(127.5 + (from+(to-from)*random.New(3, "contrast", uint64(i)).Uniform64())*[]float64{-127, 127}[i%2]))
	}
	return s
}

// An untrained potential holds the prior's density, which ranks images by their length alone.
func TestOutliers(t *testing.T) {
	dir := t.TempDir()
	pale, vivid, middling := contrast(100, 0.1, 0.3), contrast(80, 0.5, 0.9), contrast(100, 0.1, 0.3)
	for i := range 50 { // half as pale as others, half vivid
		copy(middling.Image(i), vivid.Image(i))
	}
	inputs := func(samples, outliers *dataset.Images) []string {
		return []string{"--input=samples=" + writeSet(t, dir, "s", samples), "--input=reference=" + writeSet(t, dir, "s", samples), "--input=outliers=" + writeSet(t, dir, "o", outliers),
			"--input=checkpoint=" + writePotential(t, dir, 1, 8, 8), "--backend=tape", "--out=" + filepath.Join(dir, "out")}
	}
	for _, c := range []struct {
		name        string
		in, outside *dataset.Images
		least, most float64
	}{
		{"vivid outliers", pale, vivid, 1, 1}, {"pale outliers", vivid, pale, 0, 0}, {"the same", pale, pale, 0.5, 0.5}, {"half", pale, middling, 0.7, 0.8},
	} {
		code, _, stderr := eval(t, append(inputs(c.in, c.outside), "--ood-time=0.7")...)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		s := readScore(t, filepath.Join(dir, "out")).OOD
		if s == nil || s.Density < c.least || s.Density > c.most || s.Gradient < c.least || s.Gradient > c.most || s.Time != 0.7 || s.N[0] != c.in.N || s.N[1] != c.outside.N {
			t.Errorf("%s: %+v, expected %v to %v", c.name, s, c.least, c.most)
		}
	}
	for _, c := range []struct {
		want string
		code failure.Class
		args []string
	}{
		{"the potential takes [1 4 4]", failure.Input, append(inputs(pale, vivid), "--input=checkpoint="+writePotential(t, t.TempDir(), 1, 4, 4))},
		{"ood-time", failure.Usage, append(inputs(pale, vivid), "--ood-time=1")},
		{"one is missing", failure.Input, inputs(pale, vivid)[:3]},
		{"expected a potential", failure.Input, append(inputs(pale, vivid), "--input=checkpoint="+writeNetwork(t, dir, 4))},
	} {
		args := c.args
		for i, a := range args[:len(args)-1] { // the last of two stands
			if strings.HasPrefix(args[len(args)-1], "--input=checkpoint=") && strings.HasPrefix(a, "--input=checkpoint=") {
				args = append(append([]string{}, args[:i]...), args[i+1:]...)
				break
			}
		}
		if code, _, stderr := eval(t, append(args, "--out="+filepath.Join(dir, "refused"))...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %s", c.want, code, stderr)
		}
	}
}

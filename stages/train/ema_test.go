package main

import (
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/average"
	"vapo/lib/checkpoint"
	"vapo/lib/failure"
	"vapo/lib/program"
)

// without writes a copy of a file of averages that lacks the averages with the profile of a. It returns the path of the
// copy, and the weights of a itself.
func without(t *testing.T, path string, a average.Average) (string, map[string]checkpoint.Named) {
	t.Helper()
	c, err := checkpoint.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	direct := c.Group(a.Group())
	c.Tensors = slices.DeleteFunc(c.Tensors, func(n checkpoint.Named) bool {
		return strings.HasPrefix(n.Name, average.Average{Std: a.Std}.String()+"@")
	})
	rest := filepath.Join(t.TempDir(), "averages.arrow")
	if err := program.WriteFile(rest, func(w io.Writer) error { return checkpoint.Write(w, c) }); err != nil {
		t.Fatal(err)
	}
	return rest, direct
}

// distance returns the relative distance between two sets of weights.
func distance(got, want map[string]checkpoint.Named) float64 {
	var square, norm float64
	for name, w := range want {
		for i, v := range w.Data {
			d := float64(got[name].Data[i]) - float64(v)
			square += d * d
			norm += float64(v) * float64(v)
		}
	}
	return math.Sqrt(square / norm)
}

// An average reconstructed from the snapshots of two others agrees with the same average tracked during training. It is
// at least five times as close to the tracked average as any snapshot is, for points and for images.
func TestReconstructedAverageIsTheTrackedOne(t *testing.T) {
	profiles := []string{"--decay=constant", "--learning-rate=0.003", "--ema-profiles=[0.05,0.1,0.07,0.15]"}
	for name, c := range map[string]struct {
		args []string
		step int64
	}{
		"points":       {small(points(t), "--width=32", "--steps=400", "--ema-snapshot-every=20"), 400},
		"earlier step": {small(points(t), "--width=32", "--steps=400", "--ema-snapshot-every=20"), 280},
		"images":       {smallUNet(pictures(t, 8, nil), "--steps=120", "--ema-snapshot-every=8"), 120},
	} {
		dir := t.TempDir()
		if code, _, stderr := train(t, append(append(c.args, profiles...), "--out="+dir)...); code != 0 {
			t.Fatalf("exit %d\n%s", code, stderr)
		}
		for _, a := range []average.Average{{Std: 0.07, Step: c.step}, {Std: 0.15, Step: c.step}} {
			other := map[float64]float64{0.07: 0.15, 0.15: 0.07}[a.Std]
			file, _ := without(t, filepath.Join(dir, "averages.arrow"), average.Average{Std: other})
			file, direct := without(t, file, a)
			code, line, got := ema(t, file, "--std", jsonOf(a.Std), "--step", jsonOf(a.Step))
			if code != 0 {
				t.Fatalf("%s: exit %d: %v", name, code, line)
			}
			all, err := checkpoint.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			nearest := math.Inf(1)
			for _, s := range average.List(all) {
				nearest = min(nearest, distance(all.Group(s.Group()), direct))
			}
			d := distance(got.Group(checkpoint.EMA), direct)
			t.Logf("%s, %v: relative error %.2g of the weights, %v of the profile; nearest snapshot %.2g", name, a, d,
				line["residual"], nearest)
			if d > 1e-2 || d > nearest/5 || len(direct) == 0 {
				t.Errorf("%s, %v: the %d tensors have relative error %v, want some tensors, and at most 0.01 and a "+
					"fifth of the nearest snapshot's %v", name, a, len(direct), d, nearest)
			}
		}
	}
}

// ema runs the command. It returns the JSON line and the checkpoint or, if the command fails, a line with the field
// "error".
func ema(t *testing.T, args ...string) (code failure.Class, line map[string]any, c *checkpoint.Checkpoint) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "average.arrow")
	code, stdout, stderr := command(t, append([]string{"ema", "--out", out}, args...)...)
	if code != 0 {
		if exists(out) || stdout != "" {
			t.Errorf("exit %d, but it wrote a file, or %q to standard output", code, stdout)
		}
		return code, map[string]any{"error": stderr}, nil
	}
	if err := json.Unmarshal([]byte(stdout), &line); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	return code, line, c
}

func jsonOf(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}

func TestEMA(t *testing.T) {
	dir := t.TempDir()
	data := points(t)
	args := small(data, "--ema-profiles=[0.05, 0.10]", "--ema-snapshot-every=2", "--steps=39", "--out="+dir)
	if code, _, stderr := train(t, args...); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	file := filepath.Join(dir, "averages.arrow")
	c, err := checkpoint.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	var steps []int64
	for _, a := range average.List(c) {
		if a.Std == 0.1 {
			steps = append(steps, a.Step)
		}
	}
	// 19 snapshots are too many. Every second one is kept, and the one after the last step.
	if want := []int64{4, 8, 12, 16, 20, 24, 28, 32, 36, 39}; !slices.Equal(steps, want) {
		t.Errorf("snapshots after %v steps, want %v", steps, want)
	}

	code, line, first := ema(t, file, "--std=0.07")
	_, again, _ := ema(t, file, "--std", "0.07", "--step", "39")
	if code != 0 || line["digest"] != again["digest"] || line["step"] != 39.0 || line["snapshots"] != 20.0 ||
		line["std"] != 0.07 || first.Step != 39 || first.Kind != checkpoint.Potential {
		t.Errorf("exit %d, want 0; got %v and, with --step 39, %v; want the same potential twice, with std 0.07 at step "+
			"39 from 20 snapshots", code, line, again)
	}
	// The averages at the end are also in the checkpoint, after those with half-lives.
	ck, err := checkpoint.Read(filepath.Join(dir, "checkpoint.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	_, _, tracked := ema(t, file, "--std=0.1")
	if d := distance(tracked.Group(checkpoint.EMA), ck.Group(checkpoint.Average(2))); d > 1e-7 {
		t.Errorf("the average with std 0.1 differs from ema.2 of the checkpoint by %v of its norm", d)
	}
	if got := slices.Sorted(maps.Keys(tracked.Group(checkpoint.EMA))); !slices.Equal(got,
		slices.Sorted(maps.Keys(ck.Group(checkpoint.Param)))) {
		t.Errorf("the reconstructed average has the tensors %v, want those of the weights", got)
	}

	for message, c := range map[string]struct {
		args []string
		code failure.Class
	}{
		"expected 0.001 to 0.28":     {[]string{file, "--std=0.5"}, failure.Usage},
		"no snapshots of step 5":     {[]string{file, "--std=0.07", "--step=5"}, failure.Input},
		"--step is -1":               {[]string{file, "--std=0.07", "--step=-1"}, failure.Usage},
		"profile is 0.":              {[]string{file, "--std=0.01"}, failure.Input},
		"it has 0 snapshots":         {[]string{filepath.Join(dir, "checkpoint.arrow"), "--std=0.07"}, failure.Input},
		"not a readable tensor file": {[]string{filepath.Join(dir, "end.json"), "--std=0.07"}, failure.Input},
	} {
		if code, line, _ := ema(t, c.args...); code != c.code || !strings.Contains(line["error"].(string), message) {
			t.Errorf("exit %d, want %d and a message with %q: %v", code, c.code, message, line)
		}
	}
	taken := filepath.Join(dir, "taken.arrow")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, "ema", file, "--std=0.07", "--out", taken); code != failure.Usage ||
		!strings.Contains(stderr, "--force") {
		t.Errorf("over an existing file: exit %d, want %d and a message with --force: %s", code, failure.Usage, stderr)
	}
}

// Tracking averages with profiles leaves every bit of the weights and of the other averages unchanged.
func TestProfilesChangeNothingElse(t *testing.T) {
	data := points(t)
	plain, profiles := t.TempDir(), t.TempDir()
	for dir, more := range map[string]string{plain: "--ema-profiles=[]", profiles: "--ema-profiles=[0.05,0.1]"} {
		if code, _, stderr := train(t, small(data, more, "--ema-half-life=[100,1000]", "--out="+dir)...); code != 0 {
			t.Fatalf("exit %d\n%s", code, stderr)
		}
	}
	a, err := checkpoint.Read(filepath.Join(plain, "checkpoint.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := checkpoint.Read(filepath.Join(profiles, "checkpoint.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range a.Tensors {
		if other := b.Group(n.Name)[""]; !slices.Equal(other.Data, n.Data) {
			t.Errorf("%s differs", n.Name)
		}
	}
	if len(b.Tensors)-len(a.Tensors) != 2*len(a.Group(checkpoint.Param)) {
		t.Errorf("%d tensors with two profiles, %d without; want as many more as two averages have", len(b.Tensors),
			len(a.Tensors))
	}
	if exists(filepath.Join(profiles, "averages.arrow")) {
		t.Error("there are snapshots of averages without --ema-snapshot-every")
	}
}

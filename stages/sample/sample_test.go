package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/average"
	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/tensorfile"
)

// Sample k is bit for bit the same whatever --n, --first and --batch are.
func TestSamplesDependOnTheirIndexAlone(t *testing.T) {
	for _, c := range []struct {
		name   string
		config potential.Config
		n      int
		args   []string
	}{
		{"points", pointsConfig("linear"), 600, []string{"--steps=12"}},
		{"points", pointsConfig("vapo"), 600, []string{"--solver=rk45"}},
		{"images", imagesConfig(), 130, []string{"--steps=3"}},
		{"images", imagesConfig(), 130, []string{"--solver=rk45", "--rtol=0.05", "--atol=0.05"}},
	} {
		args := append(c.args, "--input=checkpoint="+checkpointOf(t, c.config, nil), "--backend=tape")
		rows := func(n, first, batch int) []byte {
			shard := strings.Fields(fmt.Sprintf("--n=%d --first=%d --batch=%d", n, first, batch))
			dir, _ := mustSample(t, append(args, shard...)...)
			switch s := read(t, dir).(type) {
			case *dataset.Images:
				return s.Pixels
			case *dataset.Points:
				var b []byte
				for _, v := range s.X {
					b = fmt.Appendf(b, "%08x", math.Float32bits(v))
				}
				return b
			}
			panic("neither images nor points")
		}
		whole := rows(c.n, 0, 256)
		per := len(whole) / c.n
		for _, shard := range []struct{ n, first, batch int }{
			{c.n, 0, 1}, {c.n, 0, 100000}, {c.n / 3, 0, 17}, {c.n - c.n/3, c.n / 3, 64}, {1, c.n - 1, 5}, {2, 63, 1},
		} {
			end := shard.first + shard.n
			if got := rows(shard.n, shard.first, shard.batch); !bytes.Equal(got, whole[shard.first*per:end*per]) {
				t.Errorf("%s %v: samples [%d, %d) with batch %d differ from those of one run",
					c.name, c.args, shard.first, end, shard.batch)
			}
		}
		if first := whole[:per]; bytes.Equal(first, whole[per:2*per]) {
			t.Errorf("%s: samples 0 and 1 are equal", c.name)
		}
	}
}

func TestFunctionEvaluations(t *testing.T) {
	ck := checkpointOf(t, pointsConfig("linear"), nil)
	for _, c := range []struct {
		args       []string
		mean, most float64
	}{
		{[]string{"--solver=heun", "--steps=10"}, 20, 20},
		{[]string{"--solver=euler", "--steps=10"}, 10, 10},
		{[]string{"--solver=rk4", "--steps=10"}, 40, 40},
	} {
		_, m := mustSample(t, append(c.args, "--input=checkpoint="+ck, "--n=7")...)
		mean, most := m.Results["function_evaluations_mean"], m.Results["function_evaluations_max"]
		if mean != c.mean || most != c.most {
			t.Errorf("%v: a mean of %v and a maximum of %v evaluations per sample, want %v", c.args, mean, most, c.mean)
		}
	}
	evaluations := func(tolerance string) (mean, most float64) {
		_, m := mustSample(t, "--solver=rk45", "--rtol="+tolerance, "--atol="+tolerance, "--input=checkpoint="+ck, "--n=50")
		return m.Results["function_evaluations_mean"].(float64), m.Results["function_evaluations_max"].(float64)
	}
	loose, most := evaluations("1e-2")
	tight, _ := evaluations("1e-5")
	if loose < 7 || most < loose || tight < 1.5*loose {
		t.Errorf("rk45 took a mean of %v and at most %v evaluations per sample at tolerance 1e-2, want at least 7; it "+
			"took %v at 1e-5, want at least 1.5 times as many", loose, most, tight)
	}
}

// heun, rk4 and rk45 converge to the same samples, because they integrate the same flow.
func TestSolversAgree(t *testing.T) {
	ck := checkpointOf(t, pointsConfig("linear"), nil)
	x := func(args ...string) []float32 {
		dir, _ := mustSample(t, append(args, "--input=checkpoint="+ck, "--n=20")...)
		return read(t, dir).(*dataset.Points).X
	}
	exact := x("--solver=rk45", "--rtol=1e-6", "--atol=1e-6")
	for _, args := range [][]string{{"--solver=heun", "--steps=200"}, {"--solver=rk4", "--steps=40"}} {
		for i, v := range x(args...) {
			if math.Abs(float64(v-exact[i])) > 2e-3 {
				t.Errorf("%v: coordinate %d is %v, rk45 gives %v", args, i, v, exact[i])
				break
			}
		}
	}
	start := make([]float32, 2)
	random.New(0, "sample/noise", 0).Normal(start)
	if d := math.Hypot(float64(exact[0]-1.5*start[0]), float64(exact[1]-1.5*start[1])); d < 1e-3 || d > 20 {
		t.Errorf("sample 0 is at distance %v from its noise vector, want 1e-3 to 20", d)
	}
}

// The PNG files and the tensor file hold the same samples.
func TestImageFiles(t *testing.T) {
	dir, m := mustSample(t, "--input=checkpoint="+checkpointOf(t, imagesConfig(), nil), "--n=3", "--first=9", "--steps=2")
	set := read(t, dir).(*dataset.Images)
	if set.N != 3 || set.C != 1 || set.H != 4 || set.W != 4 {
		t.Fatalf("%d samples of shape %v, want 3 of [1 4 4]", set.N, set.Shape())
	}
	names, err := filepath.Glob(filepath.Join(dir, "0*.png"))
	if err != nil || len(names) != 3 || filepath.Base(names[0]) != "000009.png" {
		t.Fatalf("PNG files %v, want 3 from 000009.png (%v)", names, err)
	}
	for i, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		im, err := png.Decode(f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		for k, want := range set.Image(i) {
			r, g, b, _ := im.At(k%4, k/4).RGBA()
			if uint8(r>>8) != want || g != r || b != r {
				t.Fatalf("%s: pixel %d is %d, the table has %d", name, k, r>>8, want)
			}
		}
	}
	for _, name := range []string{"samples", "grid"} {
		if m.Outputs[name].Size == 0 {
			t.Errorf("output %s is missing", name)
		}
	}
}

func TestInterpolate(t *testing.T) {
	for _, c := range []potential.Config{pointsConfig("linear"), imagesConfig()} {
		dir := t.TempDir()
		ck := checkpointOf(t, c, nil)
		code, stdout, stderr := sample(t, "interpolate", "--checkpoint="+ck, "--out="+dir,
			"--pairs=3", "--points=5", "--steps=4")
		if code != 0 {
			t.Fatalf("exit %d\n%s", code, stderr)
		}
		var said map[string]any
		if err := json.Unmarshal([]byte(stdout), &said); err != nil {
			t.Fatal(err)
		}
		table, err := tensorfile.Read(filepath.Join(dir, "interpolation.arrow"))
		if err != nil || table.Rows != 15 {
			t.Errorf("interpolation.arrow has %d rows, want 15 (%v)", table.Rows, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "interpolation.png")); (err == nil) != (c.Kind == "unet") {
			t.Errorf("%s: want interpolation.png for images only (%v)", c.Kind, err)
		}
	}
	a, b := []float32{3, 0, 0}, []float32{0, 0.5, 0}
	for _, f := range []float64{0, 0.25, 0.5, 1} {
		got := make([]float32, 3)
		spherical(got, a, b, f, 2)
		radius := math.Sqrt(3) * 2
		want := []float64{radius * math.Cos(f*math.Pi/2), radius * math.Sin(f*math.Pi/2), 0}
		for i := range got {
			if math.Abs(float64(got[i])-want[i]) > 1e-6 {
				t.Errorf("fraction %v: %v, want %v", f, got, want)
			}
		}
	}
	same := make([]float32, 3)
	if spherical(same, a, a, 0.5, 1); math.Abs(float64(same[0])-math.Sqrt(3)) > 1e-6 {
		t.Errorf("halfway between equal noise vectors: %v, want the vector scaled to the norm √3", same)
	}
}

func TestRefusals(t *testing.T) {
	ck := checkpointOf(t, pointsConfig("linear"), nil)
	broken := func(edit func(c *checkpoint.Checkpoint)) string { return checkpointOf(t, pointsConfig("linear"), edit) }
	text := filepath.Join(t.TempDir(), "text.arrow")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a tensor file\n", 10)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says string
		code failure.Class
		args []string
	}{
		{"parameter n is 0", 2, []string{"--input=checkpoint=" + ck, "--n=0"}},
		{"parameter first is -1", 2, []string{"--input=checkpoint=" + ck, "--first=-1"}},
		{"parameter first is", 2, []string{"--input=checkpoint=" + ck, "--first=9223372036854775800"}},
		{"memory", 7, []string{"--input=checkpoint=" + ck, "--n=1000000000000"}},
		{"steps", 2, []string{"--input=checkpoint=" + ck, "--steps=0"}},
		{"rtol", 2, []string{"--input=checkpoint=" + ck, "--rtol=0"}},
		{"atol", 2, []string{"--input=checkpoint=" + ck, "--atol=inf"}},
		{"t-end", 2, []string{"--input=checkpoint=" + ck, "--t-end=0"}},
		{"only vapo", 2, []string{"--input=checkpoint=" + ck, "--t-end=2"}},
		{"solver", 2, []string{"--input=checkpoint=" + ck, "--solver=rk5"}},
		{"weights", 2, []string{"--input=checkpoint=" + ck, "--weights=best"}},
		{"backend", 2, []string{"--input=checkpoint=" + ck, "--backend=gpu"}},
		{"checkpoint", 2, nil},
		{"no such file", 3, []string{"--input=checkpoint=nosuch.arrow"}},
		{"ARROW1", 3, []string{"--input=checkpoint=" + text}},
		{"classifier", 3, []string{"--input=checkpoint=" + classifier(t)}},
		{"width", 3, []string{"--input=checkpoint=" + broken(func(c *checkpoint.Checkpoint) {
			c.Config = json.RawMessage(strings.Replace(string(c.Config), `"width":24`, `"width":0`, 1))
		})}},
		{"shape", 3, []string{"--input=checkpoint=" + broken(func(c *checkpoint.Checkpoint) {
			c.Config = json.RawMessage(strings.Replace(string(c.Config), `"width":24`, `"width":25`, 1))
		})}},
		{"heads", 3, []string{"--input=checkpoint=" + broken(func(c *checkpoint.Checkpoint) {
			c.Config = json.RawMessage(strings.Replace(string(c.Config), `"width":24`, `"width":24,"heads":2`, 1))
		})}},
		{"ema/", 3, []string{"--input=checkpoint=" + broken(func(c *checkpoint.Checkpoint) {
			c.Tensors = slices.DeleteFunc(c.Tensors, func(n checkpoint.Named) bool { return n.Name == "ema/out.bias" })
		})}},
		{"sample 0", 6, []string{"--input=checkpoint=" + broken(func(c *checkpoint.Checkpoint) {
			for i := range c.Tensors {
				c.Tensors[i].Data[0] = float32(math.NaN())
			}
		})}},
		{"step limit", 6, []string{"--input=checkpoint=" + ck, "--solver=rk45", "--max-steps=1"}},
	} {
		dir := t.TempDir()
		code, _, stderr := sample(t, append(c.args, "--out="+dir)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: exit %d, want %d and %q in the message:\n%s", c.args, code, c.code, c.says, stderr)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
			t.Errorf("%v: left %v behind", c.args, left)
		}
	}
}

// SIGTERM ends a run with exit code 143, and the run leaves no outputs.
func TestTerminated(t *testing.T) {
	dir := t.TempDir()
	ck := checkpointOf(t, pointsConfig("linear"), nil)
	c := exec.Command(binary, "--input=checkpoint="+ck, "--n=10000000", "--out="+dir)
	said, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	lines.Scan() // the first line names the engine: the run is about to begin
	time.AfterFunc(300*time.Millisecond, func() { _ = c.Process.Signal(syscall.SIGTERM) })
	for lines.Scan() {
	}
	_ = c.Wait() // the exit code is checked below
	if code := failure.Class(c.ProcessState.ExitCode()); code != 143 {
		t.Errorf("exit %d, want 143", code)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left %v behind", left)
	}
}

// With snapshots of averages as the input, --weights std:S draws the samples of the reconstructed average.
func TestReconstructedAverage(t *testing.T) {
	snapshots := checkpointOf(t, pointsConfig("linear"), func(c *checkpoint.Checkpoint) {
		var kept []checkpoint.Named
		for _, a := range []average.Average{{Std: 0.05, Step: 5}, {Std: 0.1, Step: 5}, {Std: 0.05, Step: 7}} {
			for name, n := range c.Group(checkpoint.EMA) {
				data := slices.Clone(n.Data)
				for i := range data {
					data[i] *= float32(1 + a.Std*float64(a.Step)) // so that no two are equal
				}
				kept = append(kept, checkpoint.Named{Name: a.Group() + name, Shape: n.Shape, Data: data})
			}
		}
		c.Tensors = kept
	})
	all, err := checkpoint.Read(snapshots)
	if err != nil {
		t.Fatal(err)
	}
	var earlier []byte
	for weights, want := range map[string]average.Average{"std:0.052": {Std: 0.052}, "std:0.1@5": {Std: 0.1, Step: 5}} {
		one, _, err := average.Reconstruct(all, want)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"--n=8", "--steps=3", "--backend=tape"}
		dir, _ := mustSample(t, append(args, "--input=checkpoint="+snapshots, "--weights="+weights)...)
		direct, _ := mustSample(t, append(args, "--input=checkpoint="+write(t, one))...)
		a, err := os.ReadFile(filepath.Join(dir, "samples.arrow"))
		b, err2 := os.ReadFile(filepath.Join(direct, "samples.arrow"))
		if err != nil || err2 != nil || !bytes.Equal(a, b) || bytes.Equal(a, earlier) {
			t.Errorf("%s: samples of the reconstructed average differ from those of its checkpoint, or equal those of another "+
				"(%v, %v)", weights, err, err2)
		}
		earlier = a
	}
	for weights, want := range map[string]struct {
		code    failure.Class
		message string
	}{
		"ema": {failure.Input, "it holds snapshots of averages"}, "std:0.05@6": {failure.Input, "only of these steps: 5 7"},
		"std:0.5": {failure.Usage, "expected 0.001 to 0.28"}, "std:x": {failure.Usage, "std:S@STEP"},
		"std:0.28": {failure.Input, "cannot be reconstructed from 3 snapshots"},
	} {
		code, _, stderr := sample(t, "--input=checkpoint="+snapshots, "--weights="+weights, "--out="+t.TempDir())
		if code != want.code || !strings.Contains(stderr, want.message) {
			t.Errorf("--weights=%s: exit %d, want %d and a message with %q\n%s", weights, code, want.code, want.message, stderr)
		}
	}
}

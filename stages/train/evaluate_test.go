package main

import (
	"bytes"
	"encoding/json"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vapo/lib/contract"
	"vapo/lib/dataset"
	"vapo/lib/failure"
)

// classifierFor trains a small feature network for the images of a file.
func classifierFor(t *testing.T, data string) string {
	t.Helper()
	dir := t.TempDir()
	if code, _, said := train(t, smallClassifier(data, "--steps=5", "--out="+dir)...); code != 0 {
		t.Fatalf("exit %d\n%s", code, said)
	}
	return filepath.Join(dir, "checkpoint.arrow")
}

func scoresOf(t *testing.T, dir string) (list []scoreLine, others []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "metrics.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(raw)) {
		var s scoreLine
		if err := json.Unmarshal([]byte(l), &s); err != nil {
			t.Fatal(err)
		}
		if s.N > 0 {
			list = append(list, s)
		} else {
			others = append(others, l)
		}
	}
	return list, others
}

// Looking at a potential changes nothing of its training: the checkpoint and the other metrics are those of a run
// that was not looked at. Looks come when they were asked for, and at the end.
func TestLooksLeaveTrainingAlone(t *testing.T) {
	images := pictures(t, 8, nil)
	for name, c := range map[string]struct {
		args, look []string
		scored     bool
	}{
		"points":          {small(points(t)), []string{"--score-n=300", "--score-reference=200"}, true},
		"images":          {smallUNet(images, "--steps=25"), nil, false},
		"images, network": {smallUNet(images, "--steps=25"), []string{"--score-n=30", "--score-reference=35", "--input=features=" + classifierFor(t, images)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			plain, looked := t.TempDir(), t.TempDir()
			if code, _, said := train(t, append(c.args, "--out="+plain)...); code != 0 {
				t.Fatalf("exit %d\n%s", code, said)
			}
			code, m, said := train(t, append(append(c.args, "--out="+looked, "--sample-every=10", "--sample-steps=3"), c.look...)...)
			if code != 0 {
				t.Fatalf("exit %d\n%s", code, said)
			}
			c1, m1 := outputs(t, plain)
			c2, _ := outputs(t, looked)
			if !bytes.Equal(c1, c2) {
				t.Error("the checkpoint differs")
			}
			scores, others := scoresOf(t, looked)
			if strings.Join(others, "") != string(m1) {
				t.Errorf("other metrics differ: %s\nwithout looks: %s", others, m1)
			}
			steps := []int64{}
			for _, s := range scores {
				steps = append(steps, s.Step)
				if !(s.Score > 0) {
					t.Errorf("score %+v", s)
				}
			}
			if c.scored != (len(steps) == 3 && steps[0] == 10 && steps[1] == 20 && steps[2] == 25) {
				t.Errorf("scores after steps %v", steps)
			}
			if v, ok := m.Results["final_score"].(float64); ok != c.scored || ok && v != scores[2].Score {
				t.Errorf("final score %v", m.Results["final_score"])
			}
			if v, _ := m.Results["final_loss"].(float64); v == 0 {
				t.Error("no final loss")
			}
			if v, _ := m.Results["evaluate_seconds"].(float64); !(v > 0) {
				t.Errorf("evaluate_seconds %v", m.Results["evaluate_seconds"])
			}
			if n := strings.Count(said, `"msg":"samples"`); n != 3 {
				t.Errorf("%d looks in the log, want 3:\n%s", n, said)
			}
			f, err := os.Open(filepath.Join(looked, "progress.png"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			im, err := png.Decode(f)
			if err != nil {
				t.Fatal(err)
			}
			// Twelve images of 48 pixels in each of three rows, with their borders.
			if b := im.Bounds(); !strings.HasPrefix(name, "points") && (b.Dx() <= 12*50 || b.Dy() != 3*50+2) {
				t.Errorf("picture of %v", b)
			}
		})
	}
}

// The last score of a training is the number that eval gives for the samples that sample draws, against the same
// reference.
func TestScoreIsEvals(t *testing.T) {
	images := pictures(t, 8, nil)
	features := classifierFor(t, images)
	set, err := dataset.Read(images)
	if err != nil {
		t.Fatal(err)
	}
	first := *set.(*dataset.Images)
	first.N, first.Pixels, first.Labels = 30, first.Pixels[:30*64], first.Labels[:30]
	reference := write(t, "first.arrow", &first)
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "../sample", "../eval").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	other := func(name string, args ...string) *contract.Manifest {
		t.Helper()
		c := exec.Command(filepath.Join(bin, name), append(args, "--backend=tape")...)
		var errs bytes.Buffer
		c.Stderr = &errs
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, errs.String())
		}
		m, err := contract.DecodeManifest(out)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for flag, class := range map[string]string{"--no-conditional": "none", "--conditional": "each"} {
		dir, samples := t.TempDir(), t.TempDir()
		code, m, said := train(t, smallUNet(images, flag, "--sample-every=100", "--sample-steps=4", "--score-n=70", "--score-reference=30", "--input=features="+features, "--out="+dir)...)
		if code != 0 {
			t.Fatalf("exit %d\n%s", code, said)
		}
		other("sample", "--input=checkpoint="+filepath.Join(dir, "checkpoint.arrow"), "--n=70", "--steps=4", "--class="+class, "--out="+samples)
		e := other("eval", "--input=samples="+filepath.Join(samples, "samples.arrow"), "--input=reference="+reference,
			"--input=features="+features, "--no-baselines", "--metrics=none", "--out="+t.TempDir())
		if got, want := m.Results["final_score"], e.Results["value"]; got == nil || got != want {
			t.Errorf("%s: score %v, eval says %v", flag, got, want)
		}
		// Equal to the bit, seen in the file too.
		if scores, _ := scoresOf(t, dir); len(scores) != 1 || scores[0].Score != e.Results["value"] || scores[0].Step != 6 {
			t.Errorf("%s: metrics hold %+v", flag, scores)
		}
	}
}

// Of many looks the picture shows some, evenly and with the last; which ones a longer training would keep does not depend
// on its length.
func TestShownLooks(t *testing.T) {
	for _, c := range [][2]int64{{100, 1}, {100, 3}, {1000, 7}, {40, 1}, {41, 1}, {7, 10}, {10, 10}, {123457, 1000}} {
		steps, every := c[0], c[1]
		var l looks
		count := int64(0)
		for step := int64(1); step <= steps; step++ {
			if step%every == 0 || step == steps {
				count++
				before := l.Shown
				l.keep(look{Step: step}, every)
				if len(before) > 0 && before[0].Step == 0 {
					t.Fatal("what was kept before has changed")
				}
			}
		}
		rows := l.rows()
		if n := int64(len(rows)); n == 0 || n > shownLooks+1 || rows[n-1].Step != steps || n < min(count, shownLooks/2) || count <= shownLooks && n != count {
			t.Errorf("%v: of %d looks %v are shown", c, count, rows)
		}
		for i := 1; i < len(rows)-1; i++ {
			if rows[i].Step-rows[i-1].Step != every*l.Stride {
				t.Errorf("%v: steps %d and %d stand side by side, others are %d apart", c, rows[i-1].Step, rows[i].Step, every*l.Stride)
			}
		}
	}
}

func TestLooksRefused(t *testing.T) {
	images, dots := pictures(t, 8, nil), points(t)
	for says, c := range map[string]struct {
		args []string
		code failure.Class
	}{
		"sample-every is 5, but it has no effect": {smallClassifier(images, "--sample-every=5"), failure.Usage},
		"sample-every is -1":                      {small(dots, "--sample-every=-1"), failure.Usage},
		"score-tap is 5":                          {small(dots, "--score-tap=5"), failure.Usage},
		"at most":                                 {small(dots, "--score-n=10000000"), failure.Usage},
		"points are compared":                     {small(dots, "--sample-every=5", "--input=features="+classifierFor(t, images)), failure.Input},
		"feature network":                         {smallUNet(images, "--sample-every=5", "--input=features="+images), failure.Input},
		"images of this size":                     {smallUNet(images, "--sample-every=5", "--input=features="+classifierFor(t, pictures(t, 4, nil))), failure.Input},
	} {
		code, _, said := train(t, append(c.args, "--out="+t.TempDir())...)
		if code != c.code || !strings.Contains(said, says) {
			t.Errorf("exit %d, want %d and a word of %q\n%s", code, c.code, says, said)
		}
	}
	code, m, said := train(t, smallUNet(images, "--input=features="+classifierFor(t, images), "--out="+t.TempDir())...)
	if code != 0 || len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "--sample-every") {
		t.Errorf("exit %d\n%s", code, said)
	}
}

// A run that is stopped while it looks keeps the state it looked at, and goes on with that look.
func TestStoppedWhileLooking(t *testing.T) {
	args := small(points(t), "--steps=2", "--batch=4", "--sample-every=1", "--score-n=4000", "--sample-steps=60")
	whole, broken := t.TempDir(), t.TempDir()
	if code, said := attempt(t, append(args, "--out="+whole), 0, 0); code != 0 {
		t.Fatalf("exit %d\n%s", code, said)
	}
	args = append(args, "--out="+broken)
	code, said := attempt(t, args, syscall.SIGTERM, 50*time.Millisecond)
	if code != 143 || !strings.Contains(said, `a resumable checkpoint is kept","step":1`) {
		t.Fatalf("exit %d: it was to be stopped in its first look\n%s", code, said)
	}
	if code, said = attempt(t, args, 0, 0); code != 0 || !strings.Contains(said, `"resuming","step":1`) || strings.Count(said, `"msg":"samples"`) != 2 {
		t.Errorf("exit %d, want a run that goes on with the first of two looks\n%s", code, said)
	}
	for _, name := range []string{"checkpoint.arrow", "metrics.ndjson", "progress.png"} {
		a, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(broken, name)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs, %v", name, err)
		}
	}
}

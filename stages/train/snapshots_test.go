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
	"vapo/stages/train/internal/watch"
)

// classifierFor trains a small feature network on the images in a file and returns the path of its checkpoint.
func classifierFor(t *testing.T, data string) string {
	t.Helper()
	dir := t.TempDir()
	if code, _, stderr := train(t, smallClassifier(data, "--steps=5", "--out="+dir)...); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	return filepath.Join(dir, "checkpoint.arrow")
}

func scoresOf(t *testing.T, dir string) (list []watch.ScoreLine, others []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "metrics.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(raw)) {
		var s watch.ScoreLine
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

// Snapshots do not affect the training: the checkpoint and the other metrics equal those of a run without snapshots.
// Snapshots are taken when they are due, and at the end.
func TestSnapshotsLeaveTrainingAlone(t *testing.T) {
	images := pictures(t, 8, nil)
	for name, c := range map[string]struct {
		args, snapshots []string
		scored          bool
	}{
		"points": {small(points(t)), []string{"--score-n=300", "--score-reference=200"}, true},
		"images": {smallUNet(images, "--steps=25"), nil, false},
		"images, network": {smallUNet(images, "--steps=25"),
			[]string{"--score-n=30", "--score-reference=35", "--input=features=" + classifierFor(t, images)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			plain, watched := t.TempDir(), t.TempDir()
			if code, _, stderr := train(t, append(c.args, "--out="+plain)...); code != 0 {
				t.Fatalf("exit %d\n%s", code, stderr)
			}
			code, m, stderr := train(t, append(append(c.args, "--out="+watched, "--sample-every=10", "--sample-steps=3"),
				c.snapshots...)...)
			if code != 0 {
				t.Fatalf("exit %d\n%s", code, stderr)
			}
			c1, m1 := outputs(t, plain)
			c2, _ := outputs(t, watched)
			if !bytes.Equal(c1, c2) {
				t.Error("the checkpoint differs")
			}
			scores, others := scoresOf(t, watched)
			if strings.Join(others, "") != string(m1) {
				t.Errorf("other metrics differ: %s\nwithout snapshots: %s", others, m1)
			}
			steps := []int64{}
			for _, s := range scores {
				steps = append(steps, s.Step)
				if !(s.Score > 0) {
					t.Errorf("score %+v, want one above 0", s)
				}
			}
			if c.scored != (len(steps) == 3 && steps[0] == 10 && steps[1] == 20 && steps[2] == 25) {
				t.Errorf("scores after steps %v; want 10, 20 and 25 exactly if the run is scored: %v", steps, c.scored)
			}
			if v, ok := m.Results["final_score"].(float64); ok != c.scored || ok && v != scores[2].Score {
				t.Errorf("final score %v; want the last of %+v exactly if the run is scored: %v", m.Results["final_score"],
					scores, c.scored)
			}
			if v, _ := m.Results["final_loss"].(float64); v == 0 {
				t.Error("no final loss")
			}
			if v, _ := m.Results["evaluate_seconds"].(float64); !(v > 0) {
				t.Errorf("evaluate_seconds is %v, want a number above 0", m.Results["evaluate_seconds"])
			}
			if n := strings.Count(stderr, `"msg":"samples"`); n != 3 {
				t.Errorf("%d snapshots in the log, want 3:\n%s", n, stderr)
			}
			f, err := os.Open(filepath.Join(watched, "progress.png"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			im, err := png.Decode(f)
			if err != nil {
				t.Fatal(err)
			}
			// The picture has three rows of twelve images, each 48 pixels wide, with borders.
			if b := im.Bounds(); !strings.HasPrefix(name, "points") && (b.Dx() <= 12*50 || b.Dy() != 3*50+2) {
				t.Errorf("the picture has the bounds %v, want three rows of twelve images", b)
			}
		})
	}
}

// The last score during training equals the score that eval computes for samples drawn by the stage sample, given the
// same reference.
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
	if out, err := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "../sample",
		"../eval").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	other := func(name string, args ...string) *contract.Manifest {
		t.Helper()
		c := exec.Command(filepath.Join(bin, name), append(args, "--json", "--backend=tape")...)
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
		code, m, stderr := train(t, smallUNet(images, flag, "--sample-every=100", "--sample-steps=4", "--score-n=70",
			"--score-reference=30", "--input=features="+features, "--out="+dir)...)
		if code != 0 {
			t.Fatalf("exit %d\n%s", code, stderr)
		}
		other("sample", "--input=checkpoint="+filepath.Join(dir, "checkpoint.arrow"), "--n=70", "--steps=4", "--class="+class,
			"--out="+samples)
		e := other("eval", "--input=samples="+filepath.Join(samples, "samples.arrow"), "--input=reference="+reference,
			"--input=features="+features, "--no-baselines", "--metrics=none", "--out="+t.TempDir())
		if got, want := m.Results["final_score"], e.Results["value"]; got == nil || got != want {
			t.Errorf("%s: score %v, eval computes %v", flag, got, want)
		}
		// The metrics file holds the same score, bit for bit.
		if scores, _ := scoresOf(t, dir); len(scores) != 1 || scores[0].Score != e.Results["value"] || scores[0].Step != 6 {
			t.Errorf("%s: the metrics hold the scores %+v, want %v after step 6 alone", flag, scores, e.Results["value"])
		}
	}
}

func TestSnapshotsRefused(t *testing.T) {
	images, dots := pictures(t, 8, nil), points(t)
	for message, c := range map[string]struct {
		args []string
		code failure.Class
	}{
		"sample-every is 5, but it has no effect": {smallClassifier(images, "--sample-every=5"), failure.Usage},
		"sample-every is -1":                      {small(dots, "--sample-every=-1"), failure.Usage},
		"score-tap is 5":                          {small(dots, "--score-tap=5"), failure.Usage},
		"at most":                                 {small(dots, "--score-n=10000000"), failure.Usage},
		"points are compared": {small(dots, "--sample-every=5",
			"--input=features="+classifierFor(t, images)), failure.Input},
		"feature network": {smallUNet(images, "--sample-every=5", "--input=features="+images),
			failure.Input},
		"images of this size": {smallUNet(images, "--sample-every=5",
			"--input=features="+classifierFor(t, pictures(t, 4, nil))), failure.Input},
	} {
		code, _, stderr := train(t, append(c.args, "--out="+t.TempDir())...)
		if code != c.code || !strings.Contains(stderr, message) {
			t.Errorf("exit %d, want %d and a message with %q\n%s", code, c.code, message, stderr)
		}
	}
	code, m, stderr := train(t, smallUNet(images, "--input=features="+classifierFor(t, images), "--out="+t.TempDir())...)
	if code != 0 || len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "--sample-every") {
		t.Errorf("features without snapshots: exit %d, want 0 and one warning that names --sample-every\n%s", code, stderr)
	}
}

// A run that is stopped while taking a snapshot saves its state, and takes that snapshot when it resumes.
func TestStoppedDuringASnapshot(t *testing.T) {
	args := small(points(t), "--steps=2", "--batch=4", "--sample-every=1", "--score-n=4000", "--sample-steps=60")
	whole, broken := t.TempDir(), t.TempDir()
	if code, stderr := attempt(t, append(args, "--out="+whole), 0, 0); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	args = append(args, "--out="+broken)
	code, stderr := attempt(t, args, syscall.SIGTERM, 50*time.Millisecond)
	if code != 143 || !strings.Contains(stderr, `a resumable checkpoint is kept","step":1`) {
		t.Fatalf("exit %d: it should have been stopped during its first snapshot\n%s", code, stderr)
	}
	if code, stderr = attempt(t, args, 0, 0); code != 0 || !strings.Contains(stderr, `"resuming","step":1`) ||
		strings.Count(stderr, `"msg":"samples"`) != 2 {
		t.Errorf("exit %d, want a run that resumes with the first of two snapshots\n%s", code, stderr)
	}
	for _, name := range []string{"checkpoint.arrow", "metrics.ndjson", "progress.png"} {
		a, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(broken, name)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs from that of the uninterrupted run (%v)", name, err)
		}
	}
}

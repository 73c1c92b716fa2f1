package main

import (
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/failure"
)

// column returns n points with one coordinate: 1 in every tenth row if ones is set, and otherwise 0.
func column(n int, ones bool) *dataset.Points {
	p := &dataset.Points{Name: "table", Split: "train", N: n, D: 1, X: make([]float32, n)}
	for i := 9; ones && i < n; i += 10 {
		p.X[i] = 1
	}
	return p
}

// The distance of points is a result even if the kernel distance cannot be computed.
func TestPointsWithoutMMD(t *testing.T) {
	for _, tc := range []struct {
		name               string
		samples, reference *dataset.Points
		warning            string
	}{
		{"mostly equal", column(30, true), column(270, true), "half of the pairs of points coincide"},
		{"constant", column(20, false), column(20, false), "half of the pairs of points coincide"},
		{"2 samples", column(2, true), column(270, true), "half of the pairs of points coincide"},
		{"reference of 2", column(30, true), column(2, false), "first set of 1 vectors"},
		{"reference of 3", column(30, true), column(3, false), "first set of 1 vectors"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			code, _, stderr := eval(t, "--input=samples="+writeSet(t, dir, "s", tc.samples),
				"--input=reference="+writeSet(t, dir, "r", tc.reference), "--out="+out)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			s := readScore(t, out)
			text := strings.Join(s.Warnings, "\n")
			if s.MMD != nil || !strings.Contains(text, "not measured: mmd: ") || !strings.Contains(text, tc.warning) {
				t.Errorf("mmd %v, warnings %q, want no mmd and a warning with %q", s.MMD, s.Warnings, tc.warning)
			}
			if _, ok := s.Baselines["data against data"]; !ok || s.Headline == "" {
				t.Errorf("score %+v, want a headline and the baseline", s)
			}
		})
	}
}

func TestPointsRefuseWhatTheyCannotUse(t *testing.T) {
	dir := t.TempDir()
	samples, reference := writeSet(t, dir, "s", column(30, true)), writeSet(t, dir, "r", column(270, true))
	images := writeSet(t, dir, "images", discs("test", 4))
	for _, tc := range []struct {
		name string
		args []string
		code failure.Class
		want []string
	}{
		{"metric", []string{"--input=reference=" + reference, "--metrics=kid"}, failure.Input,
			[]string{"kid cannot be measured", "leave it out of --metrics"}},
		{"test", []string{"--input=reference=" + reference, "--input=test=" + images}, failure.Input,
			[]string{"input test is for images", "leave out the input test"}},
		{"baselines", []string{"--input=reference=" + reference, "--no-baselines"}, failure.Usage,
			[]string{"no-baselines is for images", "leave out --no-baselines"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := append([]string{"--input=samples=" + samples, "--out=" + filepath.Join(t.TempDir(), "out")}, tc.args...)
			code, _, stderr := eval(t, args...)
			for _, want := range tc.want {
				if code != tc.code || !strings.Contains(stderr, want) {
					t.Errorf("exit %d: %s, want exit %d and %q", code, stderr, tc.code, want)
				}
			}
		})
	}
}

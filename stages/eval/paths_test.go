package main

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/failure"
)

// TestPaths: on paths of blended images, the steps equal blended_pixels. On paths that jump to their end and return,
// the mean step is longer, and the largest step is as long as the distance between the ends.
func TestPaths(t *testing.T) {
	const points, paths = 5, 3
	dir := t.TempDir()
	set := writeSet(t, dir, "set", discs("train", 40))
	args := func(images *dataset.Images, points string) []string {
		return []string{
			"--input=samples=" + set, "--input=reference=" + set, "--input=features=" + writeNetwork(t, dir, 4),
			"--input=paths=" + writeSet(t, dir, "paths", images), "--path-points=" + points, "--no-baselines",
			"--backend=tape", "--out=" + filepath.Join(dir, "out"),
		}
	}
	ends := discs("paths", points*paths)
	ends.Labels, ends.Classes = nil, nil
	straight := blend(ends, points)
	zigzag := *straight
	zigzag.Pixels = append([]uint8{}, straight.Pixels...)
	for path := range paths {
		copy(zigzag.Image(path*points+1), straight.Image(path*points+4)) // images 0, 4, 2, 3, 4
	}
	var scores []*pathScore
	for _, images := range []*dataset.Images{straight, &zigzag} {
		if code, _, stderr := eval(t, args(images, "5")...); code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		s := readScore(t, filepath.Join(dir, "out")).Paths
		if s == nil || s.Paths != paths || s.Points != points || s.Mean < 1./(points-1)-1e-6 || s.Largest < s.Mean {
			t.Fatalf("%+v, want %d paths of %d points, a mean step of at least 1/%d, and a largest step that is no shorter",
				s, paths, points, points-1)
		}
		scores = append(scores, s)
	}
	if s := scores[0]; s.pathSteps != s.Blended {
		t.Errorf("blended images: %+v, want steps that equal those of blended pixels", s)
	}
	if s := scores[1]; math.Abs(s.Largest-1) > 1e-6 || s.Mean < 1.5*scores[0].Mean || s.Blended != scores[0].Blended {
		t.Errorf("back and forth: %+v, want a largest step of 1, a mean 1.5 times as long as in %+v, and equal "+
			"blended_pixels", s, scores[0])
	}
	black := *straight
	black.Pixels = make([]uint8, len(straight.Pixels))
	noNetwork := slices.DeleteFunc(args(straight, "5"), func(a string) bool { return strings.Contains(a, "features=") })
	for want, bad := range map[string][]string{
		"not a multiple of the 4": args(straight, "4"), "the same features": args(&black, "5"), "feature network": noNetwork,
	} {
		if code, _, stderr := eval(t, bad...); code != failure.Input || !strings.Contains(stderr, want) {
			t.Errorf("exit %d, want %d and a message with %q: %s", code, failure.Input, want, stderr)
		}
	}
}

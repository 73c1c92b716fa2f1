package main

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/dataset"
)

// The pictures are written on request and do not change the samples.
func TestPictures(t *testing.T) {
	for name, c := range map[string]struct{ args, ck string }{
		"points": {"--steps=5", checkpointOf(t, pointsConfig("linear"), nil)},
		"images": {"--steps=20", checkpointOf(t, imagesConfig(), nil)},
	} {
		plain, none := mustSample(t, "--input=checkpoint="+c.ck, "--n=4", c.args)
		dir, m := mustSample(t, "--input=checkpoint="+c.ck, "--n=4", c.args, "--trajectories=3", "--interpolate=2")
		if a, b := none.Outputs["samples"].Digest, m.Outputs["samples"].Digest; a != b {
			t.Errorf("%s: the samples are %s without pictures and %s with them, want the same", name, a, b)
		}
		paths, err := dataset.Read(filepath.Join(dir, "paths.arrow"))
		if err != nil || paths.Len() != 2*pairPoints {
			t.Fatalf("%s: the paths of two pairs are read as %v (%v), want %d samples", name, paths, err, 2*pairPoints)
		}
		for k, picture := range []string{"trajectories", "interpolation"} {
			if _, err := os.Stat(filepath.Join(plain, picture+".png")); err == nil {
				t.Errorf("%s: %s.png was written without its flag", name, picture)
			}
			f, err := os.Open(filepath.Join(dir, picture+".png"))
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
			// Each row has ten images of 4x4 pixels, drawn at 48x48. There are three trajectories and two interpolations.
			if b := im.Bounds(); name == "images" && (b.Dx() < 10*50+2+7 || b.Dy() < (3-k)*50+2 || b.Dy() > (3-k)*50+2+20) {
				t.Errorf("%s: %s has the bounds %v, want room for %d rows of ten images of 48x48 pixels and little more", name,
					picture, b, 3-k)
			}
		}
	}
	ck := checkpointOf(t, pointsConfig("linear"), nil)
	for _, args := range [][]string{{"--trajectories=-1"}, {"--interpolate=201"}} {
		code, _, said := sample(t, append(args, "--input=checkpoint="+ck, "--out="+t.TempDir())...)
		if code != 2 || !strings.Contains(said, "expected 0 to 200") {
			t.Errorf("%v: exit %d, want 2 and a message with \"expected 0 to 200\"\n%s", args, code, said)
		}
	}
}

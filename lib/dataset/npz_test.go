package dataset

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/failure"
	"vapo/lib/npz"
)

func writeNPZ(t testing.TB, name string, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func counted(n, c, h, w int) *Images {
	s := &Images{N: n, C: c, H: h, W: w, Pixels: make([]uint8, n*c*h*w)}
	for i := range s.Pixels {
		s.Pixels[i] = uint8(i * 7)
	}
	return s
}

// A set read from an archive equals the set that was written, and is named after the file.
func TestNPZRoundTrip(t *testing.T) {
	labelled := counted(4, 3, 5, 2)
	labelled.Labels = []int64{3, 0, 1, 2}
	for name, s := range map[string]Set{
		"rgb":      counted(3, 3, 4, 5),
		"grey":     counted(2, 1, 3, 3),
		"labelled": labelled,
		"points":   &Points{N: 3, D: 2, X: []float32{0, 1, -2, 0.1, 4, 5}, Labels: []int64{0, 1, 0}},
	} {
		path := writeNPZ(t, name+".npz", func(w io.Writer) error { return WriteNPZ(w, s) })
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		switch s := s.(type) {
		case *Images:
			s.Name = name
		case *Points:
			s.Name = name
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		// The store names files by their digests. A set read from such a file has no name.
		blob := filepath.Join(t.TempDir(), "0123abcd")
		if err := os.Rename(path, blob); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(blob); err != nil || got.Table().Meta[MetaDataset] != "" {
			t.Errorf("%s: error %v, name %q, want none for a set read from a file without a suffix",
				name, err, got.Table().Meta[MetaDataset])
		}
	}
}

// Channels come last in the archive: NumPy reads pixel (h, w) of channel c as arr_0[n, h, w, c].
func TestNPZLayout(t *testing.T) {
	python := "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import numpy").Run(); err != nil {
		t.Skipf("%s has no NumPy: %v", python, err)
	}
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours.npz"), filepath.Join(dir, "theirs.npz")
	s := counted(2, 3, 4, 5)
	var b bytes.Buffer
	if err := WriteNPZ(&b, s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ours, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", `
import sys, numpy as np
want = (np.arange(2*3*4*5) * 7 % 256).astype(np.uint8).reshape(2, 3, 4, 5).transpose(0, 2, 3, 1)
assert np.array_equal(np.load(sys.argv[1])["arr_0"], want)
np.savez_compressed(sys.argv[2], want)
`, ours, theirs).CombinedOutput()
	if err != nil {
		t.Fatalf("python3: %v\n%s", err, out)
	}
	got, err := Read(theirs)
	if err != nil {
		t.Fatal(err)
	}
	s.Name = "theirs"
	if diff := cmp.Diff(Set(s), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNPZRefusals(t *testing.T) {
	floats := func(shape ...int) func(z *npz.Writer) error {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return func(z *npz.Writer) error { return npz.Add(z, "arr_0", shape, make([]float32, n)) }
	}
	bytesOf := func(name string, shape ...int) func(z *npz.Writer) error {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return func(z *npz.Writer) error { return npz.Add(z, name, shape, make([]uint8, n)) }
	}
	zero := 0.0
	for _, c := range []struct {
		want  string
		write []func(z *npz.Writer) error
	}{
		{"expected pixels as integers from 0 to 255", []func(*npz.Writer) error{floats(2, 4, 4, 3)}},
		{"has shape [2 3 8 8], expected images as [N, H, W, C]", []func(*npz.Writer) error{bytesOf("arr_0", 2, 3, 8, 8)}},
		{"1 or 3 channels", []func(*npz.Writer) error{bytesOf("arr_0", 2, 8, 8, 4)}},
		{"1 or 3 channels", []func(*npz.Writer) error{bytesOf("arr_0", 8, 8, 3)}},
		{"1 or 3 channels", []func(*npz.Writer) error{bytesOf("arr_0", 0, 8, 8, 3)}},
		{"expected floats for points", []func(*npz.Writer) error{bytesOf("arr_0", 2, 2)}},
		{"no array arr_0; the arrays are: a, b", []func(*npz.Writer) error{
			bytesOf("a", 2, 2, 2, 3), bytesOf("b", 2, 2, 2, 3),
		}},
		{"a label for each of 2", []func(*npz.Writer) error{bytesOf("arr_0", 2, 2, 2, 3), bytesOf("arr_1", 3)}},
		{"row 0 holds NaN", []func(*npz.Writer) error{
			func(z *npz.Writer) error { return npz.Add(z, "arr_0", []int{1, 1}, []float64{zero / zero}) },
		}},
		{"feature statistics", []func(*npz.Writer) error{
			func(z *npz.Writer) error { return npz.Add(z, "mu", []int{1}, []float64{1}) },
			func(z *npz.Writer) error { return npz.Add(z, "sigma", []int{1, 1}, []float64{1}) },
		}},
	} {
		path := writeNPZ(t, "x.npz", func(w io.Writer) error {
			z := npz.NewWriter(w)
			var err error
			for _, f := range c.write {
				err = errors.Join(err, f(z))
			}
			return errors.Join(err, z.Close())
		})
		_, err := Read(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "x.npz") {
			t.Errorf("error %v, want one with the file's name and %q", err, c.want)
		}
	}
	// A single array may have any name.
	path := writeNPZ(t, "x.npz", func(w io.Writer) error {
		z := npz.NewWriter(w)
		return errors.Join(bytesOf("samples", 2, 4, 4, 3)(z), z.Close())
	})
	if s, err := Read(path); err != nil || s.Len() != 2 {
		t.Errorf("an archive with one array of two images is not read as two samples (%v)", err)
	}
}

// TestArchives reads archives that NumPy wrote (testdata/archives.py): samples of every layout, valid samples with
// unusable labels, and arrays that are not samples. Errors come with the hint for their cause.
func TestArchives(t *testing.T) {
	z, err := zip.OpenReader("testdata/archives.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	dir := t.TempDir()
	paths := map[string]string{}
	for _, e := range z.File {
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		paths[strings.TrimSuffix(e.Name, ".npz")] = filepath.Join(dir, e.Name)
		if err := os.WriteFile(filepath.Join(dir, e.Name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := counted(3, 1, 1, 60) // its pixels are in the order of the archive, [N, H, W, C]
	pixels := make([]uint8, len(want.Pixels))
	for i := range want.N {
		transpose(pixels[60*i:60*i+60], want.Pixels[60*i:60*i+60], 20, 3)
	}
	for _, name := range []string{
		"float-labels", "unsigned-labels", "column-labels", "big-endian", "fortran", "statistics",
	} {
		s, err := Read(paths[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		im := s.(*Images)
		if !slices.Equal(im.Shape(), []int{3, 4, 5}) || !slices.Equal(im.Pixels, pixels) ||
			!slices.Equal(im.Labels, []int64{2, 0, 1}) {
			t.Errorf("%s is read as %+v, want shape [3 4 5], labels [2 0 1] and pixels %v", name, im, pixels)
		}
	}
	if s, err := Read(paths["grey"]); err != nil || !slices.Equal(s.Shape(), []int{1, 4, 5}) {
		t.Errorf("grey: error %v, or the shape is not [1 4 5]", err)
	}
	if s, err := Read(paths["half-points"]); err != nil || s.(*Points).X[3] != 0.75 {
		t.Errorf("half-points: error %v, or coordinate 3 is not 0.75", err)
	}
	for name, c := range map[string]struct{ want, hint string }{
		"one-hot":       {"arr_1 has shape [3 3]", "labels.argmax(1)"},
		"fractions":     {"arr_1 holds 2.5", ""},
		"names":         {"unsupported element type", ""},
		"object-labels": {"never loaded", ""},
		"few-labels":    {"arr_1 has shape [2]", "arr_0 alone"},
	} {
		if _, err := Read(paths[name]); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(failure.HintOf(err), c.hint) {
			t.Errorf("%s: error %v (hint %q), want %q (hint %q)", name, err, failure.HintOf(err), c.want, c.hint)
		}
		if s, err := ReadUnlabelled(paths[name]); err != nil || s.Len() != 3 {
			t.Errorf("%s without labels: error %v, or not 3 samples", name, err)
		}
	}
	for name, c := range map[string]struct{ want, hint string }{
		"objects":   {"never loaded", ""},
		"floats":    {"holds <f8, expected pixels", "(255 * array).round()"},
		"signed":    {"holds -128, expected pixels from 0 to 255", ""},
		"one-image": {"has shape [4 5 3]", ""},
		"flat":      {"holds |u1 of shape [3 60]", "[N, H, W, C]"},
		"complex":   {"unsupported element type", ""},
		"named":     {"no array arr_0; the arrays are: x_train, y_train", "numpy.savez(FILE, samples)"},
	} {
		if _, err := ReadUnlabelled(paths[name]); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(failure.HintOf(err), c.hint) {
			t.Errorf("%s: error %v (hint %q), want %q (hint %q)", name, err, failure.HintOf(err), c.want, c.hint)
		}
	}
	pointer := filepath.Join(dir, "lfs.npz")
	if err := os.WriteFile(pointer, []byte("version https://git-lfs.github.com/spec/v1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(pointer); err == nil || !strings.Contains(failure.HintOf(err), "git lfs pull") {
		t.Errorf("a Git LFS pointer: error %v with hint %q, want the hint git lfs pull", err, failure.HintOf(err))
	}
}

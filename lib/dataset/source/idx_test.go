package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/failure"
)

// idxFile returns an idx file with the given sizes and the data 0, 1, 2, … modulo mod.
func idxFile(mod int, sizes ...int) []byte {
	b := []byte{0, 0, 8, byte(len(sizes))}
	n := 1
	for _, s := range sizes {
		b = binary.BigEndian.AppendUint32(b, uint32(s))
		n *= s
	}
	for i := range n {
		b = append(b, byte(i%mod))
	}
	return b
}

// mnistDir writes a small valid data set of the MNIST family and returns its directory. edit may change the files
// before they are written.
func mnistDir(t testing.TB, edit func(files map[string][]byte)) string {
	t.Helper()
	files := map[string][]byte{
		trainImages + ".gz": gz(t, idxFile(251, 20, 5, 4)),
		trainLabels + ".gz": gz(t, idxFile(10, 20)),
		testImages:          idxFile(13, 10, 5, 4),
		testLabels:          idxFile(10, 10),
	}
	if edit != nil {
		edit(files)
	}
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadIDX(t *testing.T) {
	dir := mnistDir(t, nil)
	l, err := Load("mnist", dir, false, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if l.Train.N != 20 || l.Train.H != 5 || l.Train.W != 4 || l.Test.N != 10 ||
		l.Train.Split != "train" || l.Test.Split != "test" || l.Train.Name != "mnist" {
		t.Errorf("%s has %d images of %dx%d in %q and %d in %q, want mnist with 20 of 5x4 in train and 10 in test",
			l.Train.Name, l.Train.N, l.Train.H, l.Train.W, l.Train.Split, l.Test.N, l.Test.Split)
	}
	for i, p := range l.Train.Pixels {
		if p != uint8(i%251) {
			t.Fatalf("pixel %d is %d, want %d", i, p, i%251)
		}
	}
	for i, label := range l.Train.Labels {
		if label != int64(i%10) {
			t.Fatalf("label %d is %d, want %d", i, label, i%10)
		}
	}
	digest, err := Digest("mnist", dir)
	if err != nil || digest != l.Digest {
		t.Errorf("Digest returns %s (%v), Load %s, want the same", digest, err, l.Digest)
	}
	changed, err := Digest("mnist", mnistDir(t, func(f map[string][]byte) { f[testLabels][9]++ }))
	if err != nil || changed == digest {
		t.Errorf("a changed file has the digest of the original (%v)", err)
	}
	elsewhere, err := Digest("mnist", mnistDir(t, nil))
	if err != nil || elsewhere != digest {
		t.Errorf("the same files elsewhere have another digest (%v)", err)
	}
}

func TestLoadIDXRefuses(t *testing.T) {
	images := trainImages + ".gz"
	flip := func(name string, from int) func(map[string][]byte) {
		return func(f map[string][]byte) { f[name][from] ^= 0x40 }
	}
	for name, c := range map[string]struct {
		edit   func(files map[string][]byte)
		verify bool
		class  failure.Class
		want   []string
	}{
		"truncated gzip": {
			func(f map[string][]byte) { f[images] = f[images][:len(f[images])/2] },
			false, failure.Input, []string{images, "truncated"},
		},
		"truncated gzip trailer": {
			func(f map[string][]byte) { f[images] = f[images][:len(f[images])-3] },
			false, failure.Input, []string{images, "truncated"},
		},
		"truncated plain": {
			func(f map[string][]byte) { f[testImages] = f[testImages][:100] },
			false, failure.Input, []string{testImages, "expected 200 bytes, got 84 (truncated)"},
		},
		"truncated header": {
			func(f map[string][]byte) { f[testLabels] = f[testLabels][:6] },
			false, failure.Input, []string{testLabels, "header"},
		},
		"empty": {
			func(f map[string][]byte) { f[images] = nil },
			false, failure.Input, []string{images, "truncated"},
		},
		"wrong magic": {
			func(f map[string][]byte) { f[testImages][2] = 9 },
			false, failure.Input, []string{testImages, "magic number", "00000903"},
		},
		"no gzip": {
			func(f map[string][]byte) { f[images] = []byte("<html>404</html>") },
			false, failure.Input, []string{images, "expected gzip"},
		},
		"trailing bytes": {
			func(f map[string][]byte) { f[testImages] = append(f[testImages], 0) },
			false, failure.Input, []string{testImages, "expected 200 bytes, got more"},
		},
		"images and labels swapped": {
			func(f map[string][]byte) { f[testImages], f[testLabels] = f[testLabels], f[testImages] },
			false, failure.Input, []string{testImages, "expected [N, H, W], got [10]"},
		},
		"fewer labels": {
			func(f map[string][]byte) { f[testLabels] = idxFile(10, 9) },
			false, failure.Input, []string{testLabels, "[10], one label per image, got [9]"},
		},
		"label out of range": {func(f map[string][]byte) { f[testLabels][8+3] = 10 }, false, failure.Input,
			[]string{testLabels, "label of record 3", "expected 0..9, got 10"}},
		"no images": {
			func(f map[string][]byte) { f[testImages], f[testLabels] = idxFile(10, 0, 5, 4), idxFile(10, 0) },
			false, failure.Input, []string{"[0 5 4]"},
		},
		"other image size": {
			func(f map[string][]byte) { f[testImages] = idxFile(10, 10, 4, 4) },
			false, failure.Input, []string{"5x4 as in training", "4x4"},
		},
		"huge claim": {
			func(f map[string][]byte) { copy(f[testImages][4:], []byte{0xff, 0xff, 0xff, 0xff}) },
			false, failure.Input, []string{"sizes"},
		},
		"flipped bit":   {flip(images, 40), false, failure.Integrity, []string{images}},
		"other content": {nil, true, failure.Integrity, []string{images, "the published mnist"}},
		"missing file": {
			func(f map[string][]byte) { delete(f, testLabels) },
			false, failure.Input, []string{testLabels},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load("mnist", mnistDir(t, c.edit), c.verify, 0, 0)
			if failure.ClassOf(err) != c.class {
				t.Fatalf("error %v of class %v, want %v", err, failure.ClassOf(err), c.class)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	for _, source := range []string{"mnist", "fashion-mnist", "cifar10"} {
		for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
			_, err := Locate(source, path)
			if !errors.Is(err, fs.ErrNotExist) || failure.ClassOf(err) != failure.Input || failure.HintOf(err) == "" {
				t.Errorf("%s at %s: error %v, want fs.ErrNotExist with a hint", source, path, err)
			}
		}
	}
	if _, err := Locate("cifar10", ""); failure.ClassOf(err) != failure.Input {
		t.Errorf("CIFAR-10 without a path: error %v, want an input error", err)
	}
}

// TestIDXBoundsMemory: decoding allocates memory for the bytes in the file, not for the size that its header claims.
func TestIDXBoundsMemory(t *testing.T) {
	header := idxFile(1, 1, 1, 1)[:4]
	for range 3 {
		header = binary.BigEndian.AppendUint32(header, 1000)
	}
	before := allocated()
	_, _, err := decodeIDX("bomb", io.MultiReader(bytes.NewReader(header), strings.NewReader("few")))
	if failure.ClassOf(err) != failure.Input {
		t.Errorf("a header that promises more than follows: error %v, want an input error", err)
	}
	if used := allocated() - before; used > 80<<20 {
		t.Errorf("%d bytes allocated for a file of 19 bytes, want at most 80 MiB", used)
	}
}

func FuzzIDX(f *testing.F) {
	f.Add(idxFile(10, 3))
	f.Add(idxFile(255, 2, 3, 4))
	f.Add([]byte{0, 0, 8, 4, 0, 0, 0, 0, 255, 255, 255, 255, 0, 1, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		sizes, data, err := decodeIDX("fuzz", bytes.NewReader(b))
		if err != nil {
			if failure.ClassOf(err) != failure.Input {
				t.Fatalf("error %v of class %v, want an input error", err, failure.ClassOf(err))
			}
			return
		}
		n := 1
		for _, s := range sizes {
			n *= s
		}
		if n != len(data) || len(data)+4+4*len(sizes) != len(b) {
			t.Fatalf("sizes %v do not fit %d bytes of data in a file of %d", sizes, len(data), len(b))
		}
	})
}

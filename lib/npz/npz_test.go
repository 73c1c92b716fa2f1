package npz

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func mustParse(t testing.TB, raw []byte) *File {
	t.Helper()
	f, err := parse(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func check[T Number](t *testing.T, f *File, name string, shape []int, value func(i int) T) {
	t.Helper()
	n := 1
	for _, d := range shape {
		n *= d
	}
	var want []T
	for i := range n {
		want = append(want, value(i))
	}
	got, s, err := Read[T](f, name)
	if err != nil || !slices.Equal(s, shape) || !slices.Equal(got, want) {
		t.Errorf("%s is %v %v (%v), want %v %v", name, got, s, err, want, shape)
	}
}

// TestNumPyArchives reads arrays that NumPy wrote (testdata/golden.py): every element type except uint32, stored and
// compressed.
func TestNumPyArchives(t *testing.T) {
	cube := []int{2, 3, 4}
	for _, file := range []string{"kinds.npz", "packed.npz"} {
		f, err := Open(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if len(f.Names()) != 17 || !slices.IsSorted(f.Names()) {
			t.Errorf("%s: arrays %v, want 17 names in order", file, f.Names())
		}
		check(t, f, "arr_0", []int{2, 4, 5, 3}, func(i int) uint8 { return uint8(i * 7) })
		check(t, f, "f4", cube, func(i int) float32 { return float32(float64(i) / 7) })
		check(t, f, "f4", cube, func(i int) float64 { return float64(float32(float64(i) / 7)) })
		check(t, f, "f8", cube, func(i int) float64 { return float64(i) / 7 })
		check(t, f, "f2", cube, func(i int) float32 { return float32(i) / 4 })
		check(t, f, "u8", cube, func(i int) int64 { return int64(i) })
		if _, _, err := Read[int64](f, "u8large"); err == nil || !strings.Contains(err.Error(), "2^63") {
			t.Errorf("2^63 read as int64: error %v, want one with 2^63", err)
		}
		check(t, f, "big", cube, func(i int) float64 { return float64(i) / 7 })
		check(t, f, "fortran", cube, func(i int) float64 { return float64(i) / 7 })
		check(t, f, "i4", cube, func(i int) int64 { return int64(i - 12) })
		check(t, f, "i8", cube, func(i int) int64 { return int64(i-12) << 40 })
		check(t, f, "i2", cube, func(i int) int64 { return int64(i - 12) })
		check(t, f, "i1", cube, func(i int) int64 { return int64(i - 12) })
		check(t, f, "u2", cube, func(i int) int64 { return int64(i + 65500) })
		check(t, f, "bool", cube, func(i int) uint8 { return uint8(1 - i%2) })
		check(t, f, "scalar", nil, func(int) float64 { return 2.5 })
		check(t, f, "empty", []int{0, 3}, func(int) float32 { return 0 })
		check(t, f, "line", []int{5}, func(i int) float64 { return float64(i) })
		h, err := f.Header("fortran")
		if err != nil || h.Dtype != "<f8" || !h.Fortran || !slices.Equal(h.Shape, cube) {
			t.Errorf("header %+v (%v), want <f8 in Fortran order of shape %v", h, err, cube)
		}
		var missing *MissingError
		if _, _, err := Read[float64](f, "mu"); !errors.As(err, &missing) || !strings.Contains(err.Error(), "arr_0, big") {
			t.Errorf("a missing array: error %v, want a MissingError that lists the arrays", err)
		}
		// Read refuses a type that would round or wrap values.
		if _, _, err := Read[float32](f, "f8"); err == nil {
			t.Error("float64 was read as float32")
		}
		if _, _, err := Read[uint8](f, "i8"); err == nil {
			t.Error("int64 was read as uint8")
		}
		if _, _, err := Read[float64](f, "arr_0"); err == nil {
			t.Error("uint8 was read as float64")
		}
	}
}

func TestVersions(t *testing.T) {
	for _, name := range []string{"v1.npy", "v2.npy", "v3.npy"} {
		f := mustParse(t, golden(t, name))
		check(t, f, "arr_0", []int{2, 3, 4}, func(i int) float32 { return float32(float64(i) / 7) })
		if !IsFile(filepath.Join("testdata", name)) {
			t.Errorf("IsFile does not recognise %s", name)
		}
	}
	if IsFile("testdata/golden.py") || !IsFile("testdata/kinds.npz") {
		t.Error("IsFile takes golden.py for an archive, or does not recognise kinds.npz")
	}
}

func TestStatistics(t *testing.T) {
	for _, name := range []string{"statistics.npz", "statistics32.npz"} {
		mu, sigma, err := ReadStatistics(mustParse(t, golden(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		// The rows are (0, 1, 2)/8, (3, 4, 5)/8, …, so every entry of sigma is the variance of (0, 3, 6, 9)/8.
		if want := []float64{4.5 / 8, 5.5 / 8, 6.5 / 8}; !slices.Equal(mu, want) {
			t.Errorf("%s: mu %v, want %v", name, mu, want)
		}
		for _, v := range sigma {
			if len(sigma) != 9 || v != 15./64 {
				t.Errorf("%s: sigma %v, want nine times 15/64", name, sigma)
			}
		}
	}
	write := func(mu, sigma []float64, shape []int) []byte {
		var b bytes.Buffer
		w := NewWriter(&b)
		if err := errors.Join(Add(w, "mu", []int{len(mu)}, mu), Add(w, "sigma", shape, sigma), w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var row bytes.Buffer
	w := NewWriter(&row)
	if err := errors.Join(Add(w, "mu", []int{1, 2}, []float64{1, 2}), Add(w, "sigma", []int{2, 2}, make([]float64, 4)),
		w.Close()); err != nil {
		t.Fatal(err)
	}
	if mu, _, err := ReadStatistics(mustParse(t, row.Bytes())); err != nil || len(mu) != 2 {
		t.Errorf("a mean of shape [1 2]: error %v, or not two values", err)
	}
	for want, raw := range map[string][]byte{
		"[2, 2]":      write([]float64{1, 2}, []float64{1, 0, 0, 1}, []int{4}),
		"no array mu": golden(t, "packed.npz"),
	} {
		if _, _, err := ReadStatistics(mustParse(t, raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func sampleArchive(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	images, err := Create[uint8](w, "arr_0", []int{2, 2, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if err := images.Append([]uint8{uint8(i), 1, 2, 3, 4, 255}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		Add(w, "arr_1", []int{2}, []int64{-3, 1 << 40}),
		Add(w, "mu", []int{3}, []float64{0.1, 2, 3e300}),
		Add(w, "x", []int{1, 2}, []float32{0.1, -2}),
		Add(w, "none", []int{0, 4}, []float32{}),
		Add(w, "scalar", nil, []float64{2.5}),
		w.Close(),
	); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWriteAndRead(t *testing.T) {
	raw := sampleArchive(t)
	f := mustParse(t, raw)
	check(t, f, "arr_0", []int{2, 2, 2, 3}, func(i int) uint8 { return []uint8{uint8(i / 6), 1, 2, 3, 4, 255}[i%6] })
	check(t, f, "arr_1", []int{2}, func(i int) int64 { return []int64{-3, 1 << 40}[i] })
	check(t, f, "mu", []int{3}, func(i int) float64 { return []float64{0.1, 2, 3e300}[i] })
	check(t, f, "x", []int{1, 2}, func(i int) float32 { return []float32{0.1, -2}[i] })
	check(t, f, "scalar", nil, func(int) float64 { return 2.5 })
	// The bytes of the archive depend only on its content.
	sum := sha256.Sum256(raw)
	const want = "8122788e998a5c93376d3d4cfa5696c8a0436926e209750ac89e514dec2fdc18"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the archive has digest %s, want %s", got, want)
	}
}

func TestWriteRefuses(t *testing.T) {
	w := NewWriter(io.Discard)
	if err := Add(w, "a", []int{2, 2}, []uint8{1, 2, 3, 4, 5}); err == nil {
		t.Error("five values were written as an array of shape [2 2]")
	}
	if _, err := Create[uint8](NewWriter(io.Discard), "a", []int{1 << 40, 1 << 40}); err == nil {
		t.Error("Create accepts an array of 2^80 elements")
	}
	w = NewWriter(io.Discard)
	if err := Add(w, "a", []int{2, 2}, []uint8{1, 2, 3}); err != nil {
		t.Error(err)
	}
	if err := Add(w, "b", []int{1}, []uint8{1}); err == nil || !strings.Contains(err.Error(), "array a") {
		t.Errorf("an array after an incomplete one: error %v, want one that names the incomplete array a", err)
	}
	if err := w.Close(); err == nil {
		t.Error("Close returns no error although an array is incomplete")
	}
}

// TestNumPyReadsIt: NumPy reads the same values from an archive that this package wrote.
func TestNumPyReadsIt(t *testing.T) {
	python := "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import numpy").Run(); err != nil {
		t.Skipf("%s has no NumPy: %v", python, err)
	}
	path := filepath.Join(t.TempDir(), "a.npz")
	if err := os.WriteFile(path, sampleArchive(t), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", `
import sys, numpy as np
z = np.load(sys.argv[1])
for k in sorted(z.files):
    a = z[k]
    print(k, a.dtype.str, a.shape, a.flags.c_contiguous, a.ravel()[:6].tolist())
`, path).CombinedOutput()
	if err != nil {
		t.Fatalf("python3: %v\n%s", err, out)
	}
	want := `arr_0 |u1 (2, 2, 2, 3) True [0, 1, 2, 3, 4, 255]
arr_1 <i8 (2,) True [-3, 1099511627776]
mu <f8 (3,) True [0.1, 2.0, 3e+300]
none <f4 (0, 4) True []
scalar <f8 () True [2.5]
x <f4 (1, 2) True [0.10000000149011612, -2.0]
`
	if string(out) != want {
		t.Errorf("NumPy reads\n%swant\n%s", out, want)
	}
}

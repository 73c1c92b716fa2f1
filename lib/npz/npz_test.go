package npz

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

func parse(t testing.TB, raw []byte) *File {
	t.Helper()
	f, err := Parse(bytes.NewReader(raw), int64(len(raw)))
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

// Arrays of every kind, as NumPy wrote them (testdata/golden.py), stored and compressed.
func TestNumPyArchives(t *testing.T) {
	cube := []int{2, 3, 4}
	for _, file := range []string{"kinds.npz", "packed.npz"} {
		f, err := Open(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if len(f.Names()) != 14 || !slices.IsSorted(f.Names()) {
			t.Errorf("%s: arrays %v", file, f.Names())
		}
		check(t, f, "arr_0", []int{2, 4, 5, 3}, func(i int) uint8 { return uint8(i * 7) })
		check(t, f, "f4", cube, func(i int) float32 { return float32(float64(i) / 7) })
		check(t, f, "f4", cube, func(i int) float64 { return float64(float32(float64(i) / 7)) })
		check(t, f, "f8", cube, func(i int) float64 { return float64(i) / 7 })
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
			t.Errorf("header %+v, %v", h, err)
		}
		var missing *MissingError
		if _, _, err := Read[float64](f, "mu"); !errors.As(err, &missing) || !strings.Contains(err.Error(), "arr_0, big") {
			t.Errorf("a missing array: %v", err)
		}
		// Nothing is rounded or wrapped to fit.
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
		check(t, parse(t, golden(t, name)), "arr_0", []int{2, 3, 4}, func(i int) float32 { return float32(float64(i) / 7) })
		if !IsFile(filepath.Join("testdata", name)) {
			t.Errorf("%s is not known as NumPy's", name)
		}
	}
	if IsFile("testdata/golden.py") || !IsFile("testdata/kinds.npz") {
		t.Error("files are not told apart")
	}
}

func TestStatistics(t *testing.T) {
	for _, name := range []string{"statistics.npz", "statistics32.npz"} {
		mu, sigma, err := ReadStatistics(parse(t, golden(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		// Rows (0, 1, 2)/8, (3, 4, 5)/8, …: every covariance is that of 0, 3, 6, 9 over 64.
		if want := []float64{4.5 / 8, 5.5 / 8, 6.5 / 8}; !slices.Equal(mu, want) {
			t.Errorf("%s: mu %v, want %v", name, mu, want)
		}
		for _, v := range sigma {
			if len(sigma) != 9 || v != 15./64 {
				t.Errorf("%s: sigma %v", name, sigma)
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
	zero := 0.0
	for want, raw := range map[string][]byte{
		"not symmetric": write([]float64{1, 2}, []float64{1, 0.5, 0.4, 1}, []int{2, 2}),
		"variance":      write([]float64{1, 2}, []float64{1, 0, 0, -1}, []int{2, 2}),
		"holds NaN":     write([]float64{1, 2}, []float64{1, zero / zero, 0, 1}, []int{2, 2}),
		"holds +Inf":    write([]float64{1 / zero, 2}, []float64{1, 0, 0, 1}, []int{2, 2}),
		"[2, 2]":        write([]float64{1, 2}, []float64{1, 0, 0, 1}, []int{4}),
		"no array mu":   golden(t, "packed.npz"),
	} {
		if _, _, err := ReadStatistics(parse(t, raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// sampleArchive is what the tests of writing write.
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
	f := parse(t, raw)
	check(t, f, "arr_0", []int{2, 2, 2, 3}, func(i int) uint8 { return []uint8{uint8(i / 6), 1, 2, 3, 4, 255}[i%6] })
	check(t, f, "arr_1", []int{2}, func(i int) int64 { return []int64{-3, 1 << 40}[i] })
	check(t, f, "mu", []int{3}, func(i int) float64 { return []float64{0.1, 2, 3e300}[i] })
	check(t, f, "x", []int{1, 2}, func(i int) float32 { return []float32{0.1, -2}[i] })
	check(t, f, "scalar", nil, func(int) float64 { return 2.5 })
	// The bytes are a function of the content, on every machine and at any time.
	sum := sha256.Sum256(raw)
	if got, want := hex.EncodeToString(sum[:]), "8122788e998a5c93376d3d4cfa5696c8a0436926e209750ac89e514dec2fdc18"; got != want {
		t.Errorf("the archive has digest %s, want %s", got, want)
	}
}

func TestWriteRefuses(t *testing.T) {
	w := NewWriter(io.Discard)
	if err := Add(w, "a", []int{2, 2}, []uint8{1, 2, 3, 4, 5}); err == nil {
		t.Error("five numbers were written as 2 x 2")
	}
	if _, err := Create[uint8](NewWriter(io.Discard), "a", []int{1 << 40, 1 << 40}); err == nil {
		t.Error("an array of 2^80 was begun")
	}
	w = NewWriter(io.Discard)
	if err := Add(w, "a", []int{2, 2}, []uint8{1, 2, 3}); err != nil {
		t.Error(err)
	}
	if err := Add(w, "b", []int{1}, []uint8{1}); err == nil || !strings.Contains(err.Error(), "array a") {
		t.Errorf("an array after an incomplete one: %v", err)
	}
	if err := w.Close(); err == nil {
		t.Error("an archive of an incomplete array was closed")
	}
}

// What is written here opens in NumPy, which finds the same numbers.
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
		t.Fatalf("%v: %s", err, out)
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

// entry packs one member.
func entry(t testing.TB, method uint16, name string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func npyFile(header string, data ...byte) []byte {
	return append([]byte(fmt.Sprintf("%s\x01\x00%c%c%s", magicNPY, len(header)&255, len(header)>>8, header)), data...)
}

// Hostile and damaged files end in an error that says why, and cost no memory to speak of.
func TestHostileFiles(t *testing.T) {
	four := func(shape string) string {
		return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n"
	}
	bomb := npyFile("{'descr': '|u1', 'fortran_order': False, 'shape': (67108864,), }\n", make([]byte, 64<<20)...)
	flipped := bytes.Clone(golden(t, "kinds.npz"))
	flipped[bytes.Index(flipped, []byte("arr_0.npy"))+200] ^= 1 // in the data of arr_0
	lying := entry(t, zip.Store, "arr_0.npy", npyFile(four("(1,)"), 0, 0, 0, 0))
	directory := bytes.LastIndex(lying, []byte("PK\x01\x02"))
	for i := range 8 {
		lying[directory+20+i] = 0x7f // both sizes
	}
	many := func() []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i := range maxArrays + 1 {
			if _, err := z.Create(fmt.Sprintf("%d.npy", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}()
	var empty bytes.Buffer
	if err := zip.NewWriter(&empty).Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"no file", "begins neither", nil},
		{"an image", "begins neither", []byte("\x89PNG\r\n\x1a\n")},
		{"a cut archive", "truncated or damaged", golden(t, "kinds.npz")[:700]},
		{"an archive of other things", "holds no array", entry(t, zip.Store, "data.pkl", nil)},
		{"too many arrays", "more than 4096", many},
		{"a flipped bit", "checksum", flipped},
		{"sizes beyond the archive", "claims", lying},
		{"a bomb", "grow from", entry(t, zip.Deflate, "arr_0.npy", bomb)},
		{"a small bomb with a larger claim", "bytes of data", entry(t, zip.Deflate, "arr_0.npy", append(npyFile(four("(1000000000,)")), make([]byte, 1<<20)...))},
		{"a method of its own", "not a valid|unsupported|method", func() []byte {
			raw := entry(t, zip.Store, "arr_0.npy", npyFile(four("(1,)"), 0, 0, 0, 0))
			raw[bytes.LastIndex(raw, []byte("PK\x01\x02"))+10] = 14
			return raw
		}()},
		{"an array of 400 MB that ends", "bytes of data", npyFile(four("(100000000,)"))},
		{"an array that goes on", "bytes of data", npyFile(four("(1,)"), make([]byte, 5)...)},
		{"a cut array", "bytes of data", npyFile(four("(1,)"), 0, 0, 0)},
		{"2^64 elements", "more than", npyFile(four("(4294967296, 4294967296)"))},
		{"2^70 elements", "expected a dictionary", npyFile(four("(1180591620717411303424,)"))},
		{"a negative dimension", "expected a dictionary", npyFile(four("(-4,)"))},
		{"no newline", "bytes of data", npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }")},
		{"no dictionary", "expected a dictionary", npyFile("\n")},
		{"a key too few", "expected a dictionary", npyFile("{'descr': '<f4', 'fortran_order': False}\n")},
		{"a key twice", "expected a dictionary", npyFile("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}\n")},
		{"a key unknown", "expected a dictionary", npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}\n")},
		{"a call", "expected a dictionary", npyFile("{'descr': __import__('os'), 'fortran_order': False, 'shape': ()}\n")},
		{"a header of 4 GB", "header of", []byte(magicNPY + "\x02\x00\xff\xff\xff\xff{")},
		{"a cut header", "truncated", []byte(magicNPY + "\x01\x00\x40\x00{")},
		{"version 9", "format version 9", []byte(magicNPY + "\x09\x00\x40\x00{")},
		{"objects", "never loaded", golden(t, "objects.npz")},
		{"records", "records", golden(t, "records.npz")},
		{"complex numbers", "element type", npyFile("{'descr': '<c8', 'fortran_order': False, 'shape': ()}\n", make([]byte, 8)...)},
	} {
		before := taken()
		f, err := Parse(bytes.NewReader(c.data), int64(len(c.data)))
		if err == nil {
			if _, _, err = Read[float32](f, f.Names()[0]); err == nil {
				t.Errorf("%s was read", c.name)
				continue
			}
			if _, _, more := Read[uint8](f, f.Names()[0]); strings.Contains(err.Error(), "expected float32") {
				err = more
			}
		}
		if err == nil || !slices.ContainsFunc(strings.Split(c.want, "|"), func(w string) bool { return strings.Contains(err.Error(), w) }) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.want)
		}
		if grown := taken() - before; grown > 16<<20 {
			t.Errorf("%s took %d MB", c.name, grown>>20)
		}
	}
}

// taken is all memory that was ever asked for.
func taken() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// Whatever the bytes, there is an error or arrays as large as their shapes say, and none much larger than the file.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"kinds.npz", "packed.npz", "v1.npy", "v3.npy", "objects.npz"} {
		f.Add(golden(f, name))
	}
	f.Add(npyFile("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }\n", make([]byte, 8)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, name := range file.Names() {
			fuzzRead[uint8](t, file, name, len(data))
			fuzzRead[int64](t, file, name, len(data))
			fuzzRead[float64](t, file, name, len(data))
		}
	})
}

func fuzzRead[T Number](t *testing.T, f *File, name string, size int) {
	v, shape, err := Read[T](f, name)
	if err != nil {
		return
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	if n != len(v) || len(v) > freeSize+maxRatio*size {
		t.Errorf("array %q of shape %v has %d elements in a file of %d bytes", name, shape, len(v), size)
	}
}

// Headers alone, of which the fuzzer reaches more without an archive around them.
func FuzzHeader(f *testing.F) {
	f.Add("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n")
	f.Add(`{"shape": (10L,), "fortran_order": True, "descr": "|u1"}`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHeader(text)
		if err == nil && (h.count < 0 || h.kind.size < 1) {
			t.Errorf("%q is %+v", text, h)
		}
	})
}

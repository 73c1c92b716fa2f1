package dataset

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// idxFile returns an idx file of those sizes, with data 0, 1, 2, … modulo mod.
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

func gz(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// mnistDir writes a sound little data set of the MNIST family and returns its directory; edit changes its files first.
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
	l, err := Load("mnist", dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if l.Train.N != 20 || l.Train.H != 5 || l.Train.W != 4 || l.Test.N != 10 || l.Train.Split != "train" || l.Test.Split != "test" || l.Train.Name != "mnist" {
		t.Errorf("train %d of %dx%d, test %d", l.Train.N, l.Train.H, l.Train.W, l.Test.N)
	}
	for i, p := range l.Train.Pixels {
		if p != uint8(i%251) {
			t.Fatalf("pixel %d is %d", i, p)
		}
	}
	for i, label := range l.Train.Labels {
		if label != int64(i%10) {
			t.Fatalf("label %d is %d", i, label)
		}
	}
	digest, err := Digest("mnist", dir)
	if err != nil || digest != l.Digest {
		t.Errorf("Digest says %s (%v), Load %s", digest, err, l.Digest)
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
		kind   any // pointer to the type of error
		want   []string
	}{
		"truncated gzip":         {func(f map[string][]byte) { f[images] = f[images][:len(f[images])/2] }, false, new(*FileError), []string{images, "truncated"}},
		"truncated gzip trailer": {func(f map[string][]byte) { f[images] = f[images][:len(f[images])-3] }, false, new(*FileError), []string{images, "truncated"}},
		"truncated plain":        {func(f map[string][]byte) { f[testImages] = f[testImages][:100] }, false, new(*FileError), []string{testImages, "expected 200 bytes, got 84 (truncated)"}},
		"truncated header":       {func(f map[string][]byte) { f[testLabels] = f[testLabels][:6] }, false, new(*FileError), []string{testLabels, "header"}},
		"empty":                  {func(f map[string][]byte) { f[images] = nil }, false, new(*FileError), []string{images, "truncated"}},
		"wrong magic":            {func(f map[string][]byte) { f[testImages][2] = 9 }, false, new(*FileError), []string{testImages, "magic number", "00000903"}},
		"no gzip":                {func(f map[string][]byte) { f[images] = []byte("<html>404</html>") }, false, new(*FileError), []string{images, "expected gzip"}},
		"trailing bytes":         {func(f map[string][]byte) { f[testImages] = append(f[testImages], 0) }, false, new(*FileError), []string{testImages, "expected 200 bytes, got more"}},
		"images and labels swapped": {func(f map[string][]byte) { f[testImages], f[testLabels] = f[testLabels], f[testImages] }, false,
			new(*FileError), []string{testImages, "expected [N, H, W], got [10]"}},
		"fewer labels": {func(f map[string][]byte) { f[testLabels] = idxFile(10, 9) }, false, new(*FileError), []string{testLabels, "[10], one label per image, got [9]"}},
		"label out of range": {func(f map[string][]byte) { f[testLabels][8+3] = 10 }, false, new(*FileError),
			[]string{testLabels, "label of record 3", "expected 0..9, got 10"}},
		"no images":        {func(f map[string][]byte) { f[testImages], f[testLabels] = idxFile(10, 0, 5, 4), idxFile(10, 0) }, false, new(*FileError), []string{"[0 5 4]"}},
		"other image size": {func(f map[string][]byte) { f[testImages] = idxFile(10, 10, 4, 4) }, false, new(*FileError), []string{"5x4 as in training", "4x4"}},
		"huge claim":       {func(f map[string][]byte) { copy(f[testImages][4:], []byte{0xff, 0xff, 0xff, 0xff}) }, false, new(*FileError), []string{"sizes"}},
		"flipped bit":      {flip(images, 40), false, new(*ChecksumError), []string{images}},
		"other content":    {nil, true, new(*ChecksumError), []string{images, "the published mnist"}},
		"missing file":     {func(f map[string][]byte) { delete(f, testLabels) }, false, new(*NotFoundError), []string{testLabels}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load("mnist", mnistDir(t, c.edit), c.verify)
			if err == nil || !errors.As(err, c.kind) {
				t.Fatalf("error %v (%T), want a %T", err, err, c.kind)
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
	var nf *NotFoundError
	for _, source := range []string{"mnist", "fashion-mnist", "cifar10"} {
		if _, err := Locate(source, filepath.Join(t.TempDir(), "none")); !errors.As(err, &nf) || nf.Hint == "" {
			t.Errorf("%s: error %v, want a NotFoundError with a hint", source, err)
		}
		if _, err := Locate(source, t.TempDir()); !errors.As(err, &nf) {
			t.Errorf("%s, empty directory: error %v, want a NotFoundError", source, err)
		}
	}
	if _, err := Locate("cifar10", ""); !errors.As(err, &nf) {
		t.Errorf("error %v, want a NotFoundError", err)
	}
}

// TestIDXBoundsMemory: what a header claims costs no memory before the bytes are there.
func TestIDXBoundsMemory(t *testing.T) {
	header := idxFile(1, 1, 1, 1)[:4]
	for range 3 {
		header = binary.BigEndian.AppendUint32(header, 1000)
	}
	before := allocated()
	_, _, err := DecodeIDX("bomb", io.MultiReader(bytes.NewReader(header), strings.NewReader("few")))
	var fe *FileError
	if !errors.As(err, &fe) {
		t.Errorf("error %v, want a FileError", err)
	}
	if used := allocated() - before; used > 80<<20 {
		t.Errorf("%d bytes allocated for 19 bytes of file", used)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// cifarBatch returns n records with labels 0, 1, … and random pixels.
func cifarBatch(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n*cifarRecord)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	for i := range n {
		b[i*cifarRecord] = byte(i % 10)
	}
	return b
}

// member is a file of an archive.
type member struct {
	name string
	data []byte
}

func cifarMembers() []member {
	m := []member{{"cifar-10-batches-bin/batches.meta.txt", []byte("airplane\n")}}
	for i, b := range cifarBatches {
		m = append(m, member{"cifar-10-batches-bin/" + b, cifarBatch(uint64(i), 3+i)})
	}
	return m
}

func tarOf(t testing.TB, members []member) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func writeFile(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLoadCIFAR reads one data set in every packing; the members' order in the archive does not matter.
func TestLoadCIFAR(t *testing.T) {
	members := cifarMembers()
	plain := tarOf(t, members)
	slices.Reverse(members)
	dir := t.TempDir()
	sub := filepath.Join(dir, "cifar-10-batches-bin")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if err := os.WriteFile(filepath.Join(dir, m.name), m.data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var first *Loaded
	for _, path := range []string{writeFile(t, "c.tar", plain), writeFile(t, "c.tar.gz", gz(t, plain)), writeFile(t, "c.bin", gz(t, tarOf(t, members))), dir, sub} {
		l, err := Load("cifar10", path, false)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if digest, err := Digest("cifar10", path); err != nil || digest != l.Digest {
			t.Errorf("%s: Digest says %s (%v), Load %s", path, digest, err, l.Digest)
		}
		if first == nil {
			first = l
		}
		if d := cmp.Diff([]*Images{first.Train, first.Test}, []*Images{l.Train, l.Test}); d != "" {
			t.Errorf("%s differs from the first packing:\n%s", path, d)
		}
	}
	if first.Train.N != 3+4+5+6+7 || first.Test.N != 8 {
		t.Fatalf("train %d, test %d", first.Train.N, first.Test.N)
	}
	record := cifarBatch(1, 4)[2*cifarRecord : 3*cifarRecord] // third record of data_batch_2
	if first.Train.Labels[3+2] != int64(record[0]) || !bytes.Equal(first.Train.Image(3+2), record[1:]) {
		t.Error("record 5 of the training split is not the third of data_batch_2")
	}
}

func TestLoadCIFARRefuses(t *testing.T) {
	edit := func(f func([]member) []member) []byte { return gz(t, tarOf(t, f(cifarMembers()))) }
	whole := edit(func(m []member) []member { return m })
	for name, c := range map[string]struct {
		data   []byte
		verify bool
		kind   any
		want   []string
	}{
		"truncated gzip":   {whole[:len(whole)/2], false, new(*FileError), []string{"truncated"}},
		"truncated at end": {whole[:len(whole)-4], false, new(*FileError), []string{"truncated"}},
		"truncated tar":    {tarOf(t, cifarMembers())[:20000], false, new(*FileError), []string{"truncated"}},
		"cut record":       {edit(func(m []member) []member { m[2].data = m[2].data[:5000]; return m }), false, new(*FileError), []string{"data_batch_2.bin", "record 1", "1927 (truncated)"}},
		"empty batch":      {edit(func(m []member) []member { m[2].data = nil; return m }), false, new(*FileError), []string{"data_batch_2.bin", "truncated"}},
		"missing batch":    {edit(func(m []member) []member { return m[:5] }), false, new(*FileError), []string{"data_batch_5.bin"}},
		"batch twice":      {edit(func(m []member) []member { return append(m, m[3]) }), false, new(*FileError), []string{"twice"}},
		"wrong label":      {edit(func(m []member) []member { m[1].data[cifarRecord] = 10; return m }), false, new(*FileError), []string{"data_batch_1.bin", "label of record 1", "got 10"}},
		"short for real":   {whole, true, new(*FileError), []string{"expected 10000, got 3"}},
		"not an archive":   {bytes.Repeat([]byte("hello world "), 100), false, new(*FileError), []string{"tar archive"}},
		"empty":            {nil, false, new(*FileError), []string{"data_batch_1.bin"}},
		"flipped bit":      {func() []byte { b := bytes.Clone(whole); b[len(b)-6] ^= 1; return b }(), false, new(*ChecksumError), nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "cifar.tar.gz", c.data)
			_, err := Load("cifar10", path, c.verify)
			if err == nil || !errors.As(err, c.kind) {
				t.Fatalf("error %v (%T), want a %T", err, err, c.kind)
			}
			for _, w := range append(c.want, path) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

// TestCIFARBomb: a member that expands to far more than a batch is refused as it is read.
func TestCIFARBomb(t *testing.T) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "data_batch_1.bin", Mode: 0o644, Size: 1 << 40, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	before := allocated()
	_, err := Load("cifar10", writeFile(t, "bomb.tar.gz", out.Bytes()), false)
	var fe *FileError
	if !errors.As(err, &fe) || !strings.Contains(err.Error(), "at most 10000") {
		t.Errorf("error %v, want a FileError about the number of records", err)
	}
	if used := allocated() - before; used > 512<<20 {
		t.Errorf("%d bytes allocated", used)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func FuzzIDX(f *testing.F) {
	f.Add(idxFile(10, 3))
	f.Add(idxFile(255, 2, 3, 4))
	f.Add([]byte{0, 0, 8, 4, 0, 0, 0, 0, 255, 255, 255, 255, 0, 1, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		sizes, data, err := DecodeIDX("fuzz", bytes.NewReader(b))
		if err != nil {
			var fe *FileError
			if !errors.As(err, &fe) {
				t.Fatalf("error %v (%T)", err, err)
			}
			return
		}
		n := 1
		for _, s := range sizes {
			n *= s
		}
		if n != len(data) || len(data)+4+4*len(sizes) != len(b) {
			t.Fatalf("sizes %v, %d bytes of data in a file of %d", sizes, len(data), len(b))
		}
	})
}

func FuzzCIFAR(f *testing.F) {
	members := cifarMembers()
	for i := range members {
		members[i].data = members[i].data[:min(len(members[i].data), cifarRecord)]
	}
	small := tarOf(f, members)
	f.Add(small)
	f.Add(gz(f, small))
	f.Add(cifarBatch(1, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, labels, err := DecodeCIFAR("fuzz", bytes.NewReader(b)); err == nil && len(labels)*cifarRecord != len(b) {
			t.Fatalf("%d records in %d bytes", len(labels), len(b))
		}
		train, test, err := readCIFARArchive("fuzz", bytes.NewReader(b), false)
		if err != nil {
			var fe *FileError
			var ce *ChecksumError
			if !errors.As(err, &fe) && !errors.As(err, &ce) {
				t.Fatalf("error %v (%T)", err, err)
			}
			return
		}
		for _, s := range []*Images{train, test} {
			if len(s.Labels) != s.N || len(s.Pixels) != s.N*cifarPixels {
				t.Fatal(fmt.Sprint("inconsistent set of ", s.N))
			}
		}
	})
}

package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/failure"

	"github.com/google/go-cmp/cmp"
)

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

// TestLoadCIFAR reads the same data set from archives and directories in every supported layout of the binary version.
// The order of members in an archive does not matter.
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
	for _, path := range []string{
		writeFile(t, "c.tar", plain),
		writeFile(t, "c.tar.gz", gz(t, plain)),
		writeFile(t, "c.bin", gz(t, tarOf(t, members))),
		dir,
		sub,
	} {
		l, err := Load("cifar10", path, false, 0, 0)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if digest, err := Digest("cifar10", path); err != nil || digest != l.Digest {
			t.Errorf("%s: Digest returns %s (%v), Load %s, want the same", path, digest, err, l.Digest)
		}
		if first == nil {
			first = l
		}
		if d := cmp.Diff([]*dataset.Images{first.Train, first.Test}, []*dataset.Images{l.Train, l.Test}); d != "" {
			t.Errorf("%s differs from the first packing:\n%s", path, d)
		}
	}
	if first.Train.N != 3+4+5+6+7 || first.Test.N != 8 {
		t.Fatalf("train has %d images and test %d, want 25 and 8", first.Train.N, first.Test.N)
	}
	record := cifarBatch(1, 4)[2*cifarRecord : 3*cifarRecord] // third record of data_batch_2
	if first.Train.Labels[3+2] != int64(record[0]) || !bytes.Equal(first.Train.Image(3+2), record[1:]) {
		t.Error("image 5 of the training split is not the third record of data_batch_2")
	}
}

// TestCIFARPython: the Python version gives the same images as the binary version, whether read from the archive, from
// its folder or from the folder above.
func TestCIFARPython(t *testing.T) {
	found := func(name string) string { return filepath.Join("testdata", "archives", name) }
	want, err := Load("cifar10", found("cifar-10-binary.tar.gz"), false, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	unpack := exec.Command("tar", "-xzf", found("cifar-10-python.tar.gz"), "-C", dir)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Skipf("tar: %v\n%s", err, out)
	}
	for _, path := range []string{found("cifar-10-python.tar.gz"), dir, filepath.Join(dir, "cifar-10-batches-py")} {
		got, err := Load("cifar10", path, false, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]*dataset.Images{want.Train, want.Test}, []*dataset.Images{got.Train, got.Test}); d != "" {
			t.Errorf("%s differs from the binary version:\n%s", path, d)
		}
	}
	batch := filepath.Join(dir, "cifar-10-batches-py", "data_batch_2")
	whole, err := os.ReadFile(batch)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ data, want, hint string }{
		"cut":     {string(whole[:len(whole)/2]), "truncated", "complete copy"},
		"another": {"\x80\x02}.", "[n, 3072]", "pickle.dump"},
		"text":    {"hello", "opcode", "pickle.dump"},
		"label":   {strings.Replace(string(whole), "K\x01K\x04", "K\x01K\x0b", 1), "label of record", "labels"},
	} {
		if err := os.WriteFile(batch, []byte(c.data), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Load("cifar10", dir, false, 0, 0)
		if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "data_batch_2") || !strings.Contains(failure.HintOf(err), c.hint) {
			t.Errorf("%s: error %v (hint %q), want an input error with data_batch_2, %q and hint %q",
				name, err, failure.HintOf(err), c.want, c.hint)
		}
	}
}

func TestLoadCIFARRefuses(t *testing.T) {
	edit := func(f func([]member) []member) []byte { return gz(t, tarOf(t, f(cifarMembers()))) }
	whole := edit(func(m []member) []member { return m })
	for name, c := range map[string]struct {
		data   []byte
		verify bool
		class  failure.Class
		want   []string
	}{
		"truncated gzip":   {whole[:len(whole)/2], false, failure.Input, []string{"truncated"}},
		"truncated at end": {whole[:len(whole)-4], false, failure.Input, []string{"truncated"}},
		"truncated tar":    {tarOf(t, cifarMembers())[:20000], false, failure.Input, []string{"truncated"}},
		"cut record": {
			edit(func(m []member) []member { m[2].data = m[2].data[:5000]; return m }),
			false, failure.Input, []string{"data_batch_2.bin", "record 1", "1927 (truncated)"},
		},
		"empty batch": {
			edit(func(m []member) []member { m[2].data = nil; return m }),
			false, failure.Input, []string{"data_batch_2.bin", "truncated"},
		},
		"missing batch": {
			edit(func(m []member) []member { return m[:5] }),
			false, failure.Input, []string{"data_batch_5.bin"},
		},
		"batch twice": {
			edit(func(m []member) []member { return append(m, m[3]) }),
			false, failure.Input, []string{"twice"},
		},
		"wrong label": {
			edit(func(m []member) []member { m[1].data[cifarRecord] = 10; return m }),
			false, failure.Input, []string{"data_batch_1.bin", "label of record 1", "got 10"},
		},
		"short for real": {whole, true, failure.Input, []string{"expected 10000, got 3"}},
		"not an archive": {bytes.Repeat([]byte("hello world "), 100), false, failure.Input, []string{"tar archive"}},
		"empty":          {nil, false, failure.Input, []string{"data_batch_1.bin"}},
		"flipped bit": {
			func() []byte { b := bytes.Clone(whole); b[len(b)-6] ^= 1; return b }(),
			false, failure.Integrity, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "cifar.tar.gz", c.data)
			_, err := Load("cifar10", path, c.verify, 0, 0)
			if failure.ClassOf(err) != c.class {
				t.Fatalf("error %v of class %v, want %v", err, failure.ClassOf(err), c.class)
			}
			for _, w := range append(c.want, path) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

// TestCIFARBomb: a member that expands far beyond the size of a batch is rejected while it is read.
func TestCIFARBomb(t *testing.T) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	huge := &tar.Header{Name: "data_batch_1.bin", Mode: 0o644, Size: 1 << 40, Typeflag: tar.TypeReg}
	if err := w.WriteHeader(huge); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	before := allocated()
	_, err := Load("cifar10", writeFile(t, "bomb.tar.gz", out.Bytes()), false, 0, 0)
	if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), "at most 10000") {
		t.Errorf("error %v, want one about the number of records", err)
	}
	if used := allocated() - before; used > 512<<20 {
		t.Errorf("%d bytes allocated, want at most 512 MiB", used)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func FuzzCIFAR(f *testing.F) {
	members := cifarMembers()
	for i := range members {
		members[i].data = members[i].data[:min(len(members[i].data), cifarRecord)]
	}
	small := tarOf(f, members)
	f.Add(small)
	f.Add(gz(f, small))
	f.Add(cifarBatch(1, 1))
	f.Add(readTestdata(f, "cifar-10-python.tar.gz"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if pixels, labels, err := decodeCIFARPickle("fuzz", bytes.NewReader(b)); err == nil &&
			(len(labels) == 0 || len(pixels) != len(labels)*cifarPixels) {
			t.Fatalf("%d labels and %d values, want %d values per label", len(labels), len(pixels), cifarPixels)
		}
		if _, labels, err := decodeCIFAR("fuzz", bytes.NewReader(b)); err == nil && len(labels)*cifarRecord != len(b) {
			t.Fatalf("%d records in %d bytes, want %d bytes per record", len(labels), len(b), cifarRecord)
		}
		train, test, err := (&loader{source: "cifar10"}).decodeCIFARArchive("fuzz", bytes.NewReader(b))
		if err != nil {
			if class := failure.ClassOf(err); class != failure.Input && class != failure.Integrity {
				t.Fatalf("error %v of class %v, want an input or integrity error", err, class)
			}
			return
		}
		for _, s := range []*dataset.Images{train, test} {
			if len(s.Labels) != s.N || len(s.Pixels) != s.N*cifarPixels {
				t.Fatalf("%d images with %d labels and %d values", s.N, len(s.Labels), len(s.Pixels))
			}
		}
	})
}

package npz

import (
	"archive/zip"
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// entry returns an archive with one member.
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

// TestHostileFiles: a hostile or damaged file gives an error that states the reason, and uses little memory.
func TestHostileFiles(t *testing.T) {
	four := func(shape string) string {
		return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n"
	}
	bomb := npyFile("{'descr': '|u1', 'fortran_order': False, 'shape': (67108864,), }\n", make([]byte, 64<<20)...)
	claim := npyFile(four("(1000000000,)"), make([]byte, 1<<20)...)
	flipped := bytes.Clone(golden(t, "kinds.npz"))
	flipped[bytes.Index(flipped, []byte("arr_0.npy"))+200] ^= 1 // a bit in the data of arr_0
	lying := entry(t, zip.Store, "arr_0.npy", npyFile(four("(1,)"), 0, 0, 0, 0))
	directory := bytes.LastIndex(lying, []byte("PK\x01\x02"))
	for i := range 8 {
		lying[directory+20+i] = 0x7f // the compressed and the uncompressed size
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
		{"an empty file", "begins neither", nil},
		{"an image", "begins neither", []byte("\x89PNG\r\n\x1a\n")},
		{"a truncated archive", "truncated or damaged", golden(t, "kinds.npz")[:700]},
		{"an archive of other files", "contains no array", entry(t, zip.Store, "data.pkl", nil)},
		{"too many arrays", "more than 4096", many},
		{"a flipped bit", "checksum", flipped},
		{"sizes beyond the archive", "claims", lying},
		{"a bomb", "grow from", entry(t, zip.Deflate, "arr_0.npy", bomb)},
		{"a small bomb with a larger claim", "bytes of data", entry(t, zip.Deflate, "arr_0.npy", claim)},
		{"an unknown method", "method", func() []byte {
			raw := entry(t, zip.Store, "arr_0.npy", npyFile(four("(1,)"), 0, 0, 0, 0))
			raw[bytes.LastIndex(raw, []byte("PK\x01\x02"))+10] = 14
			return raw
		}()},
		{"a claim of 400 MB", "bytes of data", npyFile(four("(100000000,)"))},
		{"trailing data", "bytes of data", npyFile(four("(1,)"), make([]byte, 5)...)},
		{"a truncated array", "bytes of data", npyFile(four("(1,)"), 0, 0, 0)},
		{"2^64 elements", "more than", npyFile(four("(4294967296, 4294967296)"))},
		{"2^70 elements", "expected a dictionary", npyFile(four("(1180591620717411303424,)"))},
		{"a negative dimension", "expected a dictionary", npyFile(four("(-4,)"))},
		{"no newline", "bytes of data", npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }")},
		{"no dictionary", "expected a dictionary", npyFile("\n")},
		{"a missing key", "expected a dictionary", npyFile("{'descr': '<f4', 'fortran_order': False}\n")},
		{"a key twice", "expected a dictionary",
			npyFile("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}\n")},
		{"an unknown key", "expected a dictionary",
			npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}\n")},
		{"a call", "expected a dictionary", npyFile("{'descr': __import__('os'), 'fortran_order': False, 'shape': ()}\n")},
		{"a header of 4 GB", "header of", []byte(magicNPY + "\x02\x00\xff\xff\xff\xff{")},
		{"a cut header", "truncated", []byte(magicNPY + "\x01\x00\x40\x00{")},
		{"version 9", "format version 9", []byte(magicNPY + "\x09\x00\x40\x00{")},
		{"objects", "never loaded", golden(t, "objects.npz")},
		{"records", "records", golden(t, "records.npz")},
		{"complex numbers", "element type",
			npyFile("{'descr': '<c8', 'fortran_order': False, 'shape': ()}\n", make([]byte, 8)...)},
	} {
		before := allocated()
		f, err := parse(bytes.NewReader(c.data), int64(len(c.data)))
		if err == nil {
			if _, _, err = Read[float32](f, f.Names()[0]); err == nil {
				t.Errorf("%s was read, want an error with %q", c.name, c.want)
				continue
			}
			if _, _, more := Read[uint8](f, f.Names()[0]); strings.Contains(err.Error(), "expected float32") {
				err = more
			}
		}
		contains := func(want string) bool { return strings.Contains(err.Error(), want) }
		if err == nil || !slices.ContainsFunc(strings.Split(c.want, "|"), contains) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
		if grown := allocated() - before; grown > 16<<20 {
			t.Errorf("%s took %d MiB of memory, want at most 16", c.name, grown>>20)
		}
	}
}

// allocated returns the total number of bytes allocated so far, including freed memory.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// FuzzParse: any input gives an error, or arrays whose lengths match their shapes and are bounded by the size of the
// file.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"kinds.npz", "packed.npz", "v1.npy", "v3.npy", "objects.npz"} {
		f.Add(golden(f, name))
	}
	f.Add(npyFile("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }\n", make([]byte, 8)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parse(bytes.NewReader(data), int64(len(data)))
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
		t.Errorf("array %q of shape %v has %d elements in a file of %d bytes, want %d and at most %d",
			name, shape, len(v), size, n, freeSize+maxRatio*size)
	}
}

// FuzzHeader fuzzes headers without an archive, which lets the fuzzer make faster progress.
func FuzzHeader(f *testing.F) {
	f.Add("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n")
	f.Add(`{"shape": (10L,), "fortran_order": True, "descr": "|u1"}`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHeader(text)
		if err == nil && (h.count < 0 || h.kind.size < 1) {
			t.Errorf("header %q is read as %+v, want no negative count and no element without a size", text, h)
		}
	})
}

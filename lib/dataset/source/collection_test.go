package source

import (
	"archive/tar"
	"bytes"
	"context"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"vapo/lib/failure"
)

func openArchive(t testing.TB, path string) (*collection, error) {
	t.Helper()
	return openCollection(context.Background(), path, nil, true)
}

func TestArchivesRefused(t *testing.T) {
	picture := imageFile(t, "x.png", 8, 8, 1)
	two := map[string][]byte{"a.png": picture, "b.png": picture}
	named := func(name string) map[string][]byte { return map[string][]byte{"a.png": picture, name: picture} }
	flagged := packZip(t, two)
	at := bytes.Index(flagged, []byte("PK\x01\x02"))
	flagged[at+8] |= 1
	method := packZip(t, two)
	method[bytes.Index(method, []byte("PK\x01\x02"))+10] = 99
	packed := gz(t, packTar(t, two))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"zip to above":   {packZip(t, named("../../etc/x.png")), `"../../etc/x.png"`},
		"zip of Windows": {packZip(t, named(`a\..\..\x.png`)), "x.png"},
		"tar to above":   {packTar(t, named("a/../../x.png")), "a/../../x.png"},
		"long name":      {packTar(t, named(strings.Repeat("x", maxName)+".png")), "name"},
		"encrypted":      {flagged, "encrypted"},
		"unknown method": {method, "method 99"},
		"cut zip":        {packZip(t, two)[:100], "zip file"},
		"cut tar":        {packTar(t, two)[:700], "truncated"},
		"cut tar.gz":     {packed[:len(packed)/2], "truncated"},
		"cut trailer":    {packed[:len(packed)-4], "truncated"},
		"flipped sum":    {flip(packed, len(packed)-6), "checksum"},
		"text":           {[]byte(strings.Repeat("no archive at all\n", 100)), "tar archive"},
		"gzip of text":   {gz(t, []byte(strings.Repeat("no archive at all\n", 100))), "tar archive"},
		"no images":      {packTar(t, map[string][]byte{"a.txt": nil, "b.txt": nil}), "none, and 2 other files"},
		"empty zip":      {packZip(t, nil), "there are no files"},
		"nothing":        {nil, "an empty file"},
	} {
		t.Run(name, func(t *testing.T) {
			c2, err := openArchive(t, writeArchive(t, "x", c.data))
			if err == nil {
				c2.close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if failure.HintOf(err) == "" {
				t.Errorf("error %v has no hint", err)
			}
			if class := failure.ClassOf(err); class != failure.Input && class != failure.Integrity {
				t.Errorf("error %v of class %v, want an input or integrity error", err, class)
			}
		})
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// bound changes a limit for the duration of a test.
func bound[T any](t testing.TB, v *T, to T) {
	old := *v
	*v = to
	t.Cleanup(func() { *v = old })
}

// TestBombs: a file that expands beyond a limit is rejected without using much memory.
func TestBombs(t *testing.T) {
	const size = 64 << 20
	zeros := map[string][]byte{"a.png": make([]byte, size), "b.png": nil}
	zipped, packed := packZip(t, zeros), gz(t, packTar(t, map[string][]byte{"a.txt": make([]byte, size), "b.png": nil}))
	lying := bytes.Clone(zipped) // its directory claims a size of 10 bytes
	central := bytes.LastIndex(lying, []byte("PK\x01\x02"))
	copy(lying[central+24:], []byte{10, 0, 0, 0})
	zeros = nil
	bound(t, &maxFile, 1<<20)
	bound(t, &maxSlack, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := openArchive(t, writeArchive(t, "x.zip", zipped))
	if err == nil || !strings.Contains(err.Error(), "at most 1048576 bytes") {
		t.Errorf("zip of %d bytes: error %v, want one with \"at most 1048576 bytes\"", len(zipped), err)
	}
	_, err = openArchive(t, writeArchive(t, "x.tar.gz", packed))
	if err == nil || !strings.Contains(err.Error(), "uncompressed") {
		t.Errorf("tar.gz of %d bytes: error %v, want one with \"uncompressed\"", len(packed), err)
	}
	c, err := openArchive(t, writeArchive(t, "x.zip", lying))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := c.content(&c.images[0]); err == nil {
		t.Error("a member longer than its header claims is read")
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Errorf("%d bytes allocated for decompression bombs, want at most 8 MiB", got)
	}
	bound(t, &maxFiles, 3)
	files := map[string][]byte{"a.png": nil, "b.png": nil, "c.png": nil, "d.png": nil}
	for _, path := range []string{
		writeFolder(t, files),
		writeArchive(t, "x.tar", packTar(t, files)),
		writeArchive(t, "x.zip", packZip(t, files)),
	} {
		if _, err := openArchive(t, path); err == nil || !strings.Contains(err.Error(), "at most 3") {
			t.Errorf("four images, at most three allowed: error %v, want one with \"at most 3\"", err)
		}
	}
}

// FuzzArchive: an archive of arbitrary bytes is either rejected or read within the limits. In the second case, its
// images are read in order, and their names do not lead out of the archive.
func FuzzArchive(f *testing.F) {
	files := map[string][]byte{
		"a/x.png": imageFile(f, "x.png", 3, 3, 1),
		"b.jpg":   imageFile(f, "x.jpg", 3, 3, 1),
		"t.txt":   []byte("t"),
	}
	f.Add(packZip(f, files))
	f.Add(packTar(f, files))
	f.Add(gz(f, packTar(f, files)))
	f.Add(gz(f, nil))
	found, err := filepath.Glob(filepath.Join("testdata", "archives", "*"))
	if err != nil || len(found) == 0 {
		f.Fatal(found, err)
	}
	for _, path := range found {
		f.Add(readTestdata(f, filepath.Base(path)))
	}
	var sparse bytes.Buffer
	w := tar.NewWriter(&sparse)
	if err := w.WriteHeader(&tar.Header{Name: "x.png", Size: 1 << 40, Typeflag: tar.TypeReg}); err != nil {
		f.Fatal(err)
	}
	f.Add(sparse.Bytes())
	bound(f, &maxSlack, 1<<22)
	bound(f, &maxFile, 1<<20)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := openArchive(t, writeArchive(t, "x", data))
		if err != nil {
			return
		}
		defer c.close()
		all := make([]int, len(c.images))
		for i := range all {
			all[i] = i
		}
		met := 0
		err = c.each(context.Background(), all, func(i int, data []byte, err error) error {
			if i != met || int64(len(data)) > maxFile+1 {
				t.Errorf("file %d of %d bytes, want file %d of at most %d bytes", i, len(data), met, maxFile+1)
			}
			met++
			return nil
		})
		if err == nil && met != len(all) {
			t.Errorf("%d of %d images were read", met, len(all))
		}
		for _, name := range c.names() {
			if strings.Contains("/"+name+"/", "/../") || strings.HasPrefix(name, "/") {
				t.Errorf("name %q leads out of the archive", name)
			}
		}
	})
}

package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/dataset"
	"vapo/lib/failure"
)

// plain lists the images of most archives in testdata/archives, as "class:number".
const plain = "cat:0 dog:1 cat:2 dog:3 cat:4 dog:5"

// listed returns the images of a set as "class:number", in the order of their numbers. testdata/archives.py stores the
// number of an image in its last pixel.
func listed(sets ...*dataset.Images) string {
	var all []string
	for _, s := range sets {
		for i := range s.N {
			pixels := s.Image(i)
			text := fmt.Sprint(pixels[len(pixels)-1] / 20)
			if s.Labels != nil {
				text = s.Classes[s.Labels[i]] + ":" + text
			}
			all = append(all, text)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		number := func(s string) string { return s[strings.LastIndex(s, ":")+1:] + s }
		return strings.Compare(number(a), number(b))
	})
	return strings.Join(all, " ")
}

// TestArchivesFound reads archives as other programs write them.
func TestArchivesFound(t *testing.T) {
	const unknown = "6 images have names that are not UTF-8 (see --names-encoding); the first is "
	for _, c := range []struct {
		file, encoding, want string
		warnings             []string // how each warning begins
	}{
		{file: "gbk.zip", encoding: "gbk", want: "猫:0 狗:1 猫:2 狗:3 猫:4 狗:5"},
		{
			file: "gbk.zip", want: `è:0 \xb9\xb7:1 è:2 \xb9\xb7:3 è:4 \xb9\xb7:5`,
			warnings: []string{"3 images have names that are not UTF-8"},
		},
		{file: "shift_jis.zip", encoding: "cp932", want: "表:0 ソ:1 表:2 ソ:3 表:4 ソ:5"},
		{file: "shift_jis-windows.zip", encoding: "Shift_JIS", want: "表:0 ソ:1 表:2 ソ:3 表:4 ソ:5"},
		{
			file: "shift_jis.zip", want: `\x95\:0 \x83\:1 \x95\:2 \x83\:3 \x95\:4 \x83\:5`,
			warnings: []string{unknown},
		},
		{file: "cp437.zip", encoding: "cp437", want: strings.NewReplacer("cat", "für", "dog", "gegen").Replace(plain)},
		{file: "latin1.tar", encoding: "windows-1252", want: strings.ReplaceAll(plain, "cat", "für")},
		{file: "utf8-flag.zip", encoding: "gbk", want: "猫:0 狗:1 猫:2 狗:3 猫:4 狗:5"},
		{file: "unicode-path.zip", want: strings.ReplaceAll(plain, "cat", "kaße")},
		{file: "stale-path.zip", want: plain},
		{
			file: "readme.zip", want: plain,
			warnings: []string{
				`1 file was left out because its name is not that of a PNG, JPEG, GIF, BMP or WebP image: Liz`,
			},
		},
		{file: "backslash.zip", want: plain},
		{
			file: "links.tar", want: "cat:0 cat:0 raw:0 dog:1 dog:1 dog:1",
			warnings: []string{
				"1 file was left out because its name is not that of a PNG, JPEG, GIF, BMP or WebP image: raw/1",
				"6 links and special files were left out; the first is current: it is a link to a folder",
			},
		},
		{
			file: "links.zip", want: "cat:0 raw:0 dog:1 dog:1",
			warnings: []string{
				"1 file was left out because its name is not that of a PNG, JPEG",
				"6 links and special files were left out; the first is current: ",
			},
		},
		{
			file: "twice.tar", want: "dog:1 cat:2 dog:3 cat:4 dog:5 cat:9",
			warnings: []string{
				"1 file was left out because the archive has a later one of the same name: cat/0.png",
			},
		},
		{file: "dot.tar", want: plain},
		{file: "absolute.tar", want: plain},
		{file: "padded.tar.gz", want: plain},
		{file: "members.tar.gz", want: plain},
		{file: "garbage.tar.gz", want: plain, warnings: []string{"bytes after the end of the compressed data"}},
		{file: "followed.tar", want: plain, warnings: []string{"bytes after the end of the tar archive"}},
		{file: "x.tar.bz2", want: plain},
		{file: "x.tar.xz", want: plain},
		{file: "x.tar.zst", want: plain},
		{file: "skippable.tar.zst", want: plain},
		{file: "garbage.tar.zst", want: plain, warnings: []string{"bytes after the end of the compressed data"}},
		{file: "garbage.tar.bz2", want: plain, warnings: []string{"bytes after the end of the compressed data"}},
		{file: "garbage.tar.xz", want: plain, warnings: []string{"bytes after the end of the compressed data"}},
		{file: "script.zip", want: plain},
		{file: "misnamed.zip", want: plain},
		{file: "long-gnu.tar", want: plain},
		{file: "long-pax.tar", want: plain},
		{
			file: "mac.zip", want: plain,
			warnings: []string{"1 file was left out because its name is not that of a PNG, JPEG, GIF, BMP or WebP image"},
		},
		{file: "bzip2.zip", want: plain},
		{file: "stored.zip", want: plain},
		{file: "streamed.zip", want: plain},
	} {
		t.Run(c.file+" "+c.encoding, func(t *testing.T) {
			names, err := Encoding("names-encoding", c.encoding)
			if err != nil {
				t.Fatal(err)
			}
			o := ImageOptions{Path: filepath.Join("testdata", "archives", c.file), ByDirectory: true, Names: names}
			sets, files, err := readImages(t, "images", o)
			if err != nil {
				t.Fatal(err)
			}
			if got := listed(sets["train"], sets["test"]); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			warnings := files.Warnings()
			if !slices.EqualFunc(warnings, c.warnings, strings.HasPrefix) {
				t.Errorf("warnings %q, want %q", warnings, c.warnings)
			}
		})
	}
}

// TestSparse reads the sparse formats of GNU tar.
func TestSparse(t *testing.T) {
	for _, version := range []string{"gnu", "0.0", "0.1", "1.0"} {
		c, err := openArchive(t, filepath.Join("testdata", "archives", "sparse-"+version+".tar"))
		if err != nil {
			t.Errorf("sparse-%s.tar: error %v", version, err)
			continue
		}
		defer c.close()
		sparse := 0
		var got []string
		for i := range c.images {
			if c.images[i].nth > 0 {
				sparse++
			}
			data, err := c.content(&c.images[i])
			if err != nil || len(data) == 0 {
				t.Errorf("%s: image %d has %d bytes (%v), want its content", version, i, len(data), err)
				continue
			}
			last := data[len(data)-1]
			if strings.HasSuffix(c.images[i].name, ".png") {
				last = 20
			}
			got = append(got, fmt.Sprintf("%s %d %d", filepath.Base(c.images[i].name), len(data), last/20))
		}
		const size = 54 + 64*64*3
		want := []string{
			fmt.Sprintf("0.bmp %d 1", size), fmt.Sprintf("1.bmp %d 2", size), fmt.Sprintf("2.bmp %d 3", size), "3.png 71 1",
		}
		if d := cmp.Diff(want, got); d != "" || sparse != 3 {
			t.Errorf("%s: %d sparse files, want 3; names, sizes and last values (-want +got):\n%s", version, sparse, d)
		}
	}
}

// TestArchivesNotRead: errors about archives name their format and say what to do.
func TestArchivesNotRead(t *testing.T) {
	head := func(magic string) string { return writeArchive(t, "x.tar", []byte(magic+strings.Repeat(" ", 600))) }
	// The header of a block in an xz file that asks for 4 GiB of memory.
	const block = "\x02\x00\x21\x01\x28\x00\x00\x00"
	sum := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(block)))
	found := func(name string) string { return filepath.Join("testdata", "archives", name) }
	for name, c := range map[string]struct{ path, want, hint string }{
		"tar in a zip":  {found("tar.zip"), "an archive in the archive, photos/all.tar", "inner"},
		"lzma in a zip": {found("lzma.zip"), "LZMA (method 14)", "unpack it"},
		"one image":     {writeArchive(t, "x.png", imageFile(t, "x.png", 4, 4, 1)), "one image", "folder"},
		"7z":            {head("7z\xbc\xaf\x27\x1c"), "7z", "unpack it"},
		"rar":           {head("Rar!\x1a\x07"), "RAR", "unpack it"},
		"web page":      {head("<!DOCTYPE html>"), "a web page", "download"},
		"zip in gzip": {
			writeArchive(t, "x.zip.gz", gz(t, packZip(t, map[string][]byte{"a.png": nil}))), "zip", "decompress",
		},
		"strange window": {
			writeArchive(t, "x.tar.xz", append([]byte("\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36"+block), sum...)),
			"window of at most 128 MiB", "default settings",
		},
	} {
		c2, err := openArchive(t, c.path)
		if err == nil {
			c2.close()
		}
		if failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(failure.HintOf(err), c.hint) {
			t.Errorf("%s: %v (hint %q), want %q and %q", name, err, failure.HintOf(err), c.want, c.hint)
		}
	}
}

// TestTruncated: a truncated archive is never accepted, except that a tar archive may lack its last blocks. A warning
// then says so.
func TestTruncated(t *testing.T) {
	files := map[string][]byte{"a/0.png": imageFile(t, "x.png", 4, 4, 1), "a/1.png": imageFile(t, "x.png", 4, 4, 2)}
	for _, name := range []string{"members.tar.gz", "x.tar.bz2", "x.tar.xz", "x.tar.zst", "streamed.zip", "gbk.zip"} {
		whole := readTestdata(t, name)
		for n := 0; n < len(whole); n += 1 + min(n, len(whole)-n)/20 {
			if c, err := openArchive(t, writeArchive(t, "x", whole[:n])); err == nil {
				c.close()
				if c.notes != nil {
					continue // a warning says that the end is missing
				}
				t.Errorf("%s: the first %d bytes of %d are accepted", name, n, len(whole))
			} else if class := failure.ClassOf(err); class != failure.Input && class != failure.Integrity {
				t.Errorf("%s: the first %d bytes: error %v of class %v, want an input or integrity error", name, n, err, class)
			}
		}
	}
	whole := packTar(t, files)
	end := bytes.LastIndex(whole, []byte("IEND")) + 8 // of the last image
	for n := 0; n < end; n += 97 {
		c, err := openArchive(t, writeArchive(t, "x", whole[:n]))
		if err != nil {
			continue
		}
		for i := range c.images {
			if _, err = c.content(&c.images[i]); err != nil {
				break
			}
		}
		if err == nil && len(c.images) == 2 {
			t.Errorf("the first %d bytes of a tar archive are accepted with both images", n)
		}
		c.close()
	}
}

// TestFolderNames: a folder with names in a legacy encoding gives the same set as an archive with these names, and the
// encoding does not change the digest.
func TestFolderNames(t *testing.T) {
	c, err := openArchive(t, filepath.Join("testdata", "archives", "latin1.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	files := map[string][]byte{}
	for i := range c.images {
		if files[c.images[i].raw], err = c.content(&c.images[i]); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Skipf("the file system refuses such names: %v", err) // as that of macOS does
		}
	}
	for encoding, want := range map[string]string{"": `f\xfcr`, "latin1": "für"} {
		names, err := Encoding("names-encoding", encoding)
		if err != nil {
			t.Fatal(err)
		}
		sets, _, err := readImages(t, "images", ImageOptions{Path: dir, ByDirectory: true, Names: names})
		if err != nil {
			t.Fatal(err)
		}
		if got := listed(sets["train"], sets["test"]); got != strings.ReplaceAll(plain, "cat", want) {
			t.Errorf("%s: images %s, want %s", encoding, got, strings.ReplaceAll(plain, "cat", want))
		}
	}
}

// FuzzNames: a name of arbitrary bytes becomes valid text, and the same bytes always give the same text.
func FuzzNames(f *testing.F) {
	f.Add("f\xfcr/0.png", "gbk", "a\x00b")
	f.Add("\x95\x5c/0.png", "shift_jis", "c")
	f.Add("../a//./b", "cp437", "/c/")
	f.Fuzz(func(t *testing.T, a, encoding, b string) {
		names, err := Encoding("names-encoding", encoding)
		if err != nil {
			return
		}
		entries := []entry{{raw: a}, {raw: b, link: a}, {raw: a}}
		decodeNames(entries, names)
		for _, e := range entries {
			if !utf8.ValidString(e.name) || !utf8.ValidString(e.link) || strings.Contains(e.name, "\x00") {
				t.Errorf("%q becomes %q with link %q, want UTF-8 and no zero byte in the name", e.raw, e.name, e.link)
			}
			if clean, ok := inside(e.name); ok && (strings.HasPrefix(clean, "/") || strings.HasPrefix(clean+"/", "../")) {
				t.Errorf("%q counts as inside the archive, as %q", e.name, clean)
			}
		}
		if entries[0].name != entries[2].name {
			t.Errorf("%q is decoded once to %q and once to %q", a, entries[0].name, entries[2].name)
		}
	})
}

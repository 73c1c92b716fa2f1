package source

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/dataset"
	"vapo/lib/failure"
)

// TestFolderSplits: folders that are named like splits, such as train and val, become the splits, even below other
// folders.
func TestFolderSplits(t *testing.T) {
	for _, c := range []struct {
		file   string
		labels bool
		want   map[string]string
	}{
		{"split.zip", true, map[string]string{"train": plain, "test": "cat:0 dog:1"}},
		{"split.zip", false, map[string]string{"train": "0 1 2 3 4 5", "test": "0 1"}},
		{"three.tar", true, map[string]string{"train": plain, "test": plain, "valid": plain}},
	} {
		o := ImageOptions{Path: filepath.Join("testdata", "archives", c.file), ByDirectory: c.labels}
		sets, files, err := readImages(t, "images", o)
		if err != nil {
			t.Errorf("%s: error %v", c.file, err)
			continue
		}
		if noted := len(files.Warnings()) == 1; noted != (sets["valid"] == nil) {
			t.Errorf("%s: warnings %q, want one if and only if there is no folder valid", c.file, files.Warnings())
		}
		got := map[string]string{}
		for name, s := range sets {
			got[name] = listed(s)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.file, d)
		}
		o.TestFraction = 0.2
		if _, _, err = readImages(t, "images", o); failure.ClassOf(err) != failure.Usage {
			t.Errorf("%s with a test fraction: error %v, want a usage error", c.file, err)
		}
	}
}

// TestLayouts: images get their labels from their directories, also below folders of splits. If the directories leave
// the splits or the labels open, the error says so and has a hint.
func TestLayouts(t *testing.T) {
	image := imageFile(t, "x.png", 4, 4, 1)
	for name, c := range map[string]struct {
		files []string
		want  string // classes, or part of the error
	}{
		"classes":            {[]string{"cat/0.png", "dog/1.png"}, "[cat dog]"},
		"classes below":      {[]string{"a/b/cat/0.png", "a/b/dog/1.png"}, "[cat dog]"},
		"one class":          {[]string{"set/cat/0.png", "set/cat/1.png"}, "[cat]"},
		"folders in classes": {[]string{"cat/x/0.png", "cat/1.png", "dog/1.png"}, "[cat dog]"},
		"only training":      {[]string{"train/cat/0.png", "train/dog/1.png"}, "[cat dog]"},
		"a class train":      {[]string{"train/0.png", "bus/1.png"}, "[bus train]"},
		"one class in each":  {[]string{"train/cat/0.png", "test/cat/1.png"}, "[cat]"},
		"folders in splits":  {[]string{"train/images/cat/0.png", "test/images/dog/1.png"}, "[cat dog]"},
		"no folder":          {[]string{"0.png", "1.png"}, "none for 2 of 2 images, the first is"},
		"a stray":            {[]string{"set/cat/0.png", "set/dog/1.png", "set/cover.png"}, "none for 1 of 3 images"},
		"splits, no classes": {[]string{"train/0.png", "test/1.png"}, "none for 2 of 2 images"},
		"beside the splits":  {[]string{"train/cat/0.png", "test/cat/1.png", "more/cat/2.png"}, "1 elsewhere, the first is"},
		"stray with splits":  {[]string{"train/cat/0.png", "test/cat/1.png", "cover.png"}, "1 elsewhere, the first is"},
		"stray above splits": {
			[]string{"set/train/cat/0.png", "set/test/cat/1.png", "cover.png"}, "1 elsewhere, the first is",
		},
		"no training": {[]string{"val/cat/0.png", "test/cat/1.png"}, "only test and valid"},
	} {
		files := map[string][]byte{}
		for _, f := range c.files {
			files[f] = image
		}
		sets, _, err := readImages(t, "images", ImageOptions{Path: writeFolder(t, files), ByDirectory: true})
		switch {
		case err != nil:
			if !strings.Contains(err.Error(), c.want) || failure.HintOf(err) == "" {
				t.Errorf("%s: error %v (hint %q), want %q and a hint", name, err, failure.HintOf(err), c.want)
			}
		case fmt.Sprint(sets["train"].Classes) != c.want:
			t.Errorf("%s: classes %v, want %s", name, sets["train"].Classes, c.want)
		}
	}
	for _, file := range []string{"stray.zip", "stray-split.zip"} {
		_, _, err := readImages(t, "images", ImageOptions{
			Path: filepath.Join("testdata", "archives", file), ByDirectory: true,
		})
		if err == nil || !strings.Contains(err.Error(), "cover.png") {
			t.Errorf("%s: error %v, want one with the stray image cover.png", file, err)
		}
	}
}

// TestDealt: if files are sorted by class, the first samples of the set still have all classes in proportion.
func TestDealt(t *testing.T) {
	const each = 60
	files := map[string][]byte{}
	for k := range 4 * each {
		im := image.NewGray(image.Rect(0, 0, 2, 2))
		im.SetGray(0, 0, color.Gray{uint8(k)})
		var b bytes.Buffer
		if err := png.Encode(&b, im); err != nil {
			t.Fatal(err)
		}
		files[fmt.Sprintf("%d/%03d.png", min(k/each, 2), k)] = b.Bytes() // the last class has twice as many
	}
	folders := map[string][]byte{}
	for name, data := range files {
		folders["train/"+name], folders["test/"+name] = data, data
	}
	for name, path := range map[string]string{
		"folder":  writeFolder(t, files),
		"tar.gz":  writeArchive(t, "x.tar.gz", gz(t, packTar(t, files))),
		"folders": writeFolder(t, folders),
	} {
		read := func(train, test int) *dataset.Images {
			o := ImageOptions{Path: path, ByDirectory: true, TestFraction: 0.4, Train: train, Test: test}
			if name == "folders" {
				o.TestFraction = 0
			}
			sets, _, err := readImages(t, "images", o)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sets {
				count := make([]int, 3)
				for _, l := range s.Labels[:40] {
					count[l]++
				}
				if min(count[0], count[1]) < 5 || count[2] < 14 || max(count[0], count[1]) > 15 {
					t.Errorf("%s: the first 40 %s images have %v of the classes, want about 10, 10 and 20", name, s.Split, count)
				}
			}
			return sets["train"]
		}
		whole, some := read(0, 0), read(40, 40)
		if d := cmp.Diff(whole.Head(40), dataset.Set(some)); d != "" {
			t.Errorf("%s: 40 images are not the first 40 of all:\n%s", name, d)
		}
	}
}

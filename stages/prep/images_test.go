package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/dataset"
	"vapo/lib/dataset/source"
	"vapo/lib/failure"
	"vapo/lib/stage"
)

// writeFiles writes files below a new directory.
func writeFiles(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func encodePNG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tiles returns n images of 12 x 10 pixels in two directories, and a file that is not an image. Decoding and resizing
// them involves no rounding, so the digests depend on this program alone.
func tiles(t *testing.T, n int) map[string][]byte {
	files := map[string][]byte{"notes.txt": []byte("x")}
	for i := range n {
		img := image.NewRGBA(image.Rect(0, 0, 12, 10))
		for p := range 120 {
			img.Set(p%12, p/12, color.RGBA{uint8(i * 7), uint8(p * 2), uint8(p * i), 255})
		}
		files[fmt.Sprintf("%s/%02d.png", []string{"even", "odd"}[i%2], i)] = encodePNG(t, img)
	}
	return files
}

const sheet = "a,b,kind\n1,2.5,x\n2,3.5,y\n4,1.5,x\n8,0.5,x\n16,7.5,y\n"

func readSummary(t *testing.T, dir string) (s summary) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOwnMNIST: published images that are packed as PNG files in a zip file are read back unchanged.
func TestOwnMNIST(t *testing.T) {
	l, err := source.Load("mnist", "", true, 0, 0)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%v: %s", err, failure.HintOf(err))
	}
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	const n = 300
	for i := range n {
		w, err := z.Create(fmt.Sprintf("mnist/%s/%05d.png", l.Test.Classes[l.Test.Labels[i]], i))
		if err != nil {
			t.Fatal(err)
		}
		digit := &image.Gray{Pix: l.Test.Image(i), Stride: 28, Rect: image.Rect(0, 0, 28, 28)}
		if _, err := w.Write(encodePNG(t, digit)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(writeFiles(t, map[string][]byte{"digits.zip": b.Bytes()}), "digits.zip")
	dir, m := mustPrep(t, "--source=images", "--path="+path, "--channels=1", "--labels=directory")
	got := map[string]int{} // number of times that each image and label occurs, over both splits
	for _, split := range []string{"train", "test"} {
		s := readSet(t, filepath.Join(dir, split+".arrow")).(*dataset.Images)
		if s.N != map[string]int{"train": 270, "test": 30}[split] || !slices.Equal(s.Classes, l.Test.Classes) {
			t.Errorf("%s: %d images, classes %q; want nine tenths of %d for training, the rest for testing, and the "+
				"classes %q", split, s.N, s.Classes, n, l.Test.Classes)
		}
		for i := range s.N {
			got[string(s.Image(i))+s.Classes[s.Labels[i]]]++
		}
	}
	want := map[string]int{}
	for i := range n {
		want[string(l.Test.Image(i))+l.Test.Classes[l.Test.Labels[i]]]++
	}
	if !cmp.Equal(want, got) {
		t.Error("the images or labels differ from those packed")
	}
	checkPNG(t, filepath.Join(dir, "preview.png"))
	if s := readSummary(t, dir); s.Train.Count != 270 || len(s.Train.PerClass) != 10 || len(s.Files) != 1 ||
		m.Results["train"] != 270.0 || m.Warnings != nil {
		t.Errorf("summary %+v, results %v, warnings %q; want 270 training images of 10 classes from 1 file, and no "+
			"warnings", s, m.Results, m.Warnings)
	}
}

// TestOwnWarnings: the manifest counts the images and rows that are left out.
func TestOwnWarnings(t *testing.T) {
	files := tiles(t, 12)
	files["even/00.png"] = files["even/00.png"][:60]
	dir := writeFiles(t, files)
	code, _, stderr := prep(t, "--source=images", "--path="+dir, "--out="+t.TempDir())
	if code != failure.Input || !strings.Contains(stderr, "00.png") || !strings.Contains(stderr, "truncated") ||
		!strings.Contains(stderr, "--skip-broken") {
		t.Errorf("exit %d, want %d and a message that names 00.png as truncated, and --skip-broken: %s", code,
			failure.Input, stderr)
	}
	_, m := mustPrep(t, "--source=images", "--path="+dir, "--skip-broken")
	const skipped = "1 file was left out because its name is not that of a PNG, JPEG, GIF, BMP or WebP image: notes.txt"
	const broken = "1 broken image was left out: even/00.png: damaged or truncated"
	if len(m.Warnings) != 2 || m.Results["broken"] != 1.0 ||
		!strings.Contains(m.Warnings[0], skipped) || !strings.Contains(m.Warnings[1], broken) {
		t.Errorf("warnings %q, want %q and %q; results %v, want broken 1", m.Warnings, skipped, broken, m.Results)
	}
	table := writeFiles(t, map[string][]byte{"t.csv": []byte(sheet + "NA,1,x\n")})
	_, m = mustPrep(t, "--source=csv", "--label=kind", "--drop-missing", "--path="+filepath.Join(table, "t.csv"))
	if len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "1 rows") ||
		!strings.Contains(m.Warnings[0], "line 7, column a (character 1)") {
		t.Errorf("warnings %q, want one about the row that was left out, with line 7 and column a", m.Warnings)
	}
}

// TestOwnPhotos: photos that are not upright are counted in a warning, and --exif-rotate turns them. The parameter is
// part of the key. The files have 7 x 5 pixels and every orientation from 0 to 9.
func TestOwnPhotos(t *testing.T) {
	raw, err := os.ReadFile("../../lib/picture/testdata/exif.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name string
		File []byte
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, c := range cases {
		files[c.Name+".jpg"] = c.File // the extension does not matter
	}
	path := writeFiles(t, files)
	_, m := mustPrep(t, "--source=images", "--path="+path)
	const want = "21 photos are not upright according to their Exif data, and were not turned (see --exif-rotate); " +
		"the first is "
	if len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], want) {
		t.Errorf("warnings %q, want one with %q", m.Warnings, want)
	}
	_, turned := mustPrep(t, "--source=images", "--path="+path, "--size=5", "--exif-rotate")
	_, upright := mustPrep(t, "--source=images", "--path="+path, "--size=5")
	if turned.Warnings != nil || turned.Outputs["train"].Digest == upright.Outputs["train"].Digest {
		t.Errorf("--exif-rotate changes no image, or it still causes warnings: %q", turned.Warnings)
	}
	code, _, stderr := prep(t, "--source=images", "--path="+path, "--exif-rotate", "--out="+t.TempDir())
	if code != failure.Input || !strings.Contains(stderr, "5x7") {
		t.Errorf("after turning, some photos have 5 x 7 pixels and others 7 x 5: exit %d, want %d and a message with "+
			"5x7: %s", code, failure.Input, stderr)
	}
	p := resolved(t, `{"source":"images","exif-rotate":true,"path":`+string(must(json.Marshal(path)))+`}`)
	if p["exif-rotate"] != true {
		t.Errorf("resolved %v, want exif-rotate true", p)
	}
}

// TestOwnKey: the key depends on the names and contents of the images, not on their folder or on other files in it.
func TestOwnKey(t *testing.T) {
	key := func(edit func(files map[string][]byte)) map[string]any {
		files := tiles(t, 4)
		edit(files)
		return resolved(t, `{"source":"images","path":`+string(must(json.Marshal(writeFiles(t, files))))+`}`)
	}
	want := key(func(map[string][]byte) {})
	if d := cmp.Diff(want, key(func(f map[string][]byte) { f["notes.txt"] = nil })); d != "" {
		t.Errorf("a file that is not an image changes the key:\n%s", d)
	}
	if cmp.Equal(want, key(func(f map[string][]byte) { f["odd/01.png"] = f["odd/03.png"] })) {
		t.Error("a changed image leaves the key as it was")
	}
	if cmp.Equal(want, key(func(f map[string][]byte) { f["odd/04.png"] = f["odd/03.png"]; delete(f, "odd/03.png") })) {
		t.Error("a renamed image leaves the key as it was")
	}
}

func TestCelebASplits(t *testing.T) {
	files := map[string][]byte{}
	for i, n := range []int{1, 2, 162771, 182638, 182639} {
		img := image.NewRGBA(image.Rect(0, 0, 178, 218))
		for p := range 178 * 218 {
			img.Set(p%178, p/178, color.RGBA{uint8(p), uint8(p / 178), uint8(i), 255})
		}
		files[fmt.Sprintf("img_align_celeba/%06d.png", n)] = encodePNG(t, img)
	}
	path := writeFiles(t, files)
	dir, m := mustPrep(t, "--source=celeba", "--no-verify", "--path="+path)
	for split, n := range map[string]int{"train": 2, "valid": 1, "test": 2} {
		s := readSet(t, filepath.Join(dir, split+".arrow")).(*dataset.Images)
		if s.N != n || s.H != 64 || s.W != 64 || s.C != 3 || s.Split != split || m.Results[split] != float64(n) {
			t.Errorf("%s: %d images of %v in the split %q, results %v; want %d images of [3 64 64]", split, s.N, s.Shape(),
				s.Split, m.Results, n)
		}
	}
	if s := readSummary(t, dir); s.Valid == nil || s.Valid.Count != 1 {
		t.Errorf("summary %+v, want a validation split of 1 image", s)
	}
	code, _, stderr := prep(t, "--source=celeba", "--path="+path, "--out="+t.TempDir())
	if code != failure.Input || !strings.Contains(stderr, "202599") || !strings.Contains(stderr, "--no-verify") {
		t.Errorf("a part of celeba: exit %d, want %d and a message with 202599 and --no-verify: %s", code, failure.Input,
			stderr)
	}
}

// TestTable converts a table to standardised points, and the points back to the table.
func TestTable(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	path := filepath.Join(writeFiles(t, map[string][]byte{"t.csv": []byte(sheet)}), "t.csv")
	dir, _ := mustPrep(t, "--source=csv", "--path="+path, "--columns=b,a", "--label=kind", "--test-fraction=0.4")
	train := filepath.Join(dir, "train.arrow")
	table := func(args ...string) (failure.Class, string, string) {
		var out, errs bytes.Buffer
		code := stage.Main(spec, append([]string{"table"}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}
	var rows []string
	for _, split := range []string{"train", "test"} {
		in, file := filepath.Join(dir, split+".arrow"), filepath.Join(t.TempDir(), "out.csv")
		if code, out, errs := table(in, file); code != 0 || !strings.Contains(out, `"columns":["b","a"]`) {
			t.Fatalf("exit %d, want 0 and the columns b and a: %s%s", code, out, errs)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		if lines[0] != "b,a,label" {
			t.Errorf("header %q, want b,a,label", lines[0])
		}
		rows = append(rows, lines[1:]...)
		if code, _, errs := table(train, file); code != failure.Usage || !strings.Contains(errs, "--force") {
			t.Errorf("over an existing file: exit %d, want %d and a message with --force: %s", code, failure.Usage, errs)
		}
	}
	slices.Sort(rows)
	if d := cmp.Diff([]string{"0.5,8,x", "1.5,4,x", "2.5,1,x", "3.5,2,y", "7.5,16,y"}, rows); d != "" {
		t.Error(d)
	}
	// Samples have no column names or units; --like takes them from the training set.
	samples := filepath.Join(t.TempDir(), "samples.arrow")
	dirOther, _ := mustPrep(t, "--source=rings", "--n-train=3", "--n-test=1")
	if err := os.Rename(filepath.Join(dirOther, "train.arrow"), samples); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "out.csv")
	code, _, errs := table(samples, file)
	if code != failure.Input || !strings.Contains(errs, "--like") {
		t.Errorf("points without columns, no --like: exit %d, want %d and a message with --like: %s", code, failure.Input,
			errs)
	}
	code, _, errs = table(samples, file, "--like", samples)
	if code != failure.Input || !strings.Contains(errs, "no named columns") {
		t.Errorf("--like names a set without columns: exit %d, want %d and a message that says so: %s", code, failure.Input,
			errs)
	}
	code, out, errs := table(samples, file, "--like", train)
	if code != 0 || !strings.Contains(out, `"n":3`) {
		t.Errorf("--like names the training set: exit %d, want 0 and 3 rows: %s%s", code, out, errs)
	}
}

// TestOwnArchive: an archive with names in GBK, a folder for each split, and links gives the expected summary and
// warnings.
func TestOwnArchive(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	picture := encodePNG(t, image.NewGray(image.Rect(0, 0, 2, 2)))
	const cat, dog = "\xc3\xa8", "\xb9\xb7" // 猫 and 狗 in GBK
	for _, h := range []tar.Header{
		{Name: "train/" + cat + "/0.png"}, {Name: "train/" + dog + "/1.png"}, {Name: "val/" + cat + "/2.png"},
		{Name: "train/" + dog + "/3.png", Typeflag: tar.TypeSymlink, Linkname: "1.png"},
		{Name: "train/" + dog + "/4.png", Typeflag: tar.TypeSymlink, Linkname: "../../../4.png"},
	} {
		h.Mode, h.Format = 0o644, tar.FormatGNU
		if h.Typeflag == 0 {
			h.Size = int64(len(picture))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write(picture); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(writeFiles(t, map[string][]byte{"x.tar": b.Bytes()}), "x.tar")
	args := []string{"--source=images", "--path=" + path, "--labels=directory", "--names-encoding=gbk"}
	dir, m := mustPrep(t, args...)
	s := readSummary(t, dir)
	if !slices.Equal(s.Classes, []string{"狗", "猫"}) || !slices.Equal(s.Train.PerClass, []int{2, 1}) ||
		!slices.Equal(s.Test.PerClass, []int{0, 1}) {
		t.Errorf("summary %+v, want the classes 狗 and 猫 with 2 and 1 training images and 0 and 1 test images", s)
	}
	const left = "1 link or special file was left out: train/狗/4.png: the link leads out of the archive"
	const valid = "there is no test folder, so the validation images are the test split"
	if !slices.Equal(m.Warnings, []string{left, valid}) {
		t.Errorf("warnings %q, want %q and %q", m.Warnings, left, valid)
	}
	for arg, want := range map[string]string{
		"--names-encoding=klingon": "gbk", "--test-fraction=0.5": "a folder for each split",
	} {
		if code, _, stderr := prep(t, append(args, arg, "--out="+t.TempDir())...); code != failure.Usage ||
			!strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, want %d and a message with %q: %s", arg, code, failure.Usage, want, stderr)
		}
	}
}

func TestOwnRefuses(t *testing.T) {
	images := writeFiles(t, tiles(t, 4))
	table := filepath.Join(writeFiles(t, map[string][]byte{"t.csv": []byte(sheet)}), "t.csv")
	headerless := filepath.Join(writeFiles(t, map[string][]byte{"h.csv": []byte("0,5;1\n1,5;2\n")}), "h.csv")
	zeros := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		args []string
		code failure.Class
		want []string
	}{
		"size of mnist": {
			[]string{"--source=mnist", "--size=32"},
			failure.Usage, []string{"size is 32", "no effect while source is mnist", "images or celeba or shapes"},
		},
		"label of images": {
			[]string{"--source=images", "--label=x"},
			failure.Usage, []string{"label", "no effect while source is images"},
		},
		"fraction of celeba": {
			[]string{"--source=celeba", "--test-fraction=0.5"},
			failure.Usage, []string{"test-fraction"},
		},
		"fraction of 1": {
			[]string{"--source=images", "--path=" + images, "--test-fraction=1"},
			failure.Usage, []string{"test-fraction is 1"},
		},
		"two channels": {[]string{"--source=shapes", "--channels=2"}, failure.Usage, []string{"channels is 2"}},
		"huge size": {
			[]string{"--source=images", "--path=" + images, "--size=5000"},
			failure.Usage, []string{"512"},
		},
		"path of shapes": {[]string{"--source=shapes", "--path=" + images}, failure.Usage, []string{"no path"}},
		"open quote": {
			[]string{"--source=csv", "--path=" + table, `--columns="a`},
			failure.Usage, []string{"columns"},
		},
		"no path": {[]string{"--source=images"}, failure.Input, []string{"no path given", "zip"}},
		"no celeba": {
			[]string{"--source=celeba", "--path=" + filepath.Join(images, "none")},
			failure.Input, []string{"none", "img_align_celeba.zip"},
		},
		"no images": {
			[]string{"--source=images", "--path=" + filepath.Dir(table)},
			failure.Input, []string{"none, and 1 other files"},
		},
		"many": {
			[]string{"--source=images", "--path=" + images, "--n-train=9"},
			failure.Usage, []string{"n-train is 9", "train split has 3 samples", "at most 3"},
		},
		"text in numbers": {
			[]string{"--source=csv", "--path=" + table},
			failure.Input, []string{"line 2, column kind (character 7)", "--columns"},
		},
		"another digest": {
			[]string{"--source=images", "--path=" + images, "--source-digest=sha256:" + zeros},
			failure.Integrity, []string{"source-digest"},
		},
		"another csv digest": {
			[]string{"--source=csv", "--path=" + table, "--label=kind", "--source-digest=sha256:" + zeros},
			failure.Integrity, []string{"source-digest"},
		},
		"components of csv": {
			[]string{"--source=csv", "--path=" + table, "--components=[]"},
			failure.Usage, []string{"components"},
		},
		"no header": {
			[]string{"--source=csv", "--path=" + headerless}, failure.Input, []string{"looks like data: 0,5;1", "--no-header"},
		},
		"unknown delimiter": {
			[]string{"--source=csv", "--path=" + table, "--delimiter=comma"}, failure.Usage, []string{"delimiter", "tab"},
		},
		"unknown encoding": {
			[]string{"--source=csv", "--path=" + table, "--encoding=klingon"}, failure.Usage, []string{"encoding", "klingon"},
		},
		"unknown decimal": {
			[]string{"--source=csv", "--path=" + table, "--decimal=dot"}, failure.Usage, []string{"decimal", "point"},
		},
		"digest of shapes": {[]string{"--source=shapes", "--source-digest=x"}, failure.Usage, []string{"source-digest"}},
		"unknown resize": {
			[]string{"--source=images", "--path=" + images, "--resize=nearest"},
			failure.Usage, []string{"nearest"},
		},
		"archive that is not": {[]string{"--source=images", "--path=" + table}, failure.Input, []string{"t.csv"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := prep(t, append(c.args, "--out="+t.TempDir())...)
			if code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("standard error lacks %q:\n%s", w, stderr)
				}
			}
		})
	}
}

// TestTableParameters: the parameters that describe the format of a table reach the reader, and its warnings reach the
// manifest.
func TestTableParameters(t *testing.T) {
	text := "\t1,500\t\xe4\n\t2,500\tb\n\t3,500\t\xe4\n\t4,250\tb\n"
	path := filepath.Join(writeFiles(t, map[string][]byte{"t.txt": []byte(text)}), "t.txt")
	dir, _ := mustPrep(t, "--source=csv", "--path="+path, "--no-header", "--columns=x2", "--label=x3", "--delimiter=tab",
		"--decimal=comma", "--encoding=latin1", "--test-fraction=0.25")
	set, err := dataset.Read(filepath.Join(dir, "train.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	p := set.(*dataset.Points)
	if p.N != 3 || len(p.Columns) != 1 || !(p.Columns[0].Mean > 1 && p.Columns[0].Mean < 5) ||
		!slices.Equal(p.Classes, []string{"b", "ä"}) {
		t.Errorf("%+v, want 3 points of one column with a mean between 1 and 5, and the classes b and ä", p)
	}
	index := filepath.Join(writeFiles(t, map[string][]byte{"i.csv": []byte(",a\n0,1\n1,2\n2,4\n3,8\n")}), "i.csv")
	_, m := mustPrep(t, "--source=csv", "--path="+index)
	if !strings.Contains(strings.Join(m.Warnings, " "), "to read it, give it a name") {
		t.Errorf("warnings %q, want one that says how to read the unnamed column", m.Warnings)
	}
}

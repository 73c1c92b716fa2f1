package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/stage"
)

func greyImage(s *dataset.Images, i int) *image.Gray {
	return &image.Gray{Pix: s.Image(i), Stride: s.W, Rect: image.Rect(0, 0, s.W, s.H)}
}

func writePNG(t testing.TB, path string, img image.Image) {
	t.Helper()
	writeFile(t, path, func(w io.Writer) error { return png.Encode(w, img) })
}

func writeText(t testing.TB, path, text string) string {
	t.Helper()
	return writeFile(t, path, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
}

// writeFolder writes a set much as the stage sample does: PNG files whose names follow the order of the images, an
// overview and a manifest.
func writeFolder(t testing.TB, dir string, s *dataset.Images) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range s.N {
		writePNG(t, filepath.Join(dir, "00000"+string(rune('a'+i/26))+string(rune('a'+i%26))+".png"), greyImage(s, i))
	}
	writePNG(t, filepath.Join(dir, "grid.png"), image.NewGray(image.Rect(0, 0, 99, 99)))
	writeText(t, filepath.Join(dir, "manifest.json"), "{}")
	return dir
}

func folderScores(t *testing.T, args ...string) score {
	t.Helper()
	code, stdout, stderr := eval(t, append([]string{"folders"}, args...)...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if strings.Count(stdout, "\n") != 1 {
		t.Errorf("standard output is not one line: %q", stdout)
	}
	var s score
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stderr, s.Metric) {
		t.Errorf("no table for people on standard error: %q", stderr)
	}
	return s
}

func TestFolders(t *testing.T) {
	t.Setenv("VAPO_STORE", "") // folders must work without a store
	dir := t.TempDir()
	a := writeFolder(t, filepath.Join(dir, "a"), discs("a", 60))
	b := writeFolder(t, filepath.Join(dir, "b"), discs("b", 40))
	noise := writeFolder(t, filepath.Join(dir, "noise"), pixelGaussian(discs("a", 60), 60, 1))
	network := writeNetwork(t, dir, 12)

	for _, features := range []string{"", network} {
		var more []string
		factor := 1.0 // pixel distances hardly differ
		if features != "" {
			factor = 2
			more = []string{"--features", features, "--backend", "tape"}
		}
		ab := folderScores(t, append([]string{a, b}, more...)...)
		if ab.N[0] != 60 || ab.N[1] != 40 || ab.Shape[0] != 1 || ab.Shape[1] != edge {
			t.Errorf("score %+v, want n 60 and 40 and images of shape [1 %d %d]", ab, edge, edge)
		}
		if aa := folderScores(t, append([]string{a, a}, more...)...); aa.Value > 1e-6*ab.Value {
			t.Errorf("a folder against itself scores %g, want at most a millionth of %g, the score against another", aa.Value,
				ab.Value)
		}
		if an := folderScores(t, append([]string{noise, a}, more...)...); an.Value < factor*ab.Value {
			t.Errorf("noise scores %g, want at least %g times the images' %g", an.Value, factor, ab.Value)
		}
		if (ab.Network == "") != (features == "") {
			t.Errorf("with --features %q, the score names the network %q, want one exactly if it is given", features,
				ab.Network)
		}
	}
}

// The same images in a tensor file and in a folder have the same score.
func TestFoldersAgreeWithTheStage(t *testing.T) {
	dir := t.TempDir()
	samples, train := discs("samples", 50), discs("train", 60)
	network := writeNetwork(t, dir, 12)
	out := filepath.Join(dir, "out")
	code, _, stderr := eval(t, "--input=samples="+writeSet(t, dir, "s", samples),
		"--input=reference="+writeSet(t, dir, "r", train), "--input=features="+network, "--backend=tape", "--out="+out)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	s := readScore(t, out)
	a, b := writeFolder(t, filepath.Join(dir, "fs"), samples), writeFolder(t, filepath.Join(dir, "fr"), train)
	f := folderScores(t, a, b, "--features", network, "--backend", "tape")
	if f.Value != s.Value || f.Network != s.Network {
		t.Errorf("folders gives the score %v with network %s, the stage gives %v with %s", f.Value, f.Network, s.Value,
			s.Network)
	}
}

func TestFoldersNameTheBadFile(t *testing.T) {
	good := discs("a", 3)
	var whole, jpg bytes.Buffer
	if err := png.Encode(&whole, greyImage(good, 0)); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&jpg, greyImage(good, 0), nil); err != nil {
		t.Fatal(err)
	}
	encode := func(img image.Image) []byte {
		var buf bytes.Buffer
		if err := png.Encode(&buf, img); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	glass := image.NewNRGBA(image.Rect(0, 0, edge, edge))
	glass.Set(3, 3, color.NRGBA{255, 0, 0, 100})
	bomb := bytes.Clone(whole.Bytes())
	copy(bomb[16:24], []byte{0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}) // the header claims 2^31 by 2^31 pixels
	for _, tc := range []struct {
		name, file string
		data       []byte
		want       string
	}{
		{"truncated png", "m.png", whole.Bytes()[:whole.Len()-20], "truncated"},
		{"truncated header", "m.png", whole.Bytes()[:20], "truncated"},
		{"truncated jpeg", "m.jpg", jpg.Bytes()[:jpg.Len()/2], "truncated"},
		{"text", "m.png", []byte("no image at all"), "are not those of a PNG"},
		{"empty", "m.jpeg", nil, "empty"},
		{"another size", "m.png", encode(image.NewGray(image.Rect(0, 0, edge, edge+1))), "16x17"},
		{"transparent", "m.png", encode(glass), "transparent"},
		{"bomb", "m.png", bomb, "m.png"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			a := writeFolder(t, filepath.Join(dir, "a"), good)
			b := writeFolder(t, filepath.Join(dir, "b"), good)
			if err := os.WriteFile(filepath.Join(b, tc.file), tc.data, 0o644); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := eval(t, "folders", a, b)
			if code != failure.Input || stdout != "" || !strings.Contains(stderr, tc.want) ||
				!strings.Contains(stderr, tc.file) {
				t.Errorf("exit %d, %q, %s; want exit %d, nothing on standard output, and a message with %q and %q", code,
					stdout, stderr, failure.Input, tc.file, tc.want)
			}
		})
	}
}

func TestFolderRefusals(t *testing.T) {
	dir := t.TempDir()
	a := writeFolder(t, filepath.Join(dir, "a"), discs("a", 3))
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	small := &dataset.Images{N: 2, C: 1, H: 4, W: 5, Pixels: make([]uint8, 40)}
	other := writeFolder(t, filepath.Join(dir, "other"), small)
	for name, tc := range map[string]struct {
		args []string
		code failure.Class
		want string
	}{
		"missing":     {[]string{a, filepath.Join(dir, "nowhere")}, failure.Input, "nowhere"},
		"a file":      {[]string{filepath.Join(a, "grid.png"), a}, failure.Input, "grid.png"},
		"empty":       {[]string{a, empty}, failure.Input, "expected files named"},
		"sizes":       {[]string{a, other}, failure.Input, "[1 16 16]"},
		"one folder":  {[]string{a}, failure.Usage, "b"},
		"directions":  {[]string{a, a, "--projections", "0"}, failure.Usage, "projections"},
		"no network":  {[]string{a, a, "--features", filepath.Join(dir, "nothing.arrow")}, failure.Input, "nothing.arrow"},
		"bad network": {[]string{a, a, "--features", filepath.Join(a, "grid.png")}, failure.Input, "feature network"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := eval(t, append([]string{"folders"}, tc.args...)...)
			if code != tc.code || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit %d, %q, %s; want exit %d, nothing on standard output, and a message with %q", code, stdout,
					stderr, tc.code, tc.want)
			}
		})
	}
}

// A single coloured image makes both sets RGB. Images are sorted by file name.
func TestFolderColours(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, d := range []string{a, b} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	plain := func(c color.Color) image.Image {
		img := image.NewRGBA(image.Rect(0, 0, 2, 3))
		for y := range 3 {
			for x := range 2 {
				img.Set(x, y, c)
			}
		}
		return img
	}
	put := func(path string, c color.Color) {
		writePNG(t, path, plain(c))
	}
	put(filepath.Join(a, "1.png"), color.Gray{10})
	put(filepath.Join(a, "2.PNG"), color.Gray16{0x80ff})
	put(filepath.Join(b, "1.png"), color.RGBA{1, 2, 3, 255})
	put(filepath.Join(b, "0.png"), color.Gray{7})
	console := &stage.Console{Log: slog.New(slog.DiscardHandler)}
	load := func(a, b string) (*dataset.Images, *dataset.Images) {
		t.Helper()
		var sets []*imageSet
		for _, dir := range []string{a, b} {
			set, err := openArgument(t.Context(), console, dir)
			if err != nil {
				t.Fatal(err)
			}
			sets = append(sets, set)
		}
		if err := loadFolders(t.Context(), sets...); err != nil {
			t.Fatal(err)
		}
		return sets[0].loaded, sets[1].loaded
	}
	x, y := load(a, b)
	if x.C != 3 || y.C != 3 || x.H != 3 || x.W != 2 {
		t.Fatalf("shapes %v and %v, want 3 channels in both, and 3 x 2 pixels in the first", x.Shape(), y.Shape())
	}
	got := []uint8{x.Image(0)[0], x.Image(1)[17], y.Image(0)[0], y.Image(1)[0], y.Image(1)[6], y.Image(1)[12]}
	if want := []uint8{10, 0x80, 7, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("selected values %v of the pixels %v and %v, want %v", got, x.Pixels, y.Pixels, want)
	}
	if x, _ := load(a, a); x.C != 1 {
		t.Errorf("two grey folders are read as %d channels, want 1", x.C)
	}
}

// TestFoldersOfAnything: folders are read with their subfolders and in all formats, zip files are read like folders,
// and warnings list what is left out.
func TestFoldersOfAnything(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	raw, err := os.ReadFile("../../lib/picture/testdata/webp.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		W, H int
		File []byte
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"notes.txt": []byte("x"), "deep/photo.heic": []byte("x"), "grid.png": []byte("x")}
	for i, c := range cases {
		if c.W == 12 && c.H == 9 {
			files[fmt.Sprintf("deep/er/%d.webp", i)] = c.File
		}
	}
	for i := range 4 {
		img := image.NewRGBA(image.Rect(0, 0, 12, 9))
		for k := range img.Pix {
			img.Pix[k] = uint8(k * i)
		}
		for p := 3; p < len(img.Pix); p += 4 {
			img.Pix[p] = 255
		}
		var b bytes.Buffer
		encode, ext := func() error { return png.Encode(&b, img) }, "png"
		if i%2 == 1 {
			encode, ext = func() error { return jpeg.Encode(&b, img, nil) }, "JPG"
		}
		if err := encode(); err != nil {
			t.Fatal(err)
		}
		files[fmt.Sprintf("%d.%s", i, ext)] = b.Bytes()
	}
	dir := t.TempDir()
	packed, err := os.Create(filepath.Join(dir, "all.zip"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(packed)
	for name, data := range files {
		path := filepath.Join(dir, "all", filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), packed.Close()); err != nil {
		t.Fatal(err)
	}
	all := filepath.Join(dir, "all")
	if err := os.Symlink("nowhere", filepath.Join(all, "lost.png")); err != nil {
		t.Fatal(err)
	}
	s := folderScores(t, all, packed.Name())
	if !slices.Equal(s.N, []int{7, 7}) || s.Value > 1e-9 {
		t.Errorf("%v images, want 7 and 7; equal sets score %g, want 0", s.N, s.Value)
	}
	warnings := strings.Join(s.Warnings, "\n")
	for _, want := range []string{
		"folder " + all + ": 2 files were left out because their names are not those of PNG, JPEG, GIF, BMP or WebP images" +
			"; the first is deep/photo.heic",
		"folder " + all + ": 1 link or special file was left out: lost.png",
		"folder " + all + ": 1 file was left out because the stage sample writes its overview under this name",
		"archive " + packed.Name() + ": 2 files were left out because their names are not those of PNG, JPEG, GIF, " +
			"BMP or WebP images",
	} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning %q in\n%s", want, warnings)
		}
	}
}

// The FID of two folders of CIFAR-10 images equals the value that an independent implementation in PyTorch computes
// (testdata/fid.py). Images of other colour modes and sizes are accepted too.
func TestFoldersInception(t *testing.T) {
	dir := os.Getenv("VAPO_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	weights := filepath.Join(dir, "inception-2015-12-05-trunk.pth")
	packed := filepath.Join(dir, "cifar-10-binary.tar.xz")
	for _, path := range []string{weights, packed} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s is missing (VAPO_TESTDATA names its folder)", filepath.Base(path))
		}
	}
	t.Setenv("VAPO_STORE", "")
	const n = 128 // twice the number of features
	tmp := t.TempDir()
	for folder, file := range map[string]string{"a": "data_batch_1.bin", "b": "test_batch.bin"} {
		raw, err := exec.Command("tar", "-xJOf", packed, "cifar-10-batches-bin/"+file).Output()
		if err != nil {
			t.Skipf("unpacking %s needs tar and xz: %v", packed, err)
		}
		if err := os.Mkdir(filepath.Join(tmp, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			rgb := raw[3073*i+1 : 3073*(i+1)]
			img := image.NewRGBA(image.Rect(0, 0, 32, 32))
			for p := range 1024 {
				img.Set(p%32, p/32, color.RGBA{rgb[p], rgb[1024+p], rgb[2048+p], 255})
			}
			writePNG(t, filepath.Join(tmp, folder, fmt.Sprintf("%03d.png", i)), img)
		}
	}
	a, b := filepath.Join(tmp, "a"), filepath.Join(tmp, "b")
	s := folderScores(t, a, b, "--weights", weights, "--tap", "64")
	const want = 0.13762086883614888 // printed by: fid.py DIRECTORY 128 64
	if s.FID == nil || math.Abs(*s.FID-want) > 1e-4*want || s.Tap != 64 || s.Resize != "pytorch-fid" ||
		len(s.Weights) != 64 {
		t.Errorf("got %+v, want an FID of %v", s, want)
	}
	if again := folderScores(t, a, b, "--weights", weights, "--tap", "64"); *again.FID != *s.FID {
		t.Errorf("the same folders give the FID %v and then %v", *s.FID, *again.FID)
	}
	// Add a grey, a larger and a 16-bit image.
	writePNG(t, filepath.Join(a, "x.png"), image.NewGray(image.Rect(0, 0, 50, 40)))
	writeFile(t, filepath.Join(a, "y.jpg"), func(w io.Writer) error {
		return jpeg.Encode(w, image.NewGray(image.Rect(0, 0, 310, 305)), nil)
	})
	writePNG(t, filepath.Join(a, "z.png"), image.NewGray16(image.Rect(0, 0, 33, 3)))
	s = folderScores(t, a, b, "--weights", weights, "--tap", "64", "--resize", "clean")
	if s.N[0] != n+3 || s.Resize != "clean" {
		t.Errorf("with images of other sizes: %+v, want n[0] %d and the resize convention clean", s, n+3)
	}
	// Error messages name the file, the layers or the flag.
	writeText(t, filepath.Join(a, "cut.png"), "\x89PNG\r\n\x1a\n")
	for _, c := range []struct {
		code failure.Class
		want string
		args []string
	}{
		{failure.Input, "cut.png", []string{"--weights", weights, "--tap", "64"}},
		{failure.Input, "Mixed_7b", []string{"--weights", weights}},
		{failure.Input, "000.png", []string{"--weights", filepath.Join(a, "000.png"), "--tap", "64"}},
		{failure.Usage, "--tap is 65", []string{"--weights", weights, "--tap", "65"}},
		{failure.Usage, "two feature networks", []string{"--weights", weights, "--features", weights, "--tap", "64"}},
	} {
		code, _, stderr := eval(t, append([]string{"folders", a, b}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit %d with %q, expected %d and %q", c.args[2:], code, stderr, c.code, c.want)
		}
	}
}

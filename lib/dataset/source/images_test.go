package source

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/picture"
	"vapo/lib/random"
)

// album returns the files of a small data set: 12 images of mixed sizes in two directories, and files to be ignored.
func album(t testing.TB) map[string][]byte {
	files := map[string][]byte{"README.md": []byte("x"), ".hidden.png": []byte("x"), "b/.cache/x.png": []byte("x")}
	for i := range 12 {
		name := fmt.Sprintf("%s/%02d.%s", []string{"b", "a", "a"}[i%3], i, []string{"png", "jpg"}[i%2])
		files[name] = imageFile(t, name, 8+i, 20-i, uint64(i))
	}
	return files
}

func gather(t testing.TB, s *Stream) (*dataset.Images, error) {
	t.Helper()
	all := s.Like
	err := s.Each(context.Background(), func(b *dataset.Images) error {
		if b.C != all.C || b.H != all.H || b.W != all.W || len(b.Pixels) != b.N*b.C*b.H*b.W ||
			b.Labels != nil && len(b.Labels) != b.N {
			return fmt.Errorf("batch of %d images has %d values, %d labels", b.N, len(b.Pixels), len(b.Labels))
		}
		all.N += b.N
		all.Pixels = append(all.Pixels, b.Pixels...)
		all.Labels = append(all.Labels, b.Labels...)
		return nil
	})
	return &all, err
}

// readImages opens a source, reads all its splits and compares the digest with that of the function Digest.
func readImages(t testing.TB, source string, o ImageOptions) (map[string]*dataset.Images, *ImageFiles, error) {
	t.Helper()
	if o.Channels == 0 {
		o.Channels = 3
	}
	if o.Filter == "" {
		o.Filter = picture.Bilinear
	}
	p, err := OpenImages(context.Background(), source, o)
	if err != nil {
		return nil, nil, err
	}
	defer p.Close()
	sets := map[string]*dataset.Images{}
	for _, s := range p.Splits {
		if sets[s.Like.Split], err = gather(t, s); err != nil {
			return nil, p, err
		}
	}
	_, digest, err := p.Finish()
	if err != nil {
		return nil, p, err
	}
	if want, err := Digest(source, o.Path); err != nil || digest != want {
		t.Errorf("%s: digest %s while reading, want %s (%v) as Digest returns", o.Path, digest, want, err)
	}
	return sets, p, nil
}

// TestImagesAnyContainer: a folder and every kind of archive give the same data set, sorted by path.
func TestImagesAnyContainer(t *testing.T) {
	files := album(t)
	top := map[string][]byte{"__MACOSX/a/._00.png": []byte("x")}
	for name, b := range files {
		top["some/top/"+name] = b
	}
	packed := packTar(t, files)
	o := ImageOptions{Path: writeFolder(t, files), Size: 6, ByDirectory: true, TestFraction: 0.25, Seed: 3}
	want, p, err := readImages(t, "images", o)
	if err != nil {
		t.Fatal(err)
	}
	train, test := want["train"], want["test"]
	if train.N != 9 || test.N != 3 || train.C != 3 || train.H != 6 || train.W != 6 ||
		train.Split != "train" || train.Name != "images" || !slices.Equal(train.Classes, []string{"a", "b"}) {
		t.Fatalf("train %+v, want 9 colour images of 6x6 with classes a and b; test has %d, want 3", train, test.N)
	}
	if p.Skipped != (Tally{1, "README.md"}) || p.Broken.N != 0 {
		t.Errorf("skipped %+v, broken %+v, want README.md skipped and nothing broken", p.Skipped, p.Broken)
	}
	// Compute the expected splits by hand, from the images sorted by path.
	var names []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if len(name) == len("a/00.png") {
			names = append(names, name)
		}
	}
	dealt := random.New(3, "dataset/images/test", 0).Perm(12)
	for k, i := range dealt {
		im, err := picture.Decode(files[names[i]])
		if err != nil {
			t.Fatal(err)
		}
		edge := min(im.H, im.W)
		if im, err = im.CentreCrop(edge, edge); err != nil {
			t.Fatal(err)
		}
		if im, err = picture.NewResizer(picture.Bilinear, edge, edge, 6, 6).Resize(im); err != nil {
			t.Fatal(err)
		}
		set, at := test, k
		if k >= 3 {
			set, at = train, k-3
		}
		if !slices.Equal(set.Image(at), im.Pixels) || set.Classes[set.Labels[at]] != names[i][:1] {
			t.Errorf("%s image %d does not have the pixels and class of %s", set.Split, at, names[i])
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(o.Path, link); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"another folder": writeFolder(t, files),
		"a link":         link,
		"zip":            writeArchive(t, "x.zip", packZip(t, files)),
		"zip with a top": writeArchive(t, "x", packZip(t, top)),
		"tar":            writeArchive(t, "x.tar", packed),
		"tar.gz":         writeArchive(t, "x.tar.gz", gz(t, packed)),
		"tgz with a top": writeArchive(t, "x.tgz", gz(t, packTar(t, top))),
	} {
		o.Path = path
		got, _, err := readImages(t, "images", o)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: error %v, or another data set (-want +got):\n%s", name, err, d)
		}
	}
}

func TestImagesForms(t *testing.T) {
	files := map[string][]byte{}
	for i := range 5 {
		files[fmt.Sprintf("%d.png", i)] = imageFile(t, "x.png", 10, 7, uint64(i))
	}
	dir := writeFolder(t, files)
	for _, c := range []struct {
		o       ImageOptions
		c, h, w int
	}{
		{ImageOptions{}, 3, 7, 10},
		{ImageOptions{Channels: 1}, 1, 7, 10},
		{ImageOptions{Crop: 6}, 3, 6, 6},
		{ImageOptions{Crop: 6, Size: 9, Channels: 1, Filter: picture.Lanczos}, 1, 9, 9},
		{ImageOptions{Size: 7}, 3, 7, 7}, // cropped, not resized
	} {
		c.o.Path = dir
		sets, _, err := readImages(t, "images", c.o)
		if err != nil {
			t.Fatal(err)
		}
		if s := sets["train"]; s.C != c.c || s.H != c.h || s.W != c.w || s.N != 4 || sets["test"].N != 1 || s.Labels != nil {
			t.Errorf("%+v: %d images of %v and %d of the test split, want 4 of [%d %d %d] without labels and 1",
				c.o, s.N, s.Shape(), sets["test"].N, c.c, c.h, c.w)
		}
	}
	sets, _, err := readImages(t, "images", ImageOptions{Path: dir, TestFraction: 0.4, Train: 2, Test: 1})
	if err != nil || sets["train"].N != 2 || sets["test"].N != 1 {
		t.Errorf("want two training images and one test image, got %v (%v)", sets, err)
	}
	_, _, err = readImages(t, "images", ImageOptions{Path: dir, Train: 5})
	if failure.ClassOf(err) != failure.Usage || !strings.Contains(failure.HintOf(err), "n-train to at most 4") {
		t.Errorf("5 training images requested of 4: error %v, want a usage error whose hint gives the limit", err)
	}
}

// TestImagesDigest: the digest of a folder depends only on the names and contents of its images.
func TestImagesDigest(t *testing.T) {
	digest := func(edit func(files map[string][]byte)) string {
		files := album(t)
		edit(files)
		d, err := Digest("images", writeFolder(t, files))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	want := digest(func(map[string][]byte) {})
	if got := digest(func(f map[string][]byte) { f["README.md"] = nil; f["notes.txt"] = nil }); got != want {
		t.Error("a file that is not an image changes the digest")
	}
	if got := digest(func(f map[string][]byte) { f["a/01.jpg"][100] ^= 1 }); got == want {
		t.Error("a changed image does not change the digest")
	}
	if got := digest(func(f map[string][]byte) { f["c/01.jpg"] = f["a/01.jpg"]; delete(f, "a/01.jpg") }); got == want {
		t.Error("a moved image does not change the digest")
	}
}

func TestImagesBroken(t *testing.T) {
	glass := image.NewNRGBA(image.Rect(0, 0, 9, 9))
	var transparent bytes.Buffer
	if err := png.Encode(&transparent, glass); err != nil {
		t.Fatal(err)
	}
	whole := imageFile(t, "x.png", 30, 30, 1)
	jpg := imageFile(t, "x.jpg", 30, 30, 1)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"truncated png":  {whole[:len(whole)/2], "truncated"},
		"truncated jpeg": {jpg[:len(jpg)/2], "truncated"},
		"text":           {[]byte("<html>404</html>"), "it is a web page"},
		"empty":          {nil, "empty"},
		"transparent":    {transparent.Bytes(), "transparent"},
		"small":          {imageFile(t, "x.png", 5, 5, 1), "too small"},
	} {
		for _, container := range []string{"folder", "zip", "tar.gz"} {
			files := album(t)
			for k := range files {
				files[k] = imageFile(t, k, 12, 12, 1)
			}
			files["a/m.png"] = c.data
			path := ""
			switch container {
			case "folder":
				path = writeFolder(t, files)
			case "zip":
				path = writeArchive(t, "x.zip", packZip(t, files))
			default:
				path = writeArchive(t, "x.tar.gz", gz(t, packTar(t, files)))
			}
			o := ImageOptions{Path: path, Crop: 6, TestFraction: 0.3}
			_, _, err := readImages(t, "images", o)
			if failure.ClassOf(err) != failure.Input || !strings.Contains(filepath.ToSlash(err.Error()), "a/m.png: ") ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("%s in a %s: %v, want the image and %q", name, container, err, c.want)
			}
			o.SkipBroken = true
			sets, p, err := readImages(t, "images", o)
			if err != nil || p.Broken.N != 1 || !strings.Contains(p.Broken.First, c.want) ||
				sets["train"].N+sets["test"].N != 12 {
				t.Errorf("%s in a %s, to be left out: error %v, broken %+v, want one broken image and 12 others",
					name, container, err, p.Broken)
			}
		}
	}
	// A set without an intact image and a set of mixed sizes are errors.
	bad := map[string][]byte{"a.png": nil, "b.png": nil, "c.png": nil}
	_, _, err := readImages(t, "images", ImageOptions{Path: writeFolder(t, bad), SkipBroken: true})
	if err == nil || !strings.Contains(err.Error(), "an intact one") {
		t.Errorf("no intact image: error %v, want one that asks for an intact image", err)
	}
	_, _, err = readImages(t, "images", ImageOptions{Path: writeFolder(t, album(t))})
	if err == nil || !strings.Contains(err.Error(), "image size") {
		t.Errorf("mixed sizes: error %v, want one about the image size", err)
	}
}

// TestImagesChanged: images that change while they are read are detected.
func TestImagesChanged(t *testing.T) {
	files := album(t)
	dir := writeFolder(t, files)
	zipped := writeArchive(t, "x.zip", packZip(t, files))
	for path, touched := range map[string]string{dir: filepath.Join(dir, "a", "01.jpg"), zipped: zipped} {
		p, err := OpenImages(t.Context(), "images", ImageOptions{Path: path, Size: 4, Channels: 3, Filter: picture.Bilinear})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, s := range p.Splits {
			if _, err := gather(t, s); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(touched)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(touched, append(b, 0), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Finish(); failure.ClassOf(err) != failure.Integrity {
			t.Errorf("%s: error %v after the file has changed, want an integrity error", path, err)
		}
	}
}

func TestImagesNotFound(t *testing.T) {
	for _, source := range own {
		for _, path := range []string{"", filepath.Join(t.TempDir(), "none")} {
			_, err := Digest(source, path)
			if failure.ClassOf(err) != failure.Input || failure.HintOf(err) == "" || !strings.Contains(err.Error(), source) {
				t.Errorf("%s at %q: %v, want the source and a hint", source, path, err)
			}
		}
	}
}

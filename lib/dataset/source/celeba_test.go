package source

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/failure"

	"github.com/google/go-cmp/cmp"
)

// faces returns images of CelebA's size whose numbers are at the ends of the published splits.
func faces(t testing.TB) map[string][]byte {
	files := map[string][]byte{}
	for _, n := range []int{1, 2, celebaTrain, celebaTrain + 1, celebaValid, celebaValid + 1, celebaImages} {
		files[fmt.Sprintf("img_align_celeba/%06d.jpg", n)] = imageFile(t, "x.jpg", 178, 218, uint64(n))
	}
	return files
}

func TestCelebA(t *testing.T) {
	files := faces(t)
	o := ImageOptions{Size: CelebASize, Crop: CelebACrop}
	read := func(path string) map[string]*dataset.Images {
		t.Helper()
		o.Path = path
		sets, _, err := readImages(t, "celeba", o)
		if err != nil {
			t.Fatal(err)
		}
		return sets
	}
	want := read(filepath.Join(writeFolder(t, files), "img_align_celeba"))
	train := want["train"]
	if train.N != 3 || want["valid"].N != 2 || want["test"].N != 2 ||
		train.H != 64 || train.C != 3 || train.Name != "celeba" {
		t.Fatalf("splits by image number: %+v, want 3, 2 and 2 colour images of height 64 named celeba", want)
	}
	zipped := packZip(t, files)
	for name, path := range map[string]string{
		"the folder above": writeFolder(t, files), "the archive": writeArchive(t, "img_align_celeba.zip", zipped),
		"the archive's folder": filepath.Dir(writeArchive(t, "img_align_celeba.zip", zipped)),
	} {
		if d := cmp.Diff(want, read(path)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	// A partition list next to the images determines the splits and is part of the digest.
	var list strings.Builder
	for i, n := range []int{1, 2, celebaTrain, celebaTrain + 1, celebaValid, celebaValid + 1, celebaImages} {
		fmt.Fprintf(&list, "%06d.jpg %d\n", n, []int{2, 0, 1}[i%3])
	}
	bare, err := Digest("celeba", writeFolder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	files[celebaPartition] = []byte(list.String())
	dir := writeFolder(t, files)
	for _, path := range []string{dir, filepath.Join(dir, "img_align_celeba")} {
		if sets := read(path); sets["train"].N != 2 || sets["valid"].N != 2 || sets["test"].N != 3 {
			t.Errorf("splits by the list have %d, %d and %d images, want 2, 2 and 3",
				sets["train"].N, sets["valid"].N, sets["test"].N)
		}
	}
	if d, err := Digest("celeba", dir); err != nil || d == bare {
		t.Errorf("the digest does not change with the list (%v)", err)
	}
	files[celebaPartition] = files[celebaPartition][:len("000001.jpg 2\n")*3]
	_, _, err = readImages(t, "celeba", ImageOptions{Path: writeFolder(t, files)})
	if err == nil || !strings.Contains(err.Error(), celebaPartition) {
		t.Errorf("images that the list lacks: error %v, want one with %s", err, celebaPartition)
	}
	delete(files, celebaPartition)
	_, _, err = readImages(t, "celeba", ImageOptions{Path: writeFolder(t, files), Verify: true})
	if err == nil || !strings.Contains(err.Error(), "202599 of the published celeba") {
		t.Errorf("a part of the set, with Verify: error %v, want one with the published number of images", err)
	}
	files["img_align_celeba/me.jpg"] = nil
	_, _, err = readImages(t, "celeba", ImageOptions{Path: writeFolder(t, files)})
	if err == nil || !strings.Contains(err.Error(), `"me.jpg"`) {
		t.Errorf("an image without a number: error %v, want one with its name", err)
	}
}

// TestCelebAWhole assigns every published image number to a split and checks the sizes of the splits, without reading a
// file.
func TestCelebAWhole(t *testing.T) {
	c := &collection{path: "x"}
	counts := make([]int, 3)
	for n := 1; n <= celebaImages; n++ {
		name := fmt.Sprintf("%06d.jpg", n)
		c.images = append(c.images, entry{name: name})
		split, err := celebaSplit(name, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		counts[split]++
	}
	if d := cmp.Diff([]int{162770, 19867, 19962}, counts); d != "" {
		t.Errorf("numbers of images in the splits %v (-want +got):\n%s", celebaSplits, d)
	}
	if err := c.checkCelebA(); err != nil {
		t.Error(err)
	}
	c.images[7] = c.images[8]
	if err := c.checkCelebA(); err == nil {
		t.Error("a duplicate number is accepted")
	}
}

func TestPartitionRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"three fields": "a.jpg 0 1", "one field": "a.jpg", "split 3": "a.jpg 3", "no number": "a.jpg x",
		"twice": "a.jpg 0\na.jpg 0", "long": strings.Repeat("x", 1<<17),
	} {
		if list, err := decodePartition("list", []byte(text)); failure.ClassOf(err) != failure.Input {
			t.Errorf("%s: list %v and error %v, want an input error", name, list, err)
		}
	}
}

func FuzzPartition(f *testing.F) {
	f.Add([]byte("000001.jpg 0\r\n\n000002.jpg 2\n"))
	f.Add([]byte("a 3"))
	f.Fuzz(func(t *testing.T, data []byte) {
		of, err := decodePartition("list", data)
		for name, split := range of {
			if err != nil || name == "" || split < 0 || split > 2 {
				t.Errorf("image %q in split %d with error %v, want a name, split 0, 1 or 2 and no error", name, split, err)
			}
		}
	})
}

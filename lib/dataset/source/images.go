package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/picture"
)

// MaxEdge is the maximum height and width of an image in pixels. It bounds memory, since tensor files buffer 1,024
// images.
const MaxEdge = 512

const imagesHint = "give a folder, a zip file or a tar archive of images as path"

// ImageOptions are the options of OpenImages.
type ImageOptions struct {
	Path         string
	Size         int            // edge of the resized images; 0: no resizing, and all images must have the same size
	Crop         int            // edge of the centre crop; 0: the largest square if the image is resized, else no crop
	Channels     int            // 3 (RGB), or 1 (converted to grey before anything else)
	Filter       picture.Filter // filter for resizing
	ByDirectory  bool           // take labels from the first directories of the paths
	TestFraction float64        // share of source images that becomes the test split
	Seed         uint64         // seed of the random test split
	SkipBroken   bool           // leave out and count files that cannot be used
	Verify       bool           // source celeba: require the complete set
	Train, Test  int            // number of images to keep of each split, from the first; 0: all
}

// ImageFiles holds the image files of a folder or archive, divided into splits. It must be closed.
type ImageFiles struct {
	Splits  []*Stream // train, test and, for celeba, valid
	Skipped Tally     // files without an image's extension
	Broken  Tally     // broken images that were left out; final once all splits have been read

	source   string
	opt      ImageOptions
	c        *collection
	extra    []File // files that are part of the digest, but not images
	labels   []int64
	sums     map[int][sha256.Size]byte // digests of the bytes that were decoded, by image
	broken   map[int]bool
	mu       sync.Mutex
	resizers map[int]*picture.Resizer // by the edge of the image before resizing
}

// OpenImages lists the images of source images or celeba and divides them into splits. It decodes an image only if the
// options leave the size of the images open: then the first image determines the size.
func OpenImages(ctx context.Context, source string, opt ImageOptions) (*ImageFiles, error) {
	f := &ImageFiles{
		source: source, opt: opt,
		sums: map[int][sha256.Size]byte{}, broken: map[int]bool{}, resizers: map[int]*picture.Resizer{},
	}
	open := f.openFolder
	if source == "celeba" {
		open = f.openCelebA
	}
	parts, err := open()
	if err == nil {
		err = f.stream(ctx, parts)
	}
	if err != nil {
		f.Close()
		return nil, inSource(source, err)
	}
	f.Skipped = f.c.skipped
	return f, nil
}

// Close closes the archive.
func (f *ImageFiles) Close() {
	if f.c != nil {
		f.c.close()
	}
}

// part is a split before it is read.
type part struct {
	name    string
	indices []int // indices of its images, ascending
	limit   int   // number of images requested; 0: all
}

func (f *ImageFiles) openFolder() ([]part, error) {
	if err := present(f.opt.Path, imagesHint); err != nil {
		return nil, err
	}
	var err error
	if f.c, err = openCollection(f.opt.Path); err != nil {
		return nil, err
	}
	n := len(f.c.names)
	if n < 2 {
		return nil, optionError("add images", f.opt.Path, "images", "2 or more, for a training and a test split", "1")
	}
	train, test := split(n, f.opt.TestFraction, f.opt.Seed, "dataset/images/test")
	return []part{{"train", train, f.opt.Train}, {"test", test, f.opt.Test}}, nil
}

// stream creates a Stream for each split.
func (f *ImageFiles) stream(ctx context.Context, parts []part) error {
	like := dataset.Images{Name: f.source, C: f.opt.Channels, H: f.opt.Size, W: f.opt.Size}
	if f.opt.Size == 0 {
		like.H, like.W = f.opt.Crop, f.opt.Crop
	}
	if like.H == 0 {
		im, err := f.first(ctx, parts[0].indices)
		if err != nil {
			return err
		}
		like.H, like.W = im.H, im.W
	}
	if f.opt.ByDirectory {
		var err error
		if like.Classes, f.labels, err = f.c.directories(); err != nil {
			return err
		}
		like.Labels = []int64{}
	}
	for _, p := range parts {
		like.Split = p.name
		n := len(p.indices)
		if p.limit > 0 {
			n = min(n, p.limit)
		}
		s := &Stream{Like: like, Max: n}
		s.Each = func(ctx context.Context, yield func(*dataset.Images) error) error {
			return inSource(f.source, f.read(ctx, p, newBatcher(s.Like, yield)))
		}
		f.Splits = append(f.Splits, s)
	}
	return nil
}

// directories takes the first directory of each path as the label of the image. Many archives have one top directory
// that contains everything. So directories that all paths share are dropped first, as long as every path still has a
// directory.
func (c *collection) directories() (classes []string, labels []int64, err error) {
	prefix := 0 // length of the dropped directories in bytes
	for {
		top, _, _ := strings.Cut(c.names[0][prefix:], "/")
		deeper := !slices.ContainsFunc(c.names, func(name string) bool {
			first, rest, _ := strings.Cut(name[prefix:], "/")
			return first != top || !strings.Contains(rest, "/")
		})
		if !deeper {
			break
		}
		prefix += len(top) + 1
	}
	found := map[string]int64{}
	for i, name := range c.names {
		class, _, ok := strings.Cut(name[prefix:], "/")
		if !ok {
			return nil, nil, fileError(c.file(i), "directory", "one, which is the label", "none")
		}
		if !utf8.ValidString(class) {
			return nil, nil, fileError(c.file(i), "directory", "a name in UTF-8", "%q", class)
		}
		found[class] = 0
	}
	classes = slices.Sorted(maps.Keys(found))
	for i, class := range classes {
		found[class] = int64(i)
	}
	labels = make([]int64, len(c.names))
	for i, name := range c.names {
		class, _, _ := strings.Cut(name[prefix:], "/")
		labels[i] = found[class]
	}
	return classes, labels, nil
}

// Finish returns the files that were read, and the digest that Digest would return for them. It returns an error if a
// file has changed since OpenImages. So the digest is that of the bytes that were decoded.
func (f *ImageFiles) Finish() (files []File, digest string, err error) {
	images, err := f.finish()
	if err != nil {
		return nil, "", inSource(f.source, err)
	}
	return append([]File{merged(images)}, f.extra...), digestOf(append(images, f.extra...)), nil
}

func (f *ImageFiles) finish() ([]File, error) {
	images, err := f.c.files()
	if err == nil {
		err = f.c.checkUnchanged()
	}
	if err != nil || f.c.archive != nil {
		return images, err
	}
	for i, sum := range f.sums {
		if want := hex.EncodeToString(sum[:]); images[i].SHA256 != want && !f.broken[i] {
			return nil, checksumError(f.c.file(i), "the image", want, images[i].SHA256)
		}
	}
	return images, nil
}

// brokenError reports an image file that cannot be used: it is damaged, truncated, transparent, or smaller than the
// crop.
func brokenError(path string, err error) error {
	return failure.New(failure.Input, "remove or replace that file, or give --skip-broken", "image %s: %w", path, err)
}

package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"

	"golang.org/x/text/encoding"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/picture"
)

// MaxEdge is the maximum height and width of an image in pixels. It bounds memory, since the writer of tensor files
// buffers 1,024 images.
const MaxEdge = 512

const imagesHint = "give a folder, a zip file or a tar archive of images"

// ImageOptions are the options of OpenImages.
type ImageOptions struct {
	Path         string
	Size         int               // edge of the resized images; 0: no resizing, and all images must have the same size
	Crop         int               // edge of the centre crop; 0: the largest square if the image is resized, else no crop
	Channels     int               // 3 (RGB), or 1 (converted to grey before anything else)
	Filter       picture.Filter    // filter for resizing
	ByDirectory  bool              // label each image by the first directory of its path
	Names        encoding.Encoding // encoding of file names that are not UTF-8; nil: unknown
	TestFraction float64           // source "images": share that becomes the test split; 0: a tenth
	Seed         uint64            // source "images": seed of the random test split and of the order
	ExifRotate   bool              // turn photos upright as their Exif data say
	SkipBroken   bool              // leave out and count files that cannot be used
	Verify       bool              // source "celeba": require the complete set
	Train, Test  int               // number of images to keep of each split, from the first; 0: all
	Memory       int64             // bytes that decoding may use; 0: 4 GiB
}

// ImageFiles holds the image files of a folder or archive, divided into splits. It must be closed.
type ImageFiles struct {
	Splits  []*Stream // train, test and, if the source has one, valid
	Skipped Tally     // files without an image's extension
	Broken  Tally     // broken images that were left out; final once all splits have been read
	Turned  Tally     // images that are not upright and were not turned; final once all splits have been read

	source   string
	opt      ImageOptions
	c        *collection
	extra    []File   // files that are part of the digest, but not images
	rests    []string // path of each image below the folder of its split; nil if there are no such folders
	labels   []int64
	sums     map[int][sha256.Size]byte // digests of the bytes that were decoded, by image
	broken   map[int]bool
	turned   map[int]bool
	mu       sync.Mutex
	resizers map[int]*picture.Resizer // by the edge of the image before resizing
}

// OpenImages lists the images of the source "images" or "celeba" and divides them into splits. It decodes an image only
// if the options leave the size of the images open: then the first image determines the size.
func OpenImages(ctx context.Context, source string, opt ImageOptions) (*ImageFiles, error) {
	f := &ImageFiles{
		source: source, opt: opt,
		sums: map[int][sha256.Size]byte{}, broken: map[int]bool{}, turned: map[int]bool{},
		resizers: map[int]*picture.Resizer{},
	}
	open := f.openFolder
	if source == "celeba" {
		open = f.openCelebA
	}
	parts, err := open(ctx)
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

// Warnings says what was left out and what else the user should know. It is final once all splits have been read.
func (f *ImageFiles) Warnings() []string {
	return slices.Concat(f.c.warnings(),
		f.Broken.warn("broken image was left out", "broken images were left out"),
		f.Turned.warn("photo is not upright according to its Exif data, and was not turned (see --exif-rotate)",
			"photos are not upright according to their Exif data, and were not turned (see --exif-rotate)"),
		f.c.escaped.warn("image has a name that is not UTF-8 (see --names-encoding)",
			"images have names that are not UTF-8 (see --names-encoding)"))
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
	indices []int // indices of its images
	limit   int   // number of images requested; 0: all
}

func (f *ImageFiles) openFolder(ctx context.Context) ([]part, error) {
	if err := present(f.opt.Path, imagesHint); err != nil {
		return nil, err
	}
	var err error
	if f.c, err = openCollection(ctx, f.opt.Path, f.opt.Names, true); err != nil {
		return nil, err
	}
	splits, rests, err := f.c.divided(f.opt.Seed)
	if err != nil {
		return nil, err
	}
	if splits == nil {
		return f.draw()
	}
	if f.opt.TestFraction > 0 {
		return nil, failure.New(failure.Usage, "leave out test-fraction, or give the folder of one split as --path",
			"test-fraction is %v, but %s has a folder for each split", f.opt.TestFraction, f.opt.Path)
	}
	f.rests = rests
	parts := []part{{"train", splits["train"], f.opt.Train}, {"test", splits["test"], f.opt.Test}}
	if valid := splits["valid"]; valid != nil {
		parts = append(parts, part{name: "valid", indices: valid})
	}
	return parts, nil
}

// draw divides the images into a training and a test split at random.
func (f *ImageFiles) draw() ([]part, error) {
	n := len(f.c.images)
	if n < 2 {
		return nil, fileError("add images", f.opt.Path, "images", "2 or more, for a training and a test split", "1")
	}
	train, test := split(n, f.opt.TestFraction, f.opt.Seed, "dataset/images/test")
	return []part{{"train", train, f.opt.Train}, {"test", test, f.opt.Test}}, nil
}

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
		names := f.rests
		if names == nil {
			names = f.c.names()
		}
		var err error
		if like.Classes, f.labels, err = f.c.directories(names); err != nil {
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

// Finish returns the files that were read, and the digest that Digest would return for them. It returns an error if a
// file has changed since OpenImages. The digest is therefore that of the bytes that were decoded.
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
	sums := map[string]string{}
	for _, file := range images {
		sums[file.Name] = file.SHA256
	}
	for i, sum := range f.sums {
		got, want := sums[f.c.images[i].raw], hex.EncodeToString(sum[:])
		if got != want && !f.broken[i] {
			return nil, checksumError(changedHint, f.c.file(i), "the image", want, got)
		}
	}
	return images, nil
}

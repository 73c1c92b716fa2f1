package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"vapo/lib/picture"
	"vapo/lib/random"
)

// MaxEdge bounds the edges of images: tensor files hold 1,024 of them at once.
const MaxEdge = 512

// PictureOptions say what is made of the image files of a folder or archive.
type PictureOptions struct {
	Path         string
	Size         int            // edge of the images made; 0: they keep theirs, which must be one
	Crop         int            // edge of the centre crop before; 0: with Size the largest square, else none
	Channels     int            // 3, or 1: made grey before anything else
	Filter       picture.Filter // of the resize
	ByDirectory  bool           // labels are the first directories of the paths
	TestFraction float64        // share of source images that becomes the test split
	Seed         uint64         // of that split
	SkipBroken   bool           // leave out files that are no sound images, and count them
	Verify       bool           // of source celeba: it must be whole
	Train, Test  int            // images from the first of these splits; 0: all
}

// BrokenImageError says that a file named as an image is none that can be used: damaged, truncated, transparent, or smaller than
// the crop.
type BrokenImageError struct {
	Path string
	Err  error
}

func (e *BrokenImageError) Error() string { return fmt.Sprintf("image %s: %v", e.Path, e.Err) }

// Unwrap returns what is wrong with it.
func (e *BrokenImageError) Unwrap() error { return e.Err }

// Pictures are the image files of a folder or archive, in splits. It has to be closed.
type Pictures struct {
	Splits  []*Stream // train, test, and for celeba valid
	Skipped Tally     // files that are no images by their names
	Broken  Tally     // images left out, after their split was read

	source string
	o      PictureOptions
	c      *collection
	beside []File // files that count and are no images
	labels []int64
	sums   map[int][sha256.Size]byte // of the images of a folder, as they were decoded
	broken map[int]bool
	resize sync.Map // [2]int to *picture.Resizer
	sizes  int      // how many there are; only one goroutine adds
	mu     sync.Mutex
}

// OpenPictures lists the images of source images or celeba and divides them into splits. No image is decoded yet, but the
// first where that is how their size is known.
func OpenPictures(ctx context.Context, source string, o PictureOptions) (*Pictures, error) {
	p := &Pictures{source: source, o: o, sums: map[int][sha256.Size]byte{}, broken: map[int]bool{}}
	var err error
	var parts []part
	if source == "celeba" {
		parts, err = p.openCelebA()
	} else {
		parts, err = p.openFolder()
	}
	if err == nil {
		err = p.stream(ctx, parts)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("dataset %s: %w", source, err)
	}
	p.Skipped = p.c.skipped
	return p, nil
}

// Close closes the archive.
func (p *Pictures) Close() {
	if p.c != nil {
		p.c.close()
	}
}

// part is a split before it is read.
type part struct {
	name    string
	indices []int // of its images, ascending
	first   int   // how many are wanted; 0: all
}

func (p *Pictures) openFolder() ([]part, error) {
	if err := present("images", p.o.Path, picturesHint); err != nil {
		return nil, err
	}
	var err error
	if p.c, err = openCollection(p.o.Path); err != nil {
		return nil, err
	}
	n := len(p.c.names)
	if n < 2 {
		return nil, chosen("add images", p.o.Path, "images", "2 or more, for a training and a test split", "1")
	}
	train, test := Split(n, p.o.TestFraction, p.o.Seed, "dataset/images/test")
	return []part{{"train", train, p.o.Train}, {"test", test, p.o.Test}}, nil
}

// Split divides n >= 2 things: a share of them, at least one and not all, is drawn for testing. Both lists ascend.
func Split(n int, share float64, seed uint64, stream string) (train, test []int) {
	k := min(max(int(math.Round(share*float64(n))), 1), n-1)
	test = slices.Sorted(slices.Values(random.New(seed, stream, 0).Perm(n)[:k]))
	for i, t := 0, 0; i < n; i++ {
		if t < k && test[t] == i {
			t++
			continue
		}
		train = append(train, i)
	}
	return train, test
}

const picturesHint = "give a folder, a zip file or a tar archive of images as path"

// present returns a *NotFoundError where there is nothing at path.
func present(source, path, hint string) error {
	if path == "" {
		return &NotFoundError{Source: source, Reason: "no path given", Hint: hint}
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return &NotFoundError{Source: source, Path: path, Reason: reasonOf(err), Hint: hint}
	} else if err != nil {
		return err
	}
	return nil
}

// stream makes a Stream of every split.
func (p *Pictures) stream(ctx context.Context, parts []part) error {
	like := Images{Name: p.source, C: p.o.Channels, H: p.o.Size, W: p.o.Size}
	if p.o.Size == 0 {
		like.H, like.W = p.o.Crop, p.o.Crop
	}
	if like.H == 0 {
		im, err := p.first(ctx, parts[0].indices)
		if err != nil {
			return err
		}
		like.H, like.W = im.H, im.W
	}
	if p.o.ByDirectory {
		var err error
		if like.Classes, p.labels, err = p.c.directories(); err != nil {
			return err
		}
		like.Labels = []int64{}
	}
	for _, part := range parts {
		like := like
		like.Split = part.name
		most := len(part.indices)
		if part.first > 0 {
			most = min(most, part.first)
		}
		p.Splits = append(p.Splits, &Stream{Like: like, Most: most, Each: func(ctx context.Context, yield func(*Images) error) error {
			if err := p.read(ctx, part, newBatcher(like, yield)); err != nil {
				return fmt.Errorf("dataset %s: %w", p.source, err)
			}
			return nil
		}})
	}
	return nil
}

// directories returns labels by the first directory of the images' paths. Directories that hold all images, as archives tend to
// have at the top, are stepped over while there are others below.
func (c *collection) directories() (classes []string, labels []int64, err error) {
	skip := 0
	for {
		top, deeper := "", true
		for i, name := range c.names {
			first, rest, _ := strings.Cut(name[skip:], "/")
			if i == 0 {
				top = first
			}
			deeper = deeper && first == top && strings.Contains(rest, "/")
		}
		if !deeper {
			break
		}
		skip += len(top) + 1
	}
	found := map[string]int64{}
	for i, name := range c.names {
		class, _, ok := strings.Cut(name[skip:], "/")
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
		class, _, _ := strings.Cut(name[skip:], "/")
		labels[i] = found[class]
	}
	return classes, labels, nil
}

// first returns the first sound image.
func (p *Pictures) first(ctx context.Context, indices []int) (im *picture.Image, err error) {
	err = p.c.each(ctx, indices, func(i int, data []byte, err error) error {
		if err == nil {
			im, err = p.make(data)
		}
		if err == nil {
			return errEnough
		}
		if p.o.SkipBroken {
			return nil
		}
		return &BrokenImageError{p.c.file(i), err}
	})
	if im != nil {
		if im.H > MaxEdge || im.W > MaxEdge {
			return nil, chosen("give a --size", p.o.Path, "images", fmt.Sprintf("at most %dx%d pixels, or a size to bring them to", MaxEdge, MaxEdge), "%dx%d", im.W, im.H)
		}
		return im, nil
	}
	if err == nil {
		err = fileError(p.o.Path, "images", "a sound one", "%d broken ones", len(indices))
	}
	return nil, err
}

// Finish returns the files that were read and their digest, as Digest has it: of the images of a folder, of the bytes that
// were decoded; an archive that was written to since it was opened is an error.
func (p *Pictures) Finish() (files []File, digest string, err error) {
	all, err := p.c.files()
	if err == nil {
		err = p.c.unchanged()
	}
	if err != nil {
		return nil, "", fmt.Errorf("dataset %s: %w", p.source, err)
	}
	if p.c.archive == nil {
		for i, sum := range p.sums {
			if all[i].SHA256 != hex.EncodeToString(sum[:]) && !p.broken[i] {
				return nil, "", fmt.Errorf("dataset %s: %w", p.source, &ChecksumError{Path: p.c.file(i), Of: "the image", Want: hex.EncodeToString(sum[:]), Got: all[i].SHA256})
			}
		}
	}
	images := len(all)
	all = append(all, p.beside...)
	return summed(all, images), digestOf(all), nil
}

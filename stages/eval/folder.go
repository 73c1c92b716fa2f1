package main

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/picture"
	"vapo/lib/stage"
)

// gridFile is the overview that sample writes beside its images; it is no sample.
const gridFile = "grid.png"

// readSides reads what a and b name. Images of folders are looked at one by one where they are scored with Inception, which
// resizes them. Otherwise all images must have one shape: grey if every image of both sides is grey, RGB otherwise.
//
// Note: resizing images of mixed sizes was rejected, but for Inception, whose conventions say how. Which filter is used
// changes such distances by several points, so it is for the caller to do, and to say.
func readSides(ctx context.Context, c *stage.Console, a, b string, lazily bool) (sideA, sideB *side, err error) {
	var sides [2]*side
	var folders [2]*folder
	grey := true
	for i, arg := range []string{a, b} {
		s, err := readLazily(ctx, c, arg)
		if err != nil {
			return nil, nil, err
		}
		sides[i] = s
		if paths, ok := s.images.(files); ok && !lazily {
			if folders[i], err = readFolder(ctx, arg, paths); err != nil {
				return nil, nil, err
			}
			grey = grey && folders[i].grey()
		}
		grey = grey && (s.set == nil || s.set.C == 1)
	}
	for i, f := range folders {
		if f != nil {
			sides[i] = imagesSide("folder "+f.dir, f.images(grey))
		}
	}
	x, y := sides[0].set, sides[1].set
	if !lazily && x != nil && y != nil && !slices.Equal(x.Shape(), y.Shape()) {
		return nil, nil, failure.New(failure.Input, "resize one of them first", "%s holds images of %dx%d, %s of %dx%d pixels, %d against %d channels",
			sides[0].label, x.W, x.H, sides[1].label, y.W, y.H, x.C, y.C)
	}
	return sides[0], sides[1], nil
}

// openArgument opens what is no folder; missing is why it is none, if it is not there at all.
func openArgument(ctx context.Context, c *stage.Console, arg string, missing error) (*side, error) {
	if missing != nil && !strings.HasPrefix(arg, "ref:") && !strings.HasPrefix(arg, "sha256:") {
		return nil, failure.New(failure.Input, "give folders, files, ref:name or sha256:…", "folder %s: %w", arg, errors.Unwrap(missing))
	}
	path, err := c.Resolve(ctx, arg)
	if err != nil {
		return nil, err
	}
	s, points, err := openSide(arg, path)
	if err == nil && points != nil {
		err = failure.New(failure.Input, "score points with the stage's default command", "%s holds points, not images", arg)
	}
	return s, err
}

// files are images read when they are needed.
type files []string

func (f files) Len() int { return len(f) }

func (f files) Image(i int) (feature.Image, error) {
	rgb, size, err := readImage(f[i])
	if err != nil {
		return feature.Image{}, badImage(f[i], err)
	}
	return feature.Image{C: 3, H: size.Y, W: size.X, Pixels: rgb}, nil
}

// A folder of images as read, [3, h, w] each.
type folder struct {
	dir  string
	w, h int
	rgb  [][]uint8
}

// listFolder returns the paths of a folder's images in the order of their names, and of what was left out.
func listFolder(dir string) (paths, skipped []string, err error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, nil, failure.New(failure.Input, "give the paths of two folders", "folder %s: %w", dir, errors.Unwrap(err))
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), ".") || e.IsDir():
		case e.Name() == gridFile: // sample's overview, which is no sample
			skipped = append(skipped, path)
		case !picture.Named(e.Name(), folderFormats...):
			skipped = append(skipped, path)
		default:
			paths = append(paths, path)
		}
	}
	if len(paths) < 2 {
		return nil, nil, failure.New(failure.Input, "images are files named *.png, *.jpg or *.jpeg directly in the folder", "folder %s holds %d images; at least 2 are needed", dir, len(paths))
	}
	return paths, skipped, nil
}

func readFolder(ctx context.Context, dir string, paths []string) (*folder, error) {
	f := &folder{dir: dir, rgb: make([][]uint8, len(paths))}
	sizes := make([]image.Point, len(paths))
	failed := make([]error, len(paths))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, path := range paths {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			f.rgb[i], sizes[i], failed[i] = readImage(path)
			return nil // collected, so that the first by name is reported
		})
	}
	_ = group.Wait() // no function returns an error
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for i, path := range paths {
		if failed[i] != nil {
			return nil, badImage(path, failed[i])
		}
		if sizes[i] != sizes[0] {
			return nil, failure.New(failure.Input, "all images of a folder must have one size", "image %s has %dx%d pixels, %s has %dx%d", path, sizes[i].X, sizes[i].Y, paths[0], sizes[0].X, sizes[0].Y)
		}
	}
	f.w, f.h = sizes[0].X, sizes[0].Y
	return f, nil
}

func badImage(path string, err error) error {
	return failure.New(failure.Input, "remove or replace that file", "image %s: %w", path, err)
}

func readImage(path string) ([]uint8, image.Point, error) {
	info, err := os.Stat(path) // opening a pipe would wait for who writes to it
	var data []byte
	if err == nil && !info.Mode().IsRegular() {
		return nil, image.Point{}, errors.New("not a regular file")
	}
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the caller names the path
		}
		return nil, image.Point{}, err
	}
	return decodeImage(data)
}

// folderFormats are the formats of files that folders are scored from.
var folderFormats = []picture.Format{picture.PNG, picture.JPEG}

// decodeImage returns the pixels of a PNG or JPEG file as uint8 [3, h, w].
func decodeImage(data []byte) ([]uint8, image.Point, error) {
	img, err := picture.Decode(data, folderFormats...)
	if err != nil {
		return nil, image.Point{}, err
	}
	return img.Pixels, image.Pt(img.W, img.H), nil
}

// grey reports whether no image of the folder has a colour.
func (f *folder) grey() bool {
	plane := f.w * f.h
	for _, img := range f.rgb {
		if !bytes.Equal(img[:plane], img[plane:2*plane]) || !bytes.Equal(img[:plane], img[2*plane:]) {
			return false
		}
	}
	return true
}

func (f *folder) images(grey bool) *dataset.Images {
	set := &dataset.Images{Name: f.dir, N: len(f.rgb), C: 3, H: f.h, W: f.w}
	if grey {
		set.C = 1
	}
	for _, img := range f.rgb {
		set.Pixels = append(set.Pixels, img[:set.C*f.w*f.h]...)
	}
	return set
}

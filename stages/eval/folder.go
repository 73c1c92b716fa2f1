package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vapo/lib/artifact"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/kernel"
	"vapo/lib/picture"
	"vapo/lib/stage"
)

// gridFile is the overview that the stage sample writes next to its images. It is not itself a sample.
const gridFile = "grid.png"

// folderFormats are the image formats that are read from folders.
var folderFormats = []picture.Format{picture.PNG, picture.JPEG}

// openArgument opens a folder, a file or an artifact reference given on the command line. The images of a folder are
// not read yet.
func openArgument(ctx context.Context, c *stage.Console, arg string) (*imageSet, error) {
	info, err := os.Stat(arg)
	if err == nil && info.IsDir() {
		return openFolder(c, arg)
	}
	ref, parseErr := artifact.ParseReference(arg)
	if parseErr != nil {
		return nil, parseErr
	}
	if err != nil && !ref.Stored() {
		return nil, failure.New(failure.Input, "give folders, files, ref:name or sha256:…",
			"folder %s: %w", arg, errors.Unwrap(err))
	}
	path, err := c.Resolve(ctx, arg)
	if err != nil {
		return nil, err
	}
	s, points, err := openSet(arg, path)
	if err == nil && points != nil {
		err = failure.New(failure.Input, "use the default command for points", "%s holds points, not images", arg)
	}
	return s, err
}

// openFolder returns the images in a folder, sorted by file name. It does not read them yet.
func openFolder(c *stage.Console, dir string) (*imageSet, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, failure.New(failure.Input, "give the paths of two folders", "folder %s: %w", dir, errors.Unwrap(err))
	}
	var images files
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), ".") || e.IsDir():
		case e.Name() == gridFile || !picture.Named(e.Name(), folderFormats...):
			c.Log.Info("skipped a file that is not an image by its name, or sample's overview", "path", path)
		default:
			images = append(images, path)
		}
	}
	if len(images) < 2 {
		return nil, failure.New(failure.Input, "images are files named *.png, *.jpg or *.jpeg directly in the folder",
			"folder %s holds %d images; at least 2 are needed", dir, len(images))
	}
	return &imageSet{label: "folder " + dir, name: dir, images: images}, nil
}

// files lists the paths of images, which are read only when they are needed.
type files []string

func (f files) Len() int { return len(f) }

func (f files) Image(i int) (feature.Image, error) {
	im, err := readImage(f[i])
	if err != nil {
		return feature.Image{}, failure.New(failure.Input, "remove or replace that file", "image %s: %w", f[i], err)
	}
	return *im, nil
}

func readImage(path string) (*picture.Image, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file") // opening a pipe would block
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // without the path, which the caller adds
		}
		return nil, err
	}
	return picture.Decode(data, folderFormats...)
}

// loadFolders reads the images of all sets that are folders into memory. The images of one folder must have the same
// size. All sets become RGB if any image of any set has colour, and grey otherwise.
//
// Note: images of different sizes are deliberately not resized here. The choice of the filter changes such distances by
// several points, so callers must make it themselves and report it. Only Inception resizes, because its conventions
// define the filter.
func loadFolders(ctx context.Context, sets ...*imageSet) error {
	decoded := make([][]feature.Image, len(sets))
	channels := 1
	for i, s := range sets {
		if f, ok := s.images.(files); ok {
			var err error
			if decoded[i], err = f.decode(ctx); err != nil {
				return err
			}
			if slices.ContainsFunc(decoded[i], coloured) {
				channels = 3
			}
		} else if s.loaded != nil {
			channels = max(channels, s.loaded.C)
		}
	}
	for i, list := range decoded {
		if list == nil {
			continue
		}
		set := &dataset.Images{Name: sets[i].name, N: len(list), C: channels, H: list[0].H, W: list[0].W}
		for _, im := range list {
			set.Pixels = append(set.Pixels, im.Pixels[:channels*im.H*im.W]...)
		}
		sets[i].loaded, sets[i].images = set, feature.Of(set)
	}
	return nil
}

// decode decodes all images. It returns an error if their sizes differ.
func (f files) decode(ctx context.Context) ([]feature.Image, error) {
	list, failed := make([]feature.Image, len(f)), make([]error, len(f))
	kernel.Parallel(len(f), func(_, i int) {
		if failed[i] = context.Cause(ctx); failed[i] == nil {
			list[i], failed[i] = f.Image(i)
		}
	})
	for i, im := range list {
		if failed[i] != nil {
			return nil, failed[i]
		}
		if im.W != list[0].W || im.H != list[0].H {
			return nil, failure.New(failure.Input, "all images of a folder must have one size",
				"image %s has %dx%d pixels, %s has %dx%d", f[i], im.W, im.H, f[0], list[0].W, list[0].H)
		}
	}
	return list, nil
}

// coloured reports whether an RGB image has a pixel that is not grey.
func coloured(im feature.Image) bool {
	plane := im.W * im.H
	r, g, b := im.Pixels[:plane], im.Pixels[plane:2*plane], im.Pixels[2*plane:]
	return !bytes.Equal(r, g) || !bytes.Equal(r, b)
}

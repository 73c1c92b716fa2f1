package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"slices"

	"vapo/lib/artifact"
	"vapo/lib/dataset"
	"vapo/lib/dataset/source"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/kernel"
	"vapo/lib/program"
	"vapo/lib/stage"
)

// gridFile is the overview that the stage sample writes next to its images. It is not itself a sample.
const gridFile = "grid.png"

// archived matches the file name extensions of image archives.
var archived = regexp.MustCompile(`(?i)\.(zip|tar|tgz|tbz2?|txz|tzst|tar\.(gz|bz2|xz|zst))$`)

// openArgument opens a folder or archive of images, a file or an artifact reference given on the command line. The
// images of folders and archives are not read yet. The caller must close the imageSet.
func openArgument(ctx context.Context, c *stage.Console, arg string) (*imageSet, error) {
	info, err := os.Stat(arg)
	if err == nil && (info.IsDir() || archived.MatchString(arg)) {
		kind := "folder "
		if !info.IsDir() {
			kind = "archive "
		}
		return openPictures(ctx, kind+arg, arg)
	}
	ref, parseErr := artifact.ParseReference(arg)
	if parseErr != nil {
		return nil, parseErr
	}
	if err != nil && !ref.Stored() {
		return nil, failure.New(failure.Input, "give a folder, an archive, a tensor file, an .npz, ref:name or sha256:…",
			"%s: %w", arg, errors.Unwrap(err))
	}
	path, err := c.Resolve(ctx, arg)
	if err != nil {
		return nil, err
	}
	s, points, err := openSet(arg, path)
	if err == nil && points != nil {
		err = failure.New(failure.Input, "to score points, use eval --input samples=FILE --input reference=FILE",
			"%s holds points, not images", arg)
	}
	return s, err
}

// openPictures lists the images of a folder or archive.
func openPictures(ctx context.Context, label, path string) (*imageSet, error) {
	p, err := source.OpenPictures(ctx, path, gridFile, program.MemoryLimit())
	if err != nil {
		return nil, err
	}
	if p.Len() < 2 {
		p.Close()
		return nil, failure.New(failure.Input, "give a folder with more images",
			"%s holds %d images; at least 2 are needed", label, p.Len())
	}
	return &imageSet{label: label, name: path, images: files{p}, pictures: p}, nil
}

// files are images that are read only when they are needed.
type files struct{ *source.Pictures }

// Image implements feature.Images.
func (f files) Image(i int) (feature.Image, error) {
	im, err := f.Pictures.Image(i)
	if err != nil {
		return feature.Image{}, err
	}
	return *im, nil
}

// loadFolders reads the images of all sets that are folders or archives into memory. It returns an error if the images
// of one set differ in size. If any image of any set has colour, all these images become RGB; otherwise they become
// grey.
//
// loadFolders deliberately does not resize images. The choice of the filter changes the distance by several points, so
// users must resize the images themselves and report the filter. Only Inception resizes images, because its conventions
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
	list, failed := make([]feature.Image, f.Len()), make([]error, f.Len())
	kernel.Parallel(f.Len(), func(_, i int) {
		if failed[i] = context.Cause(ctx); failed[i] == nil {
			list[i], failed[i] = f.Image(i)
		}
	})
	for i, im := range list {
		if failed[i] != nil {
			return nil, failed[i]
		}
		if im.W != list[0].W || im.H != list[0].H {
			return nil, failure.New(failure.Input, "resize all images of the folder to the same size",
				"image %s has %dx%d pixels, %s has %dx%d", f.File(i), im.W, im.H, f.File(0), list[0].W, list[0].H)
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

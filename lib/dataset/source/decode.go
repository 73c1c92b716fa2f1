package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"vapo/lib/failure"
	"vapo/lib/picture"
)

// imageItem is image file i: its content, and then the image after decoding, cropping and resizing.
type imageItem struct {
	i     int
	data  []byte
	info  *picture.Info
	leave func() // releases the memory
	im    *picture.Image
	sum   [sha256.Size]byte
	err   error
}

// orSkip completes the hints of errors about broken images.
const orSkip = ", or give --skip-broken"

// read decodes the images of a split on all processors and adds them to b in order.
func (f *ImageFiles) read(ctx context.Context, p part, b *batcher) error {
	room := newRoom(f.opt.Memory)
	feed := func(give func(imageItem) error) error {
		return f.c.each(ctx, p.indices, func(i int, data []byte, err error) error {
			d := imageItem{i: i, data: data, leave: func() {}, err: err}
			if err == nil {
				d.info, d.leave, d.err = room.take(ctx, f.c.file(i), data, f.opt.ExifRotate)
			}
			return give(d)
		})
	}
	work := func(d imageItem) imageItem {
		if d.data != nil {
			d.sum = sha256.Sum256(d.data)
		}
		if d.err == nil {
			d.im, d.err = f.decode(d.data, d.info)
		}
		d.data = nil // for the garbage collector
		d.leave()
		return d
	}
	n := 0
	err := ordered(ctx, feed, work, func(d imageItem) error {
		f.sums[d.i] = d.sum
		if d.err != nil {
			return f.leaveOut(d)
		}
		if d.info.Orientation != 1 && !f.opt.ExifRotate && !f.turned[d.i] {
			f.turned[d.i] = true
			f.Turned.add(f.c.images[d.i].name)
		}
		if d.im.H != b.set.H || d.im.W != b.set.W {
			return fileError("give a --size", f.c.file(d.i), "image size",
				fmt.Sprintf("%dx%d pixels like the first image, or a size to which all images are resized", b.set.W, b.set.H),
				"%dx%d", d.im.W, d.im.H)
		}
		label := int64(0)
		if f.labels != nil {
			label = f.labels[d.i]
		}
		if err := b.add(d.im.Pixels, label); err != nil {
			return err
		}
		if n++; n == p.limit {
			return errEnough
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errEnough):
		return err
	case n < p.limit:
		return tooFewError(p.name, p.limit, n)
	case n == 0:
		return f.noneSound(p.name+" images", p.indices)
	}
	return b.flush()
}

// leaveOut counts a broken image if SkipBroken is set; otherwise it returns an error. It also returns an error if there
// is not enough memory for the image, because the content of a data set must not depend on the machine.
func (f *ImageFiles) leaveOut(d imageItem) error {
	if !f.opt.SkipBroken || failure.ClassOf(d.err) == failure.Resources {
		return brokenError(f.c.file(d.i), orSkip, d.err)
	}
	if !f.broken[d.i] {
		f.broken[d.i] = true
		f.Broken.add(fmt.Sprintf("%s: %v", f.c.images[d.i].name, d.err))
	}
	return nil
}

func (f *ImageFiles) noneSound(what string, indices []int) error {
	return fileError("run without --skip-broken to see what is wrong with the first one", f.opt.Path, what,
		"an intact one", "%d broken ones", len(indices))
}

// first decodes images in order and returns the first one that is not broken. Without SkipBroken, a broken image is an
// error.
func (f *ImageFiles) first(ctx context.Context, indices []int) (im *picture.Image, err error) {
	err = f.c.each(ctx, indices, func(i int, data []byte, err error) error {
		if err == nil {
			var info *picture.Info
			var leave func()
			if info, leave, err = newRoom(f.opt.Memory).take(ctx, f.c.file(i), data, f.opt.ExifRotate); err == nil {
				im, err = f.decode(data, info)
				leave()
			}
		}
		switch {
		case err == nil:
			return errEnough
		case f.opt.SkipBroken && failure.ClassOf(err) != failure.Resources:
			return nil
		}
		return brokenError(f.c.file(i), orSkip, err)
	})
	switch {
	case err == nil:
		return nil, f.noneSound("images", indices)
	case !errors.Is(err, errEnough):
		return nil, err
	case im.H > MaxEdge || im.W > MaxEdge:
		return nil, fileError("give a --size", f.opt.Path, "images",
			fmt.Sprintf("at most %dx%d pixels, or a size to which they are resized", MaxEdge, MaxEdge), "%dx%d", im.W, im.H)
	}
	return im, nil
}

// decode decodes an image and, if the options say so, turns it upright, converts it to grey, crops it and resizes it.
func (f *ImageFiles) decode(data []byte, info *picture.Info) (*picture.Image, error) {
	im, err := picture.Decode(data)
	if err != nil {
		return nil, err
	}
	if f.opt.ExifRotate {
		im = im.Upright(info.Orientation)
	}
	if f.opt.Channels == 1 {
		im = im.Grey()
	}
	crop := f.opt.Crop
	if crop == 0 && f.opt.Size > 0 {
		crop = min(im.H, im.W)
	}
	if crop > 0 {
		if im, err = im.CentreCrop(crop, crop); err != nil {
			return nil, err
		}
	}
	if f.opt.Size == 0 || im.H == f.opt.Size {
		im.Pixels = slices.Clone(im.Pixels) // a copy, which does not keep the memory of a larger image
		return im, nil
	}
	return f.resizer(im.H).Resize(im)
}

// maxResizers bounds how many resizers are kept, since a folder may hold images of many sizes.
const maxResizers = 64

func (f *ImageFiles) resizer(edge int) *picture.Resizer {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.resizers[edge]
	if r == nil {
		r = picture.NewResizer(f.opt.Filter, edge, edge, f.opt.Size, f.opt.Size)
		if len(f.resizers) < maxResizers {
			f.resizers[edge] = r
		}
	}
	return r
}

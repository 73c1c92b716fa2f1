package source

import (
	"context"
	"path"
	"slices"
	"sync"

	"vapo/lib/failure"
	"vapo/lib/picture"
)

// Pictures are the images of a folder or an archive, decoded one by one in any order. OpenImages lists and names images
// in the same way, but also splits and resizes them. The caller must call Close.
type Pictures struct {
	c       *collection
	indices []int // of the images in the collection
	room    *room
	others  Tally // images that were left out because of their name

	mu     sync.Mutex
	turned map[int]bool // images that are not upright
}

// OpenPictures lists the images of a folder or an archive, sorted by path. It leaves out images whose base name equals
// except. Decoding uses up to memory bytes; 0 stands for 4 GiB.
func OpenPictures(ctx context.Context, from, except string, memory int64) (*Pictures, error) {
	c, err := openCollection(ctx, from, nil, true)
	if err != nil {
		return nil, err
	}
	p := &Pictures{c: c, room: newRoom(memory), turned: map[int]bool{}}
	for i, name := range c.names() {
		if path.Base(name) == except {
			p.others.add(name)
		} else {
			p.indices = append(p.indices, i)
		}
	}
	return p, nil
}

// Close closes the archive.
func (p *Pictures) Close() { p.c.close() }

// Len returns the number of images.
func (p *Pictures) Len() int { return len(p.indices) }

// File returns the path of an image for messages.
func (p *Pictures) File(i int) string { return p.c.file(p.indices[i]) }

// Image decodes an image to RGB. Orientations are not applied. It may be called concurrently, and waits for memory
// while other images are being decoded.
func (p *Pictures) Image(i int) (*picture.Image, error) {
	data, err := p.c.content(&p.c.images[p.indices[i]])
	var im *picture.Image
	if err == nil {
		var info *picture.Info
		var leave func()
		if info, leave, err = p.room.take(context.Background(), p.File(i), data, false); err == nil {
			defer leave()
			im, err = picture.Decode(data)
			if info.Orientation != 1 {
				p.mu.Lock()
				p.turned[i] = true
				p.mu.Unlock()
			}
		}
	}
	if err != nil {
		return nil, brokenError(p.File(i), "", err)
	}
	return im, nil
}

// Warnings says what was left out, and which of the images read so far are not upright.
func (p *Pictures) Warnings() []string {
	turned := Tally{N: len(p.turned)}
	for i := range p.turned {
		if name := p.c.images[p.indices[i]].name; turned.First == "" || name < turned.First {
			turned.First = name
		}
	}
	return slices.Concat(p.c.warnings(),
		p.others.warn("file was left out because the stage sample writes its overview under this name",
			"files were left out because the stage sample writes its overview under their name"),
		turned.warn("photo is not upright according to its Exif data, and was not turned",
			"photos are not upright according to their Exif data, and were not turned"))
}

// warnings returns the warnings about files of a collection that were left out.
func (c *collection) warnings() []string {
	return slices.Concat(
		c.skipped.warn("file was left out because its name is not that of a PNG, JPEG, GIF, BMP or WebP image",
			"files were left out because their names are not those of PNG, JPEG, GIF, BMP or WebP images"),
		c.unread.warn("link or special file was left out", "links and special files were left out"),
		c.replaced.warn("file was left out because the archive has a later one of the same name",
			"files were left out because the archive has later ones of the same names"),
		c.notes)
}

// brokenError reports an image file that cannot be used: it is damaged, truncated, of a kind that is not supported,
// transparent, or smaller than the crop. other, which may be "", is appended to the hint.
func brokenError(path, other string, err error) error {
	if failure.ClassOf(err) == failure.Resources {
		return err
	}
	hint := "remove or replace that file"
	if own := failure.HintOf(err); failure.ClassOf(err) == failure.Input && own != "" {
		hint = own
	}
	return failure.New(failure.Input, hint+other, "image %s: %w", path, err)
}

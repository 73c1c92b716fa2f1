package dataset

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"vapo/lib/picture"
)

// raw is an image file as it was read.
type raw struct {
	i    int
	data []byte
	err  error
}

// made is what became of it.
type made struct {
	i   int
	im  *picture.Image
	sum [sha256.Size]byte
	err error
}

func (p *Pictures) read(ctx context.Context, part part, b *batcher) error {
	n := 0
	err := ordered(ctx, func(give func(raw) error) error {
		return p.c.each(ctx, part.indices, func(i int, data []byte, err error) error { return give(raw{i, data, err}) })
	}, func(r raw) made {
		m := made{i: r.i, err: r.err}
		if r.err == nil {
			m.sum = sha256.Sum256(r.data)
			m.im, m.err = p.make(r.data)
		}
		return m
	}, func(m made) error {
		p.mu.Lock()
		p.sums[m.i] = m.sum
		p.mu.Unlock()
		path := p.c.file(m.i)
		if m.err != nil {
			if !p.o.SkipBroken {
				return &BrokenImageError{path, m.err}
			}
			if !p.broken[m.i] {
				p.broken[m.i] = true
				p.Broken.add(fmt.Sprintf("%s: %v", p.c.names[m.i], m.err))
			}
			return nil
		}
		if m.im.H != b.set.H || m.im.W != b.set.W {
			return chosen("give a --size", path, "image size", fmt.Sprintf("%dx%d pixels as the first one, or a size to bring all to", b.set.W, b.set.H), "%dx%d", m.im.W, m.im.H)
		}
		label := int64(0)
		if p.labels != nil {
			label = p.labels[m.i]
		}
		if err := b.add(m.im.Pixels, label); err != nil {
			return err
		}
		if n++; n == part.first {
			return errEnough
		}
		return nil
	})
	if err == nil && n < part.first {
		return &TooFewError{Split: part.name, Want: part.first, Have: n}
	}
	if err == nil && n == 0 {
		return fileError(p.o.Path, part.name+" images", "a sound one", "%d broken ones", len(part.indices))
	}
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return b.flush()
}

// TooFewError says that a split has fewer samples than were asked for.
type TooFewError struct {
	Split      string
	Want, Have int
}

func (e *TooFewError) Error() string {
	return fmt.Sprintf("%d samples of the %s split asked for, it has %d", e.Want, e.Split, e.Have)
}

// make decodes an image and brings it to its form: grey if so, cropped, resized.
func (p *Pictures) make(data []byte) (*picture.Image, error) {
	im, err := picture.Decode(data, picture.Formats...)
	if err != nil {
		return nil, err
	}
	if p.o.Channels == 1 {
		im = im.Grey()
	}
	crop := p.o.Crop
	if crop == 0 && p.o.Size > 0 {
		crop = min(im.H, im.W)
	}
	if crop > 0 {
		if im, err = im.CentreCrop(crop, crop); err != nil {
			return nil, err
		}
	}
	if p.o.Size == 0 || im.H == p.o.Size && im.W == p.o.Size {
		return im, nil
	}
	return p.resizer(im.H).Resize(im)
}

// manySizes bounds how many resizers are kept: a folder may hold images of any sizes.
const manySizes = 64

func (p *Pictures) resizer(edge int) *picture.Resizer {
	if r, ok := p.resize.Load(edge); ok {
		return r.(*picture.Resizer)
	}
	r := picture.NewResizer(p.o.Filter, edge, edge, p.o.Size, p.o.Size)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sizes++; p.sizes <= manySizes {
		p.resize.Store(edge, r)
	}
	return r
}

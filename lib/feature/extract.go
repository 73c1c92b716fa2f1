package feature

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"vapo/lib/cachekey"
	"vapo/lib/kernel"
	"vapo/lib/tensorfile"
)

// Shard is the fixed number of images whose features are computed and kept together. It divides the sizes that sets
// are usually compared at, so that 50,000 images extend 10,000 without a shard that is not full.
const Shard = 250

// shardVersion moves when a shard of the same images and network would hold other numbers.
const shardVersion = 1

// heldBytes bounds the pixels of a shard that stay in memory between its digest and its features. Images of a larger
// shard are read twice.
const heldBytes = 256 << 20

// Keeper keeps shards of features; stage.Parts is one.
type Keeper interface {
	Save(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) (value []byte, ok bool, err error)
}

// KeepError is what went wrong with where shards are kept, not with images or network.
type KeepError struct{ Err error }

func (e *KeepError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *KeepError) Unwrap() error { return e.Err }

// Extractor computes the features of sets of images shard by shard, and takes those that were computed before from where
// they are kept. A shard's key is a digest of its images' pixels, of the network's name (with layer and resize
// convention), weights and backend class: it is found again whatever set the images are in and whoever computed it, so
// that a larger set extends a smaller one and several workers can share one.
type Extractor struct {
	Network Network
	Weights string // digest of the network's file
	Backend string // class of the engine
	Keep    Keeper // nil: nothing is kept
	// Progress, if not nil, hears of images that are done, and whether they were kept ones.
	Progress func(images int, kept bool)
}

// Rows are the features and logits of all images, [N, Dim+Classes].
func (e *Extractor) Rows(ctx context.Context, images Images) ([]float32, error) {
	row := e.Network.Dim() + e.Network.Classes()
	out := make([]float32, images.Len()*row)
	for from := 0; from < images.Len(); from += Shard {
		to := min(from+Shard, images.Len())
		if err := e.shard(ctx, images, from, to, out[from*row:to*row]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Work computes and keeps every shard whose number leaves the remainder worker when divided by workers. After all
// workers have done theirs, Rows of the same images computes nothing.
func (e *Extractor) Work(ctx context.Context, images Images, worker, workers int) error {
	row := e.Network.Dim() + e.Network.Classes()
	out := make([]float32, Shard*row)
	for k := worker; k < (images.Len()+Shard-1)/Shard; k += workers {
		from, to := k*Shard, min((k+1)*Shard, images.Len())
		if err := e.shard(ctx, images, from, to, out[:(to-from)*row]); err != nil {
			return err
		}
	}
	return nil
}

// shard writes the rows of images [from, to), a shard, to out.
func (e *Extractor) shard(ctx context.Context, images Images, from, to int, out []float32) error {
	part := window{images, from, to - from}
	if e.Keep == nil {
		return e.compute(ctx, part, out)
	}
	digest, held, err := digestOf(part)
	if err != nil {
		return err
	}
	key, err := e.key(digest, to-from)
	if err != nil {
		return err
	}
	value, ok, err := e.Keep.Load(ctx, key)
	if err != nil {
		return &KeepError{err}
	}
	if ok && e.decode(value, out) {
		e.report(to-from, true)
		return nil
	}
	if err := e.compute(ctx, held, out); err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := tensorfile.Write(&buf, Table(out, e.Network.Dim(), e.Network.Classes())); err != nil {
		return fmt.Errorf("features of images %d to %d: %w", from, to, err)
	}
	if err := e.Keep.Save(ctx, key, buf.Bytes()); err != nil {
		return &KeepError{err}
	}
	return nil
}

func (e *Extractor) compute(ctx context.Context, images Images, out []float32) error {
	row, block := e.Network.Dim()+e.Network.Classes(), e.Network.Block()
	for at := 0; at < images.Len(); at += block { // a block a time, for the progress and for signals
		if err := context.Cause(ctx); err != nil {
			return err
		}
		to := min(at+block, images.Len())
		if err := e.Network.Features(images, at, to, out[at*row:to*row]); err != nil {
			return err
		}
		e.report(to-at, false)
	}
	return nil
}

func (e *Extractor) report(images int, kept bool) {
	if e.Progress != nil {
		e.Progress(images, kept)
	}
}

func (e *Extractor) key(images string, n int) (string, error) {
	return cachekey.Action{
		Stage: "features", Version: shardVersion, Backend: e.Backend,
		Params: map[string]any{"network": e.Network.Name(), "images": n, "logits": e.Network.Classes()},
		Inputs: map[string]string{"images": images, "network": e.Weights},
	}.Key()
}

// window is a part of a set of images.
type window struct {
	images  Images
	from, n int
}

func (w window) Len() int                   { return w.n }
func (w window) Image(i int) (Image, error) { return w.images.Image(w.from + i) }

// held are images in memory.
type held []Image

func (h held) Len() int                   { return len(h) }
func (h held) Image(i int) (Image, error) { return h[i], nil }

// digestOf is a digest of the shapes and pixels of images, and of nothing else: neither names nor file formats. It also
// returns the images, in memory unless they are many.
func digestOf(images window) (digest string, same Images, err error) {
	sums := make([][sha256.Size]byte, images.Len())
	list, failed := make(held, images.Len()), make([]error, images.Len())
	const some = 32 // images in memory at once, if they are too many to hold
	bytesHeld, same := 0, Images(list)
	for at := 0; at < images.Len(); at += some {
		to := min(at+some, images.Len())
		kernel.Parallel(to-at, func(_, piece int) {
			i := at + piece
			if list[i], failed[i] = images.Image(i); failed[i] != nil {
				return
			}
			h := sha256.New()
			var shape [12]byte
			for k, v := range []int{list[i].C, list[i].H, list[i].W} {
				binary.LittleEndian.PutUint32(shape[4*k:], uint32(v))
			}
			h.Write(shape[:])
			h.Write(list[i].Pixels)
			h.Sum(sums[i][:0])
		})
		for i := at; i < to; i++ {
			if failed[i] != nil {
				return "", nil, failed[i]
			}
			bytesHeld += len(list[i].Pixels)
		}
		if bytesHeld > heldBytes {
			same = images
			clear(list[:to])
		}
	}
	h := sha256.New()
	for _, s := range sums {
		h.Write(s[:])
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), same, nil
}

// decode reads a kept shard into out; false if the value is not that of a shard of this size.
func (e *Extractor) decode(value []byte, out []float32) bool {
	t, err := tensorfile.Decode(bytes.NewReader(value), int64(len(value)))
	if err != nil {
		return false
	}
	features, logits, err := FromTable(t)
	dim, classes := e.Network.Dim(), e.Network.Classes()
	if err != nil || features.Width != dim || logits.Width != classes || t.Rows*(dim+classes) != len(out) {
		return false
	}
	for i := range t.Rows {
		row := out[i*(dim+classes):]
		copy(row[:dim], features.Data[i*dim:])
		copy(row[dim:dim+classes], logits.Data[i*classes:])
	}
	return true
}

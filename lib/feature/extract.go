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
	"vapo/lib/metrics"
	"vapo/lib/tensorfile"
)

// PartSize is the number of images whose features are computed and cached together. The sizes of most sets are
// multiples of it, so a set of 50,000 images reuses every part of its first 10,000.
const PartSize = 250

// partVersion must change whenever a change of the code changes the features of the same images and network.
const partVersion = 1

// maxPartBytes bounds the pixels of a part that stay in memory between hashing them and computing their features. The
// images of a larger part are read twice.
const maxPartBytes = 256 << 20

// Names of the Fréchet distance between features of Inception and between features of a classifier.
const (
	FIDMetric        = "Fréchet Inception distance (FID)"
	ClassifierMetric = "Fréchet distance of classifier features"
)

// Cache stores parts of features. stage.Parts implements it.
type Cache interface {
	Save(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) (value []byte, ok bool, err error)
}

// Extractor computes the features of sets of images part by part and caches them. The key of a part is a digest of
// the pixels, of the network's weights and name (which includes layer and resize convention), and of the engine's
// class. The key does not depend on the set that the images are in, nor on the worker. So a larger set reuses the
// parts of a smaller one, and several workers can share a set.
type Extractor struct {
	Network *Network
	Weights string // digest of the network's file
	Backend string // class of the engine
	Cache   Cache  // nil: nothing is cached
	// Progress, if not nil, is called with the number of images just done and whether their features came from the cache.
	Progress func(images int, cached bool)
}

// Description returns the network's name and the digest of its weights, as results record them.
func (e *Extractor) Description() string { return e.Network.Name + " " + e.Weights }

// Metric returns the name of the Fréchet distance of these features.
func (e *Extractor) Metric() string {
	if e.Inception() {
		return FIDMetric
	}
	return ClassifierMetric
}

// Inception reports whether the network is Inception, whose features are worth caching because they are expensive.
func (e *Extractor) Inception() bool {
	_, _, ok := ParseInception(e.Network.Name)
	return ok
}

// Moments returns the moments of the features of images, without their logits.
func (e *Extractor) Moments(ctx context.Context, images Images) (*metrics.Moments, error) {
	features, _, err := e.Extract(ctx, images)
	if err != nil {
		return nil, err
	}
	return features.Moments()
}

// Extract returns the features of images, and their logits if the network has any.
func (e *Extractor) Extract(ctx context.Context, images Images) (features, logits Matrix, err error) {
	rows := make([]float32, images.Len()*(e.Network.Dim+e.Network.Classes))
	for from := 0; from < images.Len(); from += PartSize {
		if err := e.part(ctx, images, from, rows[from*(e.Network.Dim+e.Network.Classes):]); err != nil {
			return Matrix{}, Matrix{}, err
		}
	}
	features, logits = split(rows, e.Network.Dim, e.Network.Classes)
	return features, logits, nil
}

// Share returns the number of images that Work processes for a worker.
func (e *Extractor) Share(images Images, worker, workers int) (n int) {
	for from := worker * PartSize; from < images.Len(); from += workers * PartSize {
		n += min(PartSize, images.Len()-from)
	}
	return n
}

// Work computes and caches one worker's share of the parts. Parts and workers are numbered from 0, and part i belongs
// to worker i mod workers. When all workers are done, Extract on the same images computes nothing.
func (e *Extractor) Work(ctx context.Context, images Images, worker, workers int) error {
	rows := make([]float32, PartSize*(e.Network.Dim+e.Network.Classes))
	for from := worker * PartSize; from < images.Len(); from += workers * PartSize {
		if err := e.part(ctx, images, from, rows); err != nil {
			return err
		}
	}
	return nil
}

// part writes the features and logits of one part to the beginning of rows. The part begins with the image at index
// from.
func (e *Extractor) part(ctx context.Context, images Images, from int, rows []float32) error {
	part := subset{images, from, min(PartSize, images.Len()-from)}
	rows = rows[:part.n*(e.Network.Dim+e.Network.Classes)]
	if e.Cache == nil {
		return e.compute(ctx, part, rows)
	}
	digest, loaded, err := load(part)
	if err != nil {
		return err
	}
	key, err := e.key(digest, part.n)
	if err != nil {
		return err
	}
	value, ok, err := e.Cache.Load(ctx, key)
	if err != nil {
		return err
	}
	if ok && e.decode(value, rows) {
		e.report(part.n, true)
		return nil
	}
	if err := e.compute(ctx, loaded, rows); err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := tensorfile.Write(&buf, Table(split(rows, e.Network.Dim, e.Network.Classes))); err != nil {
		return fmt.Errorf("images %d to %d: %w", from, from+part.n, err)
	}
	return e.Cache.Save(ctx, key, buf.Bytes())
}

func (e *Extractor) compute(ctx context.Context, images Images, rows []float32) error {
	row, block := e.Network.Dim+e.Network.Classes, e.Network.Block
	for at := 0; at < images.Len(); at += block { // block by block, to notice cancellation and report progress early
		if err := context.Cause(ctx); err != nil {
			return err
		}
		to := min(at+block, images.Len())
		if err := e.Network.Features(images, at, to, rows[at*row:to*row]); err != nil {
			return err
		}
		e.report(to-at, false)
	}
	return nil
}

func (e *Extractor) report(images int, cached bool) {
	if e.Progress != nil {
		e.Progress(images, cached)
	}
}

func (e *Extractor) key(images string, n int) (string, error) {
	return cachekey.Action{
		Stage: "features", Version: partVersion, Backend: e.Backend,
		Params: map[string]any{"network": e.Network.Name, "images": n, "logits": e.Network.Classes},
		Inputs: map[string]string{"images": images, "network": e.Weights},
	}.Key()
}

// subset is a range of a set of images.
type subset struct {
	images  Images
	from, n int
}

func (s subset) Len() int                   { return s.n }
func (s subset) Image(i int) (Image, error) { return s.images.Image(s.from + i) }

// inMemory implements Images for images in memory.
type inMemory []Image

func (m inMemory) Len() int                   { return len(m) }
func (m inMemory) Image(i int) (Image, error) { return m[i], nil }

// load returns a digest of the shapes and pixels of images (not of names or file formats). It also returns the images,
// in memory unless they exceed maxPartBytes.
func load(images Images) (digest string, same Images, err error) {
	sums := make([][sha256.Size]byte, images.Len())
	list, failed := make(inMemory, images.Len()), make([]error, images.Len())
	const group = 32 // number of images in memory at once if the set is too large
	size, same := 0, Images(list)
	for at := 0; at < images.Len(); at += group {
		to := min(at+group, images.Len())
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
			size += len(list[i].Pixels)
		}
		if size > maxPartBytes {
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

// decode reads a cached part into rows. It returns false if value is not a valid part of the expected size.
func (e *Extractor) decode(value []byte, rows []float32) bool {
	t, err := tensorfile.Decode(bytes.NewReader(value), int64(len(value)))
	if err != nil {
		return false
	}
	features, logits, err := FromTable(t)
	dim, classes := e.Network.Dim, e.Network.Classes
	if err != nil || features.Width != dim || logits.Width != classes || t.Rows*(dim+classes) != len(rows) {
		return false
	}
	for i := range t.Rows {
		row := rows[i*(dim+classes):]
		copy(row[:dim], features.Data[i*dim:])
		copy(row[dim:dim+classes], logits.Data[i*classes:])
	}
	return true
}

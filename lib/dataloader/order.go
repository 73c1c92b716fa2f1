// Package dataloader returns training samples in a random order, from memory or from data larger than memory.
//
// The order is a pure function of (seed, position): a run resumed at any step continues with the sample that would have
// come next, and data in memory and data streamed from a store give the same samples.
//
// Data that fit into one window (256 MiB) are permuted as a whole in every epoch. Larger data are shuffled on two
// levels: first the blocks of consecutive samples are permuted, then the samples within each window of blocks. So only
// one window of samples must be in memory. A block is at most 4 MiB, so a window holds at least 64 blocks from all over
// the data, and even data sorted by class give mixed batches.
//
// The size of a window does not depend on the available memory, because it affects the order of the samples and thus
// the result of training.
package dataloader

import (
	"fmt"

	"vapo/lib/random"
)

// Limits set the sizes of blocks and windows, and so the order. Programs use Default; only tests use other values.
type Limits struct {
	BlockBytes, BlockRows   int // a block has 2^k rows for the largest k within both limits, at least 1 row
	WindowBytes, WindowRows int // a window has as many blocks as both limits allow, at least 1
}

// Default holds the limits of every training run. Changing them changes the order, and so the results.
var Default = Limits{BlockBytes: 4 << 20, BlockRows: 1 << 14, WindowBytes: 256 << 20, WindowRows: 1 << 20}

// order maps a position, counted from the start of training, to a sample of a data set. It caches the permutations that
// the last position needed, and is not safe for concurrent use.
type order struct {
	seed   uint64
	n      int
	rows   int  // rows per block; the last block may have fewer
	blocks int  // ceil(n / rows)
	window int  // blocks per window; the last window may have fewer
	whole  bool // all data fit into one window

	epoch      uint64
	permuted   []int // order of the blocks in epoch; a short block comes last
	inEpoch    uint64
	inWindow   int
	within     []int // permutation of the samples in window inWindow of epoch inEpoch
	haveWithin bool
}

// newOrder returns the order of n samples of sampleBytes bytes each. It panics if n or sampleBytes is less than 1.
func newOrder(seed uint64, n, sampleBytes int, l Limits) *order {
	if n < 1 || sampleBytes < 1 {
		panic(fmt.Sprintf("dataloader: order of %d samples of %d bytes", n, sampleBytes))
	}
	rows := 1
	for rows*2 <= l.BlockRows && rows*2*sampleBytes <= l.BlockBytes {
		rows *= 2
	}
	o := &order{seed: seed, n: n, rows: rows, blocks: (n + rows - 1) / rows}
	o.whole = n <= l.WindowRows && n <= l.WindowBytes/sampleBytes
	o.window = max(1, min(l.WindowBytes/(rows*sampleBytes), l.WindowRows/rows))
	if o.whole {
		o.window = o.blocks
	}
	return o
}

// WindowRows returns the maximum number of samples in a window.
func (o *order) WindowRows() int { return min(o.n, o.window*o.rows) }

// At returns the data-set index of the sample at a position.
func (o *order) At(position int64) int {
	block, row := o.locate(position)
	_, b := o.block(block)
	return b*o.rows + row
}

// locate returns the block that holds the sample at a position, and the sample's row in the block. Blocks are numbered
// in the order in which training needs them, across epochs.
func (o *order) locate(position int64) (block int64, row int) {
	epoch := position / int64(o.n)
	p := int(position % int64(o.n))
	w := p / (o.window * o.rows) // all blocks of an epoch but the last are full
	start := w * o.window * o.rows
	if !o.haveWithin || o.inEpoch != uint64(epoch) || o.inWindow != w {
		o.inEpoch, o.inWindow, o.haveWithin = uint64(epoch), w, true
		windows := (o.blocks + o.window - 1) / o.window
		stream, index := "train/shuffle", uint64(epoch)
		if !o.whole {
			stream, index = "train/shuffle/window", uint64(epoch)*uint64(windows)+uint64(w)
		}
		o.within = random.New(o.seed, stream, index).Perm(min(o.n-start, o.window*o.rows))
	}
	i := o.within[p-start]
	return epoch*int64(o.blocks) + int64(w*o.window+i/o.rows), i % o.rows
}

// block returns the epoch of block k, numbered as in locate, and the block's index in the data set.
func (o *order) block(k int64) (epoch uint64, block int) {
	epoch = uint64(k / int64(o.blocks))
	if o.permuted == nil || o.epoch != epoch {
		o.epoch, o.permuted = epoch, o.permute(epoch)
	}
	return epoch, o.permuted[k%int64(o.blocks)]
}

// permute returns the order of the blocks in an epoch. If the last block of the data is short, it stays last, so locate
// can find the window of a position by a division.
func (o *order) permute(epoch uint64) []int {
	full := o.n / o.rows
	var p []int
	if o.whole {
		for i := range full {
			p = append(p, i) // in file order, since locate permutes all samples
		}
	} else {
		p = random.New(o.seed, "train/shuffle/blocks", epoch).Perm(full)
	}
	if full < o.blocks {
		p = append(p, full)
	}
	return p
}

// span returns the range [from, to) of the samples in a block of the data set.
func (o *order) span(block int) (from, to int) {
	return block * o.rows, min(o.n, (block+1)*o.rows)
}

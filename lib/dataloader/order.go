// Package dataloader returns training samples in a random order, from memory or from data larger than memory.
//
// The order is a pure function of (seed, position): a run resumed at any step continues with the sample that would have
// come next, and data in memory and data streamed from a store give the same samples. Order is that function; Memory
// and Stream are the two ways of accessing the samples.
//
// Data of at most one window (256 MiB) are permuted as a whole in every epoch. Larger data are shuffled on two levels,
// so that only one window of samples must be in memory: the blocks of consecutive samples are permuted, and then the
// samples of each window of blocks. A block is at most 4 MiB, so a window has 64 blocks or more from all over the data,
// and data sorted by class still give mixed batches.
//
// Note: windows have a fixed size instead of the available memory, because the order determines the result of training.
package dataloader

import (
	"fmt"

	"vapo/lib/random"
)

// Limits define the two-level shuffle. Only tests use others than Default, since they change the order.
type Limits struct {
	BlockBytes, BlockRows   int // of a block: the largest power of two of rows within both, at least one
	WindowBytes, WindowRows int // of a window, at least one block
}

// Default is the definition of the order.
var Default = Limits{BlockBytes: 4 << 20, BlockRows: 1 << 14, WindowBytes: 256 << 20, WindowRows: 1 << 20}

// Order is the order of the samples of a data set, counted from the start of training. It caches the permutations of
// the last position and is not safe for concurrent use.
type Order struct {
	seed   uint64
	n      int
	rows   int  // of a block; the last one may have fewer
	blocks int  // ceil(n / rows)
	window int  // blocks of a window; the last one may have fewer
	whole  bool // the data are one window

	epoch      uint64
	permuted   []int // blocks of the epoch; the short block, if there is one, is the last
	inEpoch    uint64
	inWindow   int
	within     []int // permutation of the samples of that window
	haveWithin bool
}

// NewOrder returns the order of n samples of sampleBytes bytes each; n is at least 1.
func NewOrder(seed uint64, n, sampleBytes int, l Limits) *Order {
	if n < 1 || sampleBytes < 1 {
		panic(fmt.Sprintf("dataloader: order of %d samples of %d bytes", n, sampleBytes))
	}
	rows := 1
	for rows*2 <= l.BlockRows && rows*2*sampleBytes <= l.BlockBytes {
		rows *= 2
	}
	o := &Order{seed: seed, n: n, rows: rows, blocks: (n + rows - 1) / rows}
	o.whole = n <= l.WindowRows && n <= l.WindowBytes/sampleBytes
	o.window = max(1, min(l.WindowBytes/(rows*sampleBytes), l.WindowRows/rows))
	if o.whole {
		o.window = o.blocks
	}
	return o
}

// WindowRows returns the maximum number of samples in a window.
func (o *Order) WindowRows() int { return min(o.n, o.window*o.rows) }

// At returns the index of the sample at a position.
func (o *Order) At(position int64) int {
	block, row := o.locate(position)
	_, b := o.block(block)
	return b*o.rows + row
}

// locate returns the block and row of the sample at a position. Blocks are counted in the order in which they are
// needed since the start of training.
func (o *Order) locate(position int64) (block int64, row int) {
	epoch := position / int64(o.n)
	p := int(position % int64(o.n))
	w := p / (o.window * o.rows) // every block but an epoch's last is full
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

// block returns the epoch of block k, counted as in locate, and its index in the data set.
func (o *Order) block(k int64) (epoch uint64, block int) {
	epoch = uint64(k / int64(o.blocks))
	if o.permuted == nil || o.epoch != epoch {
		o.epoch, o.permuted = epoch, o.permute(epoch)
	}
	return epoch, o.permuted[k%int64(o.blocks)]
}

// permute returns the blocks in the order of an epoch. The short block stays last, so that the window of a position is
// a division.
func (o *Order) permute(epoch uint64) []int {
	full := o.n / o.rows
	var p []int
	if o.whole {
		for i := range full {
			p = append(p, i) // the samples of the window are permuted
		}
	} else {
		p = random.New(o.seed, "train/shuffle/blocks", epoch).Perm(full)
	}
	if full < o.blocks {
		p = append(p, full)
	}
	return p
}

// span returns the range of samples of a block.
func (o *Order) span(block int) (from, to int) {
	return block * o.rows, min(o.n, (block+1)*o.rows)
}

package dataloader

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"vapo/lib/tensorfile"
)

// cache keeps blocks on disk, in one file with a fixed number of slots, so the file never exceeds its limit. The file
// is unlinked as soon as it is open, so it disappears with the process, even if the process is killed. Blocks are
// verified when they are first read and are trusted afterwards, like any file that a stage has fetched.
//
// The order of all future reads is known. So the cache evicts the block whose next use is furthest away (Belady, A
// study of replacement algorithms, 1966). If the new block is needed last, the cache does not keep it. Evicting the
// least recently used block would be worse, because every epoch has a different order: with slots for a tenth of the
// data, the cache would serve 1 in 200 reads instead of 1 in 10.
type cache struct {
	mu    sync.Mutex
	file  *os.File
	slot  int64 // bytes per slot
	kept  map[int]*kept
	free  []int // numbers of the free slots
	stats Stats
}

type kept struct {
	slot  int
	size  int64
	next  int64 // when the block is needed next, counted in blocks since the start of training
	users int   // number of readers, or -1 while the block is being written; a slot in use is not evicted
}

// newCache returns a cache of at most limit bytes in dir. slot is the size of a slot in bytes. newCache returns nil if
// not even one slot fits.
func newCache(dir string, limit, slot int64) (*cache, error) {
	if limit < slot {
		return nil, nil
	}
	f, err := os.CreateTemp(dir, "data-*.cache")
	if err != nil {
		return nil, fmt.Errorf("data cache: %w", err)
	}
	// Some systems cannot remove an open file. On these systems, the file is removed later, with its directory.
	_ = os.Remove(f.Name())
	c := &cache{file: f, slot: slot, kept: map[int]*kept{}}
	for i := int(limit/slot) - 1; i >= 0; i-- {
		c.free = append(c.free, i)
	}
	return c, nil
}

// get returns a block, or nil if the cache does not hold it. next says when the block is needed again; see kept.next.
func (c *cache) get(block int, next int64) (*tensorfile.Table, error) {
	c.mu.Lock()
	k := c.kept[block]
	if k == nil || k.users < 0 {
		c.mu.Unlock()
		return nil, nil
	}
	k.next = max(k.next, next)
	k.users++
	c.stats.CacheBlocks++
	c.mu.Unlock()
	t, err := tensorfile.Decode(io.NewSectionReader(c.file, int64(k.slot)*c.slot, k.size), k.size)
	c.mu.Lock()
	k.users--
	c.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("data cache: block %d: %w", block, err)
	}
	return t, nil
}

// put stores a block if it finds a slot. next says when the block is needed; see kept.next. If no slot is free, put
// replaces the unused block that is needed last, provided it is needed later than the new block.
func (c *cache) put(block int, next int64, t *tensorfile.Table) error {
	k := c.claim(block, next)
	if k == nil {
		return nil
	}
	var b bytes.Buffer
	b.Grow(int(c.slot))
	err := tensorfile.Write(&b, t)
	if err == nil && int64(b.Len()) > c.slot {
		err = fmt.Errorf("it takes %d bytes, expected at most %d", b.Len(), c.slot)
	}
	if err == nil {
		_, err = c.file.WriteAt(b.Bytes(), int64(k.slot)*c.slot)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k.size, k.users = int64(b.Len()), 0
	if err != nil {
		delete(c.kept, block)
		c.free = append(c.free, k.slot)
		return fmt.Errorf("data cache: block %d: %w", block, err)
	}
	c.stats.CacheBytes = max(c.stats.CacheBytes, int64(k.slot+1)*c.slot)
	return nil
}

// claim reserves a slot in which to write a block, with users = -1. It returns nil if the block is already stored or if
// there is no slot for it.
func (c *cache) claim(block int, next int64) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[block] != nil {
		return nil
	}
	k := &kept{next: next, users: -1}
	if n := len(c.free); n > 0 {
		k.slot, c.free = c.free[n-1], c.free[:n-1]
	} else {
		last, at := next, -1
		for b, o := range c.kept {
			if o.users == 0 && o.next > last {
				last, at = o.next, b
			}
		}
		if at < 0 {
			return nil
		}
		k.slot = c.kept[at].slot
		delete(c.kept, at)
	}
	c.kept[block] = k
	return k
}

func (c *cache) close() error { return c.file.Close() }

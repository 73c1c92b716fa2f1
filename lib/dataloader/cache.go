package dataloader

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"vapo/lib/tensorfile"
)

// cache keeps blocks on disk, in one file of fixed places, so that it never grows beyond its limit. The file has no name
// once it is open: it is gone with the process, however that ends. What is kept was verified when it was read, and is
// trusted as any file that a stage has fetched.
//
// When each block is needed next is known, so the one needed last makes room (Belady, A study of replacement algorithms,
// 1966), or the new one is not kept. Where each epoch has an order of its own, keeping what was used last would keep
// what is needed last: with a tenth of the data in the cache it would find a block in it once in 200 times, not in 10.
type cache struct {
	mu    sync.Mutex
	file  *os.File
	place int64 // bytes of a place
	kept  map[int]*kept
	free  []int // places
	stats Stats
}

type kept struct {
	place int
	size  int64
	next  int64 // when it is needed next, by the count of blocks since the start of training
	users int   // readers and writers; a place in use is not given away
}

// newCache returns a cache of at most limit bytes in dir for blocks of at most place bytes, or nil where not one fits.
func newCache(dir string, limit, place int64) (*cache, error) {
	if limit < place {
		return nil, nil
	}
	f, err := os.CreateTemp(dir, "data-*.cache")
	if err != nil {
		return nil, fmt.Errorf("data cache: %w", err)
	}
	// Where an open file cannot be removed, it goes with the directory.
	_ = os.Remove(f.Name())
	c := &cache{file: f, place: place, kept: map[int]*kept{}}
	for i := int(limit/place) - 1; i >= 0; i-- {
		c.free = append(c.free, i)
	}
	return c, nil
}

// get returns a block, or nil where it is not kept, and notes when it is needed after that.
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
	t, err := tensorfile.Decode(io.NewSectionReader(c.file, int64(k.place)*c.place, k.size), k.size)
	c.mu.Lock()
	k.users--
	c.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("data cache: block %d: %w", block, err)
	}
	return t, nil
}

// put keeps a block that is needed next at the given count, if nothing that is kept is needed later.
func (c *cache) put(block int, next int64, t *tensorfile.Table) error {
	k := c.claim(block, next)
	if k == nil {
		return nil
	}
	var b bytes.Buffer
	b.Grow(int(c.place))
	err := tensorfile.Write(&b, t)
	if err == nil && int64(b.Len()) > c.place {
		err = fmt.Errorf("it takes %d bytes, expected at most %d", b.Len(), c.place)
	}
	if err == nil {
		_, err = c.file.WriteAt(b.Bytes(), int64(k.place)*c.place)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k.size, k.users = int64(b.Len()), 0
	if err != nil {
		delete(c.kept, block)
		c.free = append(c.free, k.place)
		return fmt.Errorf("data cache: block %d: %w", block, err)
	}
	c.stats.CacheBytes = max(c.stats.CacheBytes, int64(k.place+1)*c.place)
	return nil
}

// claim gives a block a place, in which it is being written (users < 0), or returns nil.
func (c *cache) claim(block int, next int64) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[block] != nil {
		return nil
	}
	k := &kept{next: next, users: -1}
	if n := len(c.free); n > 0 {
		k.place, c.free = c.free[n-1], c.free[:n-1]
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
		k.place = c.kept[at].place
		delete(c.kept, at)
	}
	c.kept[block] = k
	return k
}

func (c *cache) close() error { return c.file.Close() }

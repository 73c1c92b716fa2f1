package artifact

import (
	"context"
	"strings"
)

// Usage counts objects and their bytes.
type Usage struct {
	Objects int
	Bytes   int64
}

func (u Usage) add(size int64) Usage { return Usage{u.Objects + 1, u.Bytes + size} }

// Sizes says how the space in a store is used.
type Sizes struct {
	Kinds  map[string]Usage // of all objects, by the first element of the key, such as "blobs"
	Stages map[string]Usage // by stage: the number of its actions, and the bytes of their outputs, each blob counted once

	c     *Contents
	loose int64    // bytes of blobs that no record, run or ref mentions
	blobs []int64  // sizes, by number
	users []uint32 // of each blob: the number of runs and refs that need it
}

// Sizes lists the whole store. Contents.Roots must not be called afterwards.
func (s *Store) Sizes(ctx context.Context, c *Contents) (*Sizes, error) {
	out := &Sizes{
		Kinds: map[string]Usage{}, Stages: map[string]Usage{},
		c: c, blobs: make([]int64, len(c.makers)), users: make([]uint32, len(c.makers)),
	}
	for info, err := range s.objects.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		kind, _, _ := strings.Cut(info.Key, "/")
		out.Kinds[kind] = out.Kinds[kind].add(info.Size)
		if d, err := digestOfKey(info.Key); kind == "blobs" && err == nil {
			id, _ := sumOf(d.Hex())
			if n, ok := c.blobs[id]; ok {
				out.blobs[n] = info.Size
			} else {
				out.loose += info.Size
			}
		}
	}
	out.stages()
	return out, nil
}

// stages fills Stages. It handles one stage at a time, so that one mark per blob suffices.
func (s *Sizes) stages() {
	for stage := range s.c.stages {
		var u Usage
		counted := make([]bool, len(s.blobs))
		for _, a := range s.c.actions {
			if a.stage != stage {
				continue
			}
			u.Objects++
			for _, n := range a.outputs {
				if !counted[n] {
					counted[n] = true
					u.Bytes += s.blobs[n]
				}
			}
		}
		s.Stages[stage] = u
	}
}

// Use counts a run or a ref as a user of everything in a set.
func (s *Sizes) Use(of *Set) {
	for _, n := range of.added {
		s.users[n]++
	}
}

// Of returns the size of the blobs in a set, and the size of those that have only one user. Call it after Use was
// called for every run and ref.
func (s *Sizes) Of(set *Set) (size, own int64) {
	for _, n := range set.added {
		size += s.blobs[n]
		if s.users[n] == 1 {
			own += s.blobs[n]
		}
	}
	return size, own
}

// Unused returns the size of the blobs that no run and no ref needs.
func (s *Sizes) Unused() int64 {
	total := s.loose
	for n, users := range s.users {
		if users == 0 {
			total += s.blobs[n]
		}
	}
	return total
}

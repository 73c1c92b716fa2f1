package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// sum is the digest of a blob or the key of an action, in its most compact form.
type sum [sha256.Size]byte

// sumOf decodes the hexadecimal form of a digest or key.
func sumOf(digits string) (id sum, ok bool) {
	if len(digits) != 2*len(id) {
		return id, false
	}
	n, err := hex.Decode(id[:], []byte(digits))
	return id, err == nil && n == len(id)
}

// Roots are the numbers of the actions and blobs that a run or a ref names. Contents assigns the numbers.
type Roots struct{ actions, blobs []uint32 }

// Roots returns what a run or a ref names. It leaves out actions without a record. It is safe for concurrent use.
func (c *Contents) Roots(actions []string, blobs []Digest) Roots {
	c.mu.Lock()
	defer c.mu.Unlock()
	var r Roots
	for _, key := range actions {
		if n := c.action(key); n != none {
			r.actions = append(r.actions, n)
		}
	}
	for _, d := range blobs {
		r.blobs = c.number(r.blobs, d)
	}
	slices.Sort(r.blobs)
	return Roots{slices.Clip(r.actions), slices.Clip(slices.Compact(r.blobs))}
}

// Set is a set of actions and blobs. A set that contains an action also contains the action's outputs and inputs, the
// actions that made those inputs, and so on back to imported files. If several actions made an input, and none of them
// is in the set for another reason, the set contains the earliest of them.
type Set struct {
	c              *Contents
	actions, blobs []bool   // by number
	acted, added   []uint32 // the actions and blobs that the set contains
}

// NewSet returns an empty set. Contents.Roots must not be called afterwards.
func (c *Contents) NewSet() *Set {
	return &Set{c: c, actions: make([]bool, len(c.actions)), blobs: make([]bool, len(c.makers))}
}

// Add adds the given roots and everything that they need.
func (s *Set) Add(r Roots) {
	actions, blobs := r.actions, r.blobs
	// Each iteration adds actions and then their outputs, inputs and makers. Outputs come first, so that the result does
	// not depend on the order of the actions.
	for len(actions)+len(blobs) > 0 {
		before := len(s.acted)
		for _, n := range actions {
			if !s.actions[n] {
				s.actions[n] = true
				s.acted = append(s.acted, n)
			}
		}
		turn := s.acted[before:]
		for _, n := range turn {
			for _, b := range s.c.actions[n].outputs {
				s.addBlob(b)
			}
		}
		var makers []uint32
		inputs := func(blobs []uint32) {
			for _, b := range blobs {
				if s.addBlob(b) && s.c.makers[b] != none {
					makers = append(makers, s.c.makers[b])
				}
			}
		}
		inputs(blobs)
		for _, n := range turn {
			inputs(s.c.actions[n].inputs)
		}
		actions, blobs = makers, nil
	}
}

// addBlob adds a blob without its maker, and reports whether the blob is new.
func (s *Set) addBlob(n uint32) bool {
	if s.blobs[n] {
		return false
	}
	s.blobs[n] = true
	s.added = append(s.added, n)
	return true
}

func (s *Set) hasBlob(d Digest) bool {
	id, _ := sumOf(d.Hex())
	n, ok := s.c.blobs[id]
	return ok && s.blobs[n]
}

func (s *Set) hasAction(n uint32) bool { return n != none && s.actions[n] }

// Clear empties the set.
func (s *Set) Clear() {
	for _, n := range s.added {
		s.blobs[n] = false
	}
	for _, n := range s.acted {
		s.actions[n] = false
	}
	s.added, s.acted = s.added[:0], s.acted[:0]
}

// Package random makes randomness a pure function of names.
//
// Every random number of vapo is determined by (seed, stream, index): the seed of the run, the name of what is drawn
// ("sample/noise", "train/batch", ...) and the number of the training step or of the sample. There is no generator
// state to save, so a run that was killed and resumed draws what it would have drawn, and sample k is the same
// sample whatever the batch size or the number of shards.
//
// Note: splitting one generator (or saving its state in checkpoints) was rejected: results would then depend on
// the order in which parts of a program draw, and adding one draw would change all later ones.
package random

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// tag separates these keys from any other use of sha256 and versions the derivation: changing anything in this package
// that changes a drawn value changes every result of vapo, and the golden values in the tests say so.
const tag = "vapo/draw/1"

// Source is the sequence of random numbers of one (seed, stream, index). It is cheap to make (one sha256) and not
// safe for concurrent use: goroutines that draw use sources of their own names.
type Source struct {
	chacha *rand.ChaCha8
	rng    *rand.Rand
}

// New returns the sequence named by seed, stream and index, from its beginning.
//
// The ChaCha8 key is sha256 over tag, seed, stream and index, where strings are preceded by their length, so no
// two different names share an encoding.
func New(seed uint64, stream string, index uint64) *Source {
	b := make([]byte, 0, 8+len(tag)+8+8+len(stream)+8)
	b = binary.BigEndian.AppendUint64(b, uint64(len(tag)))
	b = append(b, tag...)
	b = binary.BigEndian.AppendUint64(b, seed)
	b = binary.BigEndian.AppendUint64(b, uint64(len(stream)))
	b = append(b, stream...)
	b = binary.BigEndian.AppendUint64(b, index)
	c := rand.NewChaCha8(sha256.Sum256(b))
	return &Source{chacha: c, rng: rand.New(c)}
}

// Normal fills dst with independent standard normal values. It consumes the sequence as Normal64 does, and each
// value is Normal64's rounded to float32.
func (s *Source) Normal(dst []float32) {
	for i := range dst {
		dst[i] = float32(s.normal())
	}
}

// Normal64 fills dst with independent standard normal values.
func (s *Source) Normal64(dst []float64) {
	for i := range dst {
		dst[i] = s.normal()
	}
}

// Uniform64 returns a value in [0, 1), a multiple of 2^-53. (The conversion keeps a compiler from fusing the scaling
// with a sum at the caller's.)
func (s *Source) Uniform64() float64 { return float64(s.rng.Float64()) }

// IntN returns a value in [0, n). It panics if n <= 0.
func (s *Source) IntN(n int) int { return s.rng.IntN(n) }

// Perm returns a permutation of 0..n-1.
func (s *Source) Perm(n int) []int { return s.rng.Perm(n) }

// Uint64 returns 64 random bits, the key of counter-based generators further on.
func (s *Source) Uint64() uint64 { return s.chacha.Uint64() }

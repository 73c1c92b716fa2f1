// Package random provides random numbers that depend only on a name, not on the state of a generator.
//
// Every random number of vapo is determined by (seed, stream, index): the seed of the run, the name of the quantity
// ("sample/noise", "train/batch", ...) and the number of the training step or sample. There is no generator state to
// save, so a resumed run draws the numbers that an uninterrupted one would have drawn. Sample k is the same for every
// batch size and every number of shards.
//
// Note: splitting one generator, or saving its state in checkpoints, was rejected. Results would depend on the order in
// which parts of a program draw, and one additional number would change all later ones.
package random

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// tag is hashed into every key of a Source. It separates these keys from other uses of sha256 and names the version of
// their derivation. It must not change, because every result of vapo depends on the values that this package returns.
// Golden values in the tests pin them.
const tag = "vapo/draw/1"

// Source is the sequence of random numbers of one (seed, stream, index). Creating it costs one sha256. It is not safe
// for concurrent use: each goroutine uses its own Source, with a different name.
type Source struct {
	chacha *rand.ChaCha8
	rng    *rand.Rand
}

// New returns the sequence named by seed, stream and index, from its beginning.
//
// The ChaCha8 key is the sha256 of tag, seed, stream and index. Strings are preceded by their length, so different
// names have different encodings.
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

// Normal fills dst with independent standard normal values. Each value is the one that Normal64 would return, rounded
// to float32.
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

// Uniform64 returns a value in [0, 1), a multiple of 2^-53. The conversion prevents the compiler from fusing the
// multiplication in Float64 with an addition in the caller.
func (s *Source) Uniform64() float64 { return float64(s.rng.Float64()) }

// IntN returns a value in [0, n). It panics if n <= 0.
func (s *Source) IntN(n int) int { return s.rng.IntN(n) }

// Perm returns a permutation of 0..n-1.
func (s *Source) Perm(n int) []int { return s.rng.Perm(n) }

// Uint64 returns 64 random bits, for example the key of a counter-based generator.
func (s *Source) Uint64() uint64 { return s.chacha.Uint64() }

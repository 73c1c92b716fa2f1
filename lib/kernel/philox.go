package kernel

import "math/bits"

// Philox fills an array with uniform random numbers in [0, 1). Each number depends only on the key, the stream and its
// index. The generator is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2,
// 3", SC 2011.
type Philox[T Float] struct {
	stream uint32
	n      int
	seed   [2]uint32
	step   [2]uint32
	dst    []T
	body   func(worker, piece int)
}

// PhiloxKeyLen is the length of a key: four values of 16 bits for the seed, then four for the step, least significant
// first. float32 represents such values exactly.
const PhiloxKeyLen = 8

// philoxPiece is the number of elements per piece. It is a multiple of four, because one counter gives four numbers.
const philoxPiece = grain / 4

// NewPhilox prepares draws of the first n numbers of a stream.
func NewPhilox[T Float](n int, stream uint32) *Philox[T] {
	p := &Philox[T]{n: n, stream: stream}
	p.body = p.piece
	return p
}

// Run fills dst [n] from key [PhiloxKeyLen]. The generator's counter for element i is (i/4, stream, step low, step
// high), and its key is (seed low, seed high). Element i is 2^-24 times the upper 24 bits of word i%4 of the resulting
// block. Both element types represent it exactly. Run is not safe for concurrent use.
func (p *Philox[T]) Run(dst, key []T) {
	for k := range 2 {
		p.seed[k] = uint32(key[2*k]) | uint32(key[2*k+1])<<16
		p.step[k] = uint32(key[4+2*k]) | uint32(key[5+2*k])<<16
	}
	p.dst = dst[:p.n]
	Parallel((p.n+philoxPiece-1)/philoxPiece, p.body)
	p.dst = nil
}

func (p *Philox[T]) piece(_, piece int) {
	first := piece * philoxPiece
	dst := p.dst[first:min(first+philoxPiece, p.n)]
	at := uint32(first / 4)
	for ; len(dst) >= 4; at++ {
		b0, b1, b2, b3 := philox4x32(at, p.stream, p.step[0], p.step[1], p.seed[0], p.seed[1])
		dst[0], dst[1], dst[2], dst[3] = unit[T](b0), unit[T](b1), unit[T](b2), unit[T](b3)
		dst = dst[4:]
	}
	if len(dst) > 0 {
		b0, b1, b2, b3 := philox4x32(at, p.stream, p.step[0], p.step[1], p.seed[0], p.seed[1])
		rest := [4]T{unit[T](b0), unit[T](b1), unit[T](b2), unit[T](b3)}
		copy(dst, rest[:])
	}
}

func unit[T Float](b uint32) T { return T(b>>8) * (1.0 / (1 << 24)) }

// philox4x32 maps a counter of four words to 128 random bits under a key of two words, in ten rounds.
func philox4x32(c0, c1, c2, c3, k0, k1 uint32) (uint32, uint32, uint32, uint32) {
	for range 10 {
		h0, l0 := bits.Mul32(0xD2511F53, c0)
		h1, l1 := bits.Mul32(0xCD9E8D57, c2)
		c0, c1, c2, c3 = h1^c1^k0, l1, h0^c3^k1, l0
		k0 += 0x9E3779B9
		k1 += 0xBB67AE85
	}
	return c0, c1, c2, c3
}

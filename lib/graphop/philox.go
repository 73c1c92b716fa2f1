package graphop

import (
	"fmt"
	"hash/fnv"
	"math"

	"gorgonia.org/tensor"
)

// PhiloxOp draws uniform random numbers with a counter-based generator. Each number is a function of the key, the
// stream and the element's index, so there is no generator state, and the numbers do not depend on how the work is
// divided among threads.
type PhiloxOp struct{ Stream string }

// PhiloxKeyLen is the number of elements of a draw's key.
const PhiloxKeyLen = 8

// PhiloxKey returns the value that Uniform expects in its key: seed and step as groups of 16 bits, lowest first.
// float32 represents such groups exactly.
func PhiloxKey(seed, step uint64) [PhiloxKeyLen]float64 {
	var k [PhiloxKeyLen]float64
	for i := range 4 {
		k[i] = float64(seed >> (16 * i) & 0xffff)
		k[4+i] = float64(step >> (16 * i) & 0xffff)
	}
	return k
}

// Uniform returns a tensor of the given shape. Its elements are random multiples of 2^-24 in [0, 1). key [8] holds
// PhiloxKey(seed, step). The generator is Philox4x32-10 (Salmon et al., SC 2011) with the key (low word of seed, high
// word of seed) and the counter (element index / 4, StreamID, low word of step, high word of step), in words of 32
// bits. Every engine and both element types give the same numbers. The derivative is 0.
func Uniform(key *Node, stream string, shape ...int) *Node {
	if s := key.Shape(); len(s) != 1 || s[0] != PhiloxKeyLen {
		fail("philox", fmt.Sprintf("expected a key of shape [%d], the value of PhiloxKey", PhiloxKeyLen), key)
	}
	if !positive(shape) {
		fail("philox", fmt.Sprintf("cannot draw %v: %s", shape, positiveShape), key)
	}
	if tensor.Shape(shape).TotalSize() > math.MaxUint32 {
		panic(&Error{
			Op: "philox", Shapes: []tensor.Shape{key.Shape()}, TooLarge: true,
			Reason: fmt.Sprintf("cannot draw %v: expected fewer than 2^32 elements", shape),
		})
	}
	return apply(&PhiloxOp{Stream: stream}, shape, key)
}

// Dropout sets each element of x to 0 with probability p, 0 <= p < 1, and divides the others by 1-p, which keeps the
// mean (inverted dropout; Srivastava et al., JMLR 2014). The key (see Uniform) and the stream determine which elements
// become 0, so every layer needs its own stream. p is rounded up to a multiple of 2^-24.
func Dropout(x, key *Node, stream string, p float64) *Node {
	if !(p >= 0 && p < 1) {
		fail("dropout", fmt.Sprintf("the probability is %v, expected 0 <= p < 1", p), x)
	}
	if p == 0 {
		return x
	}
	// Each uniform number u is a multiple of 2^-24. edge is p rounded up to such a multiple, so the comparison u < edge
	// is exact in both element types.
	edge := math.Ceil(p*(1<<24)) / (1 << 24)
	dropped := Heaviside(Affine(Uniform(key, stream, x.Shape()...), -1, edge))
	kept := 1 / (1 - p)
	return Mul(x, Affine(dropped, -kept, kept))
}

// StreamID returns the counter word of the stream: the 32-bit FNV-1a hash of the stream's name.
func (p *PhiloxOp) StreamID() uint32 {
	h := fnv.New32a()
	h.Write([]byte(p.Stream))
	return h.Sum32()
}

// Diff implements Kind.
func (*PhiloxOp) Diff([]*Node, *Node, *Node, []bool) []*Node { return nil }

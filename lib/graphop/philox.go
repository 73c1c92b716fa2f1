package graphop

import (
	"fmt"
	"hash/fnv"
	"math"

	"gorgonia.org/tensor"
)

// PhiloxOp draws uniform numbers from a counter: each is a function of the key, the stream and the element's index, so
// there is no generator state, and the draw does not depend on how the work is divided.
type PhiloxOp struct{ Stream string }

// PhiloxKeyLen is the number of elements of a draw's key.
const PhiloxKeyLen = 8

// PhiloxKey returns the value of a draw's key node: seed and step in 16-bit pieces, low ones first, which float32
// holds exactly.
func PhiloxKey(seed, step uint64) [PhiloxKeyLen]float64 {
	var k [PhiloxKeyLen]float64
	for i := range 4 {
		k[i] = float64(seed >> (16 * i) & 0xffff)
		k[4+i] = float64(step >> (16 * i) & 0xffff)
	}
	return k
}

// Uniform returns numbers in [0, 1), multiples of 2^-24, of the given shape: Philox4x32-10 (Salmon et al., SC 2011)
// under the key (seed low, seed high) at the counter (element index / 4, FNV-1a of the stream, step low, step high),
// words in units of 32 bits. key [8] holds PhiloxKey(seed, step). Every backend and both element types give the same
// numbers. As a constant, the derivative is 0.
func Uniform(key *Node, stream string, shape ...int) *Node {
	if s := key.Shape(); len(s) != 1 || s[0] != PhiloxKeyLen {
		fail("philox", fmt.Sprintf("expected a key of shape [%d], the value of PhiloxKey", PhiloxKeyLen), key)
	}
	if !positive(shape) || tensor.Shape(shape).TotalSize() > math.MaxUint32 {
		fail("philox", fmt.Sprintf("%v is no shape to draw: expected one or more dimensions of 1 or more, and fewer than 2^32 elements", shape), key)
	}
	return apply(&PhiloxOp{Stream: stream}, shape, key)
}

// Dropout sets each element of x to 0 with probability p and divides the others by 1-p, so that the mean stays
// (Srivastava et al., JMLR 2014, inverted). Which ones is a function of the key (see Uniform) and the stream: layers
// need streams of their own. p is taken up to the next multiple of 2^-24.
func Dropout(x, key *Node, stream string, p float64) *Node {
	if !(p >= 0 && p < 1) {
		fail("dropout", fmt.Sprintf("the probability is %v, expected 0 <= p < 1", p), x)
	}
	if p == 0 {
		return x
	}
	// The comparison u < p is exact, and so the same, in both element types when p is a multiple of 2^-24 too.
	edge := math.Ceil(p*(1<<24)) / (1 << 24)
	dropped := Step(Affine(Uniform(key, stream, x.Shape()...), -1, edge))
	kept := 1 / (1 - p)
	return Mul(x, Affine(dropped, -kept, kept))
}

// StreamID is the counter word of the stream: the 32-bit FNV-1a hash of its name.
func (p *PhiloxOp) StreamID() uint32 {
	h := fnv.New32a()
	h.Write([]byte(p.Stream))
	return h.Sum32()
}

// Name implements Kind.
func (p *PhiloxOp) Name() string { return fmt.Sprintf("philox(%q)", p.Stream) }

// Diff implements Kind.
func (*PhiloxOp) Diff([]*Node, *Node, *Node, []bool) []*Node { return nil }

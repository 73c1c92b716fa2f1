package device

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"vapo/lib/graphop"
)

// philox draws uniform numbers in integer arithmetic, with the same bits as kernel.Philox; see graphop.Uniform for the
// counter and the key.
func (l *lowering) philox(p *graphop.PhiloxOp, shape []int, n int, key compute.Value) compute.Value {
	const u32, u64 = dtypes.Uint32, dtypes.Uint64
	blocks := []int{(n + 3) / 4}
	repeat := func(v compute.Value) compute.Value {
		return must(l.BroadcastInDim(v, shapes.Make(u32, blocks...), []int{0}))
	}
	one := func(v float64) compute.Value { return l.fullOf(u32, v, []int{1}) }

	pieces := must(l.ConvertDType(key, u32)) // [8]: the low and the high 16 bits of each of four words
	var words [graphop.PhiloxKeyLen / 2]compute.Value
	for i := range words {
		low := l.slice(pieces, []int{graphop.PhiloxKeyLen}, 0, 2*i, 2*i+1, 1)
		high := l.slice(pieces, []int{graphop.PhiloxKeyLen}, 0, 2*i+1, 2*i+2, 1)
		words[i] = must(l.Add(low, must(l.Mul(high, one(1<<16)))))
	}
	k0, k1 := words[0], words[1]
	c := [4]compute.Value{
		must(l.Iota(shapes.Make(u32, blocks...), 0)), l.fullOf(u32, float64(p.StreamID()), blocks),
		repeat(words[2]), repeat(words[3]),
	}
	// product returns the high and the low word of a·m.
	product := func(a compute.Value, m float64) (high, low compute.Value) {
		wide := must(l.Mul(must(l.ConvertDType(a, u64)), l.fullOf(u64, m, blocks)))
		high = must(l.ConvertDType(must(l.ShiftRightLogical(wide, l.fullOf(u64, 32, blocks))), u32))
		return high, must(l.Mul(a, l.fullOf(u32, m, blocks)))
	}
	xor := func(a, b, k compute.Value) compute.Value {
		return must(l.BitwiseXor(must(l.BitwiseXor(a, b)), repeat(k)))
	}
	for range 10 {
		h0, l0 := product(c[0], 0xD2511F53)
		h1, l1 := product(c[2], 0xCD9E8D57)
		c = [4]compute.Value{xor(h1, c[1], k0), l1, xor(h0, c[3], k1), l0}
		k0, k1 = must(l.Add(k0, one(0x9E3779B9))), must(l.Add(k1, one(0xBB67AE85)))
	}
	for i := range c {
		c[i] = l.reshape(c[i], blocks[0], 1)
	}
	bits := l.reshape(must(l.Concatenate(1, c[:]...)), 4*blocks[0])
	if n < 4*blocks[0] {
		bits = l.slice(bits, []int{4 * blocks[0]}, 0, 0, n, 1)
	}
	top := must(l.ShiftRightLogical(bits, l.fullOf(u32, 8, []int{n})))
	u := must(l.Mul(must(l.ConvertDType(top, l.dt)), l.full(1.0/(1<<24), []int{n})))
	return l.reshape(u, shape...)
}

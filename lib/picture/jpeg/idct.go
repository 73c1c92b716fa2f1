package jpeg

// The constants of the transform, with 13 fractional bits: the cosines and sines of multiples of pi/16 times the square
// root of 2, and their sums. See Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11
// multiplications" (ICASSP 1989).
const (
	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172

	fixBits  = 13
	passBits = 2 // fractional bits between the passes
)

// inverseDCT writes the samples of a block to the 8 x 8 bytes at dst. The coefficients b are in natural order, the
// quantisation table in zigzag order. It rounds like libjpeg's accurate integer transform (jidctint.c).
func inverseDCT(b *[64]int16, quant *[64]uint16, dst []uint8, stride int) {
	var v [64]int
	flat := true // whether all AC coefficients are zero
	for k, q := range quant {
		i := zigzag[k]
		if c := b[i]; c != 0 {
			v[i] = int(c) * int(q)
			flat = flat && k == 0
		}
	}
	if flat {
		s := sample((v[0]<<passBits + 1<<(passBits+2)) >> (passBits + 3))
		for y := range 8 {
			row := dst[y*stride:][:8]
			for x := range row {
				row[x] = s
			}
		}
		return
	}
	for x := range 8 {
		c := v[x:]
		if c[8]|c[16]|c[24]|c[32]|c[40]|c[48]|c[56] == 0 {
			dc := c[0] << passBits
			c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56] = dc, dc, dc, dc, dc, dc, dc, dc
			continue
		}
		e, o := butterfly(c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56])
		const round, shift = 1 << (fixBits - passBits - 1), fixBits - passBits
		for y := range 4 {
			c[8*y] = (e[y] + o[y] + round) >> shift
			c[8*(7-y)] = (e[y] - o[y] + round) >> shift
		}
	}
	for y := range 8 {
		r := (*[8]int)(v[8*y:])
		e, o := butterfly(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
		const round, shift = 1 << (fixBits + passBits + 2), fixBits + passBits + 3
		row := dst[y*stride:][:8]
		for x := range 4 {
			row[x] = sample((e[x] + o[x] + round) >> shift)
			row[7-x] = sample((e[x] - o[x] + round) >> shift)
		}
	}
}

// butterfly returns the even and odd parts of the transform of eight coefficients. Output i is e[i] + o[i], and output
// 7-i is e[i] - o[i].
func butterfly(c0, c1, c2, c3, c4, c5, c6, c7 int) (e, o [4]int) {
	z := (c2 + c6) * fix0541
	t2, t3 := z-c6*fix1847, z+c2*fix0765
	t0, t1 := (c0+c4)<<fixBits, (c0-c4)<<fixBits
	e = [4]int{t0 + t3, t1 + t2, t1 - t2, t0 - t3}

	z1, z2, z3, z4 := -(c7+c1)*fix0899, -(c5+c3)*fix2562, c7+c3, c5+c1
	z5 := (z3 + z4) * fix1175
	z3, z4 = z5-z3*fix1961, z5-z4*fix0390
	o = [4]int{c1*fix1501 + z1 + z4, c3*fix3072 + z2 + z3, c5*fix2053 + z2 + z4, c7*fix0298 + z1 + z3}
	return e, o
}

// sample adds the middle of the range, 128, and clamps the sum to a byte.
func sample(v int) uint8 { return clamp(v + 128) }

func clamp(v int) uint8 { return uint8(min(max(v, 0), 255)) }

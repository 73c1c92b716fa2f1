package jpeg

import "errors"

// arithmetic is the entropy decoder for arithmetic coding (ITU-T T.81, Annexes D, F.2.4 and G.2.3).
type arithmetic struct {
	d       *decoder
	code    uint32 // the code register Cx of the standard; its low bits are not yet used
	size    uint32 // the interval register A
	shift   int    // the number of low bits not yet used; negative until the register is filled
	marker  bool   // whether a marker has been reached; zeros are supplied after it
	end     bool   // whether the file has ended
	dc      [4][64]state
	ac      [4][256]state
	half    state // for decisions with probability 1/2
	last    [4]int
	context [4]int
}

// state is the estimated probability of a decision: an index into estimates, with the more probable value in the upper
// bit.
type state uint8

func newArithmetic(d *decoder) *arithmetic { return &arithmetic{d: d} }

func (a *arithmetic) start() { *a = arithmetic{d: a.d, shift: -16, half: 113} }

func (a *arithmetic) check() error {
	if a.end {
		return errTruncated
	}
	return nil
}

func (a *arithmetic) nextByte() uint32 {
	data := a.d.data
	for !a.marker && a.d.pos < len(data) {
		v := data[a.d.pos]
		if v != 0xff {
			a.d.pos++
			return uint32(v)
		}
		next := a.d.pos
		for next < len(data) && data[next] == 0xff {
			next++
		}
		if next < len(data) && data[next] == 0 {
			a.d.pos = next + 1
			return 0xff
		}
		a.marker = next < len(data)
		if !a.marker {
			a.d.pos = next
		}
	}
	a.end = !a.marker
	return 0
}

// decide decodes a decision (Figures D.14 to D.18).
func (a *arithmetic) decide(s *state) int {
	for a.size < 0x8000 {
		if a.shift--; a.shift < 0 {
			a.code = a.code<<8 | a.nextByte()
			if a.shift += 8; a.shift < 0 {
				if a.shift++; a.shift == 0 {
					a.size = 0x8000
				}
			}
		}
		a.size <<= 1
	}
	e := estimates[*s&0x7f]
	likely := *s & 0x80
	a.size -= uint32(e.q)
	split := a.size << a.shift
	lessLikely := false
	switch {
	case a.code >= split:
		a.code -= split
		lessLikely = a.size >= uint32(e.q)
		a.size = uint32(e.q)
	case a.size >= 0x8000:
		return int(likely >> 7)
	default:
		lessLikely = a.size < uint32(e.q)
	}
	if !lessLikely {
		*s = likely | state(e.more)
		return int(likely >> 7)
	}
	*s = likely ^ state(e.less)
	return int(likely>>7) ^ 1
}

var errArithmetic = errors.New("a damaged arithmetic code")

func (a *arithmetic) decode(i int, c *component, b *[64]int16) error {
	sc := &a.d.scan
	switch {
	case !a.d.progressive:
		if err := a.difference(i, c); err != nil {
			return err
		}
		b[0] = int16(a.last[i])
		return a.coefficients(c, b, 1, 63, 0)
	case sc.start == 0 && sc.high == 0:
		err := a.difference(i, c)
		b[0] = int16(a.last[i] << sc.low)
		return err
	case sc.start == 0:
		b[0] |= int16(a.decide(&a.half) << sc.low)
		return nil
	case sc.high == 0:
		return a.coefficients(c, b, sc.start, sc.end, sc.low)
	}
	return a.refine(c, b)
}

// difference decodes the next DC coefficient (Figure F.19).
func (a *arithmetic) difference(i int, c *component) error {
	states := &a.dc[c.dc]
	at := a.context[i]
	if a.decide(&states[at]) == 0 {
		a.context[i] = 0
		return nil
	}
	sign := a.decide(&states[at+1])
	at += 2 + sign
	m := a.decide(&states[at])
	if m != 0 {
		for at = 20; a.decide(&states[at]) != 0; at++ {
			if m <<= 1; m == 0x8000 {
				return errArithmetic
			}
		}
	}
	low, high := a.d.conditionDC[c.dc]&15, a.d.conditionDC[c.dc]>>4
	switch {
	case m < 1<<low>>1:
		a.context[i] = 0
	case m > 1<<high>>1:
		a.context[i] = 12 + 4*sign
	default:
		a.context[i] = 4 + 4*sign
	}
	a.last[i] += a.magnitude(m, sign, &states[at+14])
	return nil
}

// magnitude decodes the bits of a value below its highest bit m (Figure F.24).
func (a *arithmetic) magnitude(m, sign int, s *state) int {
	v := m
	for m >>= 1; m > 0; m >>= 1 {
		if a.decide(s) != 0 {
			v |= m
		}
	}
	if sign != 0 {
		return -v - 1
	}
	return v + 1
}

// coefficients decodes AC coefficients (Figure F.20).
func (a *arithmetic) coefficients(c *component, b *[64]int16, start, end, low int) error {
	states := &a.ac[c.ac]
	for k := start; k <= end; k++ {
		if a.decide(&states[3*(k-1)]) != 0 {
			return nil
		}
		for a.decide(&states[3*(k-1)+1]) == 0 {
			if k++; k > end {
				return errArithmetic
			}
		}
		sign := a.decide(&a.half)
		at := 3*(k-1) + 2
		m := a.decide(&states[at])
		if m != 0 && a.decide(&states[at]) != 0 {
			m = 2
			if at = 189; k > int(a.d.conditionAC[c.ac]) {
				at = 217
			}
			for ; a.decide(&states[at]) != 0; at++ {
				if m <<= 1; m == 0x8000 {
					return errArithmetic
				}
			}
		}
		b[zigzag[k]] = int16(a.magnitude(m, sign, &states[at+14]) << low)
	}
	return nil
}

// refine decodes the next bit of AC coefficients (Figure G.10).
func (a *arithmetic) refine(c *component, b *[64]int16) error {
	sc, states := &a.d.scan, &a.ac[c.ac]
	last := sc.end // the last coefficient that is not zero
	for last > 0 && b[zigzag[last]] == 0 {
		last--
	}
	one := int16(1) << sc.low
	for k := sc.start; k <= sc.end; k++ {
		if k > last && a.decide(&states[3*(k-1)]) != 0 {
			return nil
		}
		for {
			v := &b[zigzag[k]]
			if *v != 0 {
				if a.decide(&states[3*(k-1)+2]) != 0 {
					if *v < 0 {
						*v -= one
					} else {
						*v += one
					}
				}
				break
			}
			if a.decide(&states[3*(k-1)+1]) != 0 {
				if *v = one; a.decide(&a.half) != 0 {
					*v = -one
				}
				break
			}
			if k++; k > sc.end {
				return errArithmetic
			}
		}
	}
	return nil
}

// swap marks a state in which decoding the less probable value exchanges the two values.
const swap = 0x80

// estimates is Table D.3 of ITU-T T.81: for each state, the probability of the less probable value (in units of about
// 0.75 / 2^15), and the next state after either value. The last state keeps the probability 1/2.
var estimates = [114]struct {
	q          uint16
	less, more uint8
}{
	{0x5a1d, swap | 1, 1}, {0x2586, 14, 2}, {0x1114, 16, 3}, {0x080b, 18, 4}, {0x03d8, 20, 5}, {0x01da, 23, 6},
	{0x00e5, 25, 7}, {0x006f, 28, 8}, {0x0036, 30, 9}, {0x001a, 33, 10}, {0x000d, 35, 11}, {0x0006, 9, 12},
	{0x0003, 10, 13}, {0x0001, 12, 13}, {0x5a7f, swap | 15, 15}, {0x3f25, 36, 16}, {0x2cf2, 38, 17},
	{0x207c, 39, 18}, {0x17b9, 40, 19}, {0x1182, 42, 20}, {0x0cef, 43, 21}, {0x09a1, 45, 22}, {0x072f, 46, 23},
	{0x055c, 48, 24}, {0x0406, 49, 25}, {0x0303, 51, 26}, {0x0240, 52, 27}, {0x01b1, 54, 28}, {0x0144, 56, 29},
	{0x00f5, 57, 30}, {0x00b7, 59, 31}, {0x008a, 60, 32}, {0x0068, 62, 33}, {0x004e, 63, 34}, {0x003b, 32, 35},
	{0x002c, 33, 9}, {0x5ae1, swap | 37, 37}, {0x484c, 64, 38}, {0x3a0d, 65, 39}, {0x2ef1, 67, 40},
	{0x261f, 68, 41}, {0x1f33, 69, 42}, {0x19a8, 70, 43}, {0x1518, 72, 44}, {0x1177, 73, 45}, {0x0e74, 74, 46},
	{0x0bfb, 75, 47}, {0x09f8, 77, 48}, {0x0861, 78, 49}, {0x0706, 79, 50}, {0x05cd, 48, 51}, {0x04de, 50, 52},
	{0x040f, 50, 53}, {0x0363, 51, 54}, {0x02d4, 52, 55}, {0x025c, 53, 56}, {0x01f8, 54, 57}, {0x01a4, 55, 58},
	{0x0160, 56, 59}, {0x0125, 57, 60}, {0x00f6, 58, 61}, {0x00cb, 59, 62}, {0x00ab, 61, 63}, {0x008f, 61, 32},
	{0x5b12, swap | 65, 65}, {0x4d04, 80, 66}, {0x412c, 81, 67}, {0x37d8, 82, 68}, {0x2fe8, 83, 69},
	{0x293c, 84, 70}, {0x2379, 86, 71}, {0x1edf, 87, 72}, {0x1aa9, 87, 73}, {0x174e, 72, 74}, {0x1424, 72, 75},
	{0x119c, 74, 76}, {0x0f6b, 74, 77}, {0x0d51, 75, 78}, {0x0bb6, 77, 79}, {0x0a40, 77, 48},
	{0x5832, swap | 80, 81}, {0x4d1c, 88, 82}, {0x438e, 89, 83}, {0x3bdd, 90, 84}, {0x34ee, 91, 85},
	{0x2eae, 92, 86}, {0x299a, 93, 87}, {0x2516, 86, 71}, {0x5570, swap | 88, 89}, {0x4ca9, 95, 90},
	{0x44d9, 96, 91}, {0x3e22, 97, 92}, {0x3824, 99, 93}, {0x32b4, 99, 94}, {0x2e17, 93, 86},
	{0x56a8, swap | 95, 96}, {0x4f46, 101, 97}, {0x47e5, 102, 98}, {0x41cf, 103, 99}, {0x3c3d, 104, 100},
	{0x375e, 99, 93}, {0x5231, 105, 102}, {0x4c0f, 106, 103}, {0x4639, 107, 104}, {0x415e, 103, 99},
	{0x5627, swap | 105, 106}, {0x50e7, 108, 107}, {0x4b85, 109, 103}, {0x5597, 110, 109}, {0x504f, 111, 107},
	{0x5a10, swap | 110, 111}, {0x5522, 112, 109}, {0x59eb, swap | 112, 111}, {0x5a1d, 113, 113},
}

package jpeg

import (
	"errors"
	"fmt"
)

var (
	errCode     = errors.New("an unknown Huffman code")
	errSpectrum = errors.New("a block with more than 64 coefficients")
)

type huffman struct {
	short [1 << shortBits]uint16 // indexed by the next bits: length << 8 | value; 0: the code is longer
	limit [18]uint32             // indexed by length: the greatest code plus 1, aligned to 16 bits; 0: no code
	shift [17]int                // indexed by length: index in values minus code
	value []uint8
}

// shortBits is the greatest length of a code that is decoded by one look-up.
const shortBits = 9

// newHuffman returns the table with counts[i] codes of i+1 bits.
func newHuffman(counts *[16]uint8, values []uint8) (*huffman, error) {
	h := &huffman{value: values}
	code, i := uint32(0), 0
	for n := 1; n <= 16; n++ {
		h.shift[n] = i - int(code)
		for range counts[n-1] {
			if code >= 1<<n {
				return nil, errors.New("a Huffman table with too many codes")
			}
			if n <= shortBits {
				first := code << (shortBits - n)
				for k := range uint32(1) << (shortBits - n) {
					h.short[first+k] = uint16(n)<<8 | uint16(values[i])
				}
			}
			code, i = code+1, i+1
		}
		h.limit[n] = code << (16 - n)
		code <<= 1
	}
	return h, nil
}

func (d *decoder) readHuffman(s []byte) error {
	for len(s) > 0 {
		if len(s) < 17 {
			return errors.New("an incomplete Huffman table")
		}
		counts, n := (*[16]uint8)(s[1:]), 0
		for _, c := range counts {
			n += int(c)
		}
		class, slot := s[0]>>4, s[0]&15
		if class > 1 || slot > 3 || n > 256 || len(s) < 17+n {
			return fmt.Errorf("a Huffman table %#x with %d codes", s[0], n)
		}
		t, err := newHuffman(counts, s[17:17+n])
		if err != nil {
			return err
		}
		if class == 0 {
			d.huffDC[slot] = t
		} else {
			d.huffAC[slot] = t
		}
		s = s[17+n:]
	}
	return nil
}

// huffmanDecoder is the entropy decoder for Huffman codes.
type huffmanDecoder struct {
	d      *decoder
	acc    uint64 // the next n bits, at the top
	n      int
	beyond int // how many of the n bits are zeros past the end of the data
	last   [4]int
	run    int // remaining blocks of an end-of-band run, which have no further coefficients
	dc, ac [4]*huffman
	block  func(i int, b *[64]int16) error
}

func newHuffmanDecoder(d *decoder) (*huffmanDecoder, error) {
	h := &huffmanDecoder{d: d}
	sc := &d.scan
	switch {
	case !d.progressive:
		h.block = h.sequential
	case sc.start == 0 && sc.high == 0:
		h.block = h.firstDC
	case sc.start == 0:
		h.block = h.refineDC
	case sc.high == 0:
		h.block = h.firstAC
	default:
		h.block = h.refineAC
	}
	for i, c := range sc.comps {
		h.dc[i], h.ac[i] = d.huffDC[c.dc], d.huffAC[c.ac]
		if !d.progressive {
			// Frames of Motion JPEG omit the standard tables.
			if h.dc[i] == nil && c.dc < 2 {
				h.dc[i] = standardDC[c.dc]()
			}
			if h.ac[i] == nil && c.ac < 2 {
				h.ac[i] = standardAC[c.ac]()
			}
		}
		if h.dc[i] == nil && sc.start == 0 && sc.high == 0 || h.ac[i] == nil && sc.end > 0 {
			return nil, errors.New("a Huffman table is missing")
		}
	}
	return h, nil
}

func (h *huffmanDecoder) start() {
	h.acc, h.n, h.beyond, h.last, h.run = 0, 0, 0, [4]int{}, 0
}

func (h *huffmanDecoder) decode(i int, _ *component, b *[64]int16) error { return h.block(i, b) }

func (h *huffmanDecoder) check() error {
	switch {
	case h.n >= h.beyond:
		return nil
	case h.d.pos == len(h.d.data):
		return errTruncated
	}
	return errors.New("the data of a scan ends early")
}

// fill reads until acc holds more than 48 bits. At a marker, it appends zeros instead.
func (h *huffmanDecoder) fill() {
	data, pos := h.d.data, h.d.pos
	for h.n <= 48 {
		v := uint64(0)
		if pos < len(data) && data[pos] != 0xff {
			v = uint64(data[pos])
			pos++
		} else {
			next := pos // position of the byte that distinguishes a stuffed 0xff from a marker
			for next < len(data) && data[next] == 0xff {
				next++
			}
			if pos < len(data) && next < len(data) && data[next] == 0 {
				v, pos = 0xff, next+1
			} else {
				h.beyond += 8
				if next == len(data) {
					pos = next
				}
			}
		}
		h.acc |= v << (56 - h.n)
		h.n += 8
	}
	h.d.pos = pos
}

// symbol decodes one code. Afterwards, acc holds at least 32 more bits.
func (h *huffmanDecoder) symbol(t *huffman) (uint8, error) {
	if h.n <= 48 {
		h.fill()
	}
	if e := t.short[h.acc>>(64-shortBits)]; e != 0 {
		h.skip(int(e >> 8))
		return uint8(e), nil
	}
	top := uint32(h.acc >> 48)
	for n := shortBits + 1; n <= 16; n++ {
		if top < t.limit[n] {
			h.skip(n)
			return t.value[int(top>>(16-n))+t.shift[n]], nil
		}
	}
	return 0, errCode
}

func (h *huffmanDecoder) skip(n int) {
	h.acc <<= n
	h.n -= n
}

// bits reads n <= 16 bits.
func (h *huffmanDecoder) bits(n int) int {
	if h.n <= 16 {
		h.fill()
	}
	v := int(h.acc >> (64 - n))
	h.skip(n)
	return v
}

// signed reads a number of n <= 16 bits. An upper bit of 0 means that the number is negative.
func (h *huffmanDecoder) signed(n int) int {
	v := h.bits(n)
	if n > 0 && v < 1<<(n-1) {
		v -= 1<<n - 1
	}
	return v
}

// difference reads the next DC coefficient.
func (h *huffmanDecoder) difference(i int) error {
	s, err := h.symbol(h.dc[i])
	if err != nil {
		return err
	}
	if s > 15 {
		return errCode
	}
	h.last[i] += h.signed(int(s))
	return nil
}

func (h *huffmanDecoder) sequential(i int, b *[64]int16) error {
	if err := h.difference(i); err != nil {
		return err
	}
	b[0] = int16(h.last[i])
	t := h.ac[i]
	for k := 1; k < 64; k++ {
		rs, err := h.symbol(t)
		if err != nil {
			return err
		}
		run, size := int(rs>>4), int(rs&15)
		if size == 0 {
			if run < 15 {
				return nil
			}
			k += 15
			continue
		}
		if k += run; k > 63 {
			return errSpectrum
		}
		b[zigzag[k]] = int16(h.signed(size))
	}
	return nil
}

func (h *huffmanDecoder) firstDC(i int, b *[64]int16) error {
	err := h.difference(i)
	b[0] = int16(h.last[i] << h.d.scan.low)
	return err
}

func (h *huffmanDecoder) refineDC(_ int, b *[64]int16) error {
	b[0] |= int16(h.bits(1) << h.d.scan.low)
	return nil
}

func (h *huffmanDecoder) firstAC(_ int, b *[64]int16) error {
	if h.run > 0 {
		h.run--
		return nil
	}
	sc := &h.d.scan
	for k := sc.start; k <= sc.end; k++ {
		rs, err := h.symbol(h.ac[0])
		if err != nil {
			return err
		}
		run, size := int(rs>>4), int(rs&15)
		if size == 0 {
			if run < 15 {
				h.run = 1<<run + h.bits(run) - 1
				return nil
			}
			k += 15
			continue
		}
		if k += run; k > 63 {
			return errSpectrum
		}
		b[zigzag[k]] = int16(h.signed(size) << sc.low)
	}
	return nil
}

func (h *huffmanDecoder) refineAC(_ int, b *[64]int16) error {
	sc := &h.d.scan
	k := sc.start
	for ; h.run == 0 && k <= sc.end; k++ {
		rs, err := h.symbol(h.ac[0])
		if err != nil {
			return err
		}
		run, size := int(rs>>4), int(rs&15)
		value := 0
		switch {
		case size == 1:
			value = -1 << sc.low
			if h.bits(1) == 1 {
				value = 1 << sc.low
			}
		case size > 1:
			return errCode
		case run < 15:
			h.run = 1<<run + h.bits(run)
		}
		if h.run > 0 {
			break
		}
		// The run counts only coefficients that are still zero. The others in between are refined.
		for ; k <= sc.end; k++ {
			if c := &b[zigzag[k]]; *c != 0 {
				h.refine(c)
			} else if run--; run < 0 {
				break
			}
		}
		if value != 0 {
			if k > sc.end {
				return errSpectrum
			}
			b[zigzag[k]] = int16(value)
		}
	}
	if h.run > 0 {
		for ; k <= sc.end; k++ {
			if c := &b[zigzag[k]]; *c != 0 {
				h.refine(c)
			}
		}
		h.run--
	}
	return nil
}

// refine reads the next bit of a coefficient that is not zero.
func (h *huffmanDecoder) refine(c *int16) {
	one := int16(1) << h.d.scan.low
	switch {
	case h.bits(1) == 0 || *c&one != 0:
	case *c > 0:
		*c += one
	default:
		*c -= one
	}
}

package jpeg

import (
	"bytes"
	"errors"
	"fmt"
)

// Markers of the standard, without the byte 0xff that precedes each.
const (
	markerSOF0 = 0xc0 // baseline
	markerSOF1 = 0xc1 // extended sequential
	markerSOF2 = 0xc2 // progressive
	markerDHT  = 0xc4
	markerSOF9 = 0xc9 // sequential, arithmetic coding
	markerSOFA = 0xca // progressive, arithmetic coding
	markerDAC  = 0xcc
	markerRST0 = 0xd0
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerDQT  = 0xdb
	markerDRI  = 0xdd
	markerAPP0 = 0xe0
	markerAPP1 = 0xe1
	markerAPPE = 0xee
	markerTEM  = 0x01
)

// nextMarker finds the next marker. Like libjpeg, it skips other bytes before the marker.
func (d *decoder) nextMarker() (uint8, error) {
	for {
		i := bytes.IndexByte(d.data[d.pos:], 0xff)
		if i < 0 || d.pos+i+1 == len(d.data) {
			d.pos = len(d.data)
			return 0, errTruncated
		}
		d.pos += i + 1
		if m := d.data[d.pos]; m != 0 && m != 0xff {
			d.pos++
			return m, nil
		}
	}
}

// segment returns the content of the segment at the current position.
func (d *decoder) segment() ([]byte, error) {
	rest := d.data[d.pos:]
	if len(rest) < 2 {
		return nil, errTruncated
	}
	n := int(rest[0])<<8 | int(rest[1])
	if n < 2 {
		return nil, fmt.Errorf("a segment of %d bytes", n)
	}
	if n > len(rest) {
		return nil, errTruncated
	}
	d.pos += n
	return rest[2:n], nil
}

// readUntilScan reads the segments up to the entropy-coded data of the first scan.
func (d *decoder) readUntilScan() error {
	if !bytes.HasPrefix(d.data, []byte{0xff, markerSOI}) {
		return errors.New("not a JPEG file")
	}
	d.pos, d.adobe = 2, -1
	for i := range d.conditionDC {
		d.conditionDC[i], d.conditionAC[i] = 0x10, 5
	}
	more, err := d.readSegments()
	if err == nil && !more {
		err = errors.New("no image between the start and end markers")
	}
	return err
}

// readSegments reads segments until a scan starts, or returns false at the end of the image.
func (d *decoder) readSegments() (scan bool, err error) {
	for {
		marker, err := d.nextMarker()
		if err != nil {
			return false, err
		}
		switch {
		case marker == markerEOI:
			return false, nil
		case marker == markerSOI:
			return false, errors.New("a second start of an image")
		case marker == markerTEM || marker >= markerRST0 && marker < markerSOI:
			continue // markers without a segment
		}
		s, err := d.segment()
		if err != nil {
			return false, err
		}
		switch {
		case marker == markerDQT:
			err = d.readQuantisation(s)
		case marker == markerDHT:
			err = d.readHuffman(s)
		case marker == markerDAC:
			err = d.readConditioning(s)
		case marker == markerDRI && len(s) == 2:
			d.interval = int(s[0])<<8 | int(s[1])
		case marker == markerDRI:
			err = fmt.Errorf("a restart interval segment of %d bytes", len(s))
		case marker == markerSOS:
			return true, d.readScan(s)
		case marker < markerRST0:
			err = d.readFrame(marker, s)
		default:
			d.readApplication(marker, s)
		}
		if err != nil {
			return false, err
		}
	}
}

func (d *decoder) readApplication(marker uint8, s []byte) {
	switch {
	case marker == markerAPP0 && bytes.HasPrefix(s, []byte("JFIF\x00")) && len(s) >= 14:
		d.jfif = true
	case marker == markerAPPE && bytes.HasPrefix(s, []byte("Adobe")) && len(s) >= 12:
		d.adobe = int(s[11])
	case marker == markerAPP1 && bytes.HasPrefix(s, []byte("Exif\x00\x00")) && d.exif == nil:
		d.exif = s[6:]
	}
}

func (d *decoder) readFrame(marker uint8, s []byte) error {
	if d.comps != nil {
		return errors.New("two frame headers")
	}
	switch marker {
	case markerSOF0, markerSOF1:
	case markerSOF2:
		d.progressive = true
	case markerSOF9:
		d.arithmetic = true
	case markerSOFA:
		d.arithmetic, d.progressive = true, true
	case 0xc3, 0xcb:
		return UnsupportedError("lossless JPEG")
	case 0xc5, 0xc6, 0xc7, 0xcd, 0xce, 0xcf:
		return UnsupportedError("hierarchical JPEG")
	default:
		return fmt.Errorf("unknown marker %#x", marker)
	}
	if len(s) < 6 || len(s) != 6+3*int(s[5]) {
		return fmt.Errorf("a frame header of %d bytes", len(s))
	}
	if s[0] != 8 {
		return UnsupportedError(fmt.Sprintf("JPEG with %d bits per sample; only 8 are supported", s[0]))
	}
	d.height, d.width = int(s[1])<<8|int(s[2]), int(s[3])<<8|int(s[4])
	if d.width == 0 {
		return errors.New("a width of 0 pixels")
	}
	if d.height == 0 {
		return UnsupportedError("JPEG whose height follows the image (DNL)")
	}
	n := int(s[5])
	if n != 1 && n != 3 && n != 4 {
		return UnsupportedError(fmt.Sprintf("JPEG with %d components; 1, 3 and 4 are supported", n))
	}
	return d.layOut(s[6:], n)
}

// layOut computes the sizes of n components from the component specifications of the frame header.
func (d *decoder) layOut(s []byte, n int) error {
	d.comps = make([]component, n)
	for i := range d.comps {
		c := &d.comps[i]
		c.id, c.h, c.v, c.selector = s[3*i], int(s[3*i+1]>>4), int(s[3*i+1]&15), s[3*i+2]
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.selector > 3 {
			return fmt.Errorf("component %d has factors %dx%d and table %d", i+1, c.h, c.v, c.selector)
		}
		if n == 1 {
			c.h, c.v = 1, 1 // a single component is not interleaved, so its factors have no meaning
		}
		d.maxH, d.maxV = max(d.maxH, c.h), max(d.maxV, c.v)
		for k := range c.precision {
			c.precision[k] = -1
		}
	}
	d.unitsX, d.unitsY = ceil(d.width, 8*d.maxH), ceil(d.height, 8*d.maxV)
	for i := range d.comps {
		c := &d.comps[i]
		if d.maxH%c.h != 0 || d.maxV%c.v != 0 {
			return UnsupportedError(fmt.Sprintf("JPEG that samples component %d at %d/%d x %d/%d of the resolution",
				i+1, c.h, d.maxH, c.v, d.maxV))
		}
		c.width, c.height = ceil(d.width*c.h, d.maxH), ceil(d.height*c.v, d.maxV)
		c.blocksX, c.blocksY = ceil(c.width, 8), ceil(c.height, 8)
		c.strideX, c.strideY = d.unitsX*c.h, d.unitsY*c.v
	}
	return nil
}

func ceil(a, b int) int { return (a + b - 1) / b }

func (d *decoder) readQuantisation(s []byte) error {
	for len(s) > 0 {
		size := 1 + int(s[0]>>4) // bytes per entry
		if size > 2 || s[0]&15 > 3 || len(s) < 1+64*size {
			return fmt.Errorf("a quantisation table %#x of %d bytes", s[0], len(s)-1)
		}
		t := new([64]uint16)
		for i := range t {
			if t[i] = uint16(s[1+size*i]); size == 2 {
				t[i] = t[i]<<8 | uint16(s[2+2*i])
			}
		}
		d.quant[s[0]&15] = t
		s = s[1+64*size:]
	}
	return nil
}

func (d *decoder) readConditioning(s []byte) error {
	for ; len(s) > 1; s = s[2:] {
		class, i, v := s[0]>>4, s[0]&15, s[1]
		switch {
		case class == 0 && i < 4 && v&15 <= v>>4:
			d.conditionDC[i] = v
		case class == 1 && i < 4 && v >= 1 && v <= 63:
			d.conditionAC[i] = v
		default:
			return fmt.Errorf("an arithmetic conditioning of %#x, %#x", s[0], v)
		}
	}
	if len(s) > 0 {
		return errors.New("an incomplete arithmetic conditioning")
	}
	return nil
}

// scan holds the parameters of the current scan.
type scan struct {
	comps      []*component
	start, end int // first and last coefficient, in zigzag order
	high, low  int // low bits of precision that are missing before and after the scan
}

func (d *decoder) readScan(s []byte) error {
	if d.comps == nil {
		return errors.New("a scan before the frame header")
	}
	if len(s) < 1 || s[0] < 1 || s[0] > 4 || len(s) != 4+2*int(s[0]) {
		return fmt.Errorf("a scan header of %d bytes", len(s))
	}
	n := int(s[0])
	sc := scan{start: int(s[1+2*n]), end: int(s[2+2*n]), high: int(s[3+2*n] >> 4), low: int(s[3+2*n] & 15)}
	for i := range n {
		id, tables := s[1+2*i], s[2+2*i]
		c := d.unused(&sc, id)
		if c == nil {
			return fmt.Errorf("a scan of the unknown component %d", id)
		}
		if c.dc, c.ac = tables>>4, tables&15; c.dc > 3 || c.ac > 3 {
			return fmt.Errorf("a scan with tables %d and %d", c.dc, c.ac)
		}
		if c.quant == nil {
			if c.quant = d.quant[c.selector]; c.quant == nil {
				return fmt.Errorf("quantisation table %d is missing", c.selector)
			}
		}
		sc.comps = append(sc.comps, c)
	}
	if !d.progressive {
		sc.start, sc.end, sc.high, sc.low = 0, 63, 0, 0 // libjpeg ignores other values, too
	} else if err := sc.checkProgression(); err != nil {
		return err
	}
	for _, c := range sc.comps {
		for k := sc.start; k <= sc.end; k++ {
			c.precision[k] = int8(sc.low)
		}
	}
	d.scan = sc
	return nil
}

// unused returns the first component with the given identifier that is not yet part of the scan. Files whose components
// all have the same identifier exist.
func (d *decoder) unused(sc *scan, id uint8) *component {
next:
	for i := range d.comps {
		c := &d.comps[i]
		if c.id != id {
			continue
		}
		for _, used := range sc.comps {
			if used == c {
				continue next
			}
		}
		return c
	}
	return nil
}

func (sc *scan) checkProgression() error {
	ok := sc.low <= 13 && (sc.high == 0 || sc.low == sc.high-1)
	if sc.start == 0 {
		ok = ok && sc.end == 0
	} else {
		ok = ok && sc.end >= sc.start && sc.end < 64 && len(sc.comps) == 1
	}
	if !ok {
		return fmt.Errorf("a progressive scan of coefficients %d to %d, bits %d to %d", sc.start, sc.end, sc.high, sc.low)
	}
	return nil
}

// zigzag maps positions in the file to positions in a block, row by row.
var zigzag = func() (z [64]uint8) {
	x, y := 0, 0
	for i := range z {
		z[i] = uint8(8*y + x)
		switch {
		case (x+y)%2 == 0 && x == 7:
			y++
		case (x+y)%2 == 0 && y == 0:
			x++
		case (x+y)%2 == 0:
			x, y = x+1, y-1
		case y == 7:
			x++
		case x == 0:
			y++
		default:
			x, y = x-1, y+1
		}
	}
	return z
}()

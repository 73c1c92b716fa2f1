// Package jpeg decodes JPEG files to exactly the pixels of libjpeg, which Pillow and most other tools use.
//
// The JPEG standard leaves the rounding of the inverse transform and the way to enlarge subsampled colour to the
// decoder, so decoders differ by up to a third of the range. Data sets and published scores were made with libjpeg.
// This package therefore uses libjpeg's arithmetic: the integer transform of Loeffler, Ligtenberg and Moschytz with 13
// fractional bits, "fancy" upsampling, and colour conversion with 16 fractional bits. It reads what libjpeg reads:
// sequential and progressive files with Huffman or arithmetic coding, 8 bits per sample, one, three or four components
// and all sampling factors that divide the largest one.
//
// Unlike libjpeg, the package does not guess: data that ends early or contradicts itself is an error. A file with one
// scan is decoded row by row, and only the result is held in memory as a whole. Other files need two bytes per sample
// in addition.
//
// Note: three decoders were tried first, with the 303 files of testdata/golden.json. The standard library's refuses 175
// of them and differs by more than 3 of 255 in 74; gen2brain/jpegn v0.4.0 refuses 133 and differs in 143;
// gen2brain/jpegli v0.3.4 refuses 64 and differs in 169.
package jpeg

import (
	"errors"
	"fmt"
)

// UnsupportedError reports a valid file with a feature that neither this package nor libjpeg supports.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }

// maxScans bounds the time that decoding can take. Ordinary files have at most a dozen scans.
const maxScans = 1000

// errTruncated reports that the file ends before the image is complete.
var errTruncated = errors.New("the file ends before the image is complete")

// Header describes a file without its pixels.
type Header struct {
	Width, Height int
	// Components is 1 for grey images, 3 for RGB and YCbCr, 4 for CMYK and YCCK.
	Components int
	// Memory is an upper bound of the bytes that Decode allocates, apart from at most a few KiB per column of the
	// image.
	Memory int64
	// Exif is the content of the first Exif segment, from its TIFF header on.
	Exif []byte
}

// ReadHeader reads the headers up to the first scan.
func ReadHeader(data []byte) (*Header, error) {
	d := &decoder{data: data}
	if err := d.readUntilScan(); err != nil {
		return nil, err
	}
	h := &Header{Width: d.width, Height: d.height, Components: len(d.comps), Exif: d.exif}
	h.Memory = 3 * int64(d.width) * int64(d.height)
	if d.buffered() {
		for i := range d.comps {
			h.Memory += 2 * d.comps[i].coefficients()
		}
	}
	return h, nil
}

// Decode returns the pixels of a file as RGB, uint8 [3, height, width]. Grey images get three equal channels. CMYK is
// taken to be inverted, as Adobe's programs write it, and converted without a colour profile, both like Pillow. Callers
// should first check that the size in the header fits into memory.
func Decode(data []byte) (width, height int, pixels []uint8, err error) {
	d := &decoder{data: data}
	if err := d.readUntilScan(); err != nil {
		return 0, 0, nil, err
	}
	if err := d.checkPlausible(); err != nil {
		return 0, 0, nil, err
	}
	if err := d.decode(); err != nil {
		return 0, 0, nil, err
	}
	return d.width, d.height, d.out, nil
}

// component is one colour component. A block has 8 x 8 samples. Blocks are arranged in units (MCUs in the standard),
// which hold h x v blocks of each component.
type component struct {
	id               uint8
	h, v             int
	selector         uint8             // number of the quantisation table
	quant            *[64]uint16       // set when the first scan of the component starts, in zigzag order
	blocksX, blocksY int               // blocks that hold samples of the image
	width, height    int               // samples
	strideX, strideY int               // blocks, including those that pad the last units
	coefs            []int16           // [strideY, strideX, 64] in natural order, if the image is buffered
	precision        [64]int8          // per coefficient in zigzag order: low bits still missing, or -1 if all are
	dc, ac           uint8             // table selectors of the current scan
	strips           [3][]uint8        // three rows of units: strip i is in strips[i%3], [8*v, 8*strideX]
	upsample         func(int) []uint8 // returns a row of samples at the full width of the image
}

// coefficients returns the number of coefficients of the component.
func (c *component) coefficients() int64 { return 64 * int64(c.strideX) * int64(c.strideY) }

type decoder struct {
	data []byte
	pos  int

	width, height  int
	comps          []component
	maxH, maxV     int
	unitsX, unitsY int
	progressive    bool
	arithmetic     bool
	colour         colourSpace
	jfif           bool
	adobe          int // the transform in an Adobe segment, or -1 if there is none
	exif           []byte

	quant       [4]*[64]uint16 // in zigzag order
	huffDC      [4]*huffman
	huffAC      [4]*huffman
	conditionDC [4]uint8 // lower and upper conditioning bounds, for arithmetic coding
	conditionAC [4]uint8
	interval    int // units between restart markers; 0: there are none

	scan scan
	out  []uint8
}

// buffered reports whether the image has, or may have, several scans. If so, all coefficients are kept until the last
// scan has been read.
func (d *decoder) buffered() bool { return d.progressive || len(d.scan.comps) < len(d.comps) }

// checkPlausible refuses files that are too short for the size that they claim, before memory is allocated: a block
// takes at least two bits with Huffman codes, or one bit in a progressive file. Arithmetic coding needs less: the most
// probable decision takes about 2^-15 bits.
func (d *decoder) checkPlausible() error {
	blocks := int64(0)
	for _, c := range d.scan.comps {
		blocks += int64(c.blocksX) * int64(c.blocksY)
	}
	bits := int64(len(d.data)-d.pos) * 8
	if d.arithmetic {
		bits <<= 15
	}
	if blocks > bits {
		return errTruncated
	}
	return nil
}

func (d *decoder) decode() error {
	d.colour = d.guessColours()
	d.out = make([]uint8, 3*d.width*d.height)
	d.planUpsampling()
	if !d.buffered() {
		if err := d.decodeDirectly(); err != nil {
			return err
		}
		more, err := d.readSegments()
		if more {
			err = errors.New("a scan after the last one")
		}
		return err
	}
	for i := range d.comps {
		d.comps[i].coefs = make([]int16, d.comps[i].coefficients())
	}
	for n, more := 1, true; more; n++ {
		if n > maxScans {
			return fmt.Errorf("more than %d scans", maxScans)
		}
		err := d.decodeScan()
		if err == nil {
			more, err = d.readSegments()
		}
		if err != nil {
			return err
		}
	}
	for i := range d.comps {
		if d.comps[i].quant == nil {
			return fmt.Errorf("component %d has no scan", i+1)
		}
	}
	d.reconstruct()
	return nil
}

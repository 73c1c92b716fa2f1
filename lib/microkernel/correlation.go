package microkernel

import "fmt"

// Window is what up to Columns neighbouring pixels of an image meet under the taps of a filter that leaves the image
// its size: for every tap a shifted part of the image, with zeros where that is outside.
type Window struct {
	cols    int
	taps    []tap       // for AVX-512
	vectors []vectorTap // for AVX2
	lo, hi  int         // the elements of a channel that are read: [lo, hi)
}

// tap is read by the assembly.
type tap struct {
	offset int64     // in bytes, from the first pixel
	masks  [4]uint16 // the pixels that meet the image, sixteen a mask
}

// vectorTap is a tap whose masks are vectors of eight. Its size keeps them from straddling lines of the cache.
type vectorTap struct {
	masks  [Columns / 8][8]int32
	offset int64
	part   int64 // a bit for each vector of which some pixel does not meet the image
	_      [2]int64
}

// NewWindow makes the window of the pixels [first, first+cols) of images of h rows of w under a kh x kw filter, of
// which padH and padW taps precede a pixel.
func NewWindow(h, w, kh, kw, padH, padW, first, cols int) Window {
	return newWindow(h, w, kh, kw, padH, padW, first, cols, wideWindows)
}

func newWindow(h, w, kh, kw, padH, padW, first, cols int, wide bool) Window {
	if cols < 1 || cols > Columns || first < 0 || first+cols > h*w {
		panic(fmt.Sprintf("microkernel: window of the pixels from %d to %d in images of %d x %d", first, first+cols, h, w))
	}
	n := Window{cols: cols, lo: h * w}
	for dy := -padH; dy < kh-padH; dy++ {
		for dx := -padW; dx < kw-padW; dx++ {
			t := tap{offset: int64(4 * (first + dy*w + dx))}
			v := vectorTap{offset: t.offset, part: 1<<(Columns/8) - 1}
			for j := range cols {
				y, x := (first+j)/w+dy, (first+j)%w+dx
				if y < 0 || y >= h || x < 0 || x >= w {
					continue
				}
				t.masks[j/16] |= 1 << (j % 16)
				v.masks[j/8][j%8] = -1
				n.lo, n.hi = min(n.lo, y*w+x), max(n.hi, y*w+x+1)
			}
			for i, mask := range v.masks {
				if mask == [8]int32{-1, -1, -1, -1, -1, -1, -1, -1} {
					v.part &^= 1 << i
				}
			}
			if wide {
				n.taps = append(n.taps, t)
			} else {
				n.vectors = append(n.vectors, v)
			}
		}
	}
	return n
}

// Columns is the number of pixels of the window.
func (w *Window) Columns() int { return w.cols }

// Correlation is a product whose second factor is an image seen through a window: for r < Rows and j < the window's
// pixels,
//
//	c[r·Stride+j] = sum over channels and taps of a(r, channel·taps+tap)·b[channel·Plane + pixel j under tap]
//
// (plus c[r·Stride+j] where Add is set), bit for bit Product on copies of the shifted images. PrefersWindows tells
// whether this machine can do it.
type Correlation struct {
	Channels, Plane int
	Rows            int
	Stride          int
	Next            int
	Add             bool
}

// manyRows is the number of rows from which on AVX2 computes faster on copies of the shifted images: then the copies
// cost little for each row, and masked loads keep the arithmetic waiting, which those of AVX-512 do not.
const manyRows = 65

// PrefersWindows says whether Correlation can be computed on this machine, which takes AVX2, and is faster than Product
// on copies of the shifted images.
func PrefersWindows(rows, taps int) bool {
	return wideWindows || hasWindows && (rows < manyRows || taps == 1)
}

// Multiply does the product; b begins with a channel's first pixel and c with the row of the window's first pixel.
func (p *Correlation) Multiply(w *Window, a, b, c []float32) {
	k := p.Channels * max(len(w.taps), len(w.vectors))
	if p.Channels < 1 || p.Rows < 1 || !hasWindows {
		const expected = "microkernel: correlation of %d channels to %d rows, expected 1 or more and AVX2"
		panic(fmt.Sprintf(expected, p.Channels, p.Rows))
	}
	if len(a) < (p.Rows-1)/Panel*p.Next+k*Panel || len(b) < (p.Channels-1)*p.Plane+w.hi ||
		len(c) < (p.Rows-1)*p.Stride+w.cols {
		panic("microkernel: operand shorter than the correlation reads")
	}
	masked(p, w, a, b, c)
}

package microkernel

import "fmt"

// Window describes which input pixels are read by up to Columns consecutive output pixels of a filter that preserves
// the size of the image. Each tap of the filter reads a shifted part of the image, and zeros outside the image.
type Window struct {
	cols    int
	taps    []tap       // for AVX-512
	vectors []vectorTap // for AVX2
	hi      int         // only elements [0, hi) of a channel are read
}

// tap describes a tap for AVX-512, in the layout that the assembly reads.
type tap struct {
	offset int64     // in bytes, from the first pixel
	masks  [4]uint16 // bits for the output pixels that read inside the image, sixteen per mask
}

// vectorTap describes a tap for AVX2. Its masks are vectors of eight elements. The size of vectorTap is a multiple of
// 32 bytes, so that masks do not straddle cache lines.
type vectorTap struct {
	masks  [Columns / 8][8]int32
	offset int64
	part   int64 // one bit per vector: clear if all eight output pixels of the vector read inside the image
	_      [2]int64
}

// NewWindow returns the window of the output pixels [first, first+cols) for images of h x w pixels and a kh x kw
// filter. The padding before the image is padH rows and padW columns.
func NewWindow(h, w, kh, kw, padH, padW, first, cols int) Window {
	return newWindow(h, w, kh, kw, padH, padW, first, cols, wideWindows)
}

func newWindow(h, w, kh, kw, padH, padW, first, cols int, wide bool) Window {
	if cols < 1 || cols > Columns || first < 0 || first+cols > h*w {
		panic(fmt.Sprintf("microkernel: window of pixels [%d, %d), expected 1 to %d of the %d pixels of an image",
			first, first+cols, Columns, h*w))
	}
	n := Window{cols: cols}
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
				n.hi = max(n.hi, y*w+x+1)
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

// Columns returns the number of output pixels.
func (w *Window) Columns() int { return w.cols }

// Correlation is a product whose second factor is an image read through a window: for r < Rows and j < the window's
// columns,
//
//	c[r·Stride+j] = sum over channels and taps of a(r, channel·taps+tap)·b[channel·Plane + pixel j under tap]
//
// plus c[r·Stride+j] if Add is set. The bits of the result are those of Product on copies of the shifted images.
type Correlation struct {
	Channels, Plane int  // of the image; Plane is the number of elements from one channel to the next
	Rows            int  // of c
	Stride          int  // from a row of c to the next
	Next            int  // from a panel of a to the next
	Add             bool // add to c instead of overwriting it
}

// manyRows is the number of rows at and above which AVX2 is faster on copies of the shifted images. The cost of the
// copies is then spread over many rows, whereas masked loads slow down the arithmetic for every row. With AVX-512,
// masked loads take no extra time.
const manyRows = 65

// PrefersWindows reports whether this machine can compute a Correlation, which requires AVX2, and computes it faster
// than a Product on copies of the shifted images.
func PrefersWindows(rows, taps int) bool {
	return wideWindows || hasWindows && (rows < manyRows || taps == 1)
}

// Multiply computes the product. a and c have the layout of Product, and b is [Channels, Plane]. c begins at the first
// pixel of the window. Multiply panics if an operand is too short.
func (p *Correlation) Multiply(w *Window, a, b, c []float32) {
	k := p.Channels * max(len(w.taps), len(w.vectors))
	if p.Channels < 1 || p.Rows < 1 || !hasWindows {
		const message = "microkernel: correlation of %d channels to %d rows, expected at least 1 and a machine with AVX2"
		panic(fmt.Sprintf(message, p.Channels, p.Rows))
	}
	if len(a) < (p.Rows-1)/Panel*p.Next+k*Panel || len(b) < (p.Channels-1)*p.Plane+w.hi ||
		len(c) < (p.Rows-1)*p.Stride+w.cols {
		panic("microkernel: operand shorter than the correlation reads")
	}
	masked(p, w, a, b, c)
}

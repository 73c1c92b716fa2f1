package kernel

// ConvShape describes a two-dimensional convolution: x [N, Cin, H, W], w [Cout, Cin, KH, KW] and y [N, Cout, OH, OW],
// with zero padding PadH, PadW on both sides.
type ConvShape struct {
	N, Cin, H, W     int
	Cout, KH, KW     int
	StrideH, StrideW int
	PadH, PadW       int
}

// OH is the height of the output.
func (s ConvShape) OH() int { return (s.H+2*s.PadH-s.KH)/s.StrideH + 1 }

// OW is the width of the output.
func (s ConvShape) OW() int { return (s.W+2*s.PadW-s.KW)/s.StrideW + 1 }

// convTiles divides the output pixels of a batch into tiles, each computed by one core. A tile is either several whole
// images or a range of rows of one image. The division depends only on the shape.
type convTiles struct {
	images int // images per tile; 1 if a tile is a part of an image
	rows   int // rows of an image per tile
	cuts   int // tiles per image
	count  int
}

const (
	// tilePixels is the target number of output pixels per tile. The views of a larger tile would not fit in the
	// second-level cache.
	tilePixels = 512
	// leastTiles is the minimum number of tiles for a large input, so that all cores have work.
	leastTiles = 8
)

// newConvTiles divides a batch of n images of oh x ow pixels into tiles.
func newConvTiles(n, oh, ow int) convTiles {
	pix := oh * ow
	aim := min(tilePixels, max(1, n*pix/leastTiles))
	t := convTiles{images: 1, rows: oh, cuts: 1}
	if pix <= aim {
		t.images = min(n, aim/pix)
		for g := t.images; 2*g > t.images; g-- { // tiles of equal size balance best
			if n%g == 0 {
				t.images = g
				break
			}
		}
	} else {
		t.cuts = min(oh, (pix+aim-1)/aim)
		t.rows = (oh + t.cuts - 1) / t.cuts
		t.cuts = (oh + t.rows - 1) / t.rows
	}
	t.count = (n + t.images - 1) / t.images * t.cuts
	return t
}

// tile holds the output pixels of rows [top, top+rows) in each of the images [first, first+images).
type tile struct {
	first, images int
	top, rows     int
}

func (t *convTiles) tile(i, n, oh int) tile {
	k := tile{first: i / t.cuts * t.images, top: i % t.cuts * t.rows}
	k.images = min(t.images, n-k.first)
	k.rows = min(t.rows, oh-k.top)
	return k
}

// axis is one dimension of a convolution. At tap t, output position o reads input position p = (o·stride + t -
// pad)/zeros if p is an integer in [0, in). Otherwise it reads zero. If zeros > 1, zeros-1 zeros are inserted between
// the elements of the input; the input gradient of a strided convolution needs this.
type axis struct{ in, out, taps, stride, pad, zeros int }

// at returns the input position that output position o reads at a tap, or -1 if it reads a zero.
func (a *axis) at(o, tap int) int {
	u := o*a.stride + tap - a.pad
	if u < 0 || u%a.zeros != 0 || u/a.zeros >= a.in {
		return -1
	}
	return u / a.zeros
}

// sampleRow sets out[o] to the element of the input row that output position o reads at the given tap, or to zero if
// that element is outside the row. A nil row counts as all zeros.
func sampleRow[T Float](a *axis, out, in []T, tap int) {
	clear(out)
	if in == nil {
		return
	}
	first := tap - a.pad // output position 0 reads input position first/zeros
	if a.zeros > 1 {     // then the stride is 1
		i := max(0, (first+a.zeros-1)/a.zeros)
		for o := i*a.zeros - first; o < len(out) && i < a.in; o += a.zeros {
			out[o] = in[i]
			i++
		}
		return
	}
	o := max(0, (a.stride-1-first)/a.stride)
	for i := o*a.stride + first; o < len(out) && i < a.in; i += a.stride {
		out[o] = in[i]
		o++
	}
}

package kernel

// ConvShape describes a two-dimensional convolution: x [N, Cin, H, W], w [Cout, Cin, KH, KW] and
// y [N, Cout, OH, OW], with zero padding PadH, PadW on both sides.
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

// convTiles cuts the output pixels of a batch into tiles of whole images or of some rows of one image, each of which
// one core computes. The cut depends on the shape alone.
type convTiles struct {
	images int // a tile; 1 where images are cut
	rows   int // of an image in a tile
	cuts   int // tiles an image
	count  int
}

const (
	// tilePixels is the number of pixels that a tile aims at: the views of more would fall out of the second-level cache.
	tilePixels = 512
	// leastTiles is the number of tiles to share out among cores, where there are pixels enough.
	leastTiles = 8
)

// newConvTiles cuts a batch of n images of oh rows of ow pixels.
func newConvTiles(n, oh, ow int) convTiles {
	pix := oh * ow
	aim := min(tilePixels, max(1, n*pix/leastTiles))
	t := convTiles{images: 1, rows: oh, cuts: 1}
	if pix <= aim {
		t.images = min(n, aim/pix)
		for g := t.images; 2*g > t.images; g-- { // tiles of one size share out evenly
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

// tile is a run of output pixels: whole images, or the rows from top on of one.
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

// axis is one dimension of a convolution: output position o meets input position (o·stride + tap - pad)/zeros, if that is
// a whole number and there is such a position. zeros > 1 stands for an input with zeros between its elements.
type axis struct{ in, out, taps, stride, pad, zeros int }

// at returns the input position, or -1 where the input is zero.
func (a *axis) at(o, tap int) int {
	u := o*a.stride + tap - a.pad
	if u < 0 || u%a.zeros != 0 || u/a.zeros >= a.in {
		return -1
	}
	return u / a.zeros
}

// sampleRow writes the elements of an input row that meet one tap, one for each output position, and zeros for
// positions outside of the row. A nil row is all zeros.
func sampleRow[T Float](a *axis, out, in []T, tap int) {
	clear(out)
	if in == nil {
		return
	}
	// The first element that meets the tap is the first at or after its distance from the first position.
	first := tap - a.pad
	if a.zeros > 1 { // then the stride is 1
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

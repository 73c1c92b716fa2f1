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

// patch is the length of one im2col column.
func (s ConvShape) patch() int { return s.Cin * s.KH * s.KW }

// Note: Winograd's F(2x2, 3x3) takes 2.25 times fewer products, but its transforms of rows of 4 to 16 tiles cost more than
// that saves: a training step of a WideResNet of 64 to 256 channels took 1.2 times as long with it.

// pointwise says that the convolution is a plain product over channels: no unfolding is needed.
func (s ConvShape) pointwise() bool {
	return s.KH == 1 && s.KW == 1 && s.StrideH == 1 && s.StrideW == 1 && s.PadH == 0 && s.PadW == 0
}

// convTiles cuts the columns of the unfolded batch, one for every output pixel of every image, into tiles of whole
// images or of some rows of one image. The cut depends on the shape alone.
type convTiles struct {
	s      ConvShape
	images int // a tile; 1 where images are cut
	rows   int // of an image in a tile
	cuts   int // tiles an image
	count  int
	ld     int // the length of a row of columns in scratch memory
}

const (
	// tileColumns is the number of columns that a tile aims at: more would fall out of the second-level cache before
	// the product reads them.
	tileColumns = 512
	// leastColumns is the least number for which a library's inner kernels run full.
	leastColumns = 128
	// leastTiles is the number of tiles to share out among cores, where there are columns enough.
	leastTiles = 8
)

// newConvTiles cuts the batch; images stay whole unless cut is set.
func newConvTiles(s ConvShape, cut bool) convTiles {
	pix := s.OH() * s.OW()
	aim := min(tileColumns, max(leastColumns, s.N*pix/leastTiles))
	t := convTiles{s: s, images: 1, rows: s.OH(), cuts: 1}
	switch {
	case pix <= aim:
		t.images = min(s.N, aim/pix)
		for g := t.images; 2*g > t.images; g-- { // tiles of one size share out evenly
			if s.N%g == 0 {
				t.images = g
				break
			}
		}
	case cut:
		t.cuts = min(s.OH(), (pix+aim-1)/aim)
		t.rows = (s.OH() + t.cuts - 1) / t.cuts
		t.cuts = (s.OH() + t.rows - 1) / t.rows
	}
	t.count = (s.N + t.images - 1) / t.images * t.cuts
	t.ld = (t.images*t.rows*s.OW() + 15) &^ 15
	if t.ld%64 == 0 {
		t.ld += 16 // rows a power of two apart would fall into the same few sets of the caches
	}
	return t
}

// tile is a run of columns: whole images, or the rows from top on of one.
type tile struct {
	first, images int
	top, rows     int
	columns       int
	at            int // of its first pixel in the image
}

func (t *convTiles) tile(i int) tile {
	k := tile{first: i / t.cuts * t.images, top: i % t.cuts * t.rows}
	k.images = min(t.images, t.s.N-k.first)
	k.rows = min(t.rows, t.s.OH()-k.top)
	k.at = k.top * t.s.OW()
	k.columns = k.images * k.rows * t.s.OW()
	return k
}

// columns returns the unfolded tile of x for the input channels [c0, c1), [(c1-c0)·KH·KW, k.columns], and the length
// of its rows; it is written to col unless it lies in x as it is.
func columns[T Float](t *convTiles, k tile, col, x []T, c0, c1 int) ([]T, int) {
	s := t.s
	plane := s.H * s.W
	if s.pointwise() && k.images == 1 {
		return x[(k.first*s.Cin+c0)*plane+k.at:], plane
	}
	for i := range k.images {
		unfold(col[i*k.rows*s.OW():], t.ld, x[((k.first+i)*s.Cin+c0)*plane:((k.first+i)*s.Cin+c1)*plane], s, k.top, k.top+k.rows)
	}
	return col, t.ld
}

// gathered returns the tile of y [N, channels, OH, OW] as [channels, k.columns], and the length of its rows; it is
// written to mat unless it lies in y as it is.
func gathered[T Float](t *convTiles, k tile, mat, y []T, channels int) ([]T, int) {
	pix := t.s.OH() * t.s.OW()
	if k.images == 1 {
		return y[k.first*channels*pix+k.at:], pix
	}
	for i := range k.images {
		for c := range channels {
			copy(mat[c*t.ld+i*pix:][:pix], y[((k.first+i)*channels+c)*pix:])
		}
	}
	return mat, t.ld
}

// unfold writes the patches of the output rows [top, bottom) of image x [channels, H, W] as columns, rows ld apart.
func unfold[T Float](col []T, ld int, x []T, s ConvShape, top, bottom int) {
	oh, ow := s.OH(), s.OW()
	n := (bottom - top) * ow
	same := s.StrideW == 1 && s.StrideH == 1 && ow == s.W && oh == s.H
	row := 0
	for ; len(x) > 0; x = x[s.H*s.W:] {
		plane := x[:s.H*s.W]
		for kh := range s.KH {
			for kw := range s.KW {
				out := col[row*ld:][:n]
				row++
				switch {
				case same:
					shiftPlane(out, plane, s.W, top+kh-s.PadH, kw-s.PadW)
				default:
					for y := top; y < bottom; y++ {
						unfoldRow(out[(y-top)*ow:][:ow], plane, s, y*s.StrideH+kh-s.PadH, kw-s.PadW)
					}
				}
			}
		}
	}
}

// shiftPlane writes out[y,x] = plane[y+dy, x+dx], zero outside: one copy of all rows, after which the columns that
// wrapped around to a neighbouring row are cleared.
func shiftPlane[T Float](out, plane []T, w, dy, dx int) {
	shift := dy*w + dx
	lo, hi := max(0, -shift), min(len(out), len(plane)-shift)
	if hi <= lo {
		clear(out)
		return
	}
	clear(out[:lo])
	copy(out[lo:hi], plane[lo+shift:hi+shift])
	clear(out[hi:])
	for x := 0; x < -dx; x++ {
		for i := x; i < len(out); i += w {
			out[i] = 0
		}
	}
	for x := w - dx; x < w; x++ {
		for i := x; i < len(out); i += w {
			out[i] = 0
		}
	}
}

// unfoldRow writes out[x] = plane[iy, x·StrideW+dx], zero outside.
func unfoldRow[T Float](out, plane []T, s ConvShape, iy, dx int) {
	if iy < 0 || iy >= s.H {
		clear(out)
		return
	}
	in := plane[iy*s.W : (iy+1)*s.W]
	lo := min(len(out), max(0, (s.StrideW-1-dx)/s.StrideW))
	hi := max(lo, min(len(out), (s.W-1-dx)/s.StrideW+1))
	if s.W-1-dx < 0 {
		hi = lo
	}
	clear(out[:lo])
	clear(out[hi:])
	if s.StrideW == 1 {
		copy(out[lo:hi], in[lo+dx:])
		return
	}
	for x := lo; x < hi; x++ {
		out[x] = in[x*s.StrideW+dx]
	}
}

// fold adds the columns col, rows ld apart, back onto image x [Cin, H, W]: the adjoint of unfold.
func fold[T Float](x []T, col []T, ld int, s ConvShape) {
	oh, ow := s.OH(), s.OW()
	row := 0
	for c := range s.Cin {
		plane := x[c*s.H*s.W : (c+1)*s.H*s.W]
		for kh := range s.KH {
			for kw := range s.KW {
				in := col[row*ld:][:oh*ow]
				row++
				for y := range oh {
					iy := y*s.StrideH + kh - s.PadH
					if iy < 0 || iy >= s.H {
						continue
					}
					for j := range ow {
						ix := j*s.StrideW + kw - s.PadW
						if ix >= 0 && ix < s.W {
							plane[iy*s.W+ix] += in[y*ow+j]
						}
					}
				}
			}
		}
	}
}

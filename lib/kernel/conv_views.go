package kernel

import "vapo/lib/microkernel"

// views describes shifted copies of some channels of a tile's input (im2col). The micro-kernel reads the copies as the
// second factor of a matrix product, with one row for every channel and tap. If the vertical stride is 1, a channel is
// copied once for every tap of a filter row: the taps of a filter column share a copy, and each of them starts at a
// different row of the copy. Otherwise, a channel is copied once for every tap of the filter.
type views struct {
	h, w   axis
	shared bool // the taps of a filter column share a copy
	plane  int  // the distance between two copies in elements
	off    microkernel.Offsets
}

// newViews prepares views of up to the given numbers of channels and output rows.
func newViews(h, w axis, channels, rows int) views {
	v := views{h: h, w: w, shared: h.stride == 1}
	copies := w.taps
	if v.shared {
		v.plane = (rows + h.taps - 1) * w.out
	} else {
		copies *= h.taps
		v.plane = rows * w.out
	}
	v.plane = oddLines(v.plane)
	var at []int
	for c := range channels {
		for kh := range h.taps {
			for kw := range w.taps {
				if v.shared {
					at = append(at, (c*w.taps+kw)*v.plane+kh*w.out)
				} else {
					at = append(at, ((c*h.taps+kh)*w.taps+kw)*v.plane)
				}
			}
		}
	}
	v.off = microkernel.NewOffsets(at)
	return v
}

// oddLines rounds n up to an odd number of cache lines. Copies at a distance of a power of two would compete for the
// same sets of the cache.
func oddLines(n int) int {
	const line = 16 // elements of float32
	return (n+line-1)/line*line | line
}

// size is the number of scratch elements for the views of the given number of channels.
func (v *views) size(channels int) int {
	n := channels * v.w.taps * v.plane
	if !v.shared {
		n *= v.h.taps
	}
	return n
}

// fillViews writes the views of channels [c0, c1) of the image x [channels, H, W] to dst, for output rows [top,
// top+rows).
func fillViews[T Float](v *views, dst, x []T, c0, c1, top, rows int) {
	in := v.h.in * v.w.in
	for c := c0; c < c1; c++ {
		image := x[c*in : (c+1)*in]
		if v.shared {
			for kw := range v.w.taps {
				view(v, dst[:(rows+v.h.taps-1)*v.w.out], image, top, 0, kw)
				dst = dst[v.plane:]
			}
			continue
		}
		for kh := range v.h.taps {
			for kw := range v.w.taps {
				view(v, dst[:rows*v.w.out], image, top, kh, kw)
				dst = dst[v.plane:]
			}
		}
	}
}

// view fills dst with the elements of one image channel that the convolution reads at tap (kh, kw). dst covers whole
// output rows, starting with row top.
func view[T Float](v *views, dst, image []T, top, kh, kw int) {
	h, w := &v.h, &v.w
	if h.stride == 1 && w.stride == 1 && h.zeros == 1 && w.zeros == 1 {
		// Rows [above, below) of dst come from the image. The other rows are padding.
		rows, dy := len(dst)/w.out, top+kh-h.pad
		above := min(rows, max(0, -dy))
		below := max(above, min(rows, h.in-dy))
		if above < below {
			shift(dst[above*w.out:below*w.out], image[(above+dy)*w.in:(below+dy)*w.in], w.out, w.in, kw-w.pad)
		}
		clear(dst[:above*w.out])
		clear(dst[below*w.out:])
		return
	}
	for r := 0; len(dst) > 0; r++ {
		var in []T
		if i := h.at(top+r, kh); i >= 0 {
			in = image[i*w.in : (i+1)*w.in]
		}
		sampleRow(w, dst[:w.out], in, kw)
		dst = dst[w.out:]
	}
}

// shift sets dst[r, x] = src[r, x+d], or 0 if x+d is outside the row. Rows of dst have length out, rows of src length
// in.
func shift[T Float](dst, src []T, out, in, d int) {
	if m := assemblyFor[T](); m != nil {
		m.shift(asFloat32(dst), out, asFloat32(src), in, len(dst)/out, d)
		return
	}
	lo := min(out, max(0, -d))
	hi := max(lo, min(out, in-d))
	if in == out && hi-lo > in/2 { // copy all rows at once, then clear the elements that came from neighbouring rows
		copy(dst[max(0, -d):], src[max(0, d):])
		for r := 0; r < len(dst); r += out {
			clear(dst[r : r+lo])
			clear(dst[r+hi : r+out])
		}
		return
	}
	for len(dst) > 0 {
		clear(dst[:lo])
		if lo < hi {
			copy(dst[lo:hi], src[lo+d:])
		}
		clear(dst[hi:out])
		dst, src = dst[out:], src[in:]
	}
}

package jpeg

// planUpsampling chooses how each component is brought to the size of the image, and allocates the rows for it. It
// chooses as libjpeg does. Factors of 2 use "fancy" upsampling: an output sample is 3/4 of the nearer plus 1/4 of the
// farther input sample. Samples are repeated for other factors, and if a component that has to be widened is at most
// two samples wide. Rounding alternates as in libjpeg (jdsample.c).
func (d *decoder) planUpsampling() {
	for i := range d.comps {
		c := &d.comps[i]
		for k := range c.strips {
			c.strips[k] = make([]uint8, 64*c.v*c.strideX)
		}
		h, v := d.maxH/c.h, d.maxV/c.v
		out := make([]uint8, h*c.width)
		switch {
		case h == 1 && v == 1:
			c.upsample = c.row
		case h == 2 && v == 1 && c.width > 2:
			c.upsample = func(y int) []uint8 { return widen(out, c.row(y)) }
		case h == 1 && v == 2:
			c.upsample = func(y int) []uint8 {
				near, far := c.row(y/2), c.row(y/2-1+2*(y%2))
				for x := range out {
					out[x] = uint8((3*int(near[x]) + int(far[x]) + 1 + y%2) >> 2)
				}
				return out
			}
		case h == 2 && v == 2 && c.width > 2:
			sums := make([]int, c.width)
			c.upsample = func(y int) []uint8 {
				near, far := c.row(y/2), c.row(y/2-1+2*(y%2))
				for x := range sums {
					sums[x] = 3*int(near[x]) + int(far[x])
				}
				return widenSums(out, sums)
			}
		default:
			c.upsample = func(y int) []uint8 {
				for x, s := range c.row(y / v) {
					for k := range h {
						out[x*h+k] = s
					}
				}
				return out
			}
		}
	}
}

// widen doubles the width of a row.
func widen(out, in []uint8) []uint8 {
	last := len(in) - 1
	for x, s := range in {
		left, right := in[max(x-1, 0)], in[min(x+1, last)]
		out[2*x] = uint8((3*int(s) + int(left) + 1) >> 2)
		out[2*x+1] = uint8((3*int(s) + int(right) + 2) >> 2)
	}
	return out
}

// widenSums doubles the width of a row of vertically interpolated samples, which are scaled by 4.
func widenSums(out []uint8, in []int) []uint8 {
	last := len(in) - 1
	for x, s := range in {
		left, right := in[max(x-1, 0)], in[min(x+1, last)]
		out[2*x] = uint8((3*s + left + 8) >> 4)
		out[2*x+1] = uint8((3*s + right + 7) >> 4)
	}
	return out
}

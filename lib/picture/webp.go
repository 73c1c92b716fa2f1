package picture

import "image"

// webp converts a decoded WebP image to the same pixels as libwebp. In a lossy image, chroma has half the resolution
// and values have the limited range of video (ITU-R BT.601, 16 to 235). The conversion uses libwebp's fixed-point
// arithmetic (upsampling.c, yuv.h).
//
// Note: golang.org/x/image treats the values as full range, as in JPEG, so white becomes 235.
func webp(img image.Image) (*Image, error) {
	var src *image.YCbCr
	switch im := img.(type) {
	case *image.YCbCr:
		src = im
	case *image.NYCbCrA:
		for y := range im.Rect.Dy() {
			for _, a := range im.A[y*im.AStride:][:im.Rect.Dx()] {
				if a != 0xff {
					return nil, errTransparent
				}
			}
		}
		src = &im.YCbCr
	default: // a lossless image is already RGB
		return rgb(img)
	}
	w, h := src.Rect.Dx(), src.Rect.Dy()
	out := &Image{C: 3, H: h, W: w, Pixels: make([]uint8, 3*w*h)}
	lastX, lastY := (w+1)/2-1, (h+1)/2-1
	for y := range h {
		near, far := y/2, other(y, lastY)
		for x := range w {
			nearX, farX := x/2, other(x, lastX)
			colour := func(plane []uint8) int {
				at := func(i, k int) int { return int(plane[i*src.CStride+k]) }
				a, b, c, d := at(near, nearX), at(near, farX), at(far, nearX), at(far, farX)
				return ((a+b+c+d+8+2*(b+c))>>3 + a) >> 1
			}
			luma, u, v := int(src.Y[y*src.YStride+x])*19077>>8, colour(src.Cb), colour(src.Cr)
			p := y*w + x
			out.Pixels[p] = clip6(luma + v*26149>>8 - 14234)
			out.Pixels[w*h+p] = clip6(luma - u*6419>>8 - v*13320>>8 + 8708)
			out.Pixels[2*w*h+p] = clip6(luma + u*33050>>8 - 17685)
		}
	}
	return out, nil
}

// other returns the index of the farther of the two chroma samples around position i: the previous sample for even i,
// the next sample for odd i.
func other(i, last int) int { return min(max(i/2-1+2*(i%2), 0), last) }

// clip6 drops the six fractional bits of v and clamps the result to 8 bits.
func clip6(v int) uint8 { return uint8(min(max(v>>6, 0), 255)) }

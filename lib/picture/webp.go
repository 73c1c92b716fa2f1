package picture

import "image"

// webp returns the same pixels of a decoded WebP image as libwebp. Lossy images have chroma of half size and the
// limited range of video (ITU-R BT.601, 16 to 235); both are converted in libwebp's fixed point (upsampling.c, yuv.h).
//
// Note: golang.org/x/image treats the values as full range, like JPEG, so its white is 235.
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
	default: // lossless images are RGB
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

// other is the index of the coarse sample further from position i: the previous one for even i, the next for odd i.
func other(i, last int) int { return min(max(i/2-1+2*(i%2), 0), last) }

// clip6 rounds down a value with six fractional bits and clamps it to 8 bits.
func clip6(v int) uint8 { return uint8(min(max(v>>6, 0), 255)) }

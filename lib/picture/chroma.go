package picture

import "image"

// upsample scales the subsampled chroma (4:2:2 or 4:2:0) of a JPEG image to full size like libjpeg's "fancy
// upsampling", which the tools that compute published FIDs use. Along each axis, an output sample is 3/4 of the nearer
// and 1/4 of the farther chroma sample. Other images are returned unchanged.
//
// Note: the standard library repeats each chroma sample, which changes the FID of JPEG files by several tenths.
func upsample(img image.Image) image.Image {
	src, ok := img.(*image.YCbCr)
	if !ok || src.Rect.Min != (image.Point{}) {
		return img
	}
	half := src.SubsampleRatio == image.YCbCrSubsampleRatio420
	w, h := src.Rect.Dx(), src.Rect.Dy()
	cw := (w + 1) / 2
	// For images this narrow, libjpeg also repeats the samples.
	if !half && src.SubsampleRatio != image.YCbCrSubsampleRatio422 || cw <= 2 {
		return img
	}
	dst := image.NewYCbCr(src.Rect, image.YCbCrSubsampleRatio444)
	for y := range h {
		copy(dst.Y[y*dst.YStride:][:w], src.Y[y*src.YStride:][:w])
		for _, plane := range [][2][]uint8{{dst.Cb, src.Cb}, {dst.Cr, src.Cr}} {
			out := plane[0][y*dst.CStride:][:w]
			row := func(i int) []uint8 { return plane[1][i*src.CStride:][:cw] }
			if !half {
				widenRow(out, row(y))
				continue
			}
			near := y / 2
			far := near - 1 + 2*(y%2) // the row above for even y, the row below for odd y
			widenRows(out, row(near), row(min(max(far, 0), (h+1)/2-1)))
		}
	}
	return dst
}

// widenRow is libjpeg's h2v1. It doubles a row of chroma samples; the rounding alternates, as in libjpeg.
func widenRow(out, in []uint8) {
	at := func(i int) int { return int(in[min(max(i, 0), len(in)-1)]) }
	for x := range out {
		i := x / 2
		if x%2 == 0 {
			out[x] = uint8((3*at(i) + at(i-1) + 1) >> 2)
		} else {
			out[x] = uint8((3*at(i) + at(i+1) + 2) >> 2)
		}
	}
}

// widenRows is libjpeg's h2v2. It computes an output row from the nearer and the farther input row.
func widenRows(out, near, far []uint8) {
	at := func(i int) int {
		i = min(max(i, 0), len(near)-1)
		return 3*int(near[i]) + int(far[i])
	}
	for x := range out {
		i := x / 2
		if x%2 == 0 {
			out[x] = uint8((3*at(i) + at(i-1) + 8) >> 4)
		} else {
			out[x] = uint8((3*at(i) + at(i+1) + 7) >> 4)
		}
	}
}

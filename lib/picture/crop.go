package picture

import (
	"fmt"
	"math"
)

// CentreCrop returns the central h x w pixels. If the top left corner would lie between two pixels, each of its
// coordinates is rounded to the even neighbour, as in torchvision's CenterCrop. Unlike torchvision, which pads smaller
// images with black, CentreCrop refuses them. The result reuses the memory of the image, since photos are large.
func (im *Image) CentreCrop(h, w int) (*Image, error) {
	if h < 1 || w < 1 || h > im.H || w > im.W {
		return nil, fmt.Errorf("an image of %dx%d pixels is too small for a crop of %dx%d", im.W, im.H, w, h)
	}
	if h == im.H && w == im.W {
		return im, nil
	}
	top, left := int(math.RoundToEven(float64(im.H-h)/2)), int(math.RoundToEven(float64(im.W-w)/2))
	out := &Image{C: im.C, H: h, W: w, Pixels: im.Pixels[:0]}
	for c := range im.C {
		for y := range h {
			// Rows only move towards the start, so no row is overwritten before it has been copied.
			out.Pixels = append(out.Pixels, im.Pixels[(c*im.H+top+y)*im.W+left:][:w]...)
		}
	}
	return out, nil
}

// Grey returns the luminance [1, H, W] of an RGB image. It uses the ITU-R 601-2 weights in fixed point, as Pillow's
// convert("L") does. If the three channels are equal, the result equals each of them. The result reuses the memory of
// the image.
func (im *Image) Grey() *Image {
	plane := im.H * im.W
	if im.C == 1 {
		return im
	}
	out := &Image{C: 1, H: im.H, W: im.W, Pixels: im.Pixels[:plane]}
	r, g, b := im.Pixels[:plane], im.Pixels[plane:2*plane], im.Pixels[2*plane:]
	for i := range out.Pixels {
		out.Pixels[i] = uint8((uint32(r[i])*19595 + uint32(g[i])*38470 + uint32(b[i])*7471 + 0x8000) >> 16)
	}
	return out
}

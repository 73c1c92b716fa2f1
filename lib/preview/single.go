package preview

import (
	"fmt"
	"image"
)

// Single is one image without a border: uint8 [c, h, wdt], c being 1 (grey, encoded as greyscale) or 3 (RGB).
func Single(pixels []uint8, c, h, wdt int) (image.Image, error) {
	if h < 1 || wdt < 1 || len(pixels) != c*h*wdt {
		return nil, fmt.Errorf("grid: %d bytes for an image of %d x %d x %d", len(pixels), c, h, wdt)
	}
	switch c {
	case 1:
		im := image.NewGray(image.Rect(0, 0, wdt, h))
		copy(im.Pix, pixels)
		return im, nil
	case 3:
		im := image.NewRGBA(image.Rect(0, 0, wdt, h))
		plane := h * wdt
		for p := range plane {
			im.Pix[4*p], im.Pix[4*p+1], im.Pix[4*p+2], im.Pix[4*p+3] = pixels[p], pixels[plane+p], pixels[2*plane+p], 0xff
		}
		return im, nil
	}
	return nil, fmt.Errorf("grid: %d channels, only 1 (grey) and 3 (RGB) can be drawn", c)
}

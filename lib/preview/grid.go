package preview

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
)

// Gap is the border between cells, in pixels of the result.
const Gap = 2

// background separates cells: a grey that is in the palette of no dataset's
// padding, neither the black of the digits nor white.
var background = color.RGBA{0x80, 0x80, 0x88, 0xff}

// maxSide bounds the result; PNG decoders of browsers refuse larger ones.
const maxSide = 16384

// Grid writes n images as a PNG, row by row from the top left, cols to a row
// (0: as square as possible), each pixel drawn as scale x scale (0: 1).
//
// pixels is uint8 [n, c, h, wdt]; c is 1 (grey) or 3 (RGB). The bytes are a
// function of the arguments alone.
func Grid(w io.Writer, pixels []uint8, n, c, h, wdt, cols, scale int) error {
	img, err := GridImage(pixels, n, c, h, wdt, cols, scale)
	if err != nil {
		return err
	}
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(w, img); err != nil {
		return fmt.Errorf("grid: encode: %w", err)
	}
	return nil
}

// GridImage is Grid without the encoding.
func GridImage(pixels []uint8, n, c, h, wdt, cols, scale int) (image.Image, error) {
	if n < 1 || h < 1 || wdt < 1 {
		return nil, fmt.Errorf("grid: %d images of %d x %d pixels", n, h, wdt)
	}
	if c != 1 && c != 3 {
		return nil, fmt.Errorf("grid: %d channels, only 1 (grey) and 3 (RGB) can be drawn", c)
	}
	if cols < 0 || scale < 0 {
		return nil, fmt.Errorf("grid: %d columns at scale %d", cols, scale)
	}
	if len(pixels) != n*c*h*wdt {
		return nil, fmt.Errorf("grid: %d bytes for %d images of %d x %d x %d", len(pixels), n, c, h, wdt)
	}
	if cols == 0 {
		cols = int(math.Ceil(math.Sqrt(float64(n))))
	}
	cols = min(cols, n)
	scale = max(scale, 1)
	rows := (n + cols - 1) / cols
	width := Gap + cols*(wdt*scale+Gap)
	height := Gap + rows*(h*scale+Gap)
	if width > maxSide || height > maxSide {
		return nil, fmt.Errorf("grid: %d images make %d x %d pixels, more than %d a side", n, width, height, maxSide)
	}

	out := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := 0; i < len(out.Pix); i += 4 {
		out.Pix[i], out.Pix[i+1], out.Pix[i+2], out.Pix[i+3] = background.R, background.G, background.B, background.A
	}
	plane := h * wdt
	for k := range n {
		cell := pixels[k*c*plane : (k+1)*c*plane]
		x0 := Gap + (k%cols)*(wdt*scale+Gap)
		y0 := Gap + (k/cols)*(h*scale+Gap)
		for y := range h * scale {
			o := out.PixOffset(x0, y0+y)
			for x := range wdt * scale {
				p := y/scale*wdt + x/scale
				r, g, b := cell[p], cell[p], cell[p]
				if c == 3 {
					g, b = cell[plane+p], cell[2*plane+p]
				}
				out.Pix[o], out.Pix[o+1], out.Pix[o+2] = r, g, b
				o += 4
			}
		}
	}
	return out, nil
}

package picture

import (
	"image"
	"image/color"
)

// rgb returns the pixels of an opaque image. The special cases are ten times faster than the default and give the same
// result.
func rgb(img image.Image) (*Image, error) {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	plane := w * h
	out := &Image{C: 3, H: h, W: w, Pixels: make([]uint8, 3*plane)}
	red, green, blue := out.Pixels[:plane], out.Pixels[plane:2*plane], out.Pixels[2*plane:]
	switch src := img.(type) {
	case *image.Gray:
		for y := range h {
			copy(red[y*w:], src.Pix[y*src.Stride:][:w])
		}
		copy(green, red)
		copy(blue, red)
	case *image.RGBA:
		return out, splitRGBA(out, src.Pix, src.Stride)
	case *image.NRGBA:
		return out, splitRGBA(out, src.Pix, src.Stride)
	case *image.Paletted:
		return out, resolve(out, src)
	default:
		p := 0
		for y := b.Min.Y; y < b.Max.Y; y++ {
			for x := b.Min.X; x < b.Max.X; x++ {
				c := color.NRGBA64Model.Convert(img.At(x, y)).(color.NRGBA64)
				if c.A != 0xffff {
					return nil, errTransparent
				}
				red[p], green[p], blue[p] = uint8(c.R>>8), uint8(c.G>>8), uint8(c.B>>8)
				p++
			}
		}
	}
	return out, nil
}

// splitRGBA copies interleaved RGBA pixels to the channels of out. stride is the number of bytes per row of pix.
func splitRGBA(out *Image, pix []uint8, stride int) error {
	plane := out.W * out.H
	for y := range out.H {
		row := pix[y*stride:][:4*out.W]
		for x := range out.W {
			if row[4*x+3] != 0xff {
				return errTransparent
			}
			p := y*out.W + x
			out.Pixels[p], out.Pixels[plane+p], out.Pixels[2*plane+p] = row[4*x], row[4*x+1], row[4*x+2]
		}
	}
	return nil
}

// resolve replaces palette indices with colours.
func resolve(out *Image, src *image.Paletted) error {
	var colours [256]color.NRGBA
	for i := range colours {
		colours[i] = color.NRGBA{A: 0xff} // like Pillow, treat indices beyond the palette as black
	}
	for i, c := range src.Palette {
		colours[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
	}
	plane := out.W * out.H
	for y := range out.H {
		for x, i := range src.Pix[y*src.Stride:][:out.W] {
			c := colours[i]
			if c.A != 0xff {
				return errTransparent
			}
			p := y*out.W + x
			out.Pixels[p], out.Pixels[plane+p], out.Pixels[2*plane+p] = c.R, c.G, c.B
		}
	}
	return nil
}

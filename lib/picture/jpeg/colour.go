package jpeg

// colourSpace is the meaning of the components.
type colourSpace int

const (
	grey colourSpace = iota
	rgb
	yCbCr
	cmyk
	ycck // CMY, inverted and converted to YCbCr, and K
)

// guessColours chooses the colour space from the number of components, their identifiers and the markers, as libjpeg
// does.
func (d *decoder) guessColours() colourSpace {
	ids := ""
	for _, c := range d.comps {
		ids += string(rune(c.id))
	}
	switch {
	case len(d.comps) == 1:
		return grey
	case len(d.comps) == 4 && d.adobe <= 0: // without an Adobe segment, or with transform 0
		return cmyk
	case len(d.comps) == 4:
		return ycck
	case d.jfif:
		return yCbCr
	case d.adobe == 0 || d.adobe < 0 && ids == "RGB":
		return rgb
	}
	return yCbCr
}

// The contributions of Cb and Cr to red, green and blue (ITU-R BT.601, full range). Those to green have 16 fractional
// bits, the others are rounded.
var crRed, cbBlue, crGreen, cbGreen = func() (r, b, gr, gb [256]int) {
	const half = 1 << 15
	for i := range 256 {
		x := i - 128
		r[i] = (91881*x + half) >> 16  // 1.40200
		b[i] = (116130*x + half) >> 16 // 1.77200
		gr[i] = -46802 * x             // 0.71414
		gb[i] = -22554*x + half        // 0.34414
	}
	return
}()

// emit converts one row of units to RGB and writes the image rows that it covers.
func (d *decoder) emit(unit int) {
	plane := d.width * d.height
	var rows [4][]uint8
	for y := unit * 8 * d.maxV; y < min((unit+1)*8*d.maxV, d.height); y++ {
		for i := range d.comps {
			rows[i] = d.comps[i].upsample(y)[:d.width]
		}
		at := d.out[y*d.width:]
		red, green, blue := at[:d.width], at[plane:][:d.width], at[2*plane:][:d.width]
		switch d.colour {
		case grey:
			copy(red, rows[0])
			copy(green, rows[0])
			copy(blue, rows[0])
		case rgb:
			copy(red, rows[0])
			copy(green, rows[1])
			copy(blue, rows[2])
		case yCbCr:
			convert(red, green, blue, rows[0], rows[1], rows[2])
		case cmyk:
			scale(red, rows[0], rows[3])
			scale(green, rows[1], rows[3])
			scale(blue, rows[2], rows[3])
		case ycck:
			// YCbCr decodes to inverted CMY. libjpeg inverts it to CMY, and Adobe's convention inverts that again.
			convert(red, green, blue, rows[0], rows[1], rows[2])
			for _, p := range [][]uint8{red, green, blue} {
				for x := range p {
					p[x] = 255 - p[x]
				}
				scale(p, p, rows[3])
			}
		}
	}
}

func convert(red, green, blue, luma, cb, cr []uint8) {
	for x, v := range luma {
		y, b, r := int(v), cb[x], cr[x]
		red[x] = clamp(y + crRed[r])
		green[x] = clamp(y + (cbGreen[b]+crGreen[r])>>16)
		blue[x] = clamp(y + cbBlue[b])
	}
}

// scale multiplies inverted ink by inverted black; 255 means no ink. It rounds like Pillow's cmyk2rgb (Convert.c).
func scale(out, ink, black []uint8) {
	for x, v := range ink {
		k := int(black[x])
		t := (255-int(v))*k + 128
		out[x] = clamp(k - (t>>8+t)>>8)
	}
}

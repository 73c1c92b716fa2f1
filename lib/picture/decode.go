// Package picture turns image files into pixels as the tools do that data sets and scores come from: JPEG colour as libjpeg
// brings it to size, WebP colour as libwebp converts it, resizing as Pillow does it.
//
// It is one package because data sets are made with it and folders are scored with it: a decoder or a resizer of
// another kind on one side moves an FID by more than models differ by (Parmar et al., arXiv 2104.11222).
//
// What a file holds becomes 8-bit RGB: grey images have three equal channels, 16-bit samples keep their upper eight bits,
// CMYK is converted without a colour profile, palettes are looked up, of an animation the first frame is taken. Opaque
// alpha channels are dropped; an image with a transparent pixel is refused, since what lies behind it is not
// known. Orientation tags and colour profiles are not applied. Files are not trusted: what a header claims is bounded before
// it is allocated.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // the formats, by what they register
	_ "image/jpeg"
	_ "image/png"
	"slices"
	"strings"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"
)

// MaxPixels bounds one image; a header may claim anything.
const MaxPixels = 1 << 24

// Format is an image file format.
type Format string

// The formats that are read.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
	GIF  Format = "gif"
	BMP  Format = "bmp"
	WebP Format = "webp"
)

// Formats lists the formats that are read.
var Formats = []Format{PNG, JPEG, GIF, BMP, WebP}

// extensions of file names, by format.
var extensions = map[Format][]string{PNG: {".png"}, JPEG: {".jpg", ".jpeg"}, GIF: {".gif"}, BMP: {".bmp"}, WebP: {".webp"}}

// Named tells whether a file is one of the formats by its name, in upper or lower case.
func Named(name string, formats ...Format) bool {
	name = strings.ToLower(name)
	for _, f := range formats {
		if slices.ContainsFunc(extensions[f], func(ext string) bool { return strings.HasSuffix(name, ext) }) {
			return true
		}
	}
	return false
}

// Image is one image, uint8 [C, H, W].
type Image struct {
	C, H, W int
	Pixels  []uint8
}

// Decode returns the pixels of a file of one of the formats as RGB [3, H, W]. Errors say what is wrong with the content;
// the caller knows the name.
func Decode(data []byte, formats ...Format) (*Image, error) {
	cfg, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err == nil && !slices.Contains(formats, Format(format)) {
		err = image.ErrFormat
	}
	if err != nil {
		if len(data) == 0 {
			return nil, errors.New("the file is empty")
		}
		if errors.Is(err, image.ErrFormat) {
			return nil, fmt.Errorf("%s, whatever its name says", neither(formats))
		}
		return nil, fmt.Errorf("damaged or truncated: %w", err)
	}
	if cfg.Width < 1 || cfg.Height < 1 || cfg.Width > MaxPixels/cfg.Height {
		return nil, fmt.Errorf("%s image of %dx%d pixels; at most %d are read", format, cfg.Width, cfg.Height, MaxPixels)
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("damaged or truncated %s image: %w", format, err)
	}
	if size := img.Bounds().Size(); size.X != cfg.Width || size.Y != cfg.Height { // the first frame of an animation may be a part
		return nil, fmt.Errorf("%s image of %dx%d pixels whose first frame has %dx%d", format, cfg.Width, cfg.Height, size.X, size.Y)
	}
	if Format(format) == WebP {
		return webp(img)
	}
	return rgb(upsample(img))
}

// neither says that a file is of none of the formats.
func neither(formats []Format) string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = strings.ToUpper(string(f))
	}
	if len(names) < 2 {
		return "not a " + strings.Join(names, "") + " image"
	}
	last := len(names) - 1
	return "neither a " + strings.Join(names[:last], ", a ") + " nor a " + names[last] + " image"
}

var errTransparent = errors.New("the image is transparent in places; flatten it first")

// rgb returns the pixels of an opaque image. The cases give what the last one gives, in a tenth of its time.
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
	case *image.YCbCr:
		p := 0
		for y := b.Min.Y; y < b.Max.Y; y++ {
			for x := b.Min.X; x < b.Max.X; x++ {
				i, c := src.YOffset(x, y), src.COffset(x, y)
				red[p], green[p], blue[p] = color.YCbCrToRGB(src.Y[i], src.Cb[c], src.Cr[c])
				p++
			}
		}
	case *image.RGBA:
		return out, four(out, src.Pix, src.Stride)
	case *image.NRGBA:
		return out, four(out, src.Pix, src.Stride)
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

// four takes pixels of red, green, blue and alpha.
func four(out *Image, pix []uint8, stride int) error {
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

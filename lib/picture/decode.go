// Package picture turns image files into pixels exactly like the tools that made data sets and published scores: it
// upsamples JPEG chroma like libjpeg, converts WebP colours like libwebp and resizes like Pillow.
//
// The same package makes data sets and reads the folders that are scored. A different decoder or resizer on one side
// would change an FID by more than the difference between two models (Parmar et al., arXiv 2104.11222).
//
// Files become 8-bit RGB. Grey images get three equal channels, 16-bit samples keep their upper eight bits, CMYK is
// converted without a colour profile, palettes are resolved, and only the first frame of an animation is used. Opaque
// alpha channels are dropped. An image with a transparent pixel is refused, because its background is unknown.
// Orientation tags and colour profiles are ignored. Files are not trusted: the size that a header claims is checked
// before memory is allocated.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // registers the format, as do the imports below
	_ "image/jpeg"
	_ "image/png"
	"path/filepath"
	"slices"
	"strings"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"
)

// maxPixels is the greatest number of pixels of an image, because a header may claim any size.
const maxPixels = 1 << 24

// Format is an image file format.
type Format string

// The supported formats.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
	GIF  Format = "gif"
	BMP  Format = "bmp"
	WebP Format = "webp"
)

// Formats lists the supported formats.
var Formats = []Format{PNG, JPEG, GIF, BMP, WebP}

// Named reports whether a file name has the extension of one of the formats, in upper or lower case.
func Named(name string, formats ...Format) bool {
	_, ext, _ := strings.Cut(strings.ToLower(filepath.Ext(name)), ".")
	return slices.Contains(formats, Format(ext)) || ext == "jpg" && slices.Contains(formats, JPEG)
}

// Image is one image, uint8 [C, H, W].
type Image struct {
	C, H, W int
	Pixels  []uint8
}

// Decode decodes a file in one of the formats to RGB [3, H, W]. The caller must add the file's name to an error.
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
	if cfg.Width < 1 || cfg.Height < 1 || cfg.Width > maxPixels/cfg.Height {
		return nil, fmt.Errorf("%s image of %dx%d pixels; at most %d are read", format, cfg.Width, cfg.Height, maxPixels)
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("damaged or truncated %s image: %w", format, err)
	}
	// The first frame of an animation may be smaller than the animation.
	if size := img.Bounds().Size(); size.X != cfg.Width || size.Y != cfg.Height {
		return nil, fmt.Errorf("%s image of %dx%d pixels whose first frame has %dx%d",
			format, cfg.Width, cfg.Height, size.X, size.Y)
	}
	if Format(format) == WebP {
		return webp(img)
	}
	return rgb(upsample(img))
}

// neither describes data that has none of the formats.
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
		return out, splitRGBA(out, src.Pix, src.Stride)
	case *image.NRGBA:
		return out, splitRGBA(out, src.Pix, src.Stride)
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

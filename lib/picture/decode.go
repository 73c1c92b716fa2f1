// Package picture turns image files into pixels exactly like the tools that made data sets and published scores: JPEG
// files like libjpeg, WebP files like libwebp, and resizing like Pillow.
//
// The same package makes data sets and reads the folders that are scored. If it decoded or resized their images in
// different ways, an FID would change by more than the difference between two models (Parmar et al., arXiv 2104.11222).
//
// Files become 8-bit RGB. Grey images get three equal channels, and 16-bit samples keep their upper eight bits. CMYK is
// converted without a colour profile. Palettes are resolved. Only the first frame of an animation is used. Opaque alpha
// channels are dropped. An image with a transparent pixel is refused, because its background is unknown. Colour
// profiles are ignored, and so are orientation tags unless Upright is called. Files are not trusted: Inspect checks the
// size that a header claims and says how much memory decoding takes, before memory is allocated.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // registers the format, as do the imports below
	"image/png"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"

	"vapo/lib/failure"
	"vapo/lib/picture/jpeg"
)

// MaxPixels is the greatest number of pixels that an image may have. It is the limit at which Pillow refuses an image
// as a decompression bomb, twice Image.MAX_IMAGE_PIXELS.
const MaxPixels = 178_956_970

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

// extensions are the file name extensions of the formats, in lower case.
var extensions = []string{".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp"}

// Named reports whether a file name has the extension of one of the formats, in upper or lower case.
func Named(name string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(name)))
}

// Image is one image, uint8 [C, H, W].
type Image struct {
	C, H, W int
	Pixels  []uint8
}

// Info describes a file without its pixels.
type Info struct {
	Format Format
	W, H   int
	// Memory is an estimate of the bytes that Decode needs, its result included.
	Memory int64
	// Orientation is the orientation in the file's Exif data, from 1 (upright) to 8. It is 1 if the file has no Exif data.
	Orientation int

	model color.Model
}

// Inspect reads the headers of a file. It returns an error if the file is in none of the formats or has too many
// pixels. The error does not name the file; the caller must add the name.
func Inspect(data []byte) (*Info, error) {
	if len(data) == 0 {
		return nil, errors.New("the file is empty")
	}
	info := &Info{Orientation: 1}
	if bytes.HasPrefix(data, []byte{0xff, 0xd8}) {
		h, err := jpeg.ReadHeader(data)
		if err != nil {
			return nil, explain(JPEG, err)
		}
		info.Format, info.W, info.H, info.Memory = JPEG, h.Width, h.Height, h.Memory
		info.Orientation = orientation(h.Exif)
		return info, info.check()
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(data))
	info.Format, info.W, info.H, info.model = Format(format), cfg.Width, cfg.Height, cfg.ColorModel
	switch {
	case errors.Is(err, image.ErrFormat) || err == nil && !slices.Contains(formats, info.Format):
		return nil, foreign(data)
	case err != nil:
		return nil, explain(info.Format, err)
	}
	info.Memory = (3 + bytesPerPixel(info.Format, info.model)) * int64(info.W) * int64(info.H)
	info.Orientation = orientation(exif(info.Format, data))
	return info, info.check()
}

var formats = []Format{PNG, GIF, BMP, WebP} // these are decoded through the package image

func (i *Info) check() error {
	if i.W < 1 || i.H < 1 {
		return fmt.Errorf("damaged %s image of %dx%d pixels", i.Format, i.W, i.H)
	}
	if i.W > MaxPixels/i.H {
		return failure.New(failure.Input, "make the image smaller", "%s image of %dx%d pixels; at most %d pixels are read",
			i.Format, i.W, i.H, MaxPixels)
	}
	return nil
}

// bytesPerPixel returns how many bytes a decoder of the standard library or x/image takes for each pixel.
func bytesPerPixel(f Format, m color.Model) int64 {
	if f == WebP {
		return 8 // two buffers for a lossless image; a lossy one with alpha takes a little less
	}
	switch m {
	case color.GrayModel:
		return 1
	case color.Gray16Model:
		return 2
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	}
	if _, ok := m.(color.Palette); ok {
		return 1
	}
	return 4
}

// Decode decodes a file in one of the formats to RGB [3, H, W]. Its errors do not name the file; the caller must add
// the name.
func Decode(data []byte) (*Image, error) {
	info, err := Inspect(data)
	if err != nil {
		return nil, err
	}
	switch info.Format {
	case JPEG:
		w, h, pixels, err := jpeg.Decode(data)
		if err != nil {
			return nil, explain(JPEG, err)
		}
		return &Image{C: 3, H: h, W: w, Pixels: pixels}, nil
	case WebP:
		if data, err = plainWebP(data); err != nil {
			return nil, explain(WebP, err)
		}
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, explain(info.Format, err)
	}
	// The first frame of an animation may be smaller than the animation.
	if size := img.Bounds().Size(); size.X != info.W || size.Y != info.H {
		return nil, fmt.Errorf("%s image of %dx%d pixels whose first frame has %dx%d",
			info.Format, info.W, info.H, size.X, size.Y)
	}
	if info.Format == WebP {
		return webp(img)
	}
	return rgb(img)
}

// explain returns an error that distinguishes a damaged file from one with a feature that is not supported.
func explain(f Format, err error) error {
	var inJPEG jpeg.UnsupportedError
	var inPNG png.UnsupportedError
	var inWebP webpUnsupported
	const hint = "the file is not damaged; convert it to an ordinary PNG or JPEG"
	switch {
	case errors.As(err, &inJPEG):
		return failure.New(failure.Input, hint, "unsupported: %w", err)
	case errors.As(err, &inPNG):
		return failure.New(failure.Input, hint, "unsupported PNG image: %s", string(inPNG))
	case errors.As(err, &inWebP):
		return failure.New(failure.Input, hint, "unsupported WebP image: %w", err)
	case errors.Is(err, bmp.ErrUnsupported):
		return failure.New(failure.Input, hint,
			"unsupported BMP image: compressed, with 16 bits per pixel, or with an old or rare header")
	}
	return fmt.Errorf("damaged or truncated %s image: %w", f, err)
}

var errTransparent = failure.New(failure.Input, "flatten the image onto an opaque background",
	"the image is transparent in places")

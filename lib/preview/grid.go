package preview

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"

	"vapo/lib/dataset"
)

// gap is the border between cells, in pixels of the result.
const gap = 2

// background separates cells. It is neither black nor white, since images of digits and clothes have black or white
// borders.
var background = color.RGBA{0x80, 0x80, 0x88, 0xff}

// maxSide is the maximum height and width of the result in pixels; browsers refuse larger images.
const maxSide = 16384

// Image writes image i of a set without scaling: images with one channel in greyscale, others in RGB.
func Image(w io.Writer, s *dataset.Images, i int) error {
	if err := drawable(s); err != nil {
		return err
	}
	if s.C == 1 {
		grey := &image.Gray{Pix: s.Image(i), Stride: s.W, Rect: image.Rect(0, 0, s.W, s.H)}
		return encode(w, grey, png.DefaultCompression)
	}
	out := image.NewRGBA(image.Rect(0, 0, s.W, s.H))
	paint(out, image.Point{}, s, i, 1)
	return encode(w, out, png.DefaultCompression)
}

// Grid draws images row by row in a grid with the given number of columns (0: as square as possible). Each pixel
// becomes a square of scale x scale.
func Grid(w io.Writer, s *dataset.Images, columns, scale int) error {
	img, err := grid(s, columns, scale)
	if err != nil {
		return err
	}
	return encode(w, img, png.BestCompression)
}

func drawable(s *dataset.Images) error {
	switch {
	case s.N < 1 || s.H < 1 || s.W < 1:
		return fmt.Errorf("preview: %d images of %d x %d pixels, expected at least 1 image of 1 pixel", s.N, s.H, s.W)
	case s.C != 1 && s.C != 3:
		return fmt.Errorf("preview: %d channels, expected 1 (grey) or 3 (RGB)", s.C)
	case len(s.Pixels) != s.N*s.C*s.H*s.W:
		return fmt.Errorf("preview: %d bytes for %d images of %d x %d x %d", len(s.Pixels), s.N, s.C, s.H, s.W)
	}
	return nil
}

func grid(s *dataset.Images, columns, scale int) (*image.RGBA, error) {
	if err := drawable(s); err != nil {
		return nil, err
	}
	if columns < 0 || scale < 1 {
		return nil, fmt.Errorf("preview: %d columns at scale %d, expected columns >= 0 and scale >= 1", columns, scale)
	}
	columns = min(cmp.Or(columns, int(math.Ceil(math.Sqrt(float64(s.N))))), s.N)
	rows := (s.N + columns - 1) / columns
	width, height := gap+columns*(s.W*scale+gap), gap+rows*(s.H*scale+gap)
	if width > maxSide || height > maxSide {
		return nil, fmt.Errorf("preview: %d images need %d x %d pixels, expected at most %d per side",
			s.N, width, height, maxSide)
	}
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, out.Bounds(), image.NewUniform(background), image.Point{}, draw.Src)
	for i := range s.N {
		at := image.Pt(gap+i%columns*(s.W*scale+gap), gap+i/columns*(s.H*scale+gap))
		paint(out, at, s, i, scale)
	}
	return out, nil
}

// paint draws image i; the point at is the image's top left corner. Each pixel becomes a square of scale x scale.
func paint(out *image.RGBA, at image.Point, s *dataset.Images, i, scale int) {
	pixels, plane := s.Image(i), s.H*s.W
	for y := range s.H * scale {
		o := out.PixOffset(at.X, at.Y+y)
		for x := range s.W * scale {
			p := y/scale*s.W + x/scale
			r, g, b := pixels[p], pixels[p], pixels[p]
			if s.C == 3 {
				g, b = pixels[plane+p], pixels[2*plane+p]
			}
			out.Pix[o], out.Pix[o+1], out.Pix[o+2], out.Pix[o+3] = r, g, b, 0xff
			o += 4
		}
	}
}

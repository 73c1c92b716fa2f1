package preview

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"slices"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"vapo/lib/dataset"
)

// Row is one line of a picture: images that belong together, and what they are.
type Row struct {
	Label  string
	Images *dataset.Images
}

// leastCell is how wide an image is drawn at least, in pixels of the picture: a column's heading fits above it.
const leastCell = 48

// margin is the room around texts, in pixels.
const margin = 4

var (
	paper = color.RGBA{0xff, 0xff, 0xff, 0xff}
	text  = color.RGBA{0x20, 0x22, 0x28, 0xff}
)

// Rows draws rows of images of one size, each with its label on the left, under headings of the columns, which may be
// fewer or none. The bytes are a function of the arguments alone.
func Rows(w io.Writer, headings []string, rows []Row) error {
	if len(rows) == 0 {
		return fmt.Errorf("preview: no rows to draw")
	}
	first := rows[0].Images
	scale := max(1, (leastCell+first.W-1)/first.W)
	face := basicfont.Face7x13
	label := 0
	var parts []image.Image
	for _, r := range rows {
		if r.Images.N != first.N || !slices.Equal(r.Images.Shape(), first.Shape()) {
			return fmt.Errorf("preview: row %q is of %d images of shape %v, others of %d of shape %v", r.Label, r.Images.N, r.Images.Shape(), first.N, first.Shape())
		}
		im, err := GridImage(r.Images.Pixels, first.N, first.C, first.H, first.W, first.N, scale)
		if err != nil {
			return fmt.Errorf("preview: row %q: %w", r.Label, err)
		}
		parts = append(parts, im)
		label = max(label, font.MeasureString(face, r.Label).Ceil())
	}
	left := label + 2*margin
	if label == 0 {
		left = 0
	}
	top := 0
	if len(headings) > 0 {
		top = face.Height + margin
	}
	each := parts[0].Bounds().Size()
	step := each.Y - Gap // neighbours share a border
	out := image.NewRGBA(image.Rect(0, 0, left+each.X, top+step*(len(parts)-1)+each.Y))
	draw.Draw(out, out.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	write := func(s string, x, y int) { // y: of the base line
		d := font.Drawer{Dst: out, Src: image.NewUniform(text), Face: face, Dot: fixed.P(x, y)}
		d.DrawString(s)
	}
	for k, h := range headings {
		cell := first.W*scale + Gap
		write(h, left+Gap+k*cell+(first.W*scale-font.MeasureString(face, h).Ceil())/2, face.Ascent)
	}
	for k, im := range parts {
		at := image.Pt(left, top+k*step)
		draw.Draw(out, image.Rectangle{at, at.Add(each)}, im, image.Point{}, draw.Src)
		width := font.MeasureString(face, rows[k].Label).Ceil()
		write(rows[k].Label, margin+label-width, at.Y+(each.Y+face.Ascent)/2)
	}
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(w, out); err != nil {
		return fmt.Errorf("preview: encode: %w", err)
	}
	return nil
}

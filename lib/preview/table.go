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

// Row is one row of a table: images that belong together, and a label for them.
type Row struct {
	Label  string
	Images *dataset.Images
}

const (
	minCell = 48 // minimum width of an image in pixels of the result, so that a heading fits above it
	margin  = 4  // space around text, in pixels
)

var (
	paper = color.RGBA{0xff, 0xff, 0xff, 0xff}
	ink   = color.RGBA{0x20, 0x22, 0x28, 0xff}
)

// Table draws rows of images, all of one size. The label of each row is on its left, and the headings of the columns
// are above the first row. There may be fewer headings than columns, or none.
func Table(w io.Writer, headings []string, rows []Row) error {
	if len(rows) == 0 {
		return fmt.Errorf("preview: no rows to draw")
	}
	first := rows[0].Images
	scale := max(1, (minCell+first.W-1)/first.W)
	face := basicfont.Face7x13
	width := func(text string) int { return font.MeasureString(face, text).Ceil() }
	labels := 0 // width of the widest label
	var strips []image.Image
	for _, r := range rows {
		if r.Images.N != first.N || !slices.Equal(r.Images.Shape(), first.Shape()) {
			return fmt.Errorf("preview: row %q has %d images of shape %v, but the first row has %d of shape %v",
				r.Label, r.Images.N, r.Images.Shape(), first.N, first.Shape())
		}
		strip, err := grid(r.Images, first.N, scale)
		if err != nil {
			return fmt.Errorf("row %q: %w", r.Label, err)
		}
		strips = append(strips, strip)
		labels = max(labels, width(r.Label))
	}
	left, top := 0, 0
	if labels > 0 {
		left = labels + 2*margin
	}
	if len(headings) > 0 {
		top = face.Height + margin
	}
	size := strips[0].Bounds().Size()
	pitch := size.Y - gap // neighbouring rows share a border
	out := image.NewRGBA(image.Rect(0, 0, left+size.X, top+pitch*(len(rows)-1)+size.Y))
	draw.Draw(out, out.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	write := func(text string, x, baseline int) {
		d := font.Drawer{Dst: out, Src: image.NewUniform(ink), Face: face, Dot: fixed.P(x, baseline)}
		d.DrawString(text)
	}
	cell := first.W * scale
	for k, h := range headings {
		write(h, left+gap+k*(cell+gap)+(cell-width(h))/2, face.Ascent)
	}
	for k, strip := range strips {
		at := image.Pt(left, top+k*pitch)
		draw.Draw(out, image.Rectangle{at, at.Add(size)}, strip, image.Point{}, draw.Src)
		write(rows[k].Label, margin+labels-width(rows[k].Label), at.Y+(size.Y+face.Ascent)/2)
	}
	return encode(w, out, png.BestCompression)
}

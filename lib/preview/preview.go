// Package preview draws the first samples of a set, so that a person sees at a glance what a stage has made: images as
// a grid, points as a scatter plot.
package preview

import (
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vapo/lib/dataset"
)

const (
	previewImages = 100
	previewCols   = 10
	previewScale  = 2 // pixels of the picture per pixel of an image
	previewPoints = 5000
	previewSide   = 12 * vg.Centimeter
)

// labelColours tell components apart; they repeat after ten. (Okabe and Ito's palette and two greys: safe for colour-blind
// readers.)
var labelColours = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff}, {0xe6, 0x9f, 0x00, 0xff},
	{0x56, 0xb4, 0xe9, 0xff}, {0xf0, 0xe4, 0x42, 0xff}, {0x00, 0x00, 0x00, 0xff}, {0x80, 0x80, 0x80, 0xff}, {0xc0, 0xc0, 0xc0, 0xff},
}

// PNG draws the first samples: images as a grid, points as a scatter plot (in one dimension, a histogram; in more
// than two, of the first two coordinates).
func PNG(w io.Writer, set dataset.Set) error {
	switch s := set.(type) {
	case *dataset.Images:
		n := min(s.N, previewImages)
		return Grid(w, s.Pixels[:n*s.C*s.H*s.W], n, s.C, s.H, s.W, previewCols, previewScale)
	case *dataset.Points:
		return plotPoints(w, s)
	}
	return fmt.Errorf("no preview of %T", set)
}

func plotPoints(w io.Writer, s *dataset.Points) error {
	p := plot.New()
	n := min(s.N, previewPoints)
	p.Title.Text = fmt.Sprintf("%s, %d of %d points", s.Name, n, s.N)
	p.X.Label.Text = "x1"
	var err error
	if s.D == 1 {
		err = addHistogram(p, s, n)
	} else {
		p.Y.Label.Text = "x2"
		err = addScatter(p, s, n)
	}
	if err != nil {
		return fmt.Errorf("preview: %w", err)
	}
	to, err := p.WriterTo(previewSide, previewSide, "png")
	if err != nil {
		return fmt.Errorf("preview: %w", err)
	}
	_, err = to.WriteTo(w)
	return err
}

func addHistogram(p *plot.Plot, s *dataset.Points, n int) error {
	values := make(plotter.Values, n)
	for i := range n {
		values[i] = float64(s.X[i])
	}
	h, err := plotter.NewHist(values, 50)
	if err != nil {
		return err
	}
	h.FillColor = labelColours[0]
	h.LineStyle.Width = 0
	p.Add(h)
	return nil
}

func addScatter(p *plot.Plot, s *dataset.Points, n int) error {
	byColour := make([]plotter.XYs, len(labelColours))
	for i := range n {
		c := 0
		if s.Labels != nil {
			c = int(s.Labels[i]) % len(byColour)
		}
		x := s.Point(i)
		byColour[c] = append(byColour[c], plotter.XY{X: float64(x[0]), Y: float64(x[1])})
	}
	for c, points := range byColour {
		if len(points) == 0 {
			continue
		}
		scatter, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: labelColours[c], Radius: vg.Points(0.8), Shape: draw.CircleGlyph{}}
		p.Add(scatter)
	}
	return nil
}

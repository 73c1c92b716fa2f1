package preview

import (
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"vapo/lib/dataset"
)

const (
	plotSide     = 12 * vg.Centimeter
	panelSide    = 5 * vg.Centimeter
	panelColumns = 5
	// The axes of panels cover the coordinates between these quantiles. If they covered all, a few outliers would make the
	// rest too small to see.
	axisLow, axisHigh = 0.005, 0.995
)

// palette holds the colours of labels; label 10 has the colour of label 0 again. The first eight colours are those of
// Okabe and Ito, which colour-blind readers can tell apart. The last two are greys.
var palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff},
	{0xe6, 0x9f, 0x00, 0xff}, {0x56, 0xb4, 0xe9, 0xff}, {0xf0, 0xe4, 0x42, 0xff}, {0x00, 0x00, 0x00, 0xff},
	{0x80, 0x80, 0x80, 0xff}, {0xc0, 0xc0, 0xc0, 0xff},
}

func scatter(w io.Writer, s *dataset.Points) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, %d of %d points", s.Name, min(s.N, setPoints), s.N)
	p.X.Label.Text = "x1"
	if s.D > 1 {
		p.Y.Label.Text = "x2"
	}
	if err := addPoints(p, s); err != nil {
		return fmt.Errorf("preview: %w", err)
	}
	return encodePlot(w, p)
}

func encodePlot(w io.Writer, p *plot.Plot) error {
	canvas := vgimg.New(plotSide, plotSide)
	p.Draw(draw.New(canvas))
	return encode(w, canvas.Image(), png.DefaultCompression)
}

// addPoints adds the first setPoints points as a scatter plot coloured by label, or as a histogram in one dimension.
func addPoints(p *plot.Plot, s *dataset.Points) error {
	n := min(s.N, setPoints)
	if s.D == 1 {
		values := make(plotter.Values, n)
		for i := range n {
			values[i] = float64(s.X[i])
		}
		h, err := plotter.NewHist(values, 50)
		if err != nil {
			return err
		}
		h.FillColor, h.LineStyle.Width = palette[0], 0
		p.Add(h)
		return nil
	}
	byColour := make([]plotter.XYs, len(palette))
	for i := range n {
		c := 0
		if s.Labels != nil {
			c = int(s.Labels[i]) % len(palette)
		}
		x := s.Point(i)
		byColour[c] = append(byColour[c], plotter.XY{X: float64(x[0]), Y: float64(x[1])})
	}
	for c, points := range byColour {
		if len(points) == 0 {
			continue
		}
		if err := addDots(p, points, palette[c], vg.Points(0.8)); err != nil {
			return err
		}
	}
	return nil
}

func addDots(p *plot.Plot, points plotter.XYs, c color.Color, radius vg.Length) error {
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: radius, Shape: draw.CircleGlyph{}}
	p.Add(dots)
	return nil
}

// Panel is one of several plots that are drawn side by side.
type Panel struct {
	Title  string
	Points *dataset.Points
}

// Panels draws sets of points side by side on the same axes, which fit the last set.
func Panels(w io.Writer, panels []Panel) error {
	if len(panels) == 0 {
		return fmt.Errorf("preview: no panels to draw")
	}
	last := panels[len(panels)-1].Points
	low, high := make([]float64, min(2, last.D)), make([]float64, min(2, last.D))
	for k := range low {
		low[k], high[k] = axis(last, k)
	}
	columns := min(panelColumns, len(panels))
	plots := make([][]*plot.Plot, (len(panels)+columns-1)/columns)
	for i := range plots {
		plots[i] = make([]*plot.Plot, columns)
	}
	for i, panel := range panels {
		p := plot.New()
		p.Title.Text = panel.Title
		if err := addPoints(p, panel.Points); err != nil {
			return fmt.Errorf("preview: panel %q: %w", panel.Title, err)
		}
		p.X.Min, p.X.Max = low[0], high[0]
		if last.D > 1 {
			p.Y.Min, p.Y.Max = low[1], high[1]
		}
		plots[i/columns][i%columns] = p
	}
	canvas := vgimg.New(panelSide*vg.Length(columns), panelSide*vg.Length(len(plots)))
	tiles := draw.Tiles{
		Rows: len(plots), Cols: columns,
		PadX: 3 * vg.Millimeter, PadY: 3 * vg.Millimeter,
		PadTop: vg.Millimeter, PadLeft: vg.Millimeter, PadRight: 2 * vg.Millimeter,
	}
	for i, row := range plot.Align(plots, tiles, draw.New(canvas)) {
		for j, c := range row {
			if p := plots[i][j]; p != nil {
				p.Draw(c)
			}
		}
	}
	return encode(w, canvas.Image(), png.DefaultCompression)
}

// axis returns the lower and upper end of the axis for coordinate k.
func axis(s *dataset.Points, k int) (low, high float64) {
	v := make([]float64, s.N)
	for i := range v {
		v[i] = float64(s.Point(i)[k])
	}
	slices.Sort(v)
	last := float64(len(v) - 1)
	low, high = v[int(axisLow*last)], v[int(math.Ceil(axisHigh*last))]
	pad := 0.15 * (high - low)
	if !(pad > 0) {
		pad = 1
	}
	return low - pad, high + pad
}

// Paths draws several paths in the plane of the first two coordinates, each from a small dot to a large one. In one
// dimension, it draws the coordinate against the position on the path.
//
//	x: [paths, points, d]
func Paths(w io.Writer, title string, x []float32, paths, points, d int) error {
	if paths < 1 || points < 2 || len(x) != paths*points*d {
		return fmt.Errorf("preview: %d values for %d paths of %d points of dimension %d", len(x), paths, points, d)
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "x1", "x2"
	if d == 1 {
		p.X.Label.Text, p.Y.Label.Text = "point of the path", "x1"
	}
	for k := range paths {
		if err := addPath(p, x[k*points*d:(k+1)*points*d], d, palette[k%len(palette)]); err != nil {
			return fmt.Errorf("preview: path %d: %w", k, err)
		}
	}
	return encodePlot(w, p)
}

func addPath(p *plot.Plot, x []float32, d int, c color.Color) error {
	xy := make(plotter.XYs, len(x)/d)
	for i := range xy {
		xy[i] = plotter.XY{X: float64(i), Y: float64(x[i*d])}
		if d > 1 {
			xy[i] = plotter.XY{X: float64(x[i*d]), Y: float64(x[i*d+1])}
		}
	}
	line, err := plotter.NewLine(xy)
	if err != nil {
		return err
	}
	line.Color, line.Width = c, vg.Points(0.8)
	p.Add(line)
	if err := addDots(p, xy[:1], c, vg.Points(1.2)); err != nil {
		return err
	}
	return addDots(p, xy[len(xy)-1:], c, vg.Points(2.6))
}

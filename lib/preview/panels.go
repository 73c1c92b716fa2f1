package preview

import (
	"fmt"
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

// Panel is one of several plots of points that are to be compared.
type Panel struct {
	Title  string
	Points *dataset.Points
}

const (
	panelSide = 5 * vg.Centimeter
	panelCols = 5
	// Coordinates beyond these quantiles do not widen the axes: a few samples far out would leave nothing to see of
	// the others.
	axisLow, axisHigh = 0.005, 0.995
)

// Panels draws sets of points side by side on the same axes, which fit those of the last panel.
func Panels(w io.Writer, panels []Panel) error {
	if len(panels) == 0 {
		return fmt.Errorf("preview: no panels to draw")
	}
	last := panels[len(panels)-1].Points
	lo, hi := make([]float64, min(2, last.D)), make([]float64, min(2, last.D))
	for k := range lo {
		lo[k], hi[k] = spread(last, k)
	}
	cols := min(panelCols, len(panels))
	plots := make([][]*plot.Plot, (len(panels)+cols-1)/cols)
	for i := range plots {
		plots[i] = make([]*plot.Plot, cols)
	}
	for i, panel := range panels {
		p := plot.New()
		p.Title.Text = panel.Title
		s := panel.Points
		n := min(s.N, previewPoints)
		var err error
		if s.D == 1 {
			err = addHistogram(p, s, n)
		} else {
			err = addScatter(p, s, n)
			p.Y.Min, p.Y.Max = lo[1], hi[1]
		}
		if err != nil {
			return fmt.Errorf("preview: panel %q: %w", panel.Title, err)
		}
		p.X.Min, p.X.Max = lo[0], hi[0]
		plots[i/cols][i%cols] = p
	}
	canvas := vgimg.New(panelSide*vg.Length(cols), panelSide*vg.Length(len(plots)))
	tiles := draw.Tiles{Rows: len(plots), Cols: cols, PadX: 3 * vg.Millimeter, PadY: 3 * vg.Millimeter, PadTop: vg.Millimeter, PadLeft: vg.Millimeter, PadRight: 2 * vg.Millimeter}
	for i, row := range plot.Align(plots, tiles, draw.New(canvas)) {
		for j, c := range row {
			if p := plots[i][j]; p != nil {
				p.Draw(c)
			}
		}
	}
	return encode(w, canvas)
}

// spread is where the axis of coordinate k of points ends.
func spread(s *dataset.Points, k int) (lo, hi float64) {
	v := make([]float64, s.N)
	for i := range v {
		v[i] = float64(s.X[i*s.D+k])
	}
	slices.Sort(v)
	lo, hi = v[int(axisLow*float64(len(v)-1))], v[int(math.Ceil(axisHigh*float64(len(v)-1)))]
	pad := 0.15 * (hi - lo)
	if !(pad > 0) {
		pad = 1
	}
	return lo - pad, hi + pad
}

// Paths draws the way of each of several points through the plane of its first two coordinates, from a small dot to a
// large one; in one dimension over the path's course.
//
//	x: [paths, points, d]
func Paths(w io.Writer, title string, x []float32, paths, points, d int) error {
	if paths < 1 || points < 2 || len(x) != paths*points*d {
		return fmt.Errorf("preview: %d numbers for %d paths of %d points of dimension %d", len(x), paths, points, d)
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "x1", "x2"
	if d == 1 {
		p.X.Label.Text, p.Y.Label.Text = "point of the path", "x1"
	}
	for k := range paths {
		xy := make(plotter.XYs, points)
		for i := range xy {
			at := x[(k*points+i)*d:]
			xy[i] = plotter.XY{X: float64(i), Y: float64(at[0])}
			if d > 1 {
				xy[i] = plotter.XY{X: float64(at[0]), Y: float64(at[1])}
			}
		}
		line, err := plotter.NewLine(xy)
		if err != nil {
			return fmt.Errorf("preview: path %d: %w", k, err)
		}
		line.Color, line.Width = labelColours[k%len(labelColours)], vg.Points(0.8)
		p.Add(line)
		for end, radius := range []vg.Length{vg.Points(1.2), vg.Points(2.6)} {
			i := end * (points - 1)
			dot, err := plotter.NewScatter(xy[i : i+1])
			if err != nil {
				return fmt.Errorf("preview: path %d: %w", k, err)
			}
			dot.GlyphStyle = draw.GlyphStyle{Color: line.Color, Radius: radius, Shape: draw.CircleGlyph{}}
			p.Add(dot)
		}
	}
	canvas := vgimg.New(previewSide, previewSide)
	p.Draw(draw.New(canvas))
	return encode(w, canvas)
}

func encode(w io.Writer, canvas *vgimg.Canvas) error {
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("preview: encode: %w", err)
	}
	return nil
}

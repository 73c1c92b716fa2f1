package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A series is one curve. Its points are finite and sorted by x.
type series struct {
	name string
	xy   plotter.XYs
}

// newSeries returns a series with xy sorted by x.
func newSeries(name string, xy plotter.XYs) series {
	slices.SortStableFunc(xy, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
	return series{name, xy}
}

// maxPoints is the largest number of points in a curve. A long noisy curve is easier to read when averaged.
const maxPoints = 300

// downsample averages neighbouring points so that at most maxPoints remain.
func (s series) downsample() series {
	n := len(s.xy)
	if n <= maxPoints {
		return s
	}
	out := series{name: s.name, xy: make(plotter.XYs, 0, maxPoints)}
	for k := range maxPoints {
		lo, hi := k*n/maxPoints, (k+1)*n/maxPoints
		var x, y float64
		for _, p := range s.xy[lo:hi] {
			x += p.X / float64(hi-lo)
			y += p.Y / float64(hi-lo)
		}
		out.xy = append(out.xy, plotter.XY{X: x, Y: y})
	}
	return out
}

// readMetrics reads NDJSON in which each line is an object with the number "step" and other fields. It returns a series
// over the steps for every other numeric field, sorted by name, and the number of malformed lines.
func readMetrics(data []byte) (list []series, bad int) {
	by := map[string]plotter.XYs{}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var row map[string]any
		err := json.Unmarshal(line, &row)
		step, ok := row["step"].(float64)
		if err != nil || !ok {
			bad++
			continue
		}
		for name, v := range row {
			if y, ok := v.(float64); ok && name != "step" && drawable(step) && drawable(y) {
				by[name] = append(by[name], plotter.XY{X: step, Y: y})
			}
		}
	}
	for _, name := range sorted(by) {
		list = append(list, newSeries(name, by[name]))
	}
	return list, bad
}

// drawable reports whether v is small enough that computing axes cannot overflow.
func drawable(v float64) bool { return math.Abs(v) < 1e100 } // also false for NaN

// A moment is an entry of results.timeline in the manifest of a training run.
type moment struct {
	Step       float64            `json:"step"`
	Seconds    float64            `json:"seconds"`
	FieldError map[string]float64 `json:"field_error"`
}

// timelineSeries returns a curve of the field error over training seconds for each time t of the flow.
func timelineSeries(timeline []moment) []series {
	by := map[string]plotter.XYs{}
	for _, m := range timeline {
		for t, e := range m.FieldError {
			if drawable(m.Seconds) && drawable(e) {
				by[t] = append(by[t], plotter.XY{X: m.Seconds, Y: e})
			}
		}
	}
	var out []series
	for _, t := range sorted(by) {
		out = append(out, newSeries("t = "+t, by[t]))
	}
	return out
}

// A chart is a set of curves that share their axes.
type chart struct {
	x, y       string
	list       []series
	yMin, yMax float64 // range of the y axis; if both are 0, it follows the data
	linear     bool    // the y axis must not be logarithmic
}

// A legendEntry names a curve. Legends are part of the HTML page and not of the SVG drawing, so that they use the
// page's font.
type legendEntry struct {
	Name string
	Pen  int // number of the curve's colour in the page, from 1
}

func (c chart) legend() []legendEntry {
	var out []legendEntry
	for _, s := range c.list {
		if len(s.xy) > 0 {
			out = append(out, legendEntry{s.name, len(out)%len(pens) + 1})
		}
	}
	if len(out) == 1 {
		return nil
	}
	return out
}

// The drawing library writes these colours as placeholders, which toVariables replaces with the page's CSS variables.
// The SVG then follows light and dark mode.
var (
	ink  = color.RGBA{1, 2, 3, 255}
	rule = color.RGBA{1, 2, 4, 255}
	pens = []color.RGBA{{1, 3, 1, 255}, {1, 3, 2, 255}, {1, 3, 3, 255}, {1, 3, 4, 255}, {1, 3, 5, 255}, {1, 3, 6, 255}}
)

var toVariables = func() *strings.Replacer {
	pairs := []string{"#010203", "var(--muted)", "#010204", "var(--rule)"}
	for i := range pens {
		pairs = append(pairs, fmt.Sprintf("#01030%d", i+1), fmt.Sprintf("var(--pen%d)", i+1))
	}
	return strings.NewReplacer(pairs...)
}()

// svg draws the chart. It returns "" if there is nothing to draw.
func (c chart) svg() (template.HTML, error) {
	p := plot.New()
	p.BackgroundColor = nil
	sans := func(size float64) font.Font {
		return font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	var drawn []series
	for _, s := range c.list {
		if len(s.xy) == 0 {
			continue
		}
		s = s.downsample()
		for _, v := range s.xy {
			lo, hi = math.Min(lo, v.Y), math.Max(hi, v.Y)
		}
		drawn = append(drawn, s)
	}
	if len(drawn) == 0 {
		return "", nil
	}
	if c.yMin != 0 || c.yMax != 0 {
		lo, hi = c.yMin, c.yMax
	}
	logarithmic := !c.linear && lo > 0 && hi/lo > 6
	if !logarithmic {
		pad := (hi - lo) * 0.06
		if pad == 0 {
			pad = math.Max(math.Abs(hi)*0.1, 1e-3)
		}
		if lo >= 0 {
			lo = math.Max(0, lo-pad)
		} else {
			lo -= pad
		}
		hi += pad
	} else {
		lo, hi = lo/1.12, hi*1.12
		p.Y.Scale = plot.LogScale{}
		p.Y.Tick.Marker = logTicks{}
	}

	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color = rule
	grid.Horizontal.Width = vg.Points(0.6)
	p.Add(grid)
	for i, s := range drawn {
		line, err := plotter.NewLine(s.xy)
		if err != nil {
			return "", fmt.Errorf("curve %q: %w", s.name, err)
		}
		line.Color = pens[i%len(pens)]
		line.Width = vg.Points(1.6)
		if i >= len(pens) {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
		}
		p.Add(line)
		if len(s.xy) == 1 {
			dot, err := plotter.NewScatter(s.xy)
			if err != nil {
				return "", fmt.Errorf("curve %q: %w", s.name, err)
			}
			dot.Color, dot.Shape, dot.Radius = line.Color, draw.CircleGlyph{}, vg.Points(2)
			p.Add(dot)
		}
	}
	p.Y.Min, p.Y.Max = lo, hi
	if p.X.Min == p.X.Max {
		p.X.Min, p.X.Max = p.X.Min-1, p.X.Max+1
	}
	p.X.Label.Text, p.Y.Label.Text = c.x, c.y
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Color, a.Label.TextStyle.Font = ink, sans(9.5)
		a.Label.Padding = vg.Points(3)
		a.Tick.Label.Color, a.Tick.Label.Font = ink, sans(9)
		a.LineStyle.Color, a.LineStyle.Width = rule, vg.Points(0.8)
		a.Tick.LineStyle.Color, a.Tick.LineStyle.Width = rule, vg.Points(0.8)
		a.Tick.Length = vg.Points(3)
		a.Padding = vg.Points(2)
	}
	p.Y.LineStyle.Width = 0
	p.Y.Tick.Length = 0
	if !logarithmic {
		p.Y.Tick.Marker = plainTicks{}
	}
	p.X.Tick.Marker = plainTicks{}

	canvas := vgsvg.NewWith(vgsvg.UseWH(vg.Points(430), vg.Points(230)))
	// Leave space on the right for half of the last tick's label.
	p.Draw(draw.Crop(draw.New(canvas), 0, -vg.Points(12), 0, -vg.Points(4)))
	var buf bytes.Buffer
	if _, err := canvas.WriteTo(&buf); err != nil {
		return "", fmt.Errorf("draw curves: %w", err)
	}
	text := buf.String()
	i := strings.Index(text, "<svg")
	if i < 0 {
		return "", fmt.Errorf("draw curves: the drawing is not SVG")
	}
	// This is safe because vgsvg escapes names in the drawing, as a test verifies.
	return template.HTML(toVariables.Replace(text[i:])), nil
}

// plainTicks marks about five round numbers on a linear axis.
type plainTicks struct{}

func (plainTicks) Ticks(lo, hi float64) []plot.Tick {
	rough := (hi - lo) / 5
	unit := math.Pow(10, math.Floor(math.Log10(rough)))
	step := 10 * unit
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*unit >= rough*0.999 {
			step = m * unit
			break
		}
	}
	var out []plot.Tick
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi+1e-9*step && len(out) < 20; k++ {
		// Multiples of a decimal step are inexact, so place the tick at the value that its label shows.
		v, err := strconv.ParseFloat(strconv.FormatFloat(k*step, 'g', 8, 64), 64)
		if err != nil {
			break
		}
		out = append(out, plot.Tick{Value: v, Label: number(v)})
	}
	return out
}

// logTicks marks 1, 2 and 5 of each decade, or only powers of ten if there are many decades.
type logTicks struct{}

func (logTicks) Ticks(lo, hi float64) []plot.Tick {
	decades := math.Log10(hi / lo)
	var out []plot.Tick
	skip := int(math.Ceil(decades / 8))
	for e := int(math.Floor(math.Log10(lo))); e <= int(math.Ceil(math.Log10(hi))); e++ {
		for _, m := range []float64{1, 2, 5} {
			// Parsing avoids the rounding errors of a multiplication, which labels would show.
			v, err := strconv.ParseFloat(fmt.Sprintf("%ge%d", m, e), 64)
			if err != nil || v < lo || v > hi || (m != 1 && decades > 2.5) || (skip > 1 && e%skip != 0) {
				continue
			}
			out = append(out, plot.Tick{Value: v, Label: number(v)})
		}
	}
	return out
}

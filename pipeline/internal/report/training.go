package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"vapo/lib/contract"

	"gonum.org/v1/plot/plotter"
)

// metricKinds are the kinds of metrics that are drawn, each in a plot of its own, in this order.
var metricKinds = []struct {
	heading, axis string
	linear        bool
	is            func(name string) bool
}{
	{"Loss", "loss", false, func(name string) bool { return strings.Contains(name, "loss") }},
	{"Gradient norm", "norm", false, func(name string) bool { return strings.Contains(name, "grad_norm") }},
	{"Score", "score", false, func(name string) bool { return name == "score" }},
	{"Accuracy", "accuracy", true, func(name string) bool { return strings.Contains(name, "accuracy") }},
}

// draw appends the chart to `to`, unless the chart is empty.
func (p *page) draw(to *[]curve, heading, caption string, c chart) error {
	svg, err := c.svg()
	if err != nil || svg == "" {
		return err
	}
	*to = append(*to, curve{Title: heading, Caption: caption, Legend: c.legend(), SVG: svg})
	return nil
}

func (p *page) curves(steps []Step, manifests []manifest) error {
	for i, s := range steps {
		for _, o := range s.Outputs {
			if o.Media != contract.MediaNDJSON || len(o.Data) == 0 {
				continue
			}
			all, bad := readMetrics(o.Data)
			if bad > 0 {
				p.warn(s.Name, fmt.Sprintf("output %s: %d lines are not numbers for a step and are left out of its curves",
					o.Name, bad))
			}
			for _, kind := range metricKinds {
				var list []series
				for _, c := range all {
					if kind.is(strings.ToLower(c.name)) && len(c.xy) > 1 {
						list = append(list, c)
					}
				}
				caption := "step " + s.Name
				if m := valueOf[string](manifests[i].Results["score_metric"]); m != "" && kind.heading == "Score" {
					caption += ": " + m + ", " + against(valueOf[[]float64](manifests[i].Results["score_n"])) +
						", measured during training"
				}
				if err := p.draw(&p.Curves, kind.heading, caption, chart{x: "optimiser step", y: kind.axis, list: list,
					linear: kind.linear}); err != nil {
					return err
				}
			}
			for _, q := range binSeries(o.Data) {
				if err := p.draw(&p.Curves, q.title(), "step "+s.Name+", for bins of the time t",
					chart{x: "optimiser step", y: q.name, list: q.list}); err != nil {
					return err
				}
			}
		}
	}
	// All error curves share one range, so that they can be compared.
	type timed struct {
		step Step
		list []series
	}
	var all []timed
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, s := range steps {
		var timeline []moment
		if raw := manifests[i].Results["timeline"]; len(raw) == 0 || json.Unmarshal(raw, &timeline) != nil {
			continue
		}
		list := timelineSeries(timeline)
		for _, c := range list {
			for _, v := range c.xy {
				lo, hi = math.Min(lo, v.Y), math.Max(hi, v.Y)
			}
		}
		if len(list) > 0 {
			all = append(all, timed{s, list})
		}
	}
	for _, t := range all {
		if err := p.draw(&p.Curves, "Error of the field over time",
			"step "+t.step.Name+": grad Φ against the closed form, relative RMS at points on the path",
			chart{x: "seconds of training", y: "relative RMS error", list: t.list, yMin: lo, yMax: hi}); err != nil {
			return err
		}
	}
	return nil
}

// maxBins is the largest number of curves in a plot of bins. If there are more bins, only every second, third, … bin is
// drawn.
const maxBins = 10

// binned is a quantity that training measures in bins of the time t of the path, with one curve for each bin.
type binned struct {
	name string
	list []series
}

func (b binned) title() string { return title(b.name) + " by time" }

// binSeries returns the curves of every quantity that lines of metrics report for bins of the time t, sorted by name.
// The list "bins" in a line has the ends of each bin and several quantities. The list "gradient_variance" has one more
// quantity for the same bins. A bin without samples adds no point.
func binSeries(data []byte) []binned {
	by := map[string]map[int]plotter.XYs{} // points by quantity and bin
	labels := map[int]string{}
	most := 0
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		var row struct {
			Step     *float64         `json:"step"`
			Bins     []map[string]any `json:"bins"`
			Variance []map[string]any `json:"gradient_variance"`
		}
		if json.Unmarshal(line, &row) != nil || row.Step == nil || !drawable(*row.Step) {
			continue
		}
		add := func(name string, bin int, v any) {
			if y, ok := v.(float64); ok && drawable(y) {
				if by[name] == nil {
					by[name] = map[int]plotter.XYs{}
				}
				by[name][bin] = append(by[name][bin], plotter.XY{X: *row.Step, Y: y})
			}
		}
		most = max(most, len(row.Bins), len(row.Variance))
		for i, b := range row.Variance {
			add("gradient_variance", i, b["variance"])
		}
		for i, b := range row.Bins {
			if b["count"] == 0.0 {
				continue
			}
			lo, ok := b["from"].(float64)
			hi, also := b["to"].(float64)
			if ok && also {
				labels[i] = number(lo) + " to " + number(hi)
			}
			for name, v := range b {
				if !slices.Contains(notQuantities, name) {
					add(name, i, v)
				}
			}
		}
	}
	var out []binned
	stride := max(1, (most+maxBins-1)/maxBins)
	for _, name := range sorted(by) {
		q := binned{name: name}
		for i := 0; i < most; i += stride {
			if xy := by[name][i]; len(xy) > 1 {
				q.list = append(q.list, newSeries(cmp.Or(labels[i], fmt.Sprint(i)), xy))
			}
		}
		out = append(out, q)
	}
	return out
}

// notQuantities are the fields of a bin that do not hold a quantity.
var notQuantities = []string{"from", "to", "count", "nonfinite"}

// valueOf decodes a value, or returns the zero value if it is missing or malformed.
func valueOf[T any](raw json.RawMessage) (v T) {
	if json.Unmarshal(raw, &v) != nil {
		return *new(T)
	}
	return v
}

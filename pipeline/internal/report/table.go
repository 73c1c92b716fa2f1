package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/plotter"
)

// textTable is a table of text cells, as the page shows it.
type textTable struct {
	Heads []string
	Rows  [][]string
}

// table renders the comparison as text, leaving out empty columns.
func (c *Comparison) table() textTable {
	var t textTable
	t.Rows = make([][]string, len(c.Rows))
	column := func(head string, cell func(r Compared) string) {
		cells := make([]string, len(c.Rows))
		for i, r := range c.Rows {
			cells[i] = cell(r)
		}
		if !slices.ContainsFunc(cells, func(s string) bool { return s != "" }) {
			return
		}
		t.Heads = append(t.Heads, head)
		for i := range t.Rows {
			t.Rows[i] = append(t.Rows[i], cells[i])
		}
	}
	column("step", func(r Compared) string { return r.Step })
	for _, name := range c.Facts {
		column(name, func(r Compared) string {
			v, ok := r.Facts[name]
			if !ok {
				return ""
			}
			return value(v)
		})
	}
	column("value", func(r Compared) string { return number(r.Value) })
	column("95 % interval", func(r Compared) string {
		if len(r.Interval) != 2 {
			return ""
		}
		return number(r.Interval[0]) + " to " + number(r.Interval[1])
	})
	column("test loss", func(r Compared) string {
		if r.TestLoss == 0 {
			return ""
		}
		return number(r.TestLoss)
	})
	costs := map[string]bool{}
	for _, r := range c.Rows {
		for name := range r.Costs {
			costs[name] = true
		}
	}
	for _, name := range sorted(costs) {
		column(name, func(r Compared) string {
			if v, ok := r.Costs[name]; ok {
				return number(v)
			}
			return ""
		})
	}
	column("metric", func(r Compared) string { return r.Metric })
	column("N", func(r Compared) string { return against(r.N) })
	column("reference", func(r Compared) string { return r.Reference })
	column("features", func(r Compared) string { return shortFeatures(r.Features) })
	column("gradient variance", func(r Compared) string { return variance(r.GradientVariance) })
	return t
}

// shortFeatures shortens the digest in the description of a feature network.
func shortFeatures(s string) string {
	name, digest, ok := strings.Cut(s, " sha256:")
	if !ok {
		return s
	}
	return name + " " + shortDigest(digest)
}

// variance renders the range of the gradient's variance over all bins of {"bins": [{"variance": …}, …]}.
func variance(v any) string {
	measured, _ := v.(map[string]any)
	bins, _ := measured["bins"].([]any)
	var all []float64
	for _, b := range bins {
		bin, _ := b.(map[string]any)
		if x, ok := bin["variance"].(float64); ok {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return number(slices.Min(all)) + " to " + number(slices.Max(all))
}

// inCell escapes text so that it stays within one cell of a Markdown table.
var inCell = strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ")

// WriteMarkdown writes each comparison as a Markdown table.
func WriteMarkdown(w io.Writer, all []*Comparison) error {
	var b strings.Builder
	line := func(cells []string) {
		for _, cell := range cells {
			b.WriteString("| " + inCell.Replace(cell) + " ")
		}
		b.WriteString("|\n")
	}
	for i, c := range all {
		if i > 0 {
			b.WriteString("\n")
		}
		t := c.table()
		line(t.Heads)
		line(slices.Repeat([]string{"---"}, len(t.Heads)))
		for _, r := range t.Rows {
			line(r)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes comparisons as a JSON list. Values are not rounded.
func WriteJSON(w io.Writer, all []*Comparison) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(all); err != nil {
		return fmt.Errorf("comparison of scores: %w", err)
	}
	return nil
}

// maxFactCurves is the largest number of parameters over which scores are drawn.
const maxFactCurves = 3

// compare shows two or more scores as a table. It also draws the scores over each numeric fact with at least three
// values, with one curve for each combination of the other facts.
func (p *page) compare(c *Comparison) error {
	if len(c.Rows) < 2 {
		return nil
	}
	p.Compared = append(p.Compared, c.table())
	for _, fact := range c.Facts {
		var names []string
		by := map[string]plotter.XYs{}
		values := map[float64]bool{}
		for _, r := range c.Rows {
			x, ok := coordinate(r.Facts[fact])
			if !ok || !drawable(x) || !drawable(r.Value) {
				continue
			}
			values[x] = true
			name := c.others(r, fact)
			if by[name] == nil {
				names = append(names, name)
			}
			by[name] = append(by[name], plotter.XY{X: x, Y: r.Value})
		}
		if len(values) < 3 || len(p.ScoreCurves) == maxFactCurves {
			continue
		}
		var list []series
		for _, name := range names {
			if len(by[name]) > 1 {
				list = append(list, newSeries(name, by[name]))
			}
		}
		if err := p.draw(&p.ScoreCurves, "Score over "+fact, "", chart{x: fact, y: "score", list: list}); err != nil {
			return err
		}
	}
	return nil
}

// coordinate returns the number at which a fact is drawn: its value, or the length of an average such as std:0.07.
func coordinate(v any) (float64, bool) {
	if s, ok := v.(string); ok {
		length, ok := strings.CutPrefix(s, "std:")
		x, err := strconv.ParseFloat(length, 64)
		return x, ok && err == nil
	}
	x, ok := v.(float64)
	return x, ok
}

// others describes all facts of a row except the given one.
func (c *Comparison) others(r Compared, fact string) string {
	parts := []string{}
	for _, name := range c.Facts {
		if v, ok := r.Facts[name]; ok && name != fact {
			parts = append(parts, name+" "+value(v))
		}
	}
	return strings.Join(parts, ", ")
}

package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
)

// Comparison is scores of a run side by side that can be compared, being of one metric, reference and feature network: one
// row an evaluation, with what sets its samples and their potential apart from those of the other rows.
type Comparison struct {
	// Facts are the parameters that are not the same in all rows that have them, named by their stage ("train
	// objective"), those of train before those of sample and eval.
	Facts []string   `json:"facts"`
	Rows  []Compared `json:"rows"`
}

// Compared is one row.
type Compared struct {
	Step      string         `json:"step"`
	Facts     map[string]any `json:"facts"` // by name, as the manifests have them; one that a row lacks is absent
	Metric    string         `json:"metric"`
	Value     float64        `json:"value"`
	Interval  []float64      `json:"interval,omitempty"` // low, high
	N         []float64      `json:"n,omitempty"`        // samples, reference
	Reference string         `json:"reference,omitempty"`
	Features  string         `json:"features,omitempty"`
	// GradientVariance is what the training measured, in the form its manifest has it.
	GradientVariance any `json:"gradient_variance,omitempty"`
}

// chain is the order in which an evaluation is followed back: to the samples it measures, and to the potential they were
// drawn from.
var chain = []string{"train", "sample", "eval"}

// aside are parameters that change neither samples nor score: what is logged, kept or drawn beside.
var aside = []string{
	"train log-every", "train field-every", "train checkpoint-every", "train variance-every", "train variance-batches", "train data-cache", "train preset", "train sample-every", "train sample-steps", "train score-n", "train score-reference", "train score-tap",
	"sample batch", "sample trajectories", "sample interpolate", "eval panel", "eval neighbours", "eval compared", "eval keep-features",
}

// Compare lists the scores of steps, those that can be compared together, in the order of the steps. What a step's
// manifest or score does not say is left out.
func Compare(steps []Step) []*Comparison {
	manifests := make([]manifest, len(steps))
	for i, s := range steps {
		if len(s.Manifest) > 0 && json.Unmarshal(s.Manifest, &manifests[i]) != nil {
			manifests[i] = manifest{}
		}
	}
	return compare(steps, manifests)
}

func compare(steps []Step, manifests []manifest) []*Comparison {
	all := []*Comparison{}
	needs := resolveNeeds(steps)
	for i, s := range steps {
		f, ok := readScore(s)
		if !ok {
			continue
		}
		row := Compared{
			Step: s.Name, Facts: map[string]any{}, Metric: f.Metric, Value: *f.Value, Interval: f.interval(), N: f.counts(), Reference: f.Reference, Features: f.Features,
		}
		at := i
		for k := len(chain) - 1; k >= 0 && at >= 0; k-- {
			if k < len(chain)-1 {
				before := slices.IndexFunc(needs[at], func(j int) bool { return steps[j].Stage == chain[k] })
				if before < 0 {
					break
				}
				at = needs[at][before]
			}
			for name, v := range manifests[at].Params {
				if fact := chain[k] + " " + name; !slices.Contains(aside, fact) {
					row.Facts[fact] = v
				}
			}
			if raw := manifests[at].Results["gradient_variance"]; chain[k] == "train" && len(raw) > 0 {
				if json.Unmarshal(raw, &row.GradientVariance) != nil {
					row.GradientVariance = nil
				}
			}
		}
		k := slices.IndexFunc(all, func(c *Comparison) bool { return c.Rows[0].comparable(row) })
		if k < 0 {
			k = len(all)
			all = append(all, &Comparison{Facts: []string{}})
		}
		all[k].Rows = append(all[k].Rows, row)
	}
	for _, c := range all {
		c.keepDifferent()
	}
	return all
}

// comparable reports whether the values of two rows mean the same.
func (r Compared) comparable(o Compared) bool {
	return r.Metric == o.Metric && r.Reference == o.Reference && r.Features == o.Features
}

// keepDifferent drops the facts that are the same in all rows that have them: where real images are scored beside samples,
// what samples have in common sets nothing apart.
func (c *Comparison) keepDifferent() {
	all := map[string]bool{}
	for _, r := range c.Rows {
		for name := range r.Facts {
			all[name] = true
		}
	}
	for _, name := range sorted(all) {
		values := map[string]bool{}
		for _, r := range c.Rows {
			if v, ok := r.Facts[name]; ok {
				values[value(v)] = true
			}
		}
		if len(values) == 1 {
			for _, r := range c.Rows {
				delete(r.Facts, name)
			}
			continue
		}
		c.Facts = append(c.Facts, name)
	}
	slices.SortStableFunc(c.Facts, func(a, b string) int { return stageOrder(a) - stageOrder(b) })
}

func stageOrder(fact string) int {
	stage, _, _ := strings.Cut(fact, " ")
	return slices.Index(chain, stage)
}

// table is the comparison as text: columns that no row has anything in are left out.
func (c *Comparison) table() (heads []string, rows [][]string) {
	type column struct {
		head string
		cell func(r Compared) string
	}
	columns := []column{{"step", func(r Compared) string { return r.Step }}}
	for _, name := range c.Facts {
		columns = append(columns, column{name, func(r Compared) string {
			v, ok := r.Facts[name]
			if !ok {
				return ""
			}
			return value(v)
		}})
	}
	columns = append(columns,
		column{"value", func(r Compared) string { return number(r.Value) }},
		column{"95 % interval", func(r Compared) string {
			if len(r.Interval) != 2 {
				return ""
			}
			return number(r.Interval[0]) + " to " + number(r.Interval[1])
		}},
		column{"metric", func(r Compared) string { return r.Metric }},
		column{"N", func(r Compared) string { return against(r.N) }},
		column{"reference", func(r Compared) string { return r.Reference }},
		column{"features", func(r Compared) string { return shortFeatures(r.Features) }},
		column{"gradient variance", func(r Compared) string { return variance(r.GradientVariance) }},
	)
	rows = make([][]string, len(c.Rows))
	for _, col := range columns {
		cells, any := make([]string, len(c.Rows)), false
		for i, r := range c.Rows {
			cells[i] = col.cell(r)
			any = any || cells[i] != ""
		}
		if !any {
			continue
		}
		heads = append(heads, col.head)
		for i := range rows {
			rows[i] = append(rows[i], cells[i])
		}
	}
	return heads, rows
}

// shortFeatures keeps of the digest in the name of features what tells it from others.
func shortFeatures(s string) string {
	name, digest, ok := strings.Cut(s, " sha256:")
	if !ok {
		return s
	}
	return name + " " + shortDigest(digest)
}

// variance writes what a training measured: one number, or numbers or objects with a field "variance" by bins of time,
// of which the least and the largest are told.
func variance(v any) string {
	if m, ok := v.(map[string]any); ok {
		if inner, ok := m["variance"]; ok {
			v = inner
		} else if inner, ok := m["bins"]; ok {
			v = inner
		}
	}
	list, ok := v.([]any)
	if !ok {
		if x, ok := v.(float64); ok {
			return number(x)
		}
		return ""
	}
	var all []float64
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			e = m["variance"]
		}
		if x, ok := e.(float64); ok {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return number(slices.Min(all)) + " to " + number(slices.Max(all))
}

// WriteMarkdown writes comparisons as tables, one after the other.
func WriteMarkdown(w io.Writer, all []*Comparison) error {
	for i, c := range all {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if err := c.writeMarkdown(w); err != nil {
			return err
		}
	}
	return nil
}

func (c *Comparison) writeMarkdown(w io.Writer) error {
	heads, rows := c.table()
	line := func(cells []string) string {
		var b strings.Builder
		for _, cell := range cells {
			b.WriteString("| " + inCell.Replace(cell) + " ")
		}
		return b.String() + "|\n"
	}
	rule := make([]string, len(heads))
	for i := range rule {
		rule[i] = "---"
	}
	text := line(heads) + line(rule)
	for _, r := range rows {
		text += line(r)
	}
	_, err := io.WriteString(w, text)
	return err
}

// inCell keeps text within a cell of a Markdown table.
var inCell = strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ")

// WriteJSON writes comparisons, a list of them, with their values as they are.
func WriteJSON(w io.Writer, all []*Comparison) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(all); err != nil {
		return fmt.Errorf("comparison of scores: %w", err)
	}
	return nil
}

// textTable is a table as the page shows it.
type textTable struct {
	Heads []string
	Rows  [][]string
}

// maxFactCurves bounds how many parameters scores are drawn over.
const maxFactCurves = 3

// compare shows scores side by side where there are several: as a table, and over each number among the facts that has
// three values or more, with a curve for each combination of the other facts.
func (p *page) compare(c *Comparison) error {
	if len(c.Rows) < 2 {
		return nil
	}
	heads, rows := c.table()
	p.Compared = append(p.Compared, textTable{heads, rows})
	for _, fact := range c.Facts {
		var names []string
		by := map[string]plotter.XYs{}
		values := map[float64]bool{}
		for _, r := range c.Rows {
			x, ok := r.Facts[fact].(float64)
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
			xy := by[name]
			slices.SortStableFunc(xy, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
			if len(xy) > 1 {
				list = append(list, series{name, xy})
			}
		}
		if err := p.draw(&p.ScoreCurves, "Score over "+fact, "", chart{x: fact, y: "score", list: list}); err != nil {
			return err
		}
	}
	return nil
}

// others names what is different about a row apart from one fact.
func (c *Comparison) others(r Compared, fact string) string {
	parts := []string{}
	for _, name := range c.Facts {
		if v, ok := r.Facts[name]; ok && name != fact {
			parts = append(parts, name+" "+value(v))
		}
	}
	return strings.Join(parts, ", ")
}

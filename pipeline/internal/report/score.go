package report

import (
	"encoding/json"
	"math"
	"sort"
	"strings"
)

// A score is the result of an evaluation with what makes it one.
type score struct {
	Step, Headline, Metric, Value string
	Facts                         []field // N, reference split, feature network, …
	Bars                          []bar
	Warnings                      []string
}

// A bar is one number of the comparison, ours or a baseline.
type bar struct {
	Name, Value string
	Percent     float64
	Ours        bool
}

// scoreFile is what an evaluation writes; fields beyond these are shown as facts.
type scoreFile struct {
	Headline  string             `json:"headline"`
	Metric    string             `json:"metric"`
	Value     *float64           `json:"value"`
	N         json.RawMessage    `json:"n"`
	Reference string             `json:"reference"`
	Features  string             `json:"features"`
	Baselines map[string]float64 `json:"baselines"`
	Warnings  []string           `json:"warnings"`
	Interval  json.RawMessage    `json:"interval"`
}

// readScore is the score of a step; false if it has none, or one that cannot be read.
func readScore(s Step) (f scoreFile, ok bool) {
	for _, o := range s.Outputs {
		if o.Name == "score" && o.Media == mediaJSON && len(o.Data) > 0 {
			return f, json.Unmarshal(o.Data, &f) == nil && f.Value != nil
		}
	}
	return f, false
}

// interval is low and high, or nil.
func (f scoreFile) interval() []float64 {
	var v struct{ Low, High *float64 }
	if json.Unmarshal(f.Interval, &v) != nil || v.Low == nil || v.High == nil {
		return nil
	}
	return []float64{*v.Low, *v.High}
}

// counts are the sizes of the two sets, or the one size that is told.
func (f scoreFile) counts() []float64 {
	var many []float64
	var one float64
	if json.Unmarshal(f.N, &many) == nil {
		return many
	}
	if len(f.N) > 0 && json.Unmarshal(f.N, &one) == nil {
		return []float64{one}
	}
	return nil
}

// score adds the step's score, if it has one: a JSON output named score.
func (p *page) score(s Step) {
	for _, o := range s.Outputs {
		if o.Name != "score" || o.Media != mediaJSON || len(o.Data) == 0 {
			continue
		}
		f, ok := readScore(s)
		var all map[string]any
		if !ok || json.Unmarshal(o.Data, &all) != nil {
			p.warn(s.Name, "output score is not what a score should be")
			continue
		}
		c := score{Step: s.Name, Headline: f.Headline, Metric: f.Metric, Value: number(*f.Value), Warnings: f.Warnings}
		if n := against(f.counts()); n != "" {
			c.Facts = append(c.Facts, field{"N", n})
		}
		if f.Reference != "" {
			c.Facts = append(c.Facts, field{"reference", f.Reference})
		}
		if f.Features != "" {
			c.Facts = append(c.Facts, field{"features", f.Features})
		}
		for _, k := range sorted(all) {
			switch k {
			case "headline", "metric", "value", "n", "reference", "features", "baselines", "warnings":
			default:
				c.Facts = append(c.Facts, field{strings.ReplaceAll(k, "_", " "), value(all[k])})
			}
		}
		c.Bars = bars(*f.Value, f.Baselines)
		for _, w := range f.Warnings {
			p.warn(s.Name, w)
		}
		p.Scores = append(p.Scores, c)
	}
}

// against writes the sizes of the two sets: "1000 against 60,000".
func against(n []float64) string {
	var parts []string
	for _, v := range n {
		parts = append(parts, number(v))
	}
	return strings.Join(parts, " against ")
}

// bars sorts ours among the baselines, smallest (nearest) first.
func bars(ours float64, baselines map[string]float64) []bar {
	if len(baselines) == 0 {
		return nil
	}
	type entry struct {
		name  string
		value float64
		ours  bool
	}
	list := []entry{{"these samples", ours, true}}
	for _, k := range sorted(baselines) {
		list = append(list, entry{k, baselines[k], false})
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].value < list[j].value })
	largest := 0.0
	for _, e := range list {
		largest = math.Max(largest, math.Abs(e.value))
	}
	var out []bar
	for _, e := range list {
		b := bar{Name: e.name, Value: number(e.value), Ours: e.ours}
		if largest > 0 {
			b.Percent = math.Max(0.4, math.Round(1000*math.Abs(e.value)/largest)/10)
		}
		out = append(out, b)
	}
	return out
}

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
}

// score adds the step's score, if it has one: a JSON output named score.
func (p *page) score(s Step) {
	for _, o := range s.Outputs {
		if o.Name != "score" || o.Media != mediaJSON || len(o.Data) == 0 {
			continue
		}
		var f scoreFile
		var all map[string]any
		if json.Unmarshal(o.Data, &f) != nil || json.Unmarshal(o.Data, &all) != nil || f.Value == nil {
			p.warn(s.Name, "output score is not what a score should be")
			continue
		}
		c := score{Step: s.Name, Headline: f.Headline, Metric: f.Metric, Value: number(*f.Value), Warnings: f.Warnings}
		if n := countText(f.N); n != "" {
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

// countText writes the sizes of the two sets: "1000 against 60,000".
func countText(raw json.RawMessage) string {
	var many []float64
	var one float64
	if json.Unmarshal(raw, &many) == nil {
		var parts []string
		for _, n := range many {
			parts = append(parts, number(n))
		}
		return strings.Join(parts, " against ")
	}
	if len(raw) > 0 && json.Unmarshal(raw, &one) == nil {
		return number(one)
	}
	return ""
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

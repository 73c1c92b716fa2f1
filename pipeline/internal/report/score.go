package report

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"vapo/lib/contract"
)

// A score is the result of an evaluation in the form in which the page shows it.
type score struct {
	Step, Headline, Metric, Value string
	Facts                         []field // such as N, reference and feature network
	Bars                          []bar
	Warnings                      []string
}

// A bar is one bar of the chart: the score or a baseline.
type bar struct {
	Name, Value string
	Percent     float64
	Ours        bool
}

// scoreFile is the JSON of a score. The page shows any other fields of the JSON as facts.
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

// scoreOf returns the output that is the step's score, and false if the step has no score.
func scoreOf(s Step) (Output, bool) {
	for _, o := range s.Outputs {
		if s.port(o.Name).Score && o.Media == contract.MediaJSON && len(o.Data) > 0 {
			return o, true
		}
	}
	return Output{}, false
}

// readScore reads the score of a step. ok is false if the score is missing or malformed.
func readScore(s Step) (f scoreFile, ok bool) {
	o, ok := scoreOf(s)
	return f, ok && json.Unmarshal(o.Data, &f) == nil && f.Value != nil
}

// interval returns the low and high ends of the interval, or nil if the score has none.
func (f scoreFile) interval() []float64 {
	var v struct{ Low, High *float64 }
	if json.Unmarshal(f.Interval, &v) != nil || v.Low == nil || v.High == nil {
		return nil
	}
	return []float64{*v.Low, *v.High}
}

// counts returns the sizes of the samples and the reference, or only one size if the score has only one.
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

// score adds the step's score to the page, if the step has one.
func (p *page) score(s Step) {
	o, has := scoreOf(s)
	if !has {
		return
	}
	f, ok := readScore(s)
	var all map[string]any
	if !ok || json.Unmarshal(o.Data, &all) != nil {
		p.warn(s.Name, "output "+o.Name+" is not a valid score")
		return
	}
	c := score{Step: s.Name, Headline: f.Headline, Metric: f.Metric, Value: number(*f.Value), Warnings: f.Warnings}
	for _, fact := range []field{{"N", against(f.counts())}, {"reference", f.Reference}, {"features", f.Features}} {
		if fact.Value != "" {
			c.Facts = append(c.Facts, fact)
		}
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

// against renders the sizes of two sets: "1000 against 60,000".
func against(n []float64) string {
	var parts []string
	for _, v := range n {
		parts = append(parts, number(v))
	}
	return strings.Join(parts, " against ")
}

// bars returns a bar for the score and one for each baseline, smallest (best) value first. It returns nil without
// baselines.
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
	largest := math.Abs(ours)
	for _, k := range sorted(baselines) {
		list = append(list, entry{k, baselines[k], false})
		largest = math.Max(largest, math.Abs(baselines[k]))
	}
	slices.SortStableFunc(list, func(a, b entry) int { return cmp.Compare(a.value, b.value) })
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

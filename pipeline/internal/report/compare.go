package report

import (
	"encoding/json"
	"slices"
	"strings"
)

// Comparison lists scores of a run that can be compared: of one metric, reference and feature network. Each row is a
// step with a score, with the parameters that distinguish it from the other rows.
type Comparison struct {
	// Facts are the parameters that differ between the rows that have them, named with their stage ("train objective"),
	// in the order in which the steps ran.
	Facts []string   `json:"facts"`
	Rows  []Compared `json:"rows"`
}

// Compared is one row of a comparison.
type Compared struct {
	Step      string         `json:"step"`
	Facts     map[string]any `json:"facts"` // by name, as the manifests have them; one that a row lacks is absent
	Metric    string         `json:"metric"`
	Value     float64        `json:"value"`
	Interval  []float64      `json:"interval,omitempty"` // low, high
	N         []float64      `json:"n,omitempty"`        // samples, reference
	Reference string         `json:"reference,omitempty"`
	Features  string         `json:"features,omitempty"`
	// GradientVariance is what the training measured, in the form used by its manifest.
	GradientVariance any `json:"gradient_variance,omitempty"`
}

// Compare lists the scores of steps in the order of the steps, one Comparison for those that can be compared. Whatever
// a manifest or score lacks is left out.
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
	distance := map[string]int{} // of a stage from the scores, in steps
	for i, s := range steps {
		f, ok := readScore(s)
		if !ok {
			continue
		}
		row := Compared{
			Step: s.Name, Facts: map[string]any{}, Metric: f.Metric, Value: *f.Value, Interval: f.interval(), N: f.counts(),
			Reference: f.Reference, Features: f.Features,
		}
		for k, at := range history(steps, i) {
			distance[steps[at].Stage] = max(distance[steps[at].Stage], k)
			row.add(steps[at], manifests[at])
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
		slices.SortStableFunc(c.Facts, func(a, b string) int { return distance[stageOf(b)] - distance[stageOf(a)] })
	}
	return all
}

// history follows a score back from step i to the samples it measures, the network that drew them, and so on.
func history(steps []Step, i int) []int {
	var out []int
	for i >= 0 && !slices.Contains(out, i) {
		out = append(out, i)
		subject := steps[i].Subject
		i = slices.IndexFunc(steps, func(s Step) bool { return s.Name == subject })
	}
	return out
}

// add records what a step in the history of a score contributes. If two steps belong to one stage, the one nearer to
// the score counts.
func (r *Compared) add(s Step, m manifest) {
	for name, v := range m.Params {
		fact := s.Stage + " " + name
		if _, nearer := r.Facts[fact]; !nearer && !slices.Contains(s.NoEffect, name) {
			r.Facts[fact] = v
		}
	}
	if raw := m.Results["gradient_variance"]; len(raw) > 0 && r.GradientVariance == nil {
		if json.Unmarshal(raw, &r.GradientVariance) != nil {
			r.GradientVariance = nil
		}
	}
}

// comparable reports whether the values of two rows mean the same.
func (r *Compared) comparable(o Compared) bool {
	return r.Metric == o.Metric && r.Reference == o.Reference && r.Features == o.Features
}

// keepDifferent drops the facts that are the same in all rows that have them. Rows that lack a fact do not count: real
// images scored next to samples have no parameters of sampling.
func (c *Comparison) keepDifferent() {
	values := map[string]map[string]bool{}
	for _, r := range c.Rows {
		for name, v := range r.Facts {
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][value(v)] = true
		}
	}
	for _, name := range sorted(values) {
		if len(values[name]) > 1 {
			c.Facts = append(c.Facts, name)
			continue
		}
		for _, r := range c.Rows {
			delete(r.Facts, name)
		}
	}
}

func stageOf(fact string) string {
	stage, _, _ := strings.Cut(fact, " ")
	return stage
}

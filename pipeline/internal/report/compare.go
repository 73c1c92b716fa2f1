package report

import (
	"encoding/json"
	"slices"
	"strings"
)

// Comparison lists the scores of a run that can be compared, because they have the same metric, reference and feature
// network. Each row is a step with a score, with the parameters that distinguish it from other rows.
type Comparison struct {
	// Facts are the parameters that differ between rows. A row may lack a fact. Names begin with the stage, as in "train
	// objective", and are sorted by the order in which the stages ran.
	Facts []string   `json:"facts"`
	Rows  []Compared `json:"rows"`
}

// Compared is one row of a comparison.
type Compared struct {
	Step      string         `json:"step"`
	Facts     map[string]any `json:"facts"` // by name, with the values from the manifests; a row may lack some
	Metric    string         `json:"metric"`
	Value     float64        `json:"value"`
	Interval  []float64      `json:"interval,omitempty"` // low and high
	N         []float64      `json:"n,omitempty"`        // sizes of the set of samples and of the reference
	Reference string         `json:"reference,omitempty"`
	Features  string         `json:"features,omitempty"`
	// Costs are the costs of the steps that led to the score. A name is the stage and the unit, as in "train samples/s".
	Costs map[string]float64 `json:"costs,omitempty"`
	// GradientVariance is the variance that the training measured, in the form in which its manifest holds it.
	GradientVariance any `json:"gradient_variance,omitempty"`
	// TestLoss is the loss on held-out samples after the training, and TestLossByTime is this loss for each time bin.
	TestLoss       float64   `json:"test_loss,omitempty"`
	TestLossByTime []float64 `json:"test_loss_by_time,omitempty"`
}

// Compare returns the scores of steps, grouped so that the scores in each Comparison can be compared. Scores keep the
// order of the steps. Missing or malformed parts of a manifest or score are left out.
func Compare(steps []Step) []*Comparison {
	manifests := make([]manifest, len(steps))
	for i, s := range steps {
		_ = json.Unmarshal(s.Manifest, &manifests[i])
	}
	return compare(steps, manifests)
}

func compare(steps []Step, manifests []manifest) []*Comparison {
	all := []*Comparison{}
	distance := map[string]int{} // by stage: largest number of steps between the stage and a score
	for i, s := range steps {
		f, ok := readScore(s)
		if !ok {
			continue
		}
		row := Compared{
			Step: s.Name, Facts: map[string]any{}, Costs: map[string]float64{}, Metric: f.Metric, Value: *f.Value,
			Interval: f.interval(), N: f.counts(), Reference: f.Reference, Features: f.Features,
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

// history returns the indices of the steps that led to the score in step i: that step itself, the step that drew the
// scored samples, the step that trained the network, and so on.
func history(steps []Step, i int) []int {
	var out []int
	for i >= 0 && !slices.Contains(out, i) {
		out = append(out, i)
		subject := steps[i].Subject
		i = slices.IndexFunc(steps, func(s Step) bool { return s.Name == subject })
	}
	return out
}

// add records the parameters and costs of a step in the history of a score. If two steps run the same stage, those of
// the step nearer to the score count.
func (r *Compared) add(s Step, m manifest) {
	for name, v := range m.Params {
		fact := s.Stage + " " + name
		if !has(r.Facts, fact) && !slices.Contains(s.NoEffect, name) {
			r.Facts[fact] = v
		}
	}
	for unit, v := range m.Costs {
		if cost := s.Stage + " " + unit; !has(r.Costs, cost) {
			r.Costs[cost] = v
		}
	}
	if raw := m.Results["gradient_variance"]; len(raw) > 0 && r.GradientVariance == nil {
		if json.Unmarshal(raw, &r.GradientVariance) != nil {
			r.GradientVariance = nil
		}
	}
	if raw := m.Results["test_loss"]; len(raw) > 0 && r.TestLoss == 0 {
		if json.Unmarshal(raw, &r.TestLoss) != nil ||
			json.Unmarshal(m.Results["test_loss_by_time"], &r.TestLossByTime) != nil {
			r.TestLoss, r.TestLossByTime = 0, nil
		}
	}
}

// comparable reports whether the values of two rows can be compared.
func (r *Compared) comparable(o Compared) bool {
	return r.Metric == o.Metric && r.Reference == o.Reference && r.Features == o.Features
}

// keepDifferent drops the facts that have the same value in all rows. A row that lacks a fact does not make it
// different: real images that are scored next to samples, for example, have no sampling parameters.
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

func has[V any](m map[string]V, key string) bool {
	_, ok := m[key]
	return ok
}

func stageOf(fact string) string {
	stage, _, _ := strings.Cut(fact, " ")
	return stage
}

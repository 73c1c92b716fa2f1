package average

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"vapo/lib/checkpoint"
	"vapo/lib/failure"
)

// MaxSnapshots is the largest number of steps whose averages are kept as snapshots.
const MaxSnapshots = 16

// Steps returns the steps whose snapshots a training run of the given number of steps keeps, in ascending order: the
// multiples of every·2^k for the smallest k >= 0 that gives at most MaxSnapshots steps. A run of fewer steps therefore
// keeps each of these steps that it reaches.
func Steps(every, steps int64) (kept []int64) {
	for steps/every > MaxSnapshots {
		every *= 2
	}
	for s := every; s <= steps; s += every {
		kept = append(kept, s)
	}
	return kept
}

// Average identifies a moving average by its profile and by the step after which it was taken.
type Average struct {
	Std  float64 // relative standard deviation of the profile
	Step int64   // 0 means the last step for which there is a snapshot
}

const prefix = "std:"

// String returns the name of the average, which also names its group in a checkpoint: std:0.05@4000.
func (a Average) String() string {
	name := prefix + strconv.FormatFloat(a.Std, 'g', -1, 64)
	if a.Step > 0 {
		name += "@" + strconv.FormatInt(a.Step, 10)
	}
	return name
}

// Group returns the prefix of the average's tensors in a checkpoint.
func (a Average) Group() string { return a.String() + "/" }

// Parse parses the name of an average, such as std:0.05@4000, or std:0.05 for the last step. ok is false if the name is
// not that of an average.
func Parse(name string) (a Average, ok bool) {
	text, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return a, false
	}
	std, step, at := strings.Cut(text, "@")
	var err error
	if a.Std, err = strconv.ParseFloat(std, 64); err != nil || math.IsNaN(a.Std) {
		return Average{}, false
	}
	if at {
		if a.Step, err = strconv.ParseInt(step, 10, 64); err != nil || a.Step < 1 {
			return Average{}, false
		}
	}
	return a, true
}

// maxAverages bounds the number of averages in one file, because the time to combine them grows with the cube of this
// number.
const maxAverages = 1024

// List returns the averages whose snapshots a checkpoint holds, sorted by step.
func List(c *checkpoint.Checkpoint) (all []Average) {
	seen := map[string]bool{}
	for _, n := range c.Tensors {
		name, _, _ := strings.Cut(n.Name, "/")
		a, ok := Parse(name)
		if !ok || seen[name] || a.Step == 0 || a.String() != name {
			continue
		}
		if _, err := Gamma(a.Std); err != nil {
			continue
		}
		seen[name] = true
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Average) int { return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Std, b.Std)) })
	return all
}

// maxResidual is the largest relative error of a profile that Reconstruct accepts.
const maxResidual = 0.05

// Reconstructed is a combination of snapshots.
type Reconstructed struct {
	Average
	Residual  float64 // error of the combination's profile, as a fraction of the profile's norm
	Snapshots int     // number of averages that were combined
}

// Reconstruct computes an average from the snapshots that a checkpoint holds of other averages up to the same step, in
// float64. It returns a checkpoint whose main average is the result.
func Reconstruct(c *checkpoint.Checkpoint, want Average) (*checkpoint.Checkpoint, *Reconstructed, error) {
	if _, err := Gamma(want.Std); err != nil {
		return nil, nil, failure.New(failure.Usage, "", "%w", err)
	}
	have := List(c)
	if len(have) == 0 || len(have) > maxAverages {
		return nil, nil, failure.New(failure.Input,
			"give the output \"averages\" of a train run that had --ema-profiles and --ema-snapshot-every",
			"it has %d snapshots of averages, expected 1 to %d", len(have), maxAverages)
	}
	var steps []int64
	for _, a := range have {
		steps = append(steps, a.Step)
	}
	steps = slices.Compact(steps)
	if want.Step == 0 {
		want.Step = steps[len(steps)-1]
	}
	if !slices.Contains(steps, want.Step) {
		return nil, nil, failure.New(failure.Input, "choose one of these steps",
			"it has no snapshots of step %d, only of these steps: %s",
			want.Step, strings.Trim(fmt.Sprint(steps), "[]"))
	}
	have = slices.DeleteFunc(have, func(a Average) bool { return a.Step > want.Step })
	x, residual, err := fit(have, want)
	if err != nil {
		return nil, nil, failure.New(failure.Input, "", "its snapshots of averages cannot be combined: %w", err)
	}
	r := &Reconstructed{Average: want, Residual: residual, Snapshots: len(have)}
	if !(residual <= maxResidual) {
		return nil, nil, failure.New(failure.Input,
			"choose a relative standard deviation closer to those of the snapshots, or a later step, which has more snapshots",
			"the average %v cannot be reconstructed from %d snapshots: the relative error of its profile is %.2g, "+
				"expected at most %v", want, len(have), residual, maxResidual)
	}
	out, err := combine(c, have, x)
	if err != nil {
		return nil, nil, failure.New(failure.Input, "", "%w", err)
	}
	out.Step = want.Step
	return out, r, nil
}

// fit returns the coefficients of the linear combination of have that is closest to want; see solve.
func fit(have []Average, want Average) (x []float64, residual float64, err error) {
	var profiles []profile
	for _, a := range append(slices.Clone(have), want) {
		gamma, err := Gamma(a.Std)
		if err != nil {
			return nil, 0, err
		}
		profiles = append(profiles, profile{gamma, float64(a.Step)})
	}
	return solve(profiles[:len(have)], profiles[len(have)])
}

// combine returns a checkpoint whose main average is the sum of the given averages, each weighted by its element of x.
func combine(c *checkpoint.Checkpoint, averages []Average, x []float64) (*checkpoint.Checkpoint, error) {
	first := c.Group(averages[0].Group())
	shapes := map[string][]int{}
	for name, n := range first {
		shapes[name] = n.Shape
	}
	weights := make([]map[string][]float32, len(averages))
	for i, a := range averages {
		var err error
		if weights[i], err = c.Weights(a.Group(), shapes); err != nil {
			return nil, err
		}
	}
	out := &checkpoint.Checkpoint{Kind: c.Kind, Config: c.Config}
	for name, n := range first {
		data := make([]float32, len(n.Data))
		for k := range data {
			var sum float64
			for i, w := range weights {
				sum += float64(x[i] * float64(w[name][k]))
			}
			data[k] = float32(sum)
		}
		out.Tensors = append(out.Tensors, checkpoint.Named{Name: checkpoint.EMA + name, Shape: n.Shape, Data: data})
	}
	return out, nil
}

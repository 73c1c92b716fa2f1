// Package featuretest provides test weights for Inception without a weights file. A formula gives the weights exactly,
// so an implementation in another language can compute the same weights.
package featuretest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
)

// Weights computes weights by the formula in testdata/inception.py. Its tensors have the names of the published PyTorch
// weights.
type Weights struct {
	shapes map[string][]int // shapes of the convolutions, by unit
	order  []string         // names of the units, sorted
}

// ReadWeights reads the shapes of the convolutions from path, a copy of inception_shapes.json.
func ReadWeights(path string) (*Weights, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var shapes map[string][]int
	if err := json.Unmarshal(raw, &shapes); err != nil {
		return nil, fmt.Errorf("shapes %s: %w", path, err)
	}
	w := &Weights{shapes: map[string][]int{}}
	for name, shape := range shapes {
		w.shapes[strings.TrimSuffix(name, ".conv.weight")] = shape
	}
	w.order = slices.Sorted(maps.Keys(w.shapes))
	return w, nil
}

// wave returns a value in [-1, 1] for element i of tensor k.
func wave(k, i int) float64 { return float64(float32(float64((i*7919+k*104729)%2003)/1001 - 1)) }

// logits is the number of rows of fc.weight, which is [logits, 2048].
const logits = 1008

// Tensor returns a tensor and its shape. ok is false if the network has no tensor of this name.
func (w *Weights) Tensor(name string) (v []float32, shape []int, ok bool, err error) {
	if name == "fc.weight" {
		v = make([]float32, logits*2048)
		for i := range v {
			v[i] = float32(wave(99, i)) / 32
		}
		return v, []int{logits, 2048}, true, nil
	}
	unit, isConv := strings.CutSuffix(name, ".conv.weight")
	part := ""
	if !isConv {
		unit, part, _ = strings.Cut(name, ".bn.")
	}
	k := slices.Index(w.order, unit)
	if k < 0 {
		return nil, nil, false, nil
	}
	shape = w.shapes[unit]
	if isConv {
		per := shape[1] * shape[2] * shape[3]
		v = make([]float32, shape[0]*per)
		for i := range v {
			v[i] = float32(wave(k, i) * 2.4 / math.Sqrt(float64(per)))
		}
		return v, shape, true, nil
	}
	f := map[string]struct {
		k    int
		a, b float64
	}{"weight": {200, 1, 0.2}, "bias": {300, 0, 0.1}, "running_mean": {400, 0, 0.1}, "running_var": {500, 1, 0.5}}[part]
	v = make([]float32, shape[0])
	for i := range v {
		v[i] = float32(f.a + f.b*wave(k+f.k, i))
	}
	return v, shape[:1], f.k > 0, nil
}

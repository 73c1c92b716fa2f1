package feature

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vapo/lib/failure"
)

// batchNormEps is added to the variance in every batch normalisation of the network.
const batchNormEps = 1e-3

// fold reads the weights of the units and folds each batch normalisation into its convolution. The weight becomes w·g
// and the bias becomes beta - mean·g, with g = gamma/sqrt(var + eps).
func (n *inception) fold(src WeightSource) (map[string][]float32, error) {
	weights := map[string][]float32{}
	missing, err := n.eachUnit(src, func(name string, shape []int, parts [][]float32) error {
		w := parts[0]
		weights[name+".weight"] = w
		if len(parts) == 1 { // the linear layer
			return nil
		}
		bias := make([]float32, shape[0])
		per := len(w) / shape[0]
		for o := range bias {
			g := float64(parts[1][o]) / math.Sqrt(float64(parts[4][o])+batchNormEps)
			for i := range per {
				w[o*per+i] = float32(float64(w[o*per+i]) * g)
			}
			bias[o] = float32(float64(parts[2][o]) - float64(float64(parts[3][o])*g))
		}
		weights[name+".bias"] = bias
		return nil
	})
	if err == nil && len(missing) > 0 {
		err = n.incomplete(missing)
	}
	return weights, err
}

// unitParts are the suffixes of the names of a unit's tensors.
var unitParts = []string{".conv.weight", ".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var"}

// partNames returns the names of all tensors of a unit.
func partNames(unit string) []string {
	if unit == "fc" {
		return []string{"fc.weight"}
	}
	names := slices.Clone(unitParts)
	for i := range names {
		names[i] = unit + names[i]
	}
	return names
}

// eachUnit calls f for every unit that has all its tensors in src. f gets the tensors in the order of partNames, and
// the shape of the unit's weight. eachUnit returns the names of the other units.
func (n *inception) eachUnit(src WeightSource, f func(name string, shape []int, parts [][]float32) error) (
	missing []string, err error) {
	shapes := map[string][]int{}
	for _, p := range n.b.Params {
		shapes[p.Name] = p.Shape
	}
	for _, u := range n.units {
		shape := shapes[u.name+".weight"]
		names := partNames(u.name)
		var parts [][]float32
		for i, name := range names {
			want := shape
			if i > 0 {
				want = shape[:1]
			}
			values, got, ok, err := src.Tensor(name)
			if err != nil {
				return nil, failure.Default(failure.Input, weightsHint, err)
			}
			if !ok {
				continue
			}
			if !slices.Equal(got, want) {
				return nil, failure.New(failure.Input, weightsHint, "tensor %s has shape %v, expected %v", name, got, want)
			}
			parts = append(parts, values)
		}
		if len(parts) < len(names) {
			missing = append(missing, u.name)
		} else if err := f(u.name, shape, parts); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// missingLayersError lists the layers that a tap needs but a weights file lacks, and the taps for which the file
// suffices.
type missingLayersError struct {
	tap    int
	layers []string
	served []int
}

func (e *missingLayersError) Error() string {
	layers := strings.Join(e.layers[:min(len(e.layers), 6)], ", ")
	if more := len(e.layers) - 6; more > 0 {
		layers += fmt.Sprintf(" and %d more", more)
	}
	serve := "they serve no tap"
	if len(e.served) > 0 {
		serve = fmt.Sprintf("they serve the taps %v", e.served)
	}
	return fmt.Sprintf("the weights lack %s, which tap %d needs; %s", layers, e.tap, serve)
}

// FailureClass implements failure.Carrier.
func (e *missingLayersError) FailureClass() failure.Class { return failure.Input }

// FailureHint implements failure.Carrier.
func (e *missingLayersError) FailureHint() string {
	const fetch = "get the whole file: eval weights fetch"
	if len(e.served) == 0 {
		return fetch
	}
	return "choose one of these with --tap, or " + fetch
}

func (n *inception) incomplete(missing []string) *missingLayersError {
	e := &missingLayersError{tap: n.tap, layers: missing, served: n.served(missing)}
	if slices.Contains(e.served, n.tap) {
		e.tap = LogitsTap // only the logits cannot be computed
	}
	return e
}

// served returns the taps that can be computed without the missing units.
func (n *inception) served(missing []string) []int {
	for i, tap := range Taps {
		if slices.ContainsFunc(n.units, func(u unit) bool { return u.tap == tap && slices.Contains(missing, u.name) }) {
			return Taps[:i:i]
		}
	}
	return Taps
}

package feature

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// batchNormEps is added to the variance in every batch normalisation of the network.
const batchNormEps = 1e-3

// fold reads the weights of the units with their batch normalisations folded in: w·g and beta - mean·g, where
// g = gamma/sqrt(var + eps).
func (n *inception) fold(f WeightSource) (map[string][]float32, error) {
	weights := map[string][]float32{}
	var missing []string
	for _, p := range n.b.Params {
		name, isWeight := strings.CutSuffix(p.Name, ".weight")
		if !isWeight {
			continue // read with its weight
		}
		if name == "fc" {
			w, err := read(f, "fc.weight", p.Shape)
			if err != nil {
				return nil, err
			}
			if w == nil {
				missing = append(missing, name)
			}
			weights[p.Name] = w
			continue
		}
		out := p.Shape[:1]
		var parts [5][]float32
		for i, part := range []string{".conv.weight", ".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var"} {
			shape := out
			if i == 0 {
				shape = p.Shape
			}
			var err error
			if parts[i], err = read(f, name+part, shape); err != nil {
				return nil, err
			}
			if parts[i] == nil {
				missing = append(missing, name)
				break
			}
		}
		if len(missing) > 0 {
			continue
		}
		w, bias := parts[0], make([]float32, out[0])
		per := len(w) / out[0]
		for o := range bias {
			g := float64(parts[1][o]) / math.Sqrt(float64(parts[4][o])+batchNormEps)
			for i := range per {
				w[o*per+i] = float32(float64(w[o*per+i]) * g)
			}
			bias[o] = float32(float64(parts[2][o]) - float64(float64(parts[3][o])*g))
		}
		weights[p.Name], weights[name+".bias"] = w, bias
	}
	if len(missing) > 0 {
		return nil, n.incomplete(missing)
	}
	return weights, nil
}

// read returns a tensor of the expected shape, or nil where the file has none of that name.
func read(f WeightSource, name string, shape []int) ([]float32, error) {
	v, got, ok, err := f.Tensor(name)
	if err != nil || !ok {
		return nil, err
	}
	if !slices.Equal(got, shape) {
		return nil, fmt.Errorf("tensor %s has shape %v, expected %v", name, got, shape)
	}
	return v, nil
}

// MissingLayersError says which layers a file of weights lacks for a tap, and which taps it serves.
type MissingLayersError struct {
	Tap    int
	Layers []string
	Served []int
}

func (e *MissingLayersError) Error() string {
	layers := strings.Join(e.Layers[:min(len(e.Layers), 6)], ", ")
	if more := len(e.Layers) - 6; more > 0 {
		layers += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("the weights lack %s, which tap %d needs; they serve the taps %v", layers, e.Tap, e.Served)
}

func (n *inception) incomplete(missing []string) error {
	e := &MissingLayersError{Tap: n.tap, Layers: missing, Served: []int{}}
	for _, tap := range Taps {
		if slices.ContainsFunc(n.units, func(u unit) bool {
			return slices.Index(Taps, u.tap) <= slices.Index(Taps, tap) && slices.Contains(missing, u.name)
		}) {
			break
		}
		e.Served = append(e.Served, tap)
	}
	if slices.Contains(e.Served, n.tap) {
		e.Tap = LogitsTap // the features could have been had without the logits
	}
	return e
}

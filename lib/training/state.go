package training

import (
	"fmt"
	"slices"
	"strings"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/layer"
)

// Initialise sets the weights and their averages to their initial values for a seed, and the moments to 0.
func (s *Step) Initialise(seed uint64) error {
	for _, p := range s.Params {
		v := p.Draw(seed)
		zero := make([]float32, len(v))
		for _, group := range s.optim.Groups() {
			value := v
			if group == checkpoint.AdamM || group == checkpoint.AdamV {
				value = zero
			}
			if err := s.exe.Load(group+p.Name, backend.F32(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Checkpoint copies the state out. step is the number of steps taken. Of a step that is not complete it holds nothing.
func (s *Step) Checkpoint(step int64) (*checkpoint.Checkpoint, error) {
	c := &checkpoint.Checkpoint{Kind: s.Kind, Config: s.Config, Step: step}
	for _, group := range s.optim.Groups() {
		values, err := s.group(group)
		if err != nil {
			return nil, err
		}
		for _, p := range s.Params {
			c.Tensors = append(c.Tensors, checkpoint.Named{Name: group + p.Name, Shape: p.Shape, Data: values[p.Name]})
		}
	}
	return c, nil
}

// Restore sets the state from a checkpoint of the same network and as many averages. One that does not fit changes
// nothing. A step in progress is to be begun again.
func (s *Step) Restore(c *checkpoint.Checkpoint) error {
	if c.Kind != s.Kind || string(c.Config) != string(s.Config) {
		return fmt.Errorf("checkpoint of a %s %s does not fit the %s %s being trained", c.Kind, c.Config, s.Kind, s.Config)
	}
	shapes := map[string][]int{}
	for _, p := range s.Params {
		shapes[p.Name] = p.Shape
	}
	groups := s.optim.Groups()
	for _, n := range c.Tensors {
		if !slices.ContainsFunc(groups, func(group string) bool { return strings.HasPrefix(n.Name, group) }) {
			return fmt.Errorf("checkpoint has the tensor %s, expected those of %s: it was trained with other moving averages", n.Name, strings.Join(groups, ", "))
		}
	}
	all := map[string][]float32{}
	for _, group := range groups {
		weights, err := c.Weights(group, shapes)
		if err != nil {
			return err
		}
		for name, v := range weights {
			all[group+name] = v
		}
	}
	for name, v := range all {
		if err := s.exe.Load(name, backend.F32(v)); err != nil {
			return err
		}
	}
	s.next = s.Micro()
	return nil
}

// Averages returns the k-th moving average of the weights (0: the main one), by parameter name.
func (s *Step) Averages(k int) (map[string][]float32, error) {
	if n := len(s.optim.EMAHalfLifeImages); k < 0 || k >= n {
		return nil, fmt.Errorf("moving average %d of the weights, expected 0 to %d", k, n-1)
	}
	return s.group(checkpoint.Average(k))
}

// Weights returns the weights as trained, by parameter name.
func (s *Step) Weights() (map[string][]float32, error) { return s.group(checkpoint.Param) }

// group copies a group of the state out, by parameter name.
func (s *Step) group(prefix string) (map[string][]float32, error) {
	out := map[string][]float32{}
	for i, p := range s.Params {
		v := make([]float32, layer.Count(s.Params[i:i+1]))
		if err := s.exe.Store(prefix+p.Name, backend.F32(v)); err != nil {
			return nil, err
		}
		out[p.Name] = v
	}
	return out, nil
}

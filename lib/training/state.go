package training

import (
	"fmt"
	"slices"
	"strings"

	"vapo/lib/average"
	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/layer"
)

// Initialise sets the weights and their averages to the initial weights of the given seed, and the moments to 0.
func (t *Trainer) Initialise(seed uint64) error {
	for _, p := range t.Params {
		v := p.Draw(seed)
		zero := make([]float32, len(v))
		for _, group := range t.optim.Groups() {
			value := v
			if group == checkpoint.AdamM || group == checkpoint.AdamV {
				value = zero
			}
			if err := t.exe.Load(group+p.Name, backend.F32(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Checkpoint copies the state into a checkpoint. step is the number of steps taken so far.
func (t *Trainer) Checkpoint(step int64) (*checkpoint.Checkpoint, error) {
	c := &checkpoint.Checkpoint{Kind: t.kind, Config: t.config, Step: step}
	for _, group := range t.optim.Groups() {
		values, err := t.group(group)
		if err != nil {
			return nil, err
		}
		for _, p := range t.Params {
			c.Tensors = append(c.Tensors, checkpoint.Named{Name: group + p.Name, Shape: p.Shape, Data: values[p.Name]})
		}
	}
	return c, nil
}

// Restore sets the state from a checkpoint of the same network with the same number of averages. If the checkpoint does
// not fit, Restore returns an error and changes nothing.
func (t *Trainer) Restore(c *checkpoint.Checkpoint) error {
	if c.Kind != t.kind || string(c.Config) != string(t.config) {
		return fmt.Errorf("checkpoint of a %s %s does not fit the %s %s being trained", c.Kind, c.Config, t.kind, t.config)
	}
	shapes := map[string][]int{}
	for _, p := range t.Params {
		shapes[p.Name] = p.Shape
	}
	groups := t.optim.Groups()
	for _, n := range c.Tensors {
		if !slices.ContainsFunc(groups, func(group string) bool { return strings.HasPrefix(n.Name, group) }) {
			return fmt.Errorf("checkpoint has the tensor %s, expected only %s: it was trained with other moving averages",
				n.Name, strings.Join(groups, ", "))
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
		if err := t.exe.Load(name, backend.F32(v)); err != nil {
			return err
		}
	}
	return nil
}

// Profiles returns a checkpoint with the averages that have profiles. Package average names the group of each by its
// profile and the number of steps taken so far.
func (t *Trainer) Profiles(step int64) (*checkpoint.Checkpoint, error) {
	c := &checkpoint.Checkpoint{Kind: t.kind, Config: t.config, Step: step}
	for i, std := range t.optim.EMAProfiles {
		values, err := t.group(checkpoint.Average(len(t.optim.EMAHalfLifeImages) + i))
		if err != nil {
			return nil, err
		}
		group := average.Average{Std: std, Step: step}.Group()
		for _, p := range t.Params {
			c.Tensors = append(c.Tensors, checkpoint.Named{Name: group + p.Name, Shape: p.Shape, Data: values[p.Name]})
		}
	}
	return c, nil
}

// Averages returns moving average k of the weights, by parameter name. k counts only the averages with half-lives; the
// main average is number 0.
func (t *Trainer) Averages(k int) (map[string][]float32, error) {
	if n := len(t.optim.EMAHalfLifeImages); k < 0 || k >= n {
		return nil, fmt.Errorf("the weights have no moving average %d, expected 0 to %d", k, n-1)
	}
	return t.group(checkpoint.Average(k))
}

// Weights returns the weights as trained, by parameter name.
func (t *Trainer) Weights() (map[string][]float32, error) { return t.group(checkpoint.Param) }

// group returns a copy of the state with the given prefix, by parameter name.
func (t *Trainer) group(prefix string) (map[string][]float32, error) {
	out := map[string][]float32{}
	for i, p := range t.Params {
		v := make([]float32, layer.Count(t.Params[i:i+1]))
		if err := t.exe.Store(prefix+p.Name, backend.F32(v)); err != nil {
			return nil, err
		}
		out[p.Name] = v
	}
	return out, nil
}

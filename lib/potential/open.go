package potential

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"vapo/lib/average"
	"vapo/lib/checkpoint"
	"vapo/lib/failure"
)

// averages matches the names of moving averages: ema, ema.1, ema.2, …
var averages = regexp.MustCompile(`^ema(\.[1-9][0-9]{0,3})?$`)

// Group returns the group of a checkpoint's tensors that holds the named weights. The name raw stands for the weights
// as trained; ema, ema.1, ema.2, … stand for their moving averages. A name such as std:0.07 or std:0.07@4000 stands for
// an average that Select reconstructs.
func Group(name string) (string, error) {
	if name == "raw" {
		return checkpoint.Param, nil
	}
	if averages.MatchString(name) {
		return name + "/", nil
	}
	if a, ok := average.Parse(name); ok {
		_, err := average.Gamma(a.Std)
		return checkpoint.EMA, failure.Default(failure.Usage, "", err)
	}
	return "", failure.New(failure.Usage, "",
		"weights %q are unknown: expected ema, ema.1, ema.2, ..., raw, or std:S or std:S@STEP for an average of relative "+
			"standard deviation S", name)
}

// Select returns the checkpoint that holds the named weights, and their group in it (see Group). This checkpoint is c
// itself, unless the name stands for an average that has to be reconstructed from the snapshots in c; see package
// average.
func Select(c *checkpoint.Checkpoint, name string) (_ *checkpoint.Checkpoint, group string, err error) {
	if group, err = Group(name); err != nil {
		return nil, "", err
	}
	if a, ok := average.Parse(name); ok {
		c, _, err = average.Reconstruct(c, a)
	}
	return c, group, err
}

// weightsOf lists the names of the sets of weights in a checkpoint.
func weightsOf(c *checkpoint.Checkpoint) []string {
	names := map[string]bool{}
	for _, n := range c.Tensors {
		group, _, _ := strings.Cut(n.Name, "/")
		if averages.MatchString(group) {
			names[group] = true
		} else if group+"/" == checkpoint.Param {
			names["raw"] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// FromCheckpoint returns the network that a checkpoint of a potential describes, and the weights of a group (see Group)
// by parameter name, as NewField takes them.
func FromCheckpoint(c *checkpoint.Checkpoint, group string) (Config, map[string][]float32, error) {
	if c.Kind != checkpoint.Potential {
		return Config{}, nil, failure.New(failure.Input, "give a checkpoint trained with --model mlp, wrn or unet",
			"it holds a %s, expected a %s", c.Kind, checkpoint.Potential)
	}
	config, err := ParseConfig(c.Config)
	if err != nil {
		return Config{}, nil, err
	}
	if !c.Has(group) && len(average.List(c)) > 0 {
		return Config{}, nil, failure.New(failure.Input,
			"--weights std:0.07 reconstructs an average from the snapshots, and train ema saves such an average as a checkpoint",
			"it holds snapshots of averages, expected a checkpoint with weights")
	}
	if !c.Has(group) {
		name := strings.TrimSuffix(group, "/")
		if group == checkpoint.Param {
			name = "raw"
		}
		return Config{}, nil, failure.New(failure.Input, "choose one of these with --weights",
			"it has no weights %q, only %s", name, strings.Join(weightsOf(c), ", "))
	}
	params, err := config.Parameters()
	if err != nil {
		return Config{}, nil, err
	}
	shapes := map[string][]int{}
	for _, p := range params {
		shapes[p.Name] = p.Shape
	}
	weights, err := c.Weights(group, shapes)
	return config, weights, failure.Default(failure.Input, "", err)
}

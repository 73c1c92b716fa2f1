package potential

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"vapo/lib/checkpoint"
)

// averages are names of moving averages: ema, and where there are several ema.1, ema.2, ... beside it.
var averages = regexp.MustCompile(`^ema(\.[1-9][0-9]{0,3})?$`)

// GroupError says that a set of weights is none that checkpoints have, or not in this one.
type GroupError struct {
	Name string
	Has  []string // what the checkpoint has; nil where the name is none
}

func (e *GroupError) Error() string {
	if e.Has == nil {
		return fmt.Sprintf("weights %q are not known: expected ema, ema.1, ema.2, ... or raw", e.Name)
	}
	return fmt.Sprintf("it has no weights %q, only %s", e.Name, strings.Join(e.Has, ", "))
}

// Group is the group of a checkpoint's tensors that weights of a name are: raw as trained, ema, ema.1, ema.2, ... their
// moving averages. Another name is a *GroupError.
func Group(name string) (string, error) {
	if name == "raw" {
		return checkpoint.Param, nil
	}
	if averages.MatchString(name) {
		return name + "/", nil
	}
	return "", &GroupError{Name: name}
}

// weightsOf lists the sets of weights in a checkpoint by name.
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

// FromCheckpoint returns the network that a checkpoint of a potential describes, and its weights in a group (see Group) by
// parameter name, as NewField takes them. A group that is not there is a *GroupError.
func FromCheckpoint(c *checkpoint.Checkpoint, group string) (Config, map[string][]float32, error) {
	if c.Kind != checkpoint.Potential {
		return Config{}, nil, fmt.Errorf("it holds a %s, expected a %s", c.Kind, checkpoint.Potential)
	}
	config, err := ParseConfig(c.Config)
	if err != nil {
		return Config{}, nil, err
	}
	if !c.Has(group) {
		name := strings.TrimSuffix(group, "/")
		if group == checkpoint.Param {
			name = "raw"
		}
		return Config{}, nil, &GroupError{Name: name, Has: append([]string{}, weightsOf(c)...)}
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
	return config, weights, err
}

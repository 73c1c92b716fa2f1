package potential

import (
	"fmt"

	"vapo/lib/checkpoint"
)

// FromCheckpoint returns the network that a checkpoint of a potential describes, and its weights in a group
// (checkpoint.Param or checkpoint.EMA) by parameter name, as NewField takes them.
func FromCheckpoint(c *checkpoint.Checkpoint, group string) (Config, map[string][]float32, error) {
	if c.Kind != checkpoint.Potential {
		return Config{}, nil, fmt.Errorf("it holds a %s, expected a %s", c.Kind, checkpoint.Potential)
	}
	config, err := ParseConfig(c.Config)
	if err != nil {
		return Config{}, nil, err
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

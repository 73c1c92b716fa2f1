package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vapo/lib/potential"
	"vapo/lib/stage"
)

// noPreset is the value of --preset that selects no preset: the other parameters define the network.
const noPreset = "none"

// applyPreset replaces the preset with the network parameters that it stands for. Records and cache keys then hold
// these parameters, so a preset and the same network written out share one cache key.
func (p *params) applyPreset(given stage.Given) error {
	if p.Preset == noPreset {
		return nil
	}
	c, err := presetOf(p.Preset)
	if err != nil {
		return err
	}
	network := map[string]any{"model": c.Kind}
	switch c.Kind {
	case "mlp":
		network["width"], network["depth"], network["fourier"] = c.MLP.Width, c.MLP.Depth, c.MLP.Fourier
	case "wrn":
		network["wrn-depth"], network["wrn-width"], network["time"] = c.WRN.Depth, c.WRN.Width, c.WRN.Time
	case "unet":
		u := c.UNet
		network["channels"], network["channel-mult"], network["res-blocks"] = u.Channels, u.Mult, u.ResBlocks
		network["groups"], network["attention"], network["dropout"] = u.Groups, append([]int{}, u.Attention...), u.Dropout
		network["head-channels"], network["resample"], network["time-input"] = u.HeadChannels, "pool", "scale"
		if u.ConvResample {
			network["resample"] = "conv"
		}
		if u.AddTime {
			network["time-input"] = "add"
		}
	}
	out := map[string]string{}
	for name, v := range network {
		if s, ok := v.(string); ok {
			out[name] = s
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("preset %s: %s: %w", p.Preset, name, err)
		}
		out[name] = string(text)
	}
	return given.Preset("--preset "+p.Preset, out)
}

// presetOf returns the preset with the given name.
func presetOf(name string) (potential.Config, error) {
	presets := potential.Presets()
	c, ok := presets[name]
	if !ok {
		return c, fmt.Errorf("preset is %q, expected %s", name, strings.Join(slices.Sorted(maps.Keys(presets)), ", "))
	}
	return c, nil
}

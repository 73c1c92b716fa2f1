package potential_test

import (
	"maps"
	"slices"
	"testing"

	"vapo/lib/layer"
	"vapo/lib/potential"
)

// The sizes of the presets must not change, because users refer to these networks by name.
func TestPresets(t *testing.T) {
	want := map[string][2]int{ // tensors, scalars
		"unet-cifar10": {390, 55_676_419}, // as PyTorch counts the released code's network
		"unet-cfm":     {304, 35_746_307}, // as PyTorch counts torchcfm's network
		"unet-9m":      {292, 8_818_691},  // as PyTorch counts the released code's network of this size
		"mlp-2d":       {8, 34_177},
		"mlp-tabular":  {10, 202_241},
		"unet-small":   {134, 252_721},
		"wrn-small":    {30, 82_129},
		"unet-32":      {390, 3_498_883},
		"wrn-10-4":     {32, 1_278_657},
		"wrn-16-4":     {50, 2_885_633},
		"wrn-28-4":     {86, 6_099_585},
	}
	presets := potential.Presets()
	if got, expected := slices.Sorted(maps.Keys(presets)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, expected) {
		t.Errorf("presets %v, want %v", got, expected)
	}
	for _, name := range slices.Sorted(maps.Keys(presets)) {
		c := presets[name]
		c.Schedule, c.PriorStd = "linear", 1
		params, err := c.Parameters()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := [2]int{len(params), layer.Count(params)}
		t.Logf("%-14s %4d tensors %11d parameters", name, got[0], got[1])
		if got != want[name] {
			t.Errorf("%s: %d tensors of %d parameters, want %d of %d", name, got[0], got[1], want[name][0], want[name][1])
		}
	}
}

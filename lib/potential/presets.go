package potential

// Presets are networks of known sizes for images of 3x32x32, by name. Schedule and PriorStd are left to the caller, and
// Shape may be changed to that of the data.
func Presets() map[string]Config {
	wrn := func(depth, width int) Config {
		return Config{Kind: "wrn", Shape: []int{3, 32, 32}, WRN: &WRN{Depth: depth, Width: width, Time: true}}
	}
	return map[string]Config{
		"wrn-10-4": wrn(10, 4),
		"wrn-16-4": wrn(16, 4),
		"wrn-28-4": wrn(28, 4),
	}
}

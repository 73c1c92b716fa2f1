package potential

// Presets are networks of known sizes for images of 3x32x32, by name. Schedule and PriorStd are left to the caller, and
// Shape may be changed to that of the data.
func Presets() map[string]Config {
	wrn := func(depth, width int) Config {
		return Config{Kind: "wrn", Shape: []int{3, 32, 32}, WRN: &WRN{Depth: depth, Width: width, Time: true}}
	}
	// The method's released code: guided diffusion's layout with 128 channels, attention at 16x16.
	unet := func(channels int) Config {
		return Config{Kind: "unet", Shape: []int{3, 32, 32}, UNet: &UNet{
			Channels: channels, Mult: []int{2, 2, 2}, ResBlocks: 4, Groups: 32, Attention: []int{2}, Dropout: 0.3,
		}}
	}
	return map[string]Config{
		"unet-cifar10": unet(128),
		"unet-32":      unet(32),
		"wrn-10-4":     wrn(10, 4),
		"wrn-16-4":     wrn(16, 4),
		"wrn-28-4":     wrn(28, 4),
	}
}

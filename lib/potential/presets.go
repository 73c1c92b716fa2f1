package potential

// Presets returns networks of common sizes by name. The caller sets Schedule and PriorStd, and may set Shape to the
// shape of the data.
func Presets() map[string]Config {
	wrn := func(depth, width int) Config {
		return Config{Kind: "wrn", Shape: []int{3, 32, 32}, WRN: &WRN{Depth: depth, Width: width, Time: true}}
	}
	// The network of the method's released code, which has 128 channels: guided diffusion's layout with attention at
	// 16x16.
	unet := func(channels int) Config {
		return Config{Kind: "unet", Shape: []int{3, 32, 32}, UNet: &UNet{
			Channels: channels, Mult: []int{2, 2, 2}, ResBlocks: 4, Groups: 32, Attention: []int{2}, Dropout: 0.3,
		}}
	}
	// The U-Net of the library torchcfm (Tong et al., arXiv 2302.00482) for CIFAR-10, usually with the objective velocity.
	cfm := Config{Kind: "unet", Shape: []int{3, 32, 32}, UNet: &UNet{
		Channels: 128, Mult: []int{1, 2, 2, 2}, ResBlocks: 2, Groups: 32, Attention: []int{2}, HeadChannels: 64,
		Dropout: 0.1, ConvResample: true, AddTime: true,
	}}
	// A network with the blocks of the released code that trains within minutes on a GPU.
	unet9m := Config{Kind: "unet", Shape: []int{3, 32, 32}, UNet: &UNet{
		Channels: 64, Mult: []int{1, 2, 2, 2}, ResBlocks: 2, Groups: 32, Attention: []int{2},
	}}
	mlp := func(d, width, depth, fourier int) Config {
		return Config{Kind: "mlp", Shape: []int{d}, MLP: &MLP{Width: width, Depth: depth, Fourier: fourier}}
	}
	// Small networks that give recognisable 28x28 images after a few minutes on two processor cores.
	small := Config{Kind: "unet", Shape: []int{1, 28, 28}, UNet: &UNet{
		Channels: 16, Mult: []int{1, 2, 2}, ResBlocks: 1, Groups: 8,
	}}
	narrow := Config{Kind: "wrn", Shape: []int{1, 28, 28}, WRN: &WRN{Depth: 10, Width: 1, Time: true}}
	return map[string]Config{
		"mlp-2d":       mlp(2, 128, 3, 2),
		"mlp-tabular":  mlp(8, 256, 4, 4),
		"unet-small":   small,
		"unet-9m":      unet9m,
		"unet-cfm":     cfm,
		"unet-32":      unet(32),
		"unet-cifar10": unet(128),
		"wrn-small":    narrow,
		"wrn-10-4":     wrn(10, 4),
		"wrn-16-4":     wrn(16, 4),
		"wrn-28-4":     wrn(28, 4),
	}
}

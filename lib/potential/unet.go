package potential

import (
	"fmt"
	"slices"

	"vapo/lib/graphop"
	"vapo/lib/layer"
	"vapo/lib/portable"
)

// UNet is the released code's network: f is the U-Net of guided diffusion (Dhariwal and Nichol, arXiv 2105.05233)
// and Phi(x, t) = 1/2 |x - f(x, t)|², summed over the dimensions. At initialisation f = 0 and grad Phi = x. A network
// that models the velocity or the noise returns f.
//
// A label adds its row of the table label_emb to the time embedding.
//
// Parameters are named as in guided diffusion (input_blocks.1.0.in_layers.2.weight, ...), so that published weights
// fit.
type UNet struct {
	Channels  int   `json:"channels"`   // channels of the first level
	Mult      []int `json:"mult"`       // channels of each level divided by Channels; each later level halves the image
	ResBlocks int   `json:"res_blocks"` // residual blocks of each level on the way down; the way up has one more
	Groups    int   `json:"groups"`     // groups of the normalisations
	// Attention lists the downsampling factors (1, 2, 4, ...) of the levels that have attention after each residual
	// block. If the list is not empty, the middle block has attention too.
	Attention []int `json:"attention,omitempty"`
	// HeadChannels is the number of channels of an attention head; 0 stands for a single head.
	HeadChannels int     `json:"head_channels,omitempty"`
	Dropout      float64 `json:"dropout,omitempty"` // the share of elements dropped in residual blocks during training
	// ConvResample adds convolutions to changes of the image size: with stride 2 when downsampling, and after the
	// repetition when upsampling. Otherwise, pooling and upsampling have no parameters.
	ConvResample bool `json:"conv_resample,omitempty"`
	// AddTime adds the time embedding before the second normalisation of a block. Otherwise, it scales and shifts the
	// result of the normalisation.
	AddTime bool `json:"add_time,omitempty"`
}

const (
	maxLevels = 16   // enough for sides of 2^15 pixels
	maxPixels = 8192 // largest image for attention; it has 2^26 attention weights
)

func (u *UNet) check(shape []int) error {
	if len(shape) != 3 {
		return fmt.Errorf("unet on samples of shape %v: expected images [C, H, W]", shape)
	}
	channels := u.Channels >= 2 && u.Channels <= maxWidth && u.Channels%2 == 0
	levels := len(u.Mult) >= 1 && len(u.Mult) <= maxLevels
	if blocks := u.ResBlocks >= 1 && u.ResBlocks <= maxLayers; !channels || !levels || !blocks {
		return fmt.Errorf("unet of %d channels, multipliers %v, %d blocks: expected an even number of channels up to 65536, "+
			"a multiplier for each of up to 16 levels, and 1 to 1000 blocks", u.Channels, u.Mult, u.ResBlocks)
	}
	for _, m := range u.Mult {
		if m < 1 || m > maxWidth/u.Channels {
			return fmt.Errorf("unet multipliers %v: expected 1 or more each, and at most %d channels", u.Mult, maxWidth)
		}
	}
	if div := 1 << (len(u.Mult) - 1); shape[1]%div != 0 || shape[2]%div != 0 {
		return fmt.Errorf("unet of %d levels on %dx%d images: height and width must be divisible by %d",
			len(u.Mult), shape[1], shape[2], div)
	}
	for i, factor := range u.Attention {
		largest := 1 << (len(u.Mult) - 1)
		power := factor >= 1 && factor <= largest && factor&(factor-1) == 0
		if !power || slices.Contains(u.Attention[:i], factor) {
			return fmt.Errorf("unet attention at downsampling factors %v: expected different powers of 2, from 1 to %d",
				u.Attention, largest)
		}
		if pix := shape[1] / factor * (shape[2] / factor); pix > maxPixels {
			return fmt.Errorf("unet attention at downsampling factor %d of %dx%d images compares %d pixels, expected at most %d",
				factor, shape[1], shape[2], pix, maxPixels)
		}
	}
	for level, m := range u.Mult {
		attends := slices.Contains(u.Attention, 1<<level) || level == len(u.Mult)-1 && len(u.Attention) > 0
		if h := u.HeadChannels; h < 0 || h > 0 && attends && u.Channels*m%h != 0 {
			return fmt.Errorf("unet attention heads of %d channels do not divide the %d channels of level %d",
				h, u.Channels*m, level)
		}
	}
	if !(u.Dropout >= 0 && u.Dropout < 1) {
		return fmt.Errorf("unet dropout is %v, expected 0 or more and less than 1", u.Dropout)
	}
	widths := []int{}
	for _, m := range u.Mult {
		widths = append(widths, u.Channels*m)
	}
	// The way up also normalises concatenations. Their channel counts are sums of these widths, so the groups divide
	// them too.
	return layer.CheckGroups(u.Groups, widths...)
}

// phi builds 1/2 |x - f|², [N, 1].
func (u *UNet) phi(b *layer.Builder, x, t, label *graphop.Node) *graphop.Node {
	f := u.field(b, x, t, label)
	s := x.Shape()
	diff := graphop.Reshape(graphop.Sub(x, f), s[0], s.TotalSize()/s[0])
	return graphop.Scale(graphop.Sum(graphop.Square(diff), 1), 0.5)
}

func (u *UNet) field(b *layer.Builder, x, t, label *graphop.Node) *graphop.Node {
	emb := b.Linear("time_embed.0", timestepEmbedding(t, u.Channels), 4*u.Channels, false)
	emb = b.Linear("time_embed.2", graphop.SiLU(emb), 4*u.Channels, false)
	if label != nil {
		emb = graphop.Add(emb, b.Embedding(labelName, label, 4*u.Channels))
	}
	emb = graphop.SiLU(emb) // all blocks share this SiLU

	index := 0
	h := b.Block(b.Conv("input_blocks.0.0", x, u.Channels*u.Mult[0], 3, false))
	skips := []*graphop.Node{h}
	for level, m := range u.Mult {
		for range u.ResBlocks {
			index++
			h = u.resBlock(b, fmt.Sprintf("input_blocks.%d.0", index), h, emb, u.Channels*m)
			h = u.attend(b, fmt.Sprintf("input_blocks.%d.1", index), h, level)
			skips = append(skips, h)
		}
		if level < len(u.Mult)-1 {
			index++ // pooling has an index, although it has no parameters
			if u.ConvResample {
				h = b.ConvDown(fmt.Sprintf("input_blocks.%d.0.op", index), h)
			} else {
				h = graphop.AvgPool(h, 2)
			}
			skips = append(skips, h)
		}
	}
	width := h.Shape()[1]
	h = u.resBlock(b, "middle_block.0", h, emb, width)
	if len(u.Attention) > 0 {
		h = b.Attention("middle_block.1", h, u.Groups, u.heads(width))
	}
	h = u.resBlock(b, "middle_block.2", h, emb, width)
	index = 0
	for level := len(u.Mult) - 1; level >= 0; level-- {
		for k := range u.ResBlocks + 1 {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			joined := graphop.Concat(1, h, b.Block(skip)) // the gradient through the skip needs a mark of its own
			h = u.resBlock(b, fmt.Sprintf("output_blocks.%d.0", index), joined, emb, u.Channels*u.Mult[level])
			h = u.attend(b, fmt.Sprintf("output_blocks.%d.1", index), h, level)
			if k == u.ResBlocks && level > 0 {
				h = graphop.Upsample(h, 2)
				if u.ConvResample {
					place := 1 // the index after the residual block, and after the attention if there is any
					if slices.Contains(u.Attention, 1<<level) {
						place = 2
					}
					h = b.Conv(fmt.Sprintf("output_blocks.%d.%d.conv", index, place), h, h.Shape()[1], 3, false)
				}
			}
			index++
		}
	}
	h = u.normSiLU(b, "out.0", h, nil, nil)
	return b.Conv("out.2", h, x.Shape()[1], 3, true)
}

// attend applies attention to h if the level has attention.
func (u *UNet) attend(b *layer.Builder, name string, h *graphop.Node, level int) *graphop.Node {
	if !slices.Contains(u.Attention, 1<<level) {
		return h
	}
	return b.Attention(name, h, u.Groups, u.heads(h.Shape()[1]))
}

// heads returns the number of attention heads over the given number of channels.
func (u *UNet) heads(channels int) int {
	if u.HeadChannels == 0 {
		return 1
	}
	return channels / u.HeadChannels
}

// normSiLU applies GroupNorm and SiLU. It applies SiLU in the shape of the groups and then restores the shape of x.
func (u *UNet) normSiLU(b *layer.Builder, name string, x, scale, shift *graphop.Node) *graphop.Node {
	return graphop.Reshape(graphop.SiLU(b.GroupNorm(name, x, u.Groups, scale, shift)), x.Shape()...)
}

// resBlock is guided diffusion's residual block; emb is the time embedding after SiLU.
func (u *UNet) resBlock(b *layer.Builder, name string, x, emb *graphop.Node, out int) *graphop.Node {
	h := u.normSiLU(b, name+".in_layers.0", x, nil, nil)
	h = b.Conv(name+".in_layers.2", h, out, 3, false)
	if u.AddTime {
		e := b.Linear(name+".emb_layers.1", emb, out, false)
		h = graphop.Add(h, graphop.Reshape(e, e.Shape()[0], out, 1, 1))
		h = u.normSiLU(b, name+".out_layers.0", h, nil, nil)
	} else {
		e := b.Linear(name+".emb_layers.1", emb, 2*out, false)
		h = u.normSiLU(b, name+".out_layers.0", h, graphop.Slice(e, 1, 0, out), graphop.Slice(e, 1, out, 2*out))
	}
	h = b.Conv(name+".out_layers.3", b.Dropout(name, h, u.Dropout), out, 3, true)
	if x.Shape()[1] != out {
		x = b.Conv(name+".skip_connection", x, out, 1, false)
	}
	return b.Block(graphop.Add(x, h))
}

// timestepEmbedding returns cos and then sin of t·exp(-ln(10000)·i/half), as [N, channels]. t [N, 1] is not rescaled.
func timestepEmbedding(t *graphop.Node, channels int) *graphop.Node {
	half := channels / 2
	freq := make([]float64, half)
	for i := range freq {
		freq[i] = portable.Exp(-portable.Log(10000) * float64(i) / float64(half))
	}
	angle := graphop.Mul(t, graphop.Table(t, freq, 1, half))
	return graphop.Concat(1, graphop.Cos(angle), graphop.Sin(angle))
}

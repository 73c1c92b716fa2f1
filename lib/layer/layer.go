// Package layer builds the layers of networks as nodes of a graph and declares their parameters.
//
// Building a network also declares the network's parameters, so names, shapes and initial values are written once,
// where a layer uses them. A network's state dict is the list of parameters that its builder declared.
package layer

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/portable"
	"vapo/lib/random"
)

// Init is the initial value of a parameter.
type Init struct {
	Bound float64 // uniform in ±Bound if positive
	Value float64 // otherwise this value
}

// Param is one parameter of a network.
type Param struct {
	Name  string // as in the network's state dict
	Shape []int
	Init  Init
	Node  *graphop.Node // the input param/NAME of the graph it was declared in
}

// Draw returns the initial value, which depends on the seed and the name of the parameter.
func (p Param) Draw(seed uint64) []float32 {
	v := make([]float32, Count([]Param{p}))
	if p.Init.Bound == 0 {
		for i := range v {
			v[i] = float32(p.Init.Value)
		}
		return v
	}
	src := random.New(seed, "init/"+p.Name, 0)
	for i := range v {
		v[i] = float32((float64(2*src.Uniform64()) - 1) * p.Init.Bound)
	}
	return v
}

// Builder declares the parameters of a network in a graph.
type Builder struct {
	Graph  *gorgonia.ExprGraph
	Dtype  tensor.Dtype
	Params []Param // in the order of declaration
	// Key is the node that dropout masks are drawn from (see graphop.Uniform). If it is nil, as in evaluation, there is
	// no dropout.
	Key *graphop.Node
	// Remat lets Block mark the blocks of the network for graphop.Rematerialise.
	Remat bool
}

// Block returns x, an input or output of a block, and marks it if Remat is set. A reverse-mode pass may compute the
// values inside a block again instead of keeping them.
func (b *Builder) Block(x *graphop.Node) *graphop.Node {
	if !b.Remat {
		return x
	}
	return graphop.Boundary(x)
}

// Param declares a parameter and returns it as an input node with the name param/NAME.
func (b *Builder) Param(name string, init Init, shape ...int) *graphop.Node {
	n := graphop.Input(b.Graph, b.Dtype, checkpoint.Param+name, shape...)
	b.Params = append(b.Params, Param{Name: name, Shape: shape, Init: init, Node: n})
	return n
}

// Nodes returns the parameters' nodes in the order of declaration.
func (b *Builder) Nodes() []*graphop.Node {
	out := make([]*graphop.Node, len(b.Params))
	for i, p := range b.Params {
		out[i] = p.Node
	}
	return out
}

// Linear returns x [N, in] times the transpose of weight [out, in], plus bias [out]. Initial weights and biases are
// uniform in ±1/sqrt(in), PyTorch's default, or 0 if zero is set.
func (b *Builder) Linear(name string, x *graphop.Node, out int, zero bool) *graphop.Node {
	in := x.Shape()[1]
	init := fanIn(in, zero)
	w := b.Param(name+".weight", init, out, in)
	bias := b.Param(name+".bias", init, out)
	return graphop.Add(graphop.MatMul(x, w, false, true), graphop.Reshape(bias, 1, out))
}

// Conv is a k x k convolution of stride 1 with padding that keeps the image size: x [N, C, H, W] becomes [N, out, H,
// W].
func (b *Builder) Conv(name string, x *graphop.Node, out, k int, zero bool) *graphop.Node {
	return b.convStrided(name, x, out, k, 1, zero)
}

// ConvDown is a 3 x 3 convolution of stride 2 that keeps the channels: x [N, C, H, W] becomes [N, C, H/2, W/2].
func (b *Builder) ConvDown(name string, x *graphop.Node) *graphop.Node {
	return b.convStrided(name, x, x.Shape()[1], 3, 2, false)
}

func (b *Builder) convStrided(name string, x *graphop.Node, out, k, stride int, zero bool) *graphop.Node {
	in := x.Shape()[1]
	init := fanIn(in*k*k, zero)
	w := b.Param(name+".weight", init, out, in, k, k)
	bias := b.Param(name+".bias", init, out)
	return graphop.Add(graphop.Conv(x, w, stride, k/2, k/2), graphop.Reshape(bias, 1, out, 1, 1))
}

// Embedding looks up each one-hot row of x [N, K] in the table weight [K, out] and returns [N, out]. A row of zeros
// gives zeros. Initial entries are uniform with variance 1, the variance of PyTorch's initial entries.
func (b *Builder) Embedding(name string, x *graphop.Node, out int) *graphop.Node {
	table := b.Param(name+".weight", Init{Bound: math.Sqrt(3)}, x.Shape()[1], out)
	return graphop.MatMul(x, table, false, false)
}

// Dropout drops elements of x with probability p if the builder has a Key; name is the random stream of the mask.
func (b *Builder) Dropout(name string, x *graphop.Node, p float64) *graphop.Node {
	if b.Key == nil {
		return x
	}
	return graphop.Dropout(x, b.Key, name, p)
}

func fanIn(n int, zero bool) Init {
	if zero {
		return Init{}
	}
	return Init{Bound: 1 / math.Sqrt(float64(n))}
}

// GroupNorm normalises x [N, C, H, W] over groups of channels (Wu and He, arXiv 1803.08494), with eps 1e-5 and a
// learned gain and bias per channel. Unless scale and shift [N, C] are nil, the result y becomes y·(1+scale) + shift.
// The result has the shape [N, groups, C/groups, H·W].
func (b *Builder) GroupNorm(name string, x *graphop.Node, groups int, scale, shift *graphop.Node) *graphop.Node {
	s := x.Shape()
	n, c, pix := s[0], s[1], s[2]*s[3]
	per := c / groups
	weight := b.Param(name+".weight", Init{Value: 1}, c)
	bias := b.Param(name+".bias", Init{}, c)
	v := graphop.Reshape(x, n, groups, per, pix)
	centred := graphop.Sub(v, graphop.Mean(v, 2, 3))
	variance := graphop.Mean(graphop.Square(centred), 2, 3)
	inverse := graphop.Div(graphop.Fill(x, 1, n, groups, 1, 1), graphop.Sqrt(graphop.AddScalar(variance, 1e-5)))
	gain := graphop.Reshape(weight, 1, groups, per, 1)
	offset := graphop.Reshape(bias, 1, groups, per, 1)
	if scale != nil {
		// The result is (h·weight + bias)·(1+scale) + shift for the normalised h. The products without h have far fewer
		// elements, so they are computed first.
		up := graphop.AddScalar(graphop.Reshape(scale, n, groups, per, 1), 1)
		offset = graphop.Add(graphop.Mul(offset, up), graphop.Reshape(shift, n, groups, per, 1))
		gain = graphop.Mul(gain, up)
	}
	return graphop.Add(graphop.Mul(centred, graphop.Mul(inverse, gain)), offset)
}

// Attention normalises x [N, C, H, W] with a GroupNorm, applies self-attention over the pixels (Vaswani et al., arXiv
// 1706.03762, equation 1), adds the result to x, and passes the sum to Block. Every head has C/heads channels, and its
// q and k are each scaled by (C/heads)^(-1/4). The parameters have the layout of guided diffusion (arXiv 2105.05233,
// its legacy order): name.norm, name.qkv [3C, C, 1] with the rows of q, then k, then v for each head in turn, and
// name.proj_out [C, C, 1], initially 0. The attention weights take N·heads·(H·W)² values.
func (b *Builder) Attention(name string, x *graphop.Node, groups, heads int) *graphop.Node {
	s := x.Shape()
	n, c, pix := s[0], s[1], s[2]*s[3]
	h := graphop.Reshape(b.GroupNorm(name+".norm", x, groups, nil, nil), s...)
	init := fanIn(c, false)
	w := b.Param(name+".qkv.weight", init, 3*c, c, 1)
	bias := b.Param(name+".qkv.bias", init, 3*c)
	width := c / heads
	var part func(i int) *graphop.Node // q, k or v, [N·heads, width, H·W]
	if heads == 1 {
		// Slice the weights instead of the product, because slices of the weights and their gradients are smaller.
		part = func(i int) *graphop.Node {
			w, bias := graphop.Slice(w, 0, i*c, (i+1)*c), graphop.Slice(bias, 0, i*c, (i+1)*c)
			return graphop.Reshape(pointConv(h, w, bias), n, c, pix)
		}
	} else {
		all := graphop.Reshape(pointConv(h, w, bias), n*heads, 3*width, pix)
		part = func(i int) *graphop.Node { return graphop.Slice(all, 1, i*width, (i+1)*width) }
	}
	scale := portable.Pow(float64(width), -0.25)
	q, k, v := graphop.Scale(part(0), scale), graphop.Scale(part(1), scale), part(2)
	over := graphop.Softmax(graphop.MatMul(q, k, true, false)) // [N·heads, pixels of q, pixels of k]
	mixed := graphop.Reshape(graphop.MatMul(v, over, false, true), s...)
	w = b.Param(name+".proj_out.weight", Init{}, c, c, 1)
	bias = b.Param(name+".proj_out.bias", Init{}, c)
	return b.Block(graphop.Add(x, pointConv(mixed, w, bias)))
}

// pointConv is a 1 x 1 convolution of x [N, C, H, W] with w [out, C, 1], plus bias [out].
func pointConv(x, w, bias *graphop.Node) *graphop.Node {
	s := w.Shape()
	y := graphop.Conv(x, graphop.Reshape(w, s[0], s[1], 1, 1), 1, 0, 0)
	return graphop.Add(y, graphop.Reshape(bias, 1, s[0], 1, 1))
}

// CheckGroups returns an error unless groups divides every channel count.
func CheckGroups(groups int, channels ...int) error {
	for _, c := range channels {
		if groups < 1 || c%groups != 0 {
			return fmt.Errorf("%d normalisation groups do not divide %d channels", groups, c)
		}
	}
	return nil
}

// Count returns the total number of scalars in the parameters ps.
func Count(ps []Param) int {
	total := 0
	for _, p := range ps {
		total += tensor.Shape(p.Shape).TotalSize()
	}
	return total
}

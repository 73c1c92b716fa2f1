package feature

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/graphop"
	"vapo/lib/layer"
)

// Taps are the layers of Inception whose spatial means serve as features. They are named by their number of channels:
// the two max poolings of the stem, Mixed_6e, Mixed_7a, and the last layer, from which the FID is usually computed.
// LogitsTap is the output of the classifier without its bias, for the Inception Score.
var Taps = []int{64, 192, 768, 1280, 2048, LogitsTap}

// LogitsTap is the tap of the 1,008 logits.
const LogitsTap = 1008

// PublishedWeights is the name of the weights file with which FIDs are computed. PublishedDigest is the SHA-256 of the
// file in hexadecimal.
const (
	PublishedWeights = "pt_inception-2015-12-05-6726825d.pth"
	PublishedDigest  = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
)

// inceptionSide is the height and width in pixels of the network's input.
const inceptionSide = 299

// inception builds the network of 2015-12-05 (Szegedy et al., arXiv 1512.00567, as released with TensorFlow), with
// which the FID was defined (Heusel et al., arXiv 1706.08500). Layers have the names of the published PyTorch weights.
// A unit is a convolution, a batch normalisation and a ReLU. The batch normalisation has fixed statistics and is folded
// into the convolution.
type inception struct {
	b      *layer.Builder
	tap    int    // the requested tap
	deep   bool   // whether to build the network up to the logits
	at     int    // the first tap that needs the next unit
	units  []unit // in the order in which they are built
	out    *graphop.Node
	logits *graphop.Node
}

// unit is a layer with weights. tap is the first tap that needs it.
type unit struct {
	name string
	tap  int
}

// tapped is called at each tap in turn, with the output x of the layer. At the requested tap, it takes the spatial mean
// of x as the features. It reports whether the graph ends here.
func (n *inception) tapped(x *graphop.Node) bool {
	if n.at == n.tap {
		s := x.Shape()
		n.out = graphop.Reshape(graphop.Mean(x, 2, 3), s[0], s[1])
		if !n.deep {
			return true
		}
	}
	n.at = Taps[slices.Index(Taps, n.at)+1]
	return false
}

// conv adds a unit with a kernel of kh x kw.
func (n *inception) conv(name string, x *graphop.Node, out, kh, kw, stride, padH, padW int) *graphop.Node {
	n.units = append(n.units, unit{name, n.at})
	w := n.b.Param(name+".weight", layer.Init{}, out, x.Shape()[1], kh, kw)
	bias := n.b.Param(name+".bias", layer.Init{}, out)
	y := graphop.Conv(x, w, stride, padH, padW)
	return graphop.ReLU(graphop.Add(y, graphop.Reshape(bias, 1, out, 1, 1)))
}

// square adds a unit with a k x k kernel and stride 1 that keeps the height and width.
func (n *inception) square(name string, x *graphop.Node, out, k int) *graphop.Node {
	return n.conv(name, x, out, k, k, 1, k/2, k/2)
}

// row and column add units with 1 x k and k x 1 kernels that keep the height and width.
func (n *inception) row(name string, x *graphop.Node, out, k int) *graphop.Node {
	return n.conv(name, x, out, 1, k, 1, 0, k/2)
}

func (n *inception) column(name string, x *graphop.Node, out, k int) *graphop.Node {
	return n.conv(name, x, out, k, 1, 1, k/2, 0)
}

// average averages over 3 x 3 pixels. Pixels outside the image do not count.
func average(x *graphop.Node) *graphop.Node {
	return graphop.AvgPool2D(x, graphop.Window2D{KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadH: 1, PadW: 1}, false)
}

func maximum(x *graphop.Node, stride, pad int) *graphop.Node {
	return graphop.MaxPool2D(x, graphop.Window2D{KH: 3, KW: 3, StrideH: stride, StrideW: stride, PadH: pad, PadW: pad})
}

// graphInput adds the nodes that convert the input x of a graph to images [n, 3, side, side] in [-1, 1].
type graphInput func(b *layer.Builder, x *graphop.Node) *graphop.Node

// newInceptionGraph builds the network up to a tap, or up to the logits if deep is set, for x of the given shape. If
// input is nil, x is [n, 3, side, side] in [-1, 1]. net.out is [n, tap]. net.logits is [n, LogitsTap], or nil if the
// graph ends before the logits.
func newInceptionGraph(tap int, deep bool, input graphInput, shape ...int) (
	net *inception, x *graphop.Node, err error) {
	b := &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}
	net = &inception{b: b, tap: tap, deep: deep}
	err = graphop.Build(func() {
		x = graphop.Input(b.Graph, b.Dtype, "x", shape...)
		images := x
		if input != nil {
			images = input(b, x)
		}
		net.build(images)
	})
	return net, x, err
}

// wholeInception builds the network up to the logits, for the names and shapes of its units.
func wholeInception() (*inception, error) {
	n, _, err := newInceptionGraph(LogitsTap, true, nil, 1, 3, inceptionSide, inceptionSide)
	return n, err
}

func (n *inception) build(x *graphop.Node) {
	n.at = Taps[0]
	x = n.conv("Conv2d_1a_3x3", x, 32, 3, 3, 2, 0, 0)
	x = n.conv("Conv2d_2a_3x3", x, 32, 3, 3, 1, 0, 0)
	x = maximum(n.square("Conv2d_2b_3x3", x, 64, 3), 2, 0)
	if n.tapped(x) {
		return
	}
	x = n.square("Conv2d_3b_1x1", x, 80, 1)
	x = maximum(n.conv("Conv2d_4a_3x3", x, 192, 3, 3, 1, 0, 0), 2, 0)
	if n.tapped(x) {
		return
	}
	for i, name := range []string{"Mixed_5b.", "Mixed_5c.", "Mixed_5d."} {
		x = n.blockA(name, x, []int{32, 64, 64}[i])
	}
	x = n.reduceA("Mixed_6a.", x)
	for i, name := range []string{"Mixed_6b.", "Mixed_6c.", "Mixed_6d.", "Mixed_6e."} {
		x = n.blockC(name, x, []int{128, 160, 160, 192}[i])
	}
	if n.tapped(x) {
		return
	}
	x = n.reduceC("Mixed_7a.", x)
	if n.tapped(x) {
		return
	}
	x = n.blockE("Mixed_7b.", x, average)
	x = n.blockE("Mixed_7c.", x, func(x *graphop.Node) *graphop.Node { return maximum(x, 1, 1) })
	if n.tapped(x) {
		return
	}
	n.units = append(n.units, unit{"fc", LogitsTap})
	w := n.b.Param("fc.weight", layer.Init{}, LogitsTap, 2048)
	s := x.Shape()
	n.logits = graphop.MatMul(graphop.Reshape(graphop.Mean(x, 2, 3), s[0], s[1]), w, false, true)
	if n.tap == LogitsTap {
		n.out = n.logits
	}
}

func (n *inception) blockA(name string, x *graphop.Node, pool int) *graphop.Node {
	five := n.square(name+"branch5x5_2", n.square(name+"branch5x5_1", x, 48, 1), 64, 5)
	three := n.square(name+"branch3x3dbl_2", n.square(name+"branch3x3dbl_1", x, 64, 1), 96, 3)
	three = n.square(name+"branch3x3dbl_3", three, 96, 3)
	one, pooled := n.square(name+"branch1x1", x, 64, 1), n.square(name+"branch_pool", average(x), pool, 1)
	return graphop.Concat(1, one, five, three, pooled)
}

func (n *inception) reduceA(name string, x *graphop.Node) *graphop.Node {
	three := n.conv(name+"branch3x3", x, 384, 3, 3, 2, 0, 0)
	double := n.square(name+"branch3x3dbl_2", n.square(name+"branch3x3dbl_1", x, 64, 1), 96, 3)
	return graphop.Concat(1, three, n.conv(name+"branch3x3dbl_3", double, 96, 3, 3, 2, 0, 0), maximum(x, 2, 0))
}

func (n *inception) blockC(name string, x *graphop.Node, c int) *graphop.Node {
	seven := n.row(name+"branch7x7_2", n.square(name+"branch7x7_1", x, c, 1), c, 7)
	seven = n.column(name+"branch7x7_3", seven, 192, 7)
	double := n.column(name+"branch7x7dbl_2", n.square(name+"branch7x7dbl_1", x, c, 1), c, 7)
	double = n.column(name+"branch7x7dbl_4", n.row(name+"branch7x7dbl_3", double, c, 7), c, 7)
	double = n.row(name+"branch7x7dbl_5", double, 192, 7)
	one, pooled := n.square(name+"branch1x1", x, 192, 1), n.square(name+"branch_pool", average(x), 192, 1)
	return graphop.Concat(1, one, seven, double, pooled)
}

func (n *inception) reduceC(name string, x *graphop.Node) *graphop.Node {
	three := n.conv(name+"branch3x3_2", n.square(name+"branch3x3_1", x, 192, 1), 320, 3, 3, 2, 0, 0)
	seven := n.row(name+"branch7x7x3_2", n.square(name+"branch7x7x3_1", x, 192, 1), 192, 7)
	seven = n.conv(name+"branch7x7x3_4", n.column(name+"branch7x7x3_3", seven, 192, 7), 192, 3, 3, 2, 0, 0)
	return graphop.Concat(1, three, seven, maximum(x, 2, 0))
}

func (n *inception) blockE(name string, x *graphop.Node, pool func(x *graphop.Node) *graphop.Node) *graphop.Node {
	fan := func(branch, a, b string, y *graphop.Node) *graphop.Node {
		return graphop.Concat(1, n.row(name+branch+a, y, 384, 3), n.column(name+branch+b, y, 384, 3))
	}
	three := fan("branch3x3_2", "a", "b", n.square(name+"branch3x3_1", x, 384, 1))
	double := n.square(name+"branch3x3dbl_2", n.square(name+"branch3x3dbl_1", x, 448, 1), 384, 3)
	double = fan("branch3x3dbl_3", "a", "b", double)
	one, pooled := n.square(name+"branch1x1", x, 320, 1), n.square(name+"branch_pool", pool(x), 192, 1)
	return graphop.Concat(1, one, three, double, pooled)
}

// inceptionBlock is the number of images per evaluation on a CPU.
const inceptionBlock = 16

// NewInception compiles the network for images that are resized by the convention o.Resize. src must hold the layers up
// to o.Tap, or all layers if o.Logits is set. On devices, the network is compiled when the first images are known.
func NewInception(be backend.Backend, src WeightSource, o Options) (*Network, error) {
	return newInception(be, src, o, blockOn(be.Promises(), inceptionBlock))
}

func newInception(be backend.Backend, src WeightSource, o Options, block int) (*Network, error) {
	if !slices.Contains(Taps, o.Tap) {
		return nil, fmt.Errorf("inception has no tap %d, expected one of %v", o.Tap, Taps)
	}
	if !slices.Contains(resizes, o.Resize) {
		return nil, fmt.Errorf("resize is %q, expected one of %v", o.Resize, resizes)
	}
	const side = inceptionSide
	n, _, err := newInceptionGraph(o.Tap, o.Logits, nil, 1, 3, side, side)
	if err != nil {
		return nil, err
	}
	weights, err := n.fold(src)
	if err != nil {
		return nil, err
	}
	net := &Network{
		Name: fmt.Sprintf(inceptionName, o.Tap, o.Resize), Dim: o.Tap, Block: block, check: checkInceptionImage,
	}
	if o.Logits {
		net.Classes = LogitsTap
	}
	form := func(write func(row []float32, im Image) error, resize *resizeGraph, shape ...int) *compiled {
		return &compiled{rows: block, size: tensor.Shape(shape).TotalSize(), write: write,
			compile: func() (backend.Executable, error) {
				weights, input := maps.Clone(weights), graphInput(nil)
				if resize != nil {
					maps.Copy(weights, resize.matrices())
					input = resize.build
				}
				n, x, err := newInceptionGraph(o.Tap, o.Logits, input, append([]int{block}, shape...)...)
				if err != nil {
					return nil, err
				}
				logits := n.logits
				if !o.Logits {
					logits = nil
				}
				return compileGraph(be, n.b, x, n.out, logits, weights)
			}}
	}
	net.programs = &programs{whole: form((&resizers{how: o.Resize}).image, nil, 3, side, side)}
	if be.Promises().Rows { // a CPU, which gains nothing from fewer bytes; see resizeGraph
		return net, net.programs.whole.ready()
	}
	net.programs.forSize = func(im Image) *compiled {
		r := &resizeGraph{o.Resize, im.C, im.H, im.W, side}
		if checkInceptionImage(im) != nil || !r.fits() {
			return nil // programs.whole takes these images, or reports their error
		}
		return form(r.write, r, im.C, im.H, im.W)
	}
	return net, nil
}

// openInception omits the logits if they are optional and the weights for them are missing.
func openInception(be backend.Backend, src WeightSource, o Options) (*Network, error) {
	n, err := NewInception(be, src, o)
	var missing *missingLayersError
	if o.LogitsOptional && errors.As(err, &missing) && missing.tap == LogitsTap {
		o.Logits = false
		n, err = NewInception(be, src, o)
	}
	return n, err
}

const inceptionName = "inception-2015-12-05 tap %d resize %s"

// ParseInception returns the tap and the resize convention in the name of an Inception network. ok is false if name is
// that of another network.
func ParseInception(name string) (tap int, resize Resize, ok bool) {
	n, err := fmt.Sscanf(name, inceptionName, &tap, &resize)
	return tap, resize, err == nil && n == 2
}

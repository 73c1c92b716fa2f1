package feature

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
	"vapo/lib/kernel"
	"vapo/lib/layer"
)

// Taps are the layers of Inception whose spatial means serve as features, by their number of channels: the two max
// poolings of the stem, Mixed_6e, Mixed_7a and the last layer, whose 2,048 the FID is usually computed from. LogitsTap is
// the classifier's output for the Inception Score, without its bias.
var Taps = []int{64, 192, 768, 1280, 2048, LogitsTap}

// LogitsTap is the tap of the 1,008 logits.
const LogitsTap = 1008

// PublishedWeights is the name of the file of weights that FIDs are computed with, and PublishedDigest its sha256.
const (
	PublishedWeights = "pt_inception-2015-12-05-6726825d.pth"
	PublishedDigest  = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
)

// InceptionSide is the height and width in pixels of the images that the network looks at.
const InceptionSide = 299

// inception builds the network of 2015-12-05 (Szegedy et al., arXiv 1512.00567, as released with TensorFlow), in which
// the FID was defined (Heusel et al., arXiv 1706.08500). Names are those of the commonly shared PyTorch weights. A unit is
// a convolution, a batch normalisation with fixed statistics, which is folded into it, and ReLU.
type inception struct {
	b      *layer.Builder
	tap    int    // whose features are wanted
	deep   bool   // go on to the logits
	at     int    // the first tap that needs the next unit
	units  []unit // in the order of building
	out    *graphop.Node
	logits *graphop.Node
}

// unit is what must be loaded for a tap and all that follow.
type unit struct {
	name string
	tap  int
}

// tapped notes the layer's spatial mean where it is the wanted tap, and reports whether nothing more is wanted.
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

// conv is a unit with a kernel of kh x kw.
func (n *inception) conv(name string, x *graphop.Node, out, kh, kw, stride, padH, padW int) *graphop.Node {
	n.units = append(n.units, unit{name, n.at})
	w := n.b.Param(name+".weight", layer.Init{}, out, x.Shape()[1], kh, kw)
	bias := n.b.Param(name+".bias", layer.Init{}, out)
	y := graphop.Conv(x, w, stride, padH, padW)
	return graphop.ReLU(graphop.Add(y, graphop.Reshape(bias, 1, out, 1, 1)))
}

// square is a unit of stride 1 with a k x k kernel that keeps the size.
func (n *inception) square(name string, x *graphop.Node, out, k int) *graphop.Node {
	return n.conv(name, x, out, k, k, 1, k/2, k/2)
}

// row and column are units with kernels of 1 x k and k x 1 that keep the size.
func (n *inception) row(name string, x *graphop.Node, out, k int) *graphop.Node {
	return n.conv(name, x, out, 1, k, 1, 0, k/2)
}

func (n *inception) column(name string, x *graphop.Node, out, k int) *graphop.Node {
	return n.conv(name, x, out, k, 1, 1, k/2, 0)
}

// average is over 3 x 3 pixels, without those outside of the image.
func average(x *graphop.Node) *graphop.Node {
	return graphop.AvgPool2D(x, graphop.Window2D{KH: 3, KW: 3, StrideH: 1, StrideW: 1, PadH: 1, PadW: 1}, false)
}

func maximum(x *graphop.Node, stride, pad int) *graphop.Node {
	return graphop.MaxPool2D(x, graphop.Window2D{KH: 3, KW: 3, StrideH: stride, StrideW: stride, PadH: pad, PadW: pad})
}

// build adds the network for x [N, 3, 299, 299] in [-1, 1] up to the tap, or to the logits; out is then [N, tap] and
// logits, where wanted, [N, LogitsTap].
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
	return graphop.Concat(1, n.square(name+"branch1x1", x, 64, 1), five, three, n.square(name+"branch_pool", average(x), pool, 1))
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
	return graphop.Concat(1, n.square(name+"branch1x1", x, 192, 1), seven, double, n.square(name+"branch_pool", average(x), 192, 1))
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
	return graphop.Concat(1, n.square(name+"branch1x1", x, 320, 1), three, double, n.square(name+"branch_pool", pool(x), 192, 1))
}

// InceptionNetwork is the network up to one tap, with weights.
type InceptionNetwork struct {
	// Weights is the number of weights of the convolutions.
	Weights  int
	tap      int
	resizers resizers
	exe      backend.Executable
	x        []float32
	out      []float32
	logits   []float32 // of length 0 where they are not wanted
}

// inceptionBlock is the fixed number of images of one evaluation.
const inceptionBlock = 16

// NewInception compiles the network for images resized in the given way, with the weights that the tap needs: f may hold
// the first layers only.
func NewInception(be backend.Backend, f WeightSource, o Options) (*InceptionNetwork, error) {
	tap, resize := o.Tap, o.Resize
	if !slices.Contains(Taps, tap) {
		return nil, fmt.Errorf("inception has no tap %d, expected one of %v", tap, Taps)
	}
	if !slices.Contains(Resizes, resize) {
		return nil, fmt.Errorf("resize is %q, expected one of %v", resize, Resizes)
	}
	n := &inception{b: &layer.Builder{Graph: gorgonia.NewGraph(), Dtype: tensor.Float32}, tap: tap, deep: o.Logits}
	var x *graphop.Node
	if err := graphop.Build(func() {
		x = graphop.Input(n.b.Graph, n.b.Dtype, "x", inceptionBlock, 3, InceptionSide, InceptionSide)
		n.build(x)
	}); err != nil {
		return nil, err
	}
	weights, err := n.fold(f)
	if err != nil {
		return nil, err
	}
	g := backend.Graph{Inputs: []*graphop.Node{x}, Outputs: []*graphop.Node{n.out}}
	if o.Logits {
		g.Outputs = append(g.Outputs, n.logits)
	}
	for _, p := range n.b.Params {
		g.State = append(g.State, backend.State{In: p.Node})
	}
	exe, err := be.Compile(g)
	if err != nil {
		return nil, err
	}
	for _, p := range n.b.Params {
		if err := exe.Load(checkpoint.Param+p.Name, backend.F32(weights[p.Name])); err != nil {
			return nil, err
		}
	}
	count := 0
	for _, p := range n.b.Params {
		if len(p.Shape) == 4 {
			count += p.Shape[0] * p.Shape[1] * p.Shape[2] * p.Shape[3]
		}
	}
	net := &InceptionNetwork{
		Weights: count, tap: tap, resizers: resizers{how: resize}, exe: exe,
		x: make([]float32, inceptionBlock*3*InceptionSide*InceptionSide), out: make([]float32, inceptionBlock*tap),
	}
	if o.Logits {
		net.logits = make([]float32, inceptionBlock*LogitsTap)
	}
	return net, nil
}

// Name implements Network.
func (n *InceptionNetwork) Name() string {
	return fmt.Sprintf(inceptionName, n.tap, n.resizers.how)
}

// ParseInception takes a name of a network apart that Name gave; ok is false for that of another network.
func ParseInception(name string) (tap int, resize Resize, ok bool) {
	n, err := fmt.Sscanf(name, inceptionName, &tap, &resize)
	return tap, resize, err == nil && n == 2
}

const inceptionName = "inception-2015-12-05 tap %d resize %s"

// Dim implements Network.
func (n *InceptionNetwork) Dim() int { return n.tap }

// Classes implements Network.
func (n *InceptionNetwork) Classes() int { return len(n.logits) / inceptionBlock }

// Block implements Network.
func (n *InceptionNetwork) Block() int { return inceptionBlock }

// Features implements Network. Grey images are looked at with three equal channels.
func (n *InceptionNetwork) Features(images Images, from, to int, out []float32) error {
	if err := room(n, from, to, out); err != nil {
		return err
	}
	const size = 3 * InceptionSide * InceptionSide
	in, res := []backend.Buffer{backend.F32(n.x)}, []backend.Buffer{backend.F32(n.out)}
	classes := n.Classes()
	if classes > 0 {
		res = append(res, backend.F32(n.logits))
	}
	for base := from - from%inceptionBlock; base < to; base += inceptionBlock {
		lo, hi := max(base, from), min(base+inceptionBlock, to)
		clear(n.x)
		var failed [inceptionBlock]error
		kernel.Parallel(hi-lo, func(_, piece int) {
			im, err := images.Image(lo + piece)
			if err == nil {
				err = n.resizers.image(n.x[(lo-base+piece)*size:][:size], im)
			}
			failed[piece] = err
		})
		for _, err := range failed {
			if err != nil {
				return err
			}
		}
		if err := n.exe.Run(in, res); err != nil {
			return err
		}
		for i := lo; i < hi; i++ {
			dst := out[(i-from)*(n.tap+classes):]
			copy(dst[:n.tap], n.out[(i-base)*n.tap:])
			copy(dst[n.tap:n.tap+classes], n.logits[(i-base)*classes:])
		}
	}
	return nil
}

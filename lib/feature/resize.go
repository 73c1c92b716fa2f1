package feature

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// Resize is a convention by which images are brought to the size that Inception looks at. It changes an FID by several
// points and belongs to every number (Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation",
// arXiv 2104.11222).
type Resize string

// The conventions in use.
const (
	// PyTorchFID is bilinear with half-pixel centres and no antialiasing, and scales to 2·(v/255) - 1.
	PyTorchFID Resize = "pytorch-fid"
	// TF1 is bilinear as TensorFlow 1 and torch-fidelity do it, from i·in/out on, and scales to (v-128)/128.
	TF1 Resize = "tf1"
	// Clean is bicubic with antialiasing as Pillow does it in float32, clipped to [0, 255], and scales to (v-128)/128.
	Clean Resize = "clean"
)

// Resizes lists the conventions.
var Resizes = []Resize{PyTorchFID, TF1, Clean}

// taps are the input positions from first on, and their weights, that make one output position.
type taps struct {
	first   int
	weights []float64
}

// axisTaps are the taps of all output positions of an axis of in elements.
func (r Resize) axisTaps(in int) []taps {
	const out = InceptionSide
	scale := float64(in) / out
	ts := make([]taps, out)
	for i := range ts {
		switch r {
		case Clean:
			ts[i] = bicubicTaps(in, scale, i)
			continue
		case TF1:
			ts[i] = linearTaps(in, float64(float32(i)*float32(scale)))
		default:
			ts[i] = linearTaps(in, math.Max(0, (float64(i)+0.5)*scale-0.5))
		}
	}
	return ts
}

func linearTaps(in int, at float64) taps {
	first := min(int(at), in-1)
	if first == in-1 {
		return taps{first, []float64{1}}
	}
	part := at - float64(first)
	return taps{first, []float64{1 - part, part}}
}

// bicubicTaps are Pillow's: Keys' cubic with a = -1/2, stretched where the image shrinks.
func bicubicTaps(in int, scale float64, i int) taps {
	stretch := math.Max(scale, 1)
	centre, support := (float64(i)+0.5)*scale, 2*stretch
	first := max(0, int(centre-support+0.5))
	last := min(in, int(centre+support+0.5))
	t := taps{first: first}
	sum := 0.0
	for p := first; p < last; p++ {
		w := cubic((float64(p) - centre + 0.5) / stretch)
		t.weights = append(t.weights, w)
		sum += w
	}
	for k := range t.weights {
		t.weights[k] /= sum
	}
	return t
}

// cubic is Keys' interpolation kernel ("Cubic convolution interpolation", 1981) with a = -1/2.
func cubic(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

// resizers keeps the taps of axes of the lengths that were met. It is safe for concurrent use.
type resizers struct {
	how  Resize
	axes sync.Map // int to []taps
	many atomic.Int64
}

// manyAxes bounds how many lengths' taps are kept: a folder may hold images of any sizes.
const manyAxes = 512

func (r *resizers) axis(length int) []taps {
	if t, ok := r.axes.Load(length); ok {
		return t.([]taps)
	}
	t := r.how.axisTaps(length)
	if r.many.Add(1) <= manyAxes {
		r.axes.Store(length, t)
	}
	return t
}

// image writes an image to dst [3, 299, 299], scaled as the convention says.
func (r *resizers) image(dst []float32, im Image) error {
	if im.C != 1 && im.C != 3 || im.H < 1 || im.W < 1 || len(im.Pixels) != im.C*im.H*im.W {
		return fmt.Errorf("an image of %d channels, %dx%d pixels; inception looks at grey or RGB ones", im.C, im.H, im.W)
	}
	p := newPlaner(r.how, im.W, r.axis(im.H), r.axis(im.W))
	const plane = InceptionSide * InceptionSide
	for c := range 3 {
		if from := min(c, im.C-1); from < c {
			copy(dst[c*plane:(c+1)*plane], dst)
		} else {
			p.plane(dst[c*plane:(c+1)*plane], im.Pixels[from*im.H*im.W:][:im.H*im.W])
		}
	}
	return nil
}

// planer resizes channels of one size.
type planer struct {
	how  Resize
	w    int
	rows []taps // of the output's rows
	cols []taps
	// wide holds the last rows of the input, widened: as many as one row of the output is made of.
	wide []float32
	held int
}

func newPlaner(how Resize, w int, rows, cols []taps) *planer {
	p := &planer{how: how, w: w, rows: rows, cols: cols}
	for _, t := range rows {
		p.held = max(p.held, len(t.weights))
	}
	p.wide = make([]float32, p.held*InceptionSide)
	return p
}

// plane resizes one channel: its rows first, then its columns, with float32 between as in Pillow.
func (p *planer) plane(dst []float32, src []uint8) {
	const side = InceptionSide
	done := 0 // rows of the input that were widened
	for y, t := range p.rows {
		done = max(done, t.first)
		for ; done < t.first+len(t.weights); done++ {
			p.widen(p.wide[done%p.held*side:][:side], src[done*p.w:(done+1)*p.w])
		}
		out := dst[y*side : (y+1)*side]
		for x := range out {
			sum := 0.0
			for k, w := range t.weights {
				sum += w * float64(p.wide[(t.first+k)%p.held*side+x])
			}
			out[x] = p.how.scale(sum)
		}
	}
}

func (p *planer) widen(dst []float32, row []uint8) {
	for x, t := range p.cols {
		sum := 0.0
		for k, w := range t.weights {
			sum += w * float64(row[t.first+k])
		}
		dst[x] = float32(sum)
	}
}

// scale maps grey levels to what the network was trained on.
func (r Resize) scale(v float64) float32 {
	switch r {
	case PyTorchFID:
		return float32(2*(v/255) - 1)
	case Clean:
		v = math.Min(255, math.Max(0, v))
	}
	return float32((v - 128) / 128)
}

package feature

import (
	"fmt"
	"math"
	"sync"
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

// resizers keeps a resizer for every size that was met. It is safe for concurrent use.
type resizers struct {
	how Resize
	of  sync.Map // [2]int to *resizer
}

// image writes an image to dst [3, 299, 299], scaled as the convention says.
func (r *resizers) image(dst []float32, im Image) error {
	if im.C != 1 && im.C != 3 || im.H < 1 || im.W < 1 || len(im.Pixels) != im.C*im.H*im.W {
		return fmt.Errorf("an image of %d channels, %dx%d pixels; inception looks at grey or RGB ones", im.C, im.H, im.W)
	}
	size := [2]int{im.H, im.W}
	v, ok := r.of.Load(size)
	if !ok {
		v, _ = r.of.LoadOrStore(size, newResizer(r.how, im.H, im.W))
	}
	const plane = InceptionSide * InceptionSide
	for c := range 3 {
		if from := min(c, im.C-1); from < c {
			copy(dst[c*plane:(c+1)*plane], dst)
		} else {
			v.(*resizer).plane(dst[c*plane:(c+1)*plane], im.Pixels[from*im.H*im.W:][:im.H*im.W])
		}
	}
	return nil
}

// resizer brings images of one size to Inception's.
type resizer struct {
	how  Resize
	h, w int
	rows []taps // of the output's rows
	cols []taps
}

func newResizer(how Resize, h, w int) *resizer {
	return &resizer{how: how, h: h, w: w, rows: how.axisTaps(h), cols: how.axisTaps(w)}
}

// plane resizes one channel: its rows first, then its columns, with float32 between as in Pillow.
func (r *resizer) plane(dst []float32, src []uint8) {
	const side = InceptionSide
	wide := make([]float32, r.h*side)
	for y := range r.h {
		row := src[y*r.w : (y+1)*r.w]
		for x, t := range r.cols {
			sum := 0.0
			for k, w := range t.weights {
				sum += w * float64(row[t.first+k])
			}
			wide[y*side+x] = float32(sum)
		}
	}
	for y, t := range r.rows {
		out := dst[y*side : (y+1)*side]
		for x := range out {
			sum := 0.0
			for k, w := range t.weights {
				sum += w * float64(wide[(t.first+k)*side+x])
			}
			out[x] = r.scale(sum)
		}
	}
}

// scale maps grey levels to what the network was trained on.
func (r *resizer) scale(v float64) float32 {
	switch r.how {
	case PyTorchFID:
		return float32(2*(v/255) - 1)
	case Clean:
		v = math.Min(255, math.Max(0, v))
	}
	return float32((v - 128) / 128)
}

package feature

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"vapo/lib/picture"
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

// axisTaps are the taps of all output positions of an axis of in elements.
func (r Resize) axisTaps(in int) []picture.Taps {
	const out = InceptionSide
	if r == Clean {
		return picture.Bicubic.Taps(in, out)
	}
	scale := float64(in) / out
	ts := make([]picture.Taps, out)
	for i := range ts {
		switch r {
		case TF1:
			ts[i] = linearTaps(in, float64(float32(i)*float32(scale)))
		default:
			ts[i] = linearTaps(in, math.Max(0, float64((float64(i)+0.5)*scale)-0.5))
		}
	}
	return ts
}

func linearTaps(in int, at float64) picture.Taps {
	first := min(int(at), in-1)
	if first == in-1 {
		return picture.Taps{First: first, Weights: []float64{1}}
	}
	part := at - float64(first)
	return picture.Taps{First: first, Weights: []float64{1 - part, part}}
}

// resizers keeps the taps of axes of the lengths that were met. It is safe for concurrent use.
type resizers struct {
	how  Resize
	axes sync.Map // int to []picture.Taps
	many atomic.Int64
}

// manyAxes bounds how many lengths' taps are kept: a folder may hold images of any sizes.
const manyAxes = 512

func (r *resizers) axis(length int) []picture.Taps {
	if t, ok := r.axes.Load(length); ok {
		return t.([]picture.Taps)
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
	rows []picture.Taps // of the output's rows
	cols []picture.Taps
	// wide holds the last rows of the input, widened: as many as one row of the output is made of.
	wide []float32
	held int
}

func newPlaner(how Resize, w int, rows, cols []picture.Taps) *planer {
	p := &planer{how: how, w: w, rows: rows, cols: cols}
	for _, t := range rows {
		p.held = max(p.held, len(t.Weights))
	}
	p.wide = make([]float32, p.held*InceptionSide)
	return p
}

// plane resizes one channel: its rows first, then its columns, with float32 between as in Pillow.
func (p *planer) plane(dst []float32, src []uint8) {
	const side = InceptionSide
	done := 0 // rows of the input that were widened
	for y, t := range p.rows {
		done = max(done, t.First)
		for ; done < t.First+len(t.Weights); done++ {
			p.widen(p.wide[done%p.held*side:][:side], src[done*p.w:(done+1)*p.w])
		}
		out := dst[y*side : (y+1)*side]
		for x := range out {
			sum := 0.0
			for k, w := range t.Weights {
				sum += float64(w * float64(p.wide[(t.First+k)%p.held*side+x]))
			}
			out[x] = p.how.scale(sum)
		}
	}
}

func (p *planer) widen(dst []float32, row []uint8) {
	for x, t := range p.cols {
		sum := 0.0
		for k, w := range t.Weights {
			sum += float64(w * float64(row[t.First+k]))
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

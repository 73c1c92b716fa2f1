package feature

import (
	"math"
	"sync"
	"sync/atomic"

	"vapo/lib/failure"
	"vapo/lib/picture"
)

// Resize is a convention for resizing and scaling images to Inception's input. The choice changes an FID by several
// points, so every score records it (Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation",
// arXiv 2104.11222).
type Resize string

// The conventions in use.
const (
	// PyTorchFID is bilinear with half-pixel centres and no antialiasing, and scales to 2·(v/255) - 1.
	PyTorchFID Resize = "pytorch-fid"
	// TF1 is bilinear with source positions i·in/out, as in TensorFlow 1 and torch-fidelity, and scales to (v-128)/128.
	TF1 Resize = "tf1"
	// Clean is bicubic with antialiasing, as in Pillow with float32. It clips to [0, 255] and scales to (v-128)/128.
	Clean Resize = "clean"
)

var resizes = []Resize{PyTorchFID, TF1, Clean}

// axisTaps returns the interpolation taps that resize an axis from in pixels to out pixels, one entry per output pixel.
func (r Resize) axisTaps(in, out int) []picture.Taps {
	if r == Clean {
		return picture.Bicubic.Taps(in, out)
	}
	scale := float64(in) / float64(out)
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

// resizers caches interpolation taps by the length of the axis. It is safe for concurrent use.
type resizers struct {
	how    Resize
	axes   sync.Map // maps the length (int) to its []picture.Taps
	cached atomic.Int64
}

// maxAxes bounds the cache, because a folder may hold images of many sizes.
const maxAxes = 512

func (r *resizers) axis(length int) []picture.Taps {
	if t, ok := r.axes.Load(length); ok {
		return t.([]picture.Taps)
	}
	t := r.how.axisTaps(length, inceptionSide)
	if r.cached.Add(1) <= maxAxes {
		r.axes.Store(length, t)
	}
	return t
}

func checkInceptionImage(im Image) error {
	if im.C != 1 && im.C != 3 || im.H < 1 || im.W < 1 || len(im.Pixels) != im.C*im.H*im.W {
		return failure.New(failure.Input, "", "it has %d channels and %dx%d pixels; Inception takes grey and RGB images",
			im.C, im.W, im.H)
	}
	return nil
}

// image resizes and scales an image into dst [3, 299, 299].
func (r *resizers) image(dst []float32, im Image) error {
	if err := checkInceptionImage(im); err != nil {
		return err
	}
	p := newPlaner(r.how, im.W, r.axis(im.H), r.axis(im.W))
	const plane = inceptionSide * inceptionSide
	for c := range 3 {
		if from := min(c, im.C-1); from < c {
			copy(dst[c*plane:(c+1)*plane], dst)
		} else {
			p.plane(dst[c*plane:(c+1)*plane], im.Pixels[from*im.H*im.W:][:im.H*im.W])
		}
	}
	return nil
}

// planer resizes the channels of one image.
type planer struct {
	how  Resize
	w    int
	rows []picture.Taps // taps of each output row
	cols []picture.Taps
	// wide is a ring buffer of input rows, resized to the output width. It holds the rows that one output row needs.
	wide   []float32
	height int // number of rows in wide
}

func newPlaner(how Resize, w int, rows, cols []picture.Taps) *planer {
	p := &planer{how: how, w: w, rows: rows, cols: cols}
	for _, t := range rows {
		p.height = max(p.height, len(t.Weights))
	}
	p.wide = make([]float32, p.height*inceptionSide)
	return p
}

// plane resizes one channel: first its rows, then its columns, with intermediate values in float32 as in Pillow.
func (p *planer) plane(dst []float32, src []uint8) {
	const side = inceptionSide
	done := 0 // number of input rows that were resized or skipped so far
	for y, t := range p.rows {
		done = max(done, t.First)
		for ; done < t.First+len(t.Weights); done++ {
			p.widen(p.wide[done%p.height*side:][:side], src[done*p.w:(done+1)*p.w])
		}
		out := dst[y*side : (y+1)*side]
		for x := range out {
			sum := 0.0
			for k, w := range t.Weights {
				sum += float64(w * float64(p.wide[(t.First+k)%p.height*side+x]))
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

// scale maps grey levels 0..255 to the range of the network's input.
func (r Resize) scale(v float64) float32 {
	switch r {
	case PyTorchFID:
		return float32(2*(v/255) - 1)
	case Clean:
		v = math.Min(255, math.Max(0, v))
	}
	return float32((v - 128) / 128)
}

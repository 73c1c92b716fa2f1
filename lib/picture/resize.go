package picture

import (
	"fmt"
	"math"

	"vapo/lib/portable"
)

// Filter is one of Pillow's resampling kernels.
type Filter string

// The filters, with their names in Pillow.
const (
	Bilinear Filter = "bilinear" // a triangle; the default in torchvision.transforms.Resize
	Bicubic  Filter = "bicubic"  // Keys' cubic with a = -1/2
	Lanczos  Filter = "lanczos"  // a sinc windowed by a sinc three times as wide; 3 lobes
)

// support is the distance beyond which the filter is zero, in input samples before stretching.
func (f Filter) support() float64 {
	switch f {
	case Bicubic:
		return 2
	case Lanczos:
		return 3
	}
	return 1
}

// at returns the value of the filter at distance x.
func (f Filter) at(x float64) float64 {
	switch f {
	case Bicubic:
		return cubic(x)
	case Lanczos:
		if -3 <= x && x < 3 {
			return float64(sinc(x) * sinc(x/3))
		}
		return 0
	}
	return max(0, 1-math.Abs(x))
}

// cubic is Keys' interpolation kernel ("Cubic convolution interpolation", 1981) with a = -1/2.
func cubic(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return float64((float64((a+2)*x)-(a+3))*x*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
	}
	return 0
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return portable.Sin(x) / x
}

// Taps are the weights of consecutive input positions that contribute to one output position. The first input position
// is First.
type Taps struct {
	First   int
	Weights []float64
}

// Taps returns the taps that resize an axis from in positions to out positions, as Pillow does (Resample.c,
// precompute_coeffs). The result has one entry for each output position. If the axis shrinks, the filter is stretched
// to prevent aliasing. Weights beyond the ends of the axis are dropped, and the rest are normalised to sum to 1.
func (f Filter) Taps(in, out int) []Taps {
	ts := make([]Taps, out)
	scale := float64(in) / float64(out)
	stretch := math.Max(scale, 1)
	for i := range ts {
		centre, support := float64((float64(i)+0.5)*scale), float64(f.support()*stretch)
		first := max(0, int(centre-support+0.5))
		last := min(in, int(centre+support+0.5))
		t := Taps{First: first}
		sum := 0.0
		for p := first; p < last; p++ {
			w := f.at((float64(p) - centre + 0.5) / stretch)
			t.Weights = append(t.Weights, w)
			sum += w
		}
		for k := range t.Weights {
			t.Weights[k] /= sum
		}
		ts[i] = t
	}
	return ts
}

// fraction is the number of fractional bits in Pillow's weights for 8-bit images (Resample.c, PRECISION_BITS).
const fraction = 32 - 8 - 2

// Resizer resizes 8-bit images of one size and gives exactly the result of Pillow's Image.resize. The weights have 22
// fractional bits. The first pass resizes each row and the second each column, and each pass rounds to 8 bits. A
// Resizer is safe for concurrent use.
type Resizer struct {
	inH, inW, outH, outW int
	rows, cols           []fixedTaps // one for each row and column of the output
}

// fixedTaps are Taps with weights in fixed point.
type fixedTaps struct {
	first   int
	weights []int32
}

// NewResizer returns a resizer for images of inH x inW pixels that produces outH x outW pixels.
func NewResizer(f Filter, inH, inW, outH, outW int) *Resizer {
	fixed := func(in, out int) []fixedTaps {
		ts := make([]fixedTaps, out)
		for i, t := range f.Taps(in, out) {
			ts[i] = fixedTaps{first: t.First, weights: make([]int32, len(t.Weights))}
			for k, w := range t.Weights {
				ts[i].weights[k] = int32(math.Copysign(0.5, w) + float64(w*(1<<fraction))) // int32 truncates
			}
		}
		return ts
	}
	return &Resizer{inH: inH, inW: inW, outH: outH, outW: outW, rows: fixed(inH, outH), cols: fixed(inW, outW)}
}

// Resize returns a resized copy of the image.
func (r *Resizer) Resize(im *Image) (*Image, error) {
	if im.H != r.inH || im.W != r.inW {
		return nil, fmt.Errorf("the image has %dx%d pixels, expected %dx%d", im.W, im.H, r.inW, r.inH)
	}
	out := &Image{C: im.C, H: r.outH, W: r.outW, Pixels: make([]uint8, im.C*r.outH*r.outW)}
	wide := make([]uint8, r.inH*r.outW)
	sums := make([]int32, r.outW)
	for c := range im.C {
		src := im.Pixels[c*im.H*im.W:][:im.H*im.W]
		for y := range im.H {
			row, to := src[y*im.W:][:im.W], wide[y*r.outW:][:r.outW]
			for x, t := range r.cols {
				sum := int32(1 << (fraction - 1))
				for k, v := range row[t.first:][:len(t.weights)] {
					sum += int32(v) * t.weights[k]
				}
				to[x] = clip8(sum)
			}
		}
		dst := out.Pixels[c*r.outH*r.outW:][:r.outH*r.outW]
		for y, t := range r.rows {
			for x := range sums {
				sums[x] = 1 << (fraction - 1)
			}
			for k, w := range t.weights {
				for x, v := range wide[(t.first+k)*r.outW:][:r.outW] {
					sums[x] += int32(v) * w
				}
			}
			for x, s := range sums {
				dst[y*r.outW+x] = clip8(s)
			}
		}
	}
	return out, nil
}

func clip8(sum int32) uint8 { return uint8(min(max(sum>>fraction, 0), 255)) }

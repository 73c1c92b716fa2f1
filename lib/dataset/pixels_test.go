package dataset

import (
	"math"
	"slices"
	"testing"
)

func TestQuantizeInvertsNormalize(t *testing.T) {
	var pixels, got [256]uint8
	for i := range pixels {
		pixels[i] = uint8(i)
	}
	var x [256]float32
	Normalize(x[:], pixels[:])
	if x[0] != -1 || x[255] != 1 || !slices.IsSorted(x[:]) {
		t.Errorf("0 and 255 become %v and %v", x[0], x[255])
	}
	if Quantize(got[:], x[:]); got != pixels {
		t.Errorf("0..255 become %v", got)
	}
}

func TestQuantizeTakesTheNearestPixel(t *testing.T) {
	x := []float32{-2, -1, -0.997, -0.5, 0, 0.0039, 0.5, 0.999, 1, 7, 1e30, -1e30, 0.25, -0.25, 0.1, -0.1}
	got := make([]uint8, len(x))
	Quantize(got, x)
	for i, v := range x {
		exact := min(max((float64(v)+1)*127.5, 0), 255)
		if math.Abs(float64(got[i])-exact) > 0.5 {
			t.Errorf("%v becomes %d, want %v", v, got[i], math.Round(exact))
		}
	}
}

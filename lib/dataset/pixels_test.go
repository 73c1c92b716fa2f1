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
		t.Errorf("0 to 255 become %v, want a sorted list from -1 to 1", x)
	}
	if Quantize(got[:], x[:]); got != pixels {
		t.Errorf("0 to 255 become %v after Normalize and Quantize, want no change", got)
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

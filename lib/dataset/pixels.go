package dataset

import "math"

// Normalize maps pixels to the units of the networks, [-1, 1].
func Normalize(dst []float32, pixels []uint8) {
	for i, p := range pixels {
		dst[i] = float32(p)/127.5 - 1
	}
}

// Quantize maps values back to pixels, the inverse of Normalize: what lies between two pixels goes to the nearer one
// (halfway to the even one), what lies beyond [-1, 1] to its ends.
func Quantize(dst []uint8, x []float32) {
	for i, v := range x {
		dst[i] = uint8(min(max(math.RoundToEven((float64(v)+1)*127.5), 0), 255))
	}
}

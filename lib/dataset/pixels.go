package dataset

import "math"

// Normalize maps pixels from 0..255 to the range of the networks, [-1, 1].
func Normalize(dst []float32, pixels []uint8) {
	for i, p := range pixels {
		dst[i] = float32(p)/127.5 - 1
	}
}

// Quantize maps values to pixels; it is the inverse of Normalize. It clips values to [-1, 1] and rounds to the nearest
// pixel value. A value halfway between two pixel values is rounded to the even one.
func Quantize(dst []uint8, x []float32) {
	for i, v := range x {
		dst[i] = uint8(min(max(math.RoundToEven((float64(v)+1)*127.5), 0), 255))
	}
}

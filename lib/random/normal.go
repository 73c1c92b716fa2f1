package random

import (
	"math"

	"vapo/lib/portable"
)

// The ziggurat of Marsaglia and Tsang (Journal of Statistical Software 5, 2000) covers the normal density with layers
// of equal area. Each layer is a rectangle; the lowest layer also includes the tail beyond tailStart. The layers and
// the order of draws are those of NormFloat64 in math/rand/v2. NormFloat64 itself is not used, because math.Exp and
// math.Log give different bits on different machines.
const (
	layers    = 128
	tailStart = 3.442619855899
	layerArea = 9.91256303526217e-3 // area of each layer under exp(-x²/2)
	scale     = 1 << 31             // bound on the magnitude of the drawn signed integers
)

// These tables describe layer i. An integer with a magnitude below inside[i] is certainly under the curve. width[i] is
// the width of one unit of the integer. height[i] is the density at the right end of the layer.
var (
	inside [layers]uint32
	width  [layers]float32
	height [layers]float32
)

func density(x float64) float64 { return portable.Exp(float64(-0.5 * x * x)) }

func init() {
	bottom := layerArea / density(tailStart) // width of a rectangle with the area of the lowest layer
	inside[0], width[0], height[0] = uint32(tailStart/bottom*scale), float32(bottom/scale), 1
	x := float64(tailStart)
	for i := layers - 1; i >= 1; i-- {
		width[i], height[i] = float32(x/scale), float32(density(x))
		if i > 1 {
			above := math.Sqrt(float64(-2 * portable.Log(layerArea/x+density(x))))
			inside[i], x = uint32(above/x*scale), above
		}
	}
}

// normal returns a standard normal value.
func (s *Source) normal() float64 {
	for {
		u := s.rng.Uint64()
		j, i := int32(u), u>>32%layers
		x := float64(float64(j) * float64(width[i]))
		size := uint32(j)
		if j < 0 {
			size = -size
		}
		switch {
		case size < inside[i]:
			return x
		case i == 0:
			return math.Copysign(s.tail(), x)
		}
		at := height[i] + float32(float32(s.Uniform64())*(height[i-1]-height[i]))
		if at < float32(density(x)) {
			return x
		}
	}
}

// tail returns a normal value beyond tailStart (Marsaglia, Technometrics 6, 1964).
func (s *Source) tail() float64 {
	for {
		x := float64(-portable.Log(s.Uniform64()) * (1 / tailStart))
		y := -portable.Log(s.Uniform64())
		if y+y >= float64(x*x) {
			return tailStart + x
		}
	}
}

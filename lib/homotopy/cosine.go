package homotopy

import (
	"math"

	"vapo/lib/portable"
)

// cosine is the path mu = sin(pi t/2), sigma = w cos(pi t/2). It is the member a = 1/(1+mu), b = n²mu/(w²(1-mu²)) of
// H2, and the trigonometric path of Albergo and Vanden-Eijnden (arXiv 2209.15571). Because mu² + sigma²/w² = 1, data
// with the prior's variance keep this variance along the path.
//
// The coefficients of the velocity, mu' of x̄ and sigma'/w of w·eps, form a vector of length pi/2 at all times, so the
// flow can be integrated in t itself. The path stops just before t = 1. At t = 1 sigma is 0, the velocity given x is
// undefined, and the factor 1/sigma of L4 is infinite.
type cosine struct {
	plain
	w float64
}

func (cosine) Name() string { return "cosine" }

func (c cosine) At(t float64) Point {
	const turn = math.Pi / 2
	t = min(t, 1-edge)
	mu, rest := portable.Sin(turn*t), portable.Sin(turn*(1-t)) // cos(turn·t), accurate near t = 1
	return Point{Mu: mu, Sigma: c.w * rest, DMu: turn * rest, DSigma: -c.w * turn * mu}
}

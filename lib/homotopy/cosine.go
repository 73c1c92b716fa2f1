package homotopy

import (
	"math"

	"vapo/lib/portable"
)

// cosine is mu = sin(pi t/2), sigma = w cos(pi t/2): the member a = 1/(1+mu), b = n²mu/(w²(1-mu²)) of the homotopies H2,
// and the trigonometric path of Albergo and Vanden-Eijnden (arXiv 2209.15571). mu² + sigma²/w² = 1, so data of the
// prior's variance keep their variance all along.
//
// The velocity given x̄ and eps has the one size pi/2 (in units of w for eps) at all times. So t is the variable of
// integration as it stands, and Psi is Phi. Only the end is cut off, as on linear: there sigma is 0, the velocity given x
// undefined and the innovation 1/sigma of L4 infinite.
type cosine struct{ w float64 }

func (cosine) Name() string { return "cosine" }

func (c cosine) At(t float64) Point {
	const turn = math.Pi / 2
	t = min(t, 1-edge)
	mu, rest := portable.Sin(turn*t), portable.Sin(turn*(1-t)) // cos(turn·t), but to the last bit where it vanishes
	return Point{Mu: mu, Sigma: c.w * rest, DMu: turn * rest, DSigma: -c.w * turn * mu}
}

func (cosine) Draw(u float64) float64         { return edge + float64((1-edge)*u) }
func (cosine) Weight(float64) float64         { return 1 }
func (cosine) Rate(float64) float64           { return 1 }
func (cosine) Condition(t float64) float64    { return t }
func (cosine) Span() (from, to float64)       { return edge, 1 - edge }
func (cosine) Time(s float64) (t, dt float64) { return s, 1 }
func (cosine) Variable(t float64) float64     { return t }

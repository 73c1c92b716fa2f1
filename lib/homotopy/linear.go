package homotopy

// linear is mu = t, sigma = w(1-t): the member a = 1/(1-t), b = n²t/(w²(1-t)²) of the homotopies H2. It has
// straight conditional paths, the choice of the released code of the follow-up (arXiv 2504.16262).
type linear struct{ w float64 }

func (linear) Name() string { return "linear" }

func (l linear) At(t float64) Point {
	t = min(t, 1-edge)
	return Point{Mu: t, Sigma: l.w * (1 - t), DMu: 1, DSigma: -l.w}
}

func (linear) Draw(u float64) float64         { return edge + float64((1-edge)*u) }
func (linear) Weight(float64) float64         { return 1 }
func (linear) Rate(float64) float64           { return 1 }
func (linear) Condition(t float64) float64    { return t }
func (linear) Span() (from, to float64)       { return edge, 1 - edge }
func (linear) Time(s float64) (t, dt float64) { return s, 1 }
func (linear) Variable(t float64) float64     { return t }

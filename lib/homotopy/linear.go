package homotopy

// linear is mu = t, sigma = w(1-t): the member a = 1/(1-t), b = n²t/(w²(1-t)²) of H2. Its conditional paths are
// straight. It is the choice of the released code (arXiv 2504.16262).
type linear struct {
	plain
	w float64
}

func (linear) Name() string { return "linear" }

func (l linear) At(t float64) Point {
	t = min(t, 1-edge)
	return Point{Mu: t, Sigma: l.w * (1 - t), DMu: 1, DSigma: -l.w}
}

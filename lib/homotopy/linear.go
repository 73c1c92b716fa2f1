package homotopy

// linear is the path mu = t, sigma = w(1-t). It is the member a = 1/(1-t), b = n²t/(w²(1-t)²) of H2. Its conditional
// paths are straight lines. The released code (arXiv 2504.16262) uses it.
type linear struct {
	plain
	w float64
}

func (linear) Name() string { return "linear" }

func (l linear) At(t float64) Point {
	t = min(t, 1-edge)
	return Point{Mu: t, Sigma: l.w * (1 - t), DMu: 1, DSigma: -l.w}
}

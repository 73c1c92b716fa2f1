package homotopy

import (
	"vapo/lib/failure"
	"vapo/lib/graphop"
)

// hybrid builds L7 for every sample, [N, 1]. It is the loss of the released code (arXiv 2504.16262) on the linear
// schedule, reproduced unchanged:
//
//	align     = Gamma·Phi/(std(Gamma)·std(Phi) + 1e-8)
//	direction = -mean_d(grad Phi·v)/(|grad Phi|·|v| + 1e-8)^t
//	size      = 1/2 mean_d(grad Phi)²
//	drift     = 1/10 (dPhi/dt)²
//
// The released code has w = 1. For another w, x̄·eps becomes x̄·eps/w, as in L4. psi is Phi [N, 1], grad is the
// gradient of Phi [N, d], and in.Condition is t itself. Means and standard deviations are over the micro-batch.
//
// Up to the factor 1/d, size is the first term of L4, and of L5 when its square is multiplied out. The second term of
// L4 and L5, E[Phi·(gamma - gammabar)/2] = -E[grad Phi·v], occurs twice in hybrid, as align and as direction, each with
// a different factor. The minimiser of hybrid is not the potential of the flow:
//
//   - align makes the second term count twice. At t = 0, where direction has no factor, the minimiser is the flow's
//     potential times k > 1, where k² = k + 1/(std(Gamma)·std(Phi)) with the flow's Phi. The flow is then too fast by
//     the factor k.
//   - direction divides each sample by (|grad Phi|·|v|)^t. For t > 0 it therefore fits m = E[v·|v|^-t given x] instead
//     of the mean velocity of L6. Together with size it drives |grad Phi| to ((1-t)|m|)^(1/(1+t)). This length goes to
//     0 towards t = 1, where only the angle to v is fitted.
//   - Gamma is centred over the batch instead of at each time. So align drives the values of Phi at early and late
//     times apart, although L4 leaves their difference free, since it does not affect the flow. drift opposes this
//     effect of align.
//
// The gradient treats the std of Phi as a constant, so training does not even minimise the reported loss.
func hybrid(in Inputs, psi, grad *graphop.Node) (*graphop.Node, error) {
	n, d := grad.Shape()[0], grad.Shape()[1]
	if n < 2 {
		return nil, failure.New(failure.Usage, "",
			"objective hybrid on a batch of %d: it needs standard deviations over the batch, so expected 2 samples or more", n)
	}
	x, eps, v, t := in.flat(in.X), in.flat(in.Noise), in.velocity(), in.Condition
	meanD := func(x *graphop.Node) *graphop.Node { return graphop.Scale(graphop.Sum(x, 1), 1/float64(d)) }
	centred := func(x *graphop.Node) *graphop.Node { return graphop.Sub(x, graphop.Mean(x, 0)) }
	// Divide by n-1, as PyTorch does by default.
	std := func(x *graphop.Node) *graphop.Node {
		return graphop.Sqrt(graphop.Scale(graphop.Sum(graphop.Square(centred(x)), 0), 1/float64(n-1)))
	}

	cross := graphop.Mul(graphop.Mul(eps, x), graphop.Div(in.DMu, in.DSigma)) // -x̄·eps/w
	gamma := centred(graphop.Mul(graphop.Affine(t, -1, 1), meanD(graphop.Add(graphop.Square(eps), cross))))
	// RowMax of a single element returns the element and has no gradient, so the std of Phi counts as a constant.
	size := graphop.RowMax(std(psi))
	align := graphop.Div(graphop.Mul(gamma, psi), graphop.AddScalar(graphop.Mul(std(gamma), size), 1e-8))

	length := graphop.AddScalar(graphop.Mul(norm(grad), norm(v)), 1e-8)
	direction := graphop.Div(meanD(graphop.Mul(grad, v)), graphop.Exp(graphop.Mul(t, graphop.Log(length))))

	drift, err := graphop.Grad(psi, t)
	if err != nil {
		return nil, err
	}
	fixed := graphop.Add(graphop.Scale(meanD(graphop.Square(grad)), 0.5), graphop.Scale(graphop.Square(drift[0]), 0.1))
	return graphop.Add(graphop.Sub(align, direction), fixed), nil
}

// norm returns the length of each row, [N, 1]. Its derivative at 0 is defined as 0 instead of infinity, so that a
// network that is initially constant can be trained.
func norm(x *graphop.Node) *graphop.Node {
	square := graphop.Sum(graphop.Square(x), 1)
	safe := graphop.Where(square, square, graphop.Fill(square, 1, square.Shape()...))
	return graphop.Mul(graphop.Sqrt(safe), graphop.Heaviside(square))
}

package homotopy

import (
	"fmt"

	"vapo/lib/graphop"
)

// hybrid builds L7 of every sample [N, 1], the loss of the released code of the follow-up (arXiv 2504.16262) on the linear
// schedule, kept as it is:
//
//	align     = Gamma·Phi/(std(Gamma)·std(Phi) + 1e-8)
//	direction = -mean_d(grad Phi·v)/(|grad Phi|·|v| + 1e-8)^t
//	size      = 1/2 mean_d(grad Phi)²
//	drift     = 1/10 (dPhi/dt)²
//
// Where the released code has w = 1, a prior of another w puts x̄·eps/w for x̄·eps, as L4 says. value is Phi [N, 1], grad
// its gradient [N, D], and b.Condition is t itself. Statistics are of the batch given, whatever part it is of another.
//
// What its minimiser is: align and direction are both the second term of L4 and L5, E[Phi (gamma-gammabar)/2] =
// -E[grad Phi·v], each with a factor of its own, and size is their first term. What it is not is the potential of the flow:
//
//   - align adds to direction. At one time t = 0, where direction is plain, the minimiser is the flow's potential times
//     the k > 1 of k² = k + 1/(std(Gamma)·std(Phi)) (all of one time, Phi there of the flow): too fast by that factor.
//   - direction is divided by the lengths of v and of grad Phi to the power t, sample by sample. So for t > 0 it
//     fits m = E[v·|v|^-t given x] and not the mean velocity of L6, and with size it wants |grad Phi| = ((1-t)|m|)^(1/(1+t)),
//     which goes to 0 towards t = 1, where only the angle to v is left to fit.
//   - Gamma is centred over the batch and not at each time, so align pushes apart the values of Phi at early and late
//     times, which L4 leaves free and the flow does not know; drift holds them back.
//
// The std of Phi is a constant to the optimiser, so what is minimised is not even the loss that is printed.
func hybrid(value, grad, x, eps *graphop.Node, b Batch) (*graphop.Node, error) {
	n, d := grad.Shape()[0], grad.Shape()[1]
	if n < 2 {
		return nil, fmt.Errorf("objective hybrid on a batch of %d: it needs standard deviations over the batch, expected 2 samples or more", n)
	}
	t := b.Condition
	meanD := func(x *graphop.Node) *graphop.Node { return graphop.Scale(graphop.Sum(x, 1), 1/float64(d)) }
	centred := func(x *graphop.Node) *graphop.Node { return graphop.Sub(x, graphop.Mean(x, 0)) }
	// PyTorch's default: over n-1.
	std := func(x *graphop.Node) *graphop.Node {
		return graphop.Sqrt(graphop.Scale(graphop.Sum(graphop.Square(centred(x)), 0), 1/float64(n-1)))
	}

	cross := graphop.Mul(graphop.Mul(eps, x), graphop.Div(b.DMu, b.DSigma)) // -x̄·eps/w
	gamma := centred(graphop.Mul(graphop.Affine(t, -1, 1), meanD(graphop.Add(graphop.Square(eps), cross))))
	// The largest of one value is that value as a constant.
	size := graphop.RowMax(std(value))
	align := graphop.Div(graphop.Mul(gamma, value), graphop.AddScalar(graphop.Mul(std(gamma), size), 1e-8))

	v := graphop.Add(graphop.Mul(b.DMu, x), graphop.Mul(b.DSigma, eps))
	length := graphop.AddScalar(graphop.Mul(norm(grad), norm(v)), 1e-8)
	direction := graphop.Div(meanD(graphop.Mul(grad, v)), graphop.Exp(graphop.Mul(t, graphop.Log(length))))

	drift, err := graphop.Grad(value, t)
	if err != nil {
		return nil, err
	}
	fixed := graphop.Add(graphop.Scale(meanD(graphop.Square(grad)), 0.5), graphop.Scale(graphop.Square(drift[0]), 0.1))
	return graphop.Add(graphop.Sub(align, direction), fixed), nil
}

// norm is the length of each row [N, 1], whose derivative at 0 is 0 and not infinite: a network that begins at a
// constant is to train.
func norm(x *graphop.Node) *graphop.Node {
	square := graphop.Sum(graphop.Square(x), 1)
	safe := graphop.Where(square, square, graphop.Fill(square, 1, square.Shape()...))
	return graphop.Mul(graphop.Sqrt(safe), graphop.Step(square))
}

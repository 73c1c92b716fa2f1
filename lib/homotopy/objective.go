package homotopy

import (
	"fmt"
	"slices"

	"vapo/lib/failure"
	"vapo/lib/graphop"
)

// Objectives lists the names that Loss accepts.
func Objectives() []string { return []string{"matching", "energy", "hybrid", "velocity", "denoising"} }

// Check returns an error if an objective is not defined on a schedule. Loss cannot check this, because it does not know
// the schedule, only the values of Coefficients.
func Check(objective, schedule string) error {
	if !slices.Contains(Objectives(), objective) {
		return unknown("objective", objective, Objectives())
	}
	if !slices.Contains(Names(), schedule) {
		return unknown("schedule", schedule, Names())
	}
	if objective == "hybrid" && schedule != "linear" {
		return failure.New(failure.Usage, "use the schedule linear, or the objective matching",
			"objective hybrid on schedule %s: its terms are written for mu = t, sigma = w(1-t)", schedule)
	}
	return CheckOutput(OutputOf(objective), schedule)
}

// Coefficients describe the path at the times of N samples. Each slice [N] feeds one input of a training graph. The
// values are computed in float64, because differences cancel in float32 near the ends of a path.
type Coefficients struct {
	Condition   []float32 // the network's input for t
	Mu, Sigma   []float32
	DMu, DSigma []float32 // per unit of the schedule's integration variable
	Weight      []float32 // weight of the sample's loss
}

// NewCoefficients returns zero coefficients for n samples.
func NewCoefficients(n int) Coefficients {
	v := func() []float32 { return make([]float32, n) }
	return Coefficients{v(), v(), v(), v(), v(), v()}
}

// Set sets the values of sample i for time t of the schedule.
func (c *Coefficients) Set(i int, s Schedule, t float64) {
	p, rate := s.At(t), s.Rate(t)
	c.Condition[i] = float32(s.Condition(t))
	c.Mu[i], c.Sigma[i] = float32(p.Mu), float32(p.Sigma)
	c.DMu[i], c.DSigma[i] = float32(rate*p.DMu), float32(rate*p.DSigma)
	c.Weight[i] = float32(s.Weight(t))
}

// Inputs are the input nodes for a training batch of N samples with d dimensions each. X and Noise have the network's
// shape [N, ...]. The other nodes stand for the Coefficients and have shape [N, 1].
type Inputs struct {
	X, Noise    *graphop.Node // data x̄ and standard normal noise eps
	Condition   *graphop.Node
	Mu, Sigma   *graphop.Node
	DMu, DSigma *graphop.Node
	Weight      *graphop.Node
}

// flat reshapes x, a node of the same size as in.X, to [N, d].
func (in Inputs) flat(x *graphop.Node) *graphop.Node {
	s := in.X.Shape()
	return graphop.Reshape(x, s[0], s.TotalSize()/s[0])
}

// At returns the points of the batch on the path, x_t = mu·x̄ + sigma·eps (H4), in the network's shape.
func (in Inputs) At() *graphop.Node {
	at := graphop.Add(graphop.Mul(in.Mu, in.flat(in.X)), graphop.Mul(in.Sigma, in.flat(in.Noise)))
	return graphop.Reshape(at, in.X.Shape()...)
}

// velocity returns v = mu'·x̄ + sigma'·eps (H4), [N, d], per unit of the integration variable.
func (in Inputs) velocity() *graphop.Node {
	return graphop.Add(graphop.Mul(in.DMu, in.flat(in.X)), graphop.Mul(in.DSigma, in.flat(in.Noise)))
}

// Terms are the nodes of a loss.
type Terms struct {
	Loss *graphop.Node // [1], what training minimises
	// FieldRMS [1] is the root mean square of u, the network's field (see Loss), over samples and dimensions.
	FieldRMS *graphop.Node
	// Values for each sample, [N, 1]. Losses is the loss per dimension without the weight, so that Loss is the mean of
	// Weight·Losses. Squares is |u|² divided by the number of dimensions. Values is Psi, or nil without a potential. For
	// hybrid, Losses is the sample's share of L7, whose first term depends on the whole batch.
	Losses, Squares, Values *graphop.Node
}

// Loss builds an objective, averaged over the batch and the dimensions. energy is L4, matching is L5 without its
// constant, hybrid is L7, velocity is R1 and denoising is R2. u is evaluated at in.At() and has its shape: it is the
// velocity per unit of the integration variable or, for denoising, the predicted noise. For a potential, u is the
// gradient of psi [N, 1]; otherwise psi is nil.
func Loss(objective string, in Inputs, psi, u *graphop.Node) (terms Terms, err error) {
	buildErr := graphop.Build(func() { terms, err = loss(objective, in, psi, in.flat(u)) })
	if buildErr != nil {
		return Terms{}, fmt.Errorf("build objective %s: %w", objective, buildErr)
	}
	return terms, err
}

// The order in which the nodes are built changes the last bits of results, because gradients are summed in that order.
// TestGolden of stages/train pins the digests.
func loss(objective string, in Inputs, psi, u *graphop.Node) (Terms, error) {
	n, d := u.Shape()[0], u.Shape()[1]
	square := graphop.Sum(graphop.Square(u), 1)
	var perSample *graphop.Node
	summed := float64(d) // number of dimensions that perSample sums over
	var err error
	switch objective {
	case "matching":
		perSample = graphop.Scale(squaredError(u, in.velocity()), 0.5)
	case "energy":
		perSample = graphop.Add(graphop.Scale(square, 0.5), graphop.Mul(psi, innovation(in)))
	case "hybrid":
		summed = 1
		perSample, err = hybrid(in, psi, u)
	case "velocity":
		perSample = squaredError(u, in.velocity())
	case "denoising":
		perSample = squaredError(u, in.flat(in.Noise))
	default:
		err = unknown("objective", objective, Objectives())
	}
	if err != nil {
		return Terms{}, err
	}
	column := func(x *graphop.Node, scale float64) *graphop.Node {
		return graphop.Reshape(graphop.Scale(x, scale), n, 1)
	}
	weighted := graphop.Sum(graphop.Mul(in.Weight, perSample))
	terms := Terms{
		Loss:     graphop.Reshape(graphop.Scale(weighted, 1/(float64(n)*summed)), 1),
		FieldRMS: graphop.Sqrt(graphop.Reshape(graphop.Scale(graphop.Sum(square), 1/float64(n*d)), 1)),
		Losses:   column(perSample, 1/summed),
		Squares:  column(square, 1/float64(d)),
	}
	if psi != nil {
		terms.Values = graphop.Reshape(psi, n, 1)
	}
	return terms, nil
}

// squaredError is |a - b|² of each sample.
func squaredError(a, b *graphop.Node) *graphop.Node {
	return graphop.Sum(graphop.Square(graphop.Sub(a, b)), 1)
}

// innovation returns 1/2 (gamma - gammabar) of each sample in the form of L4, -(sigma'(|eps|² - d) + mu' eps·x̄)/sigma.
// In the form of L1, the difference cancels catastrophically near t = 1.
func innovation(in Inputs) *graphop.Node {
	x, eps := in.flat(in.X), in.flat(in.Noise)
	noise := graphop.AddScalar(graphop.Sum(graphop.Square(eps), 1), -float64(eps.Shape()[1]))
	drift := graphop.Sum(graphop.Mul(eps, x), 1)
	sum := graphop.Add(graphop.Mul(in.DSigma, noise), graphop.Mul(in.DMu, drift))
	return graphop.Neg(graphop.Div(sum, in.Sigma))
}

package homotopy

import (
	"fmt"
	"slices"

	"vapo/lib/failure"
	"vapo/lib/graphop"
)

// Objectives lists the names that Loss accepts.
func Objectives() []string { return []string{"matching", "energy", "hybrid"} }

// Check returns an error if an objective is not defined on a schedule. Loss cannot tell, since it sees a schedule only
// as the values of Coefficients.
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
	return nil
}

// Coefficients are the path at the time of each of N samples: slices [N] that the inputs of a training graph take. They
// are computed in float64, since float32 cancels near the ends of a path.
type Coefficients struct {
	Condition   []float32 // the network's input for t
	Mu, Sigma   []float32
	DMu, DSigma []float32 // per unit of the schedule's integration variable
	Weight      []float32 // of the sample's loss
}

// NewCoefficients returns coefficients of n samples.
func NewCoefficients(n int) Coefficients {
	v := func() []float32 { return make([]float32, n) }
	return Coefficients{v(), v(), v(), v(), v(), v()}
}

// Set sets the values of sample i, which is at time t of the schedule.
func (c *Coefficients) Set(i int, s Schedule, t float64) {
	p, rate := s.At(t), s.Rate(t)
	c.Condition[i] = float32(s.Condition(t))
	c.Mu[i], c.Sigma[i] = float32(p.Mu), float32(p.Sigma)
	c.DMu[i], c.DSigma[i] = float32(rate*p.DMu), float32(rate*p.DSigma)
	c.Weight[i] = float32(s.Weight(t))
}

// Inputs are the input nodes of a training batch of N samples with d dimensions each. X and Noise have the network's
// shape [N, ...]; the others are the Coefficients, [N, 1] each.
type Inputs struct {
	X, Noise    *graphop.Node // data x̄ and standard normal noise eps
	Condition   *graphop.Node
	Mu, Sigma   *graphop.Node
	DMu, DSigma *graphop.Node
	Weight      *graphop.Node
}

// flat is a node of X's size as [N, d].
func (in Inputs) flat(x *graphop.Node) *graphop.Node {
	s := in.X.Shape()
	return graphop.Reshape(x, s[0], s.TotalSize()/s[0])
}

// At is the batch's points on the path, x_t = mu·x̄ + sigma·eps (H4), in the network's shape.
func (in Inputs) At() *graphop.Node {
	at := graphop.Add(graphop.Mul(in.Mu, in.flat(in.X)), graphop.Mul(in.Sigma, in.flat(in.Noise)))
	return graphop.Reshape(at, in.X.Shape()...)
}

// velocity is v = mu'·x̄ + sigma'·eps (H4), [N, d], per unit of the integration variable.
func (in Inputs) velocity() *graphop.Node {
	return graphop.Add(graphop.Mul(in.DMu, in.flat(in.X)), graphop.Mul(in.DSigma, in.flat(in.Noise)))
}

// Terms are the nodes of a loss.
type Terms struct {
	Loss *graphop.Node // [1], what training minimises
	// FieldRMS [1] is the root mean square over samples and dimensions of grad_x Psi, the velocity per unit of the
	// integration variable.
	FieldRMS *graphop.Node
	// By sample, [N, 1]: Losses is the loss per dimension before the weight of its time, so that the mean of Weight·Losses
	// is Loss; Squares is the mean over dimensions of |grad_x Psi|²; Values is Psi. For hybrid, Losses is the sample's
	// share in the sum L7, whose first term depends on the whole batch.
	Losses, Squares, Values *graphop.Node
}

// Loss builds an objective, averaged over the batch and the dimensions: energy is L4, matching L5 without its constant,
// and hybrid L7. psi [N, 1] is the network at in.At() and grad its gradient there.
func Loss(objective string, in Inputs, psi, grad *graphop.Node) (terms Terms, err error) {
	buildErr := graphop.Build(func() { terms, err = loss(objective, in, psi, in.flat(grad)) })
	if buildErr != nil {
		return Terms{}, fmt.Errorf("build objective %s: %w", objective, buildErr)
	}
	return terms, err
}

func loss(objective string, in Inputs, psi, grad *graphop.Node) (Terms, error) {
	n, d := grad.Shape()[0], grad.Shape()[1]
	square := graphop.Sum(graphop.Square(grad), 1)
	var perSample *graphop.Node
	summed := float64(d) // over how many dimensions perSample is a sum
	var err error
	switch objective {
	case "matching":
		perSample = matching(in, grad)
	case "energy":
		perSample = graphop.Add(graphop.Scale(square, 0.5), graphop.Mul(psi, innovation(in)))
	case "hybrid":
		summed = 1
		perSample, err = hybrid(in, psi, grad)
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
	return Terms{
		Loss:     graphop.Reshape(graphop.Scale(weighted, 1/(float64(n)*summed)), 1),
		FieldRMS: graphop.Sqrt(graphop.Reshape(graphop.Scale(graphop.Sum(square), 1/float64(n*d)), 1)),
		Losses:   column(perSample, 1/summed),
		Squares:  column(square, 1/float64(d)),
		Values:   graphop.Reshape(psi, n, 1),
	}, nil
}

// matching is 1/2 |grad Psi - v|² (L5) of each sample.
func matching(in Inputs, grad *graphop.Node) *graphop.Node {
	return graphop.Scale(graphop.Sum(graphop.Square(graphop.Sub(grad, in.velocity())), 1), 0.5)
}

// innovation is 1/2 (gamma - gammabar) of each sample as L4 writes it, -(sigma'(|eps|² - d) + mu' eps·x̄)/sigma. L1
// itself cancels catastrophically near t = 1.
func innovation(in Inputs) *graphop.Node {
	x, eps := in.flat(in.X), in.flat(in.Noise)
	noise := graphop.AddScalar(graphop.Sum(graphop.Square(eps), 1), -float64(eps.Shape()[1]))
	drift := graphop.Sum(graphop.Mul(eps, x), 1)
	sum := graphop.Add(graphop.Mul(in.DSigma, noise), graphop.Mul(in.DMu, drift))
	return graphop.Neg(graphop.Div(sum, in.Sigma))
}

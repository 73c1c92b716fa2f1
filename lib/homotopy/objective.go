package homotopy

import (
	"fmt"
	"slices"

	"vapo/lib/graphop"
)

// Objectives lists the names that Loss knows.
func Objectives() []string { return []string{"matching", "energy", "hybrid"} }

// MismatchError says that an objective is not defined on a schedule.
type MismatchError struct{ Objective, Schedule, Reason string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("objective %s on schedule %s: %s", e.Objective, e.Schedule, e.Reason)
}

// Check says whether an objective can be trained on a schedule, by their names. Loss itself cannot tell: of a schedule it
// sees the numbers of Fill alone. The error is an *UnknownError or a *MismatchError.
func Check(objective, schedule string) error {
	if !slices.Contains(Objectives(), objective) {
		return &UnknownError{"objective", objective, Objectives()}
	}
	if !slices.Contains(Names(), schedule) {
		return &UnknownError{"schedule", schedule, Names()}
	}
	if objective == "hybrid" && schedule != "linear" {
		return &MismatchError{objective, schedule, "its terms are written for mu = t, sigma = w(1-t): use the schedule linear, or the objective matching"}
	}
	return nil
}

// Batch holds the input nodes of one training batch of N samples with d dimensions each. X and Noise have the
// network's shape [N, ...]; the rest is [N, 1] and comes from Schedule: one number a sample, computed on the host in
// float64, since near the ends of a path float32 cancels.
type Batch struct {
	X, Noise    *graphop.Node // data in its range, and standard normal noise
	Condition   *graphop.Node // what the network is given for t
	Mu, Sigma   *graphop.Node
	DMu, DSigma *graphop.Node // per unit of the schedule's integration variable
	Weight      *graphop.Node
}

// Columns is the number of [N, 1] inputs of a Batch.
const Columns = 6

// Fill writes sample i's numbers at time t into the six columns, in the order Condition, Mu, Sigma, DMu, DSigma, Weight.
func Fill(s Schedule, t float64, i int, columns *[Columns][]float32) {
	p, rate := s.At(t), s.Rate(t)
	for k, v := range [Columns]float64{s.Condition(t), p.Mu, p.Sigma, rate * p.DMu, rate * p.DSigma, s.Weight(t)} {
		columns[k][i] = float32(v)
	}
}

// Potential builds Psi = dt/ds · Phi [N, 1] (see Schedule.Rate) at x [N, ...] for the conditions [N, 1].
type Potential func(x, condition *graphop.Node) *graphop.Node

// Terms are the nodes of a loss. Loss is a scalar [1]; the others are its parts for logging, scalars too.
type Terms struct {
	Loss *graphop.Node
	// GradNorm is the root mean square over samples and dimensions of grad_x Psi, the velocity per unit of the
	// integration variable (see Schedule.Rate; on the linear path Psi is Phi).
	GradNorm *graphop.Node
	// Of every sample, [N, 1], for logging by time: Losses is its loss per dimension before the time's weight, Squares the
	// mean over dimensions of |grad_x Psi|², Values is Psi. The mean of Weight times Losses is Loss. For hybrid Losses is the
	// sample's share in the sum L7, whose first term has no one sample's meaning: it holds statistics of the batch.
	Losses, Squares, Values *graphop.Node
}

// Loss builds an objective, averaged over the batch and the dimensions.
//
//   - energy is equation L4, the Deep Ritz form: 1/2 E|grad Phi|² + 1/2 E[Phi·(gamma - gammabar)], with the
//     innovation written as -(sigma'/sigma)(|eps|² - d) - (mu'/sigma) eps·x̄ for its halves.
//   - matching is equation L5 without its constant: 1/2 E|grad Phi - v|², v = mu' x̄ + sigma' eps. It has the same
//     minimiser and the same expected gradient at a fraction of the variance.
//   - hybrid is equation L7, for the linear schedule alone (see Check) and for batches of two samples or more. Its
//     minimiser is another one: see its file.
func Loss(objective string, phi Potential, b Batch) (terms Terms, err error) {
	buildErr := graphop.Build(func() { terms, err = loss(objective, phi, b) })
	if buildErr != nil {
		return Terms{}, fmt.Errorf("build objective %s: %w", objective, buildErr)
	}
	return terms, err
}

func loss(objective string, phi Potential, b Batch) (Terms, error) {
	shape := b.X.Shape()
	n, d := shape[0], shape.TotalSize()/shape[0]
	flat := func(x *graphop.Node) *graphop.Node { return graphop.Reshape(x, n, d) }
	x, eps := flat(b.X), flat(b.Noise)
	at := graphop.Add(graphop.Mul(b.Mu, x), graphop.Mul(b.Sigma, eps))
	xt := graphop.Reshape(at, shape...)
	value := phi(xt, b.Condition)
	grads, err := graphop.Grad(value, xt)
	if err != nil {
		return Terms{}, err
	}
	grad := flat(grads[0])
	scale := 1 / float64(n*d)
	square := graphop.Sum(graphop.Square(grad), 1)
	var perSample *graphop.Node
	summed := float64(d) // over how many dimensions perSample is a sum
	switch objective {
	case "matching":
		v := graphop.Add(graphop.Mul(b.DMu, x), graphop.Mul(b.DSigma, eps))
		perSample = graphop.Scale(graphop.Sum(graphop.Square(graphop.Sub(grad, v)), 1), 0.5)
	case "energy":
		noise := graphop.AddScalar(graphop.Sum(graphop.Square(eps), 1), -float64(d))
		drift := graphop.Sum(graphop.Mul(eps, x), 1)
		innovation := graphop.Neg(graphop.Div(graphop.Add(graphop.Mul(b.DSigma, noise), graphop.Mul(b.DMu, drift)), b.Sigma))
		perSample = graphop.Add(graphop.Scale(square, 0.5), graphop.Mul(value, innovation))
	case "hybrid":
		summed = 1
		if perSample, err = hybrid(value, grad, x, eps, b); err != nil {
			return Terms{}, err
		}
	default:
		return Terms{}, &UnknownError{"objective", objective, Objectives()}
	}
	column := func(x *graphop.Node, scale float64) *graphop.Node {
		return graphop.Reshape(graphop.Scale(x, scale), n, 1)
	}
	return Terms{
		Losses: column(perSample, 1/summed), Squares: column(square, 1/float64(d)), Values: graphop.Reshape(value, n, 1),
		Loss:     graphop.Reshape(graphop.Scale(graphop.Sum(graphop.Mul(b.Weight, perSample)), 1/(float64(n)*summed)), 1),
		GradNorm: graphop.Sqrt(graphop.Reshape(graphop.Scale(graphop.Sum(square), scale), 1)),
	}, nil
}

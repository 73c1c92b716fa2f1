// Package optim is the optimiser as nodes of the training graph: Adam with warm-up, learning-rate decay, clipping
// by the global norm, and an exponential moving average of the weights, so that one graph is one whole step and
// every engine runs the same one.
//
// A step that would make the state non-finite changes nothing: the graph itself chooses the old values, so the last
// good state is never lost, whatever an engine does with its buffers.
package optim

import (
	"fmt"
	"math"

	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// Config holds the options of the optimiser. Zero values are not defaults; see the train stage for those.
type Config struct {
	LearningRate float64 // peak
	WarmupSteps  int     // linear from 0
	Decay        string  // "constant" or "cosine" to 0 at HorizonSteps
	HorizonSteps int
	Beta1, Beta2 float64
	Epsilon      float64
	ClipNorm     float64 // bound on the global gradient norm; 0 leaves gradients alone
	EMADecay     float64 // of the weights, per step
}

// Check returns an error that names the first option that makes no sense.
func (c Config) Check() error {
	// Steps run in float32: what is 0 or infinite there would make the state non-finite without a non-finite gradient.
	normal := func(v float64) bool { return float32(v) > 0 && !math.IsInf(float64(float32(v)), 0) }
	switch {
	case !normal(c.LearningRate):
		return fmt.Errorf("learning rate is %v, expected a positive number in the range of float32", c.LearningRate)
	case c.WarmupSteps < 0:
		return fmt.Errorf("warm-up is %d steps, expected 0 or more", c.WarmupSteps)
	case c.Decay != "constant" && c.Decay != "cosine":
		return fmt.Errorf("learning rate decay is %q, expected constant or cosine", c.Decay)
	case c.Decay == "cosine" && c.HorizonSteps <= 0:
		return fmt.Errorf("cosine decay needs a horizon, got %d steps", c.HorizonSteps)
	case !(c.Beta1 >= 0 && c.Beta1 < 1) || !(c.Beta2 >= 0 && c.Beta2 < 1):
		return fmt.Errorf("adam's betas are %v and %v, expected numbers in [0, 1)", c.Beta1, c.Beta2)
	case !normal(c.Epsilon):
		return fmt.Errorf("adam's epsilon is %v, expected a positive number in the range of float32", c.Epsilon)
	case c.ClipNorm != 0 && !normal(c.ClipNorm):
		return fmt.Errorf("the gradient norm bound is %v, expected 0 (none) or more", c.ClipNorm)
	case !(c.EMADecay >= 0 && c.EMADecay < 1):
		return fmt.Errorf("the moving average's decay is %v, expected a number in [0, 1)", c.EMADecay)
	}
	return nil
}

// Hyper are the numbers of one step, computed on the host in float64 and fed as inputs [1] each.
type Hyper struct {
	Rate         float64 // learning rate
	Correct1     float64 // 1/(1-beta1^k), Adam's bias corrections at step k = 1, 2, ...
	Correct2     float64
	AverageDecay float64 // min(EMADecay, (1+k)/(10+k)), so that early averages forget the start
}

// Hyper returns the numbers for step (0 for the first).
func (c Config) Hyper(step int64) Hyper {
	k := float64(step + 1)
	rate := c.LearningRate
	if c.WarmupSteps > 0 {
		rate *= math.Min(1, k/float64(c.WarmupSteps))
	}
	if c.Decay == "cosine" {
		done := math.Min(1, float64(step)/float64(c.HorizonSteps))
		rate *= 0.5 * (1 + math.Cos(math.Pi*done))
	}
	return Hyper{
		Rate:         rate,
		Correct1:     1 / (1 - math.Pow(c.Beta1, k)),
		Correct2:     1 / (1 - math.Pow(c.Beta2, k)),
		AverageDecay: math.Min(c.EMADecay, (1+k)/(10+k)),
	}
}

// Inputs is the number of hyperparameter inputs of a step graph.
const Inputs = 4

// Fill writes h in the order of the inputs of Step.
func (h Hyper) Fill(dst *[Inputs][]float32) {
	for i, v := range [Inputs]float64{h.Rate, h.Correct1, h.Correct2, h.AverageDecay} {
		dst[i][0] = float32(v)
	}
}

// Names of the state groups, in front of a parameter's name.
const (
	Param  = "param/"
	EMA    = "ema/"
	First  = "adam.m/"
	Second = "adam.v/"
)

// Groups lists the prefixes under which a step keeps its state.
func Groups() []string { return []string{Param, EMA, First, Second} }

// Update is one optimiser step in a graph.
type Update struct {
	Inputs   []*graphop.Node // the hyperparameters, see Hyper
	State    []backend.State // parameters, averages and moments
	GradNorm *graphop.Node   // global norm of the gradient before clipping, [1]
	Applied  *graphop.Node   // 1 where the step was taken, 0 where it was skipped as non-finite, [1]
}

// Step adds an update of the parameters (inputs named param/NAME) by their gradients to the graph.
// Adam as Kingma and Ba (arXiv 1412.6980), algorithm 1.
func Step(c Config, loss *graphop.Node, params, grads []*graphop.Node) (u Update, err error) {
	if err := c.Check(); err != nil {
		return u, err
	}
	err = graphop.Build(func() { u = step(c, loss, params, grads) })
	return u, err
}

func step(c Config, loss *graphop.Node, params, grads []*graphop.Node) Update {
	g := loss.Graph()
	u := Update{}
	for _, name := range [Inputs]string{"rate", "correct1", "correct2", "average-decay"} {
		u.Inputs = append(u.Inputs, graphop.Input(g, loss.Dtype(), "hyper/"+name, 1))
	}
	var total *graphop.Node
	for _, d := range grads {
		s := graphop.Reshape(graphop.Sum(graphop.Square(d)), 1)
		if total == nil {
			total = s
		} else {
			total = graphop.Add(total, s)
		}
	}
	u.GradNorm = graphop.Sqrt(total)
	u.Applied = graphop.Mul(graphop.IsFinite(total), graphop.IsFinite(loss))
	var clip *graphop.Node
	if c.ClipNorm > 0 {
		clip = graphop.Min(graphop.Fill(total, 1, 1), graphop.Div(graphop.Fill(total, c.ClipNorm, 1), graphop.AddScalar(u.GradNorm, 1e-6)))
	}
	for i, p := range params {
		name := p.Name()[len(Param):]
		shape := p.Shape()
		one := make([]int, len(shape))
		for k := range one {
			one[k] = 1
		}
		scalar := func(n *graphop.Node) *graphop.Node { return graphop.Reshape(n, one...) }
		d := grads[i]
		if clip != nil {
			d = graphop.Mul(d, scalar(clip))
		}
		m := graphop.Input(g, p.Dtype(), First+name, shape...)
		v := graphop.Input(g, p.Dtype(), Second+name, shape...)
		e := graphop.Input(g, p.Dtype(), EMA+name, shape...)
		m2 := graphop.Add(graphop.Scale(m, c.Beta1), graphop.Scale(d, 1-c.Beta1))
		v2 := graphop.Add(graphop.Scale(v, c.Beta2), graphop.Scale(graphop.Square(d), 1-c.Beta2))
		denom := graphop.AddScalar(graphop.Sqrt(graphop.Mul(v2, scalar(u.Inputs[2]))), c.Epsilon)
		p2 := graphop.Sub(p, graphop.Mul(graphop.Div(graphop.Mul(m2, scalar(u.Inputs[1])), denom), scalar(u.Inputs[0])))
		e2 := graphop.Add(p2, graphop.Mul(graphop.Sub(e, p2), scalar(u.Inputs[3])))
		ok := scalar(u.Applied)
		for _, s := range []struct{ in, out *graphop.Node }{{p, p2}, {m, m2}, {v, v2}, {e, e2}} {
			u.State = append(u.State, backend.State{In: s.in, Out: graphop.Where(ok, s.out, s.in)})
		}
	}
	return u
}

package optim

import (
	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
)

// Update is one optimiser step in a graph.
type Update struct {
	Inputs []*graphop.Node // the hyperparameters, see Config.Values
	// State holds each parameter followed by its moments and averages, one parameter after the other, and then the sums
	// of accumulation.
	State    []backend.State
	Loss     *graphop.Node // [1], the step's mean loss; before the last micro-batch, only a part of this mean
	GradNorm *graphop.Node // [1], global norm of the step's gradient before clipping
	Applied  *graphop.Node // [1], 1 if the step was applied, 0 if it was skipped or is incomplete
}

// Build adds an update of the parameters (inputs named param/NAME) by their gradients to the graph of the loss. The
// update is Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) with the weight decay of AdamW.
//
// With Accumulate > 1 a run of the graph processes one micro-batch. Every run adds its gradients to sums; the run of
// the last micro-batch applies the mean gradient.
//
// Note: one graph that adds gradients and another that applies them were rejected. They would have to share state,
// which belongs to one executable, and an engine would hold the working memory of both. The price of a single graph is
// that all micro-batches but the last compute an update that is discarded. That is one pass over the parameters, which
// is cheap compared with a gradient.
func (c Config) Build(loss *graphop.Node, params, grads []*graphop.Node) (u Update, err error) {
	if err := c.Check(); err != nil {
		return u, err
	}
	err = graphop.Build(func() { u = c.build(loss, params, grads) })
	return u, err
}

func (c Config) build(loss *graphop.Node, params, grads []*graphop.Node) (u Update) {
	b := &updateBuilder{Config: c, hyper: map[string]*graphop.Node{}}
	for _, name := range c.inputs() {
		b.hyper[name] = graphop.Input(loss.Graph(), loss.Dtype(), "hyper/"+name, 1)
		u.Inputs = append(u.Inputs, b.hyper[name])
	}
	u.Loss = loss
	var sums []backend.State
	if c.Micro() > 1 {
		u.Loss, grads, sums = b.accumulate(loss, params, grads)
	}
	square := sumOfSquares(grads)
	u.GradNorm = graphop.Sqrt(square)
	u.Applied = b.applied(square, u.GradNorm, u.Loss)
	var clip *graphop.Node
	if c.ClipNorm > 0 { // min(1, ClipNorm/(|g| + 1e-6))
		ratio := graphop.Div(graphop.Fill(square, c.ClipNorm, 1), graphop.AddScalar(u.GradNorm, 1e-6))
		clip = graphop.Min(graphop.Fill(square, 1, 1), ratio)
	}
	for i, p := range params {
		u.State = append(u.State, b.adam(p, grads[i], clip, u.Applied)...)
	}
	u.State = append(u.State, sums...)
	return u
}

// updateBuilder builds the parts of an update; hyper are its hyperparameters by name.
type updateBuilder struct {
	Config
	hyper map[string]*graphop.Node
}

// accumulate divides the loss and the gradients of a micro-batch by the number of micro-batches and adds them to the
// sums over the earlier ones. It returns the sums, which after the last micro-batch are the means over the batch, and
// their states.
func (b *updateBuilder) accumulate(loss *graphop.Node, params, grads []*graphop.Node) (
	meanLoss *graphop.Node, mean []*graphop.Node, sums []backend.State,
) {
	add := func(name string, x *graphop.Node) *graphop.Node {
		in := graphop.Input(x.Graph(), x.Dtype(), name, x.Shape()...)
		part := graphop.Scale(x, 1/float64(b.Micro()))
		out := graphop.Where(like(b.hyper["first"], x), part, graphop.Add(in, part))
		sums = append(sums, backend.State{In: in, Out: out})
		return out
	}
	meanLoss = add("acc.loss", loss)
	for i, g := range grads {
		mean = append(mean, add(Sum+params[i].Name()[len(checkpoint.Param):], g))
	}
	return meanLoss, mean, sums
}

func sumOfSquares(grads []*graphop.Node) *graphop.Node {
	var total *graphop.Node
	for _, g := range grads {
		s := graphop.Reshape(graphop.Sum(graphop.Square(g)), 1)
		if total == nil {
			total = s
		} else {
			total = graphop.Add(total, s)
		}
	}
	return total
}

// applied returns a node that is 1 if the step may be applied, else 0. A step may be applied if loss and gradient are
// finite, the norm is within the limit, and the micro-batch is the last of the step.
func (b *updateBuilder) applied(square, norm, loss *graphop.Node) *graphop.Node {
	beyond := graphop.Heaviside(graphop.Sub(norm, b.hyper["limit"]))
	finite := graphop.Mul(graphop.IsFinite(square), graphop.IsFinite(loss))
	applied := graphop.Mul(finite, graphop.Affine(beyond, -1, 1))
	if last := b.hyper["last"]; last != nil {
		applied = graphop.Mul(applied, last)
	}
	return applied
}

// adam updates a parameter theta, its moments m and v, and its averages ema_k with the gradient g, and returns them as
// states. m^ and v^ are the bias-corrected moments, and lr is the learning rate of the step. If the step is applied,
// the states change as follows; otherwise every state keeps its value:
//
//	g      = clip·g, then clipped to ±(ClipStd·sqrt(v^) + ClipStdFloor) with v^ of the previous step
//	m, v   = beta1·m + (1-beta1)·g,  beta2·v + (1-beta2)·g²
//	theta  = theta - lr·(m^/(sqrt(v^) + eps) + WeightDecay·theta)
//	ema_k  = theta + decay_k·(ema_k - theta)
func (b *updateBuilder) adam(theta, g, clip, applied *graphop.Node) (state []backend.State) {
	name := theta.Name()[len(checkpoint.Param):]
	hyper := func(name string) *graphop.Node { return like(b.hyper[name], theta) }
	before := func(prefix string) *graphop.Node {
		return graphop.Input(theta.Graph(), theta.Dtype(), prefix+name, theta.Shape()...)
	}
	if clip != nil {
		g = graphop.Mul(g, like(clip, theta))
	}
	m, v := before(checkpoint.AdamM), before(checkpoint.AdamV)
	if b.ClipStd > 0 {
		std := graphop.Sqrt(graphop.Mul(v, hyper("before2")))
		bound := graphop.Add(graphop.Scale(std, b.ClipStd), hyper("clip-floor"))
		g = graphop.Max(graphop.Min(g, bound), graphop.Neg(bound))
	}
	m2 := graphop.Add(graphop.Scale(m, b.Beta1), graphop.Scale(g, 1-b.Beta1))
	v2 := graphop.Add(graphop.Scale(v, b.Beta2), graphop.Scale(graphop.Square(g), 1-b.Beta2))
	denominator := graphop.AddScalar(graphop.Sqrt(graphop.Mul(v2, hyper("correct2"))), b.Epsilon)
	change := graphop.Div(graphop.Mul(m2, hyper("correct1")), denominator)
	if b.WeightDecay > 0 {
		// Do not multiply theta by (1 - lr·WeightDecay): in float32 this factor has an error of up to 6e-8, the same
		// for every weight, and the decay of a step is often no larger than 1e-6.
		change = graphop.Add(change, graphop.Scale(theta, b.WeightDecay))
	}
	theta2 := graphop.Sub(theta, graphop.Mul(change, hyper("rate")))
	ok := like(applied, theta)
	keep := func(in, out *graphop.Node) {
		state = append(state, backend.State{In: in, Out: graphop.Where(ok, out, in)})
	}
	keep(theta, theta2)
	keep(m, m2)
	keep(v, v2)
	for k := range b.averages() {
		average := before(checkpoint.Average(k))
		keep(average, graphop.Add(theta2, graphop.Mul(graphop.Sub(average, theta2), hyper(averageInput(k)))))
	}
	return state
}

// like reshapes n, of shape [1], to the rank of x, so that n broadcasts to x.
func like(n, x *graphop.Node) *graphop.Node {
	one := x.Shape()
	for i := range one {
		one[i] = 1
	}
	return graphop.Reshape(n, one...)
}

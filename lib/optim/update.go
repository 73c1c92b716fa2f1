package optim

import (
	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/graphop"
)

// Update is one optimiser step in a graph.
type Update struct {
	Inputs []*graphop.Node // the hyperparameters, see Config.Values
	// State holds each parameter with its moments and averages, one parameter after the other; then the sums of
	// accumulation.
	State    []backend.State
	Loss     *graphop.Node // [1], mean over the step's micro-batches; before the last one, over those so far
	GradNorm *graphop.Node // [1], global norm of the step's gradient before clipping
	Applied  *graphop.Node // [1], 1 if the step was applied; 0 if it was skipped or is not complete
}

// Build adds an update of the parameters (inputs named param/NAME) by their gradients to the graph of the loss: Adam as
// Kingma and Ba (arXiv 1412.6980), algorithm 1, with the weight decay of AdamW.
//
// With Accumulate > 1 the graph is that of a micro-batch: it adds up gradients, and in the last one applies their mean.
//
// Note: two graphs, one that adds and one that applies, would have to share their state, which belongs to one
// executable, and an engine would hold the working memory of both. In the single graph all but the last micro-batch
// compute an update that is discarded: a pass over the parameters, cheap compared with a gradient.
func (c Config) Build(loss *graphop.Node, params, grads []*graphop.Node) (u Update, err error) {
	if err := c.Check(); err != nil {
		return u, err
	}
	err = graphop.Build(func() { u = c.build(loss, params, grads) })
	return u, err
}

func (c Config) build(loss *graphop.Node, params, grads []*graphop.Node) Update {
	g := loss.Graph()
	u := Update{Loss: loss}
	hyper := map[string]*graphop.Node{}
	for _, name := range c.inputs() {
		hyper[name] = graphop.Input(g, loss.Dtype(), "hyper/"+name, 1)
		u.Inputs = append(u.Inputs, hyper[name])
	}
	var sums []backend.State
	if c.Micro() > 1 {
		add := func(name string, x *graphop.Node) *graphop.Node {
			in := graphop.Input(g, x.Dtype(), name, x.Shape()...)
			part := graphop.Scale(x, 1/float64(c.Micro()))
			out := graphop.Where(like(hyper["first"], x), part, graphop.Add(in, part))
			sums = append(sums, backend.State{In: in, Out: out})
			return out
		}
		u.Loss = add("acc.loss", loss)
		mean := make([]*graphop.Node, len(grads))
		for i, d := range grads {
			mean[i] = add(Sum+params[i].Name()[len(checkpoint.Param):], d)
		}
		grads = mean
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
	beyond := graphop.Step(graphop.Sub(u.GradNorm, hyper["limit"]))
	finite := graphop.Mul(graphop.IsFinite(total), graphop.IsFinite(u.Loss))
	u.Applied = graphop.Mul(finite, graphop.Affine(beyond, -1, 1))
	if last := hyper["last"]; last != nil {
		u.Applied = graphop.Mul(u.Applied, last)
	}
	var clip *graphop.Node
	if c.ClipNorm > 0 {
		ratio := graphop.Div(graphop.Fill(total, c.ClipNorm, 1), graphop.AddScalar(u.GradNorm, 1e-6))
		clip = graphop.Min(graphop.Fill(total, 1, 1), ratio)
	}
	for i, p := range params {
		name := p.Name()[len(checkpoint.Param):]
		scalar := func(name string) *graphop.Node { return like(hyper[name], p) }
		d := grads[i]
		if clip != nil {
			d = graphop.Mul(d, like(clip, p))
		}
		m := graphop.Input(g, p.Dtype(), checkpoint.AdamM+name, p.Shape()...)
		v := graphop.Input(g, p.Dtype(), checkpoint.AdamV+name, p.Shape()...)
		if c.ClipStd > 0 {
			std := graphop.Sqrt(graphop.Mul(v, scalar("before2")))
			bound := graphop.Add(graphop.Scale(std, c.ClipStd), scalar("clip-floor"))
			d = graphop.Max(graphop.Min(d, bound), graphop.Neg(bound))
		}
		m2 := graphop.Add(graphop.Scale(m, c.Beta1), graphop.Scale(d, 1-c.Beta1))
		v2 := graphop.Add(graphop.Scale(v, c.Beta2), graphop.Scale(graphop.Square(d), 1-c.Beta2))
		denom := graphop.AddScalar(graphop.Sqrt(graphop.Mul(v2, scalar("correct2"))), c.Epsilon)
		change := graphop.Div(graphop.Mul(m2, scalar("correct1")), denom)
		if c.WeightDecay > 0 {
			// Not p·(1 - rate·lambda): in float32 that factor has an error of up to 6e-8, the same for every weight, and
			// the decay of a step is often no more than 1e-6.
			change = graphop.Add(change, graphop.Scale(p, c.WeightDecay))
		}
		p2 := graphop.Sub(p, graphop.Mul(change, scalar("rate")))
		ok := like(u.Applied, p)
		keep := func(in, out *graphop.Node) {
			u.State = append(u.State, backend.State{In: in, Out: graphop.Where(ok, out, in)})
		}
		keep(p, p2)
		keep(m, m2)
		keep(v, v2)
		for k := range c.EMAHalfLifeImages {
			e := graphop.Input(g, p.Dtype(), checkpoint.Average(k)+name, p.Shape()...)
			keep(e, graphop.Add(p2, graphop.Mul(graphop.Sub(e, p2), scalar(averageInput(k)))))
		}
	}
	u.State = append(u.State, sums...)
	return u
}

// like gives a node [1] the rank of x, so that it broadcasts to x.
func like(n, x *graphop.Node) *graphop.Node {
	one := x.Shape()
	for i := range one {
		one[i] = 1
	}
	return graphop.Reshape(n, one...)
}

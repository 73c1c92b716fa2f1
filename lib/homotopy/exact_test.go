package homotopy_test

import (
	"math"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/graphop"
	"vapo/lib/homotopy"
	"vapo/lib/random"
)

// exactPotential builds Psi = dt/ds·Phi at one time in closed form, for data from a mixture. By L6, Phi =
// mu'|x|²/(2·mu) + g·log rhobar with g = sigma(sigma mu'/mu - sigma').
func exactPotential(mix *dataset.Mixture, p homotopy.Point, rate float64, x *graphop.Node) *graphop.Node {
	d := x.Shape()[1]
	var density *graphop.Node
	for _, c := range mix.Components {
		v := p.Mu*p.Mu*c.Std*c.Std + p.Sigma*p.Sigma
		mean := make([]float64, d)
		for i := range mean {
			mean[i] = p.Mu * c.Mean[i]
		}
		r2 := graphop.Sum(graphop.Square(graphop.Sub(x, graphop.Table(x, mean, 1, d))), 1)
		term := graphop.Exp(graphop.Affine(r2, -0.5/v, math.Log(c.Weight)-0.5*float64(d)*math.Log(v)))
		if density == nil {
			density = term
		} else {
			density = graphop.Add(density, term)
		}
	}
	g := p.Sigma * (p.Sigma*p.DMu/p.Mu - p.DSigma)
	square := graphop.Scale(graphop.Sum(graphop.Square(x), 1), p.DMu/(2*p.Mu))
	return graphop.Scale(graphop.Add(square, graphop.Scale(graphop.Log(density), g)), rate)
}

// At the exact potential the expected gradients of energy and matching are 0 in every direction; at 1.5 times the exact
// potential they are not. The directions are quadratics in x, waves across the data, and the scale of the potential.
func TestExactPotentialIsTheMinimiser(t *testing.T) {
	const n, batches, d, waves = 512, 60, 2, 6
	gaussian, err := dataset.NewMixture([]dataset.Component{{Weight: 1, Mean: []float64{0.7, -0.3}, Std: 0.4}})
	if err != nil {
		t.Fatal(err)
	}
	clusters, err := dataset.NewMixture([]dataset.Component{
		{Weight: 1, Mean: []float64{0.8, 0.1}, Std: 0.3}, {Weight: 2, Mean: []float64{-0.5, 0.6}, Std: 0.2}, {Weight: 1,
			Mean: []float64{-0.2, -0.8}, Std: 0.4}})
	if err != nil {
		t.Fatal(err)
	}
	freq, phase := make([]float64, waves*d), make([]float64, waves)
	random.New(5, "freq", 0).Normal64(freq)
	random.New(5, "phase", 0).Normal64(phase)
	for _, name := range homotopy.Names() {
		s := lookup(t, name, 1.3)
		for set, mix := range map[string]*dataset.Mixture{"one Gaussian": gaussian, "three clusters": clusters} {
			for _, at := range []float64{s.Draw(0.25), s.Draw(0.55)} {
				p, rate := s.At(at), s.Rate(at)
				for _, objective := range []string{"energy", "matching"} {
					for _, wrong := range []float64{0, 0.5} {
						phi := func(param func(string, []float64, ...int) *graphop.Node, x, _ *graphop.Node) *graphop.Node {
							exact := exactPotential(mix, p, rate, x)
							own := graphop.Mul(exact, param("size", []float64{1 + wrong}, 1, 1))
							angle := graphop.Add(graphop.MatMul(x, graphop.Table(x, freq, waves, d), false, true),
								graphop.Table(x, phase, 1, waves))
							wave := graphop.MatMul(graphop.Sin(angle), param("waves", make([]float64, waves), 1, waves), false, true)
							return graphop.Add(graphop.Add(own, wave), quadratic(0, make([]float64, d), 0)(param, x, nil))
						}
						o := newObjective(t, objective, n, d, phi)
						m := newMoments(o.params)
						noise, x := make([]float64, n*d), make([]float64, n*d)
						for k := range uint64(batches) {
							data, _ := mix.Sample(random.New(11, "x", k), n)
							for i, v := range data {
								x[i] = float64(v)
							}
							random.New(11, "noise", k).Normal64(noise)
							o.run(t, s, at, x, noise)
							m.add(o.grad)
						}
						worst := 0.0
						for i := range o.params {
							if m.variance(i) > 0 { // the gradient of matching with respect to a constant is always 0
								worst = max(worst, math.Abs(m.errors(i)))
							}
						}
						if wrong == 0 && !(worst < 4) {
							t.Errorf("%s, %s, %s, t = %v: at the exact potential a mean gradient is %.1f standard errors from 0", name, set,
								objective, at, worst)
						}
						if wrong != 0 && !(worst > 6) {
							t.Errorf("%s, %s, %s, t = %v: at %v times the exact potential no mean gradient is above %.1f standard errors",
								name, set, objective, at, 1+wrong, worst)
						}
					}
				}
			}
		}
	}
}

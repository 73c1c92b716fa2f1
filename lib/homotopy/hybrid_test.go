package homotopy_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/graphop"
	"vapo/lib/random"
)

// The loss, each sample's share of the loss, and the gradients with respect to the parameters agree with PyTorch's
// (testdata/hybrid.py).
func TestHybridGolden(t *testing.T) {
	raw, err := os.ReadFile("testdata/hybrid.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		N, D, Width      int
		PriorStd         float64 `json:"prior_std"`
		Times, Weights   []float64
		X, Noise, Losses []float64
		Params, Grads    map[string][]float64
		Loss             float64
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for k, c := range cases {
		order := []string{"w1", "b1", "w2", "b2", "out"}
		network := func(param func(string, []float64, ...int) *graphop.Node, x, at *graphop.Node) *graphop.Node {
			get := func(name string, shape ...int) *graphop.Node { return param(name, c.Params[name], shape...) }
			h := graphop.Concat(1, x, at)
			h = graphop.SiLU(graphop.Add(graphop.MatMul(h, get("w1", c.Width, c.D+1), false, true), get("b1", 1, c.Width)))
			h = graphop.SiLU(graphop.Add(graphop.MatMul(h, get("w2", c.Width, c.Width), false, true), get("b2", 1, c.Width)))
			return graphop.MatMul(h, get("out", 1, c.Width), false, true)
		}
		o := newObjective(t, "hybrid", c.N, c.D, network)
		o.runAt(t, lookup(t, "linear", c.PriorStd), c.Times, c.Weights, c.X, c.Noise)
		if !(math.Abs(o.loss[0]-c.Loss) <= 1e-10*(1+math.Abs(c.Loss))) {
			t.Errorf("case %d: loss %v, want %v", k, o.loss[0], c.Loss)
		}
		for i, want := range c.Losses {
			if !(math.Abs(o.losses[i]-want) <= 1e-10*(1+math.Abs(want))) {
				t.Errorf("case %d: loss of sample %d is %v, want %v", k, i, o.losses[i], want)
			}
		}
		at, worst := 0, 0.0
		for _, name := range order {
			var diff, norm float64
			for i, want := range c.Grads[name] {
				diff, norm = math.Hypot(diff, o.grad[at+i]-want), math.Hypot(norm, want)
			}
			at += len(c.Grads[name])
			if !(diff <= 1e-9*norm) {
				t.Errorf("case %d: the error of the gradient with respect to %s is %v, want at most 1e-9 times its norm %v",
					k, name, diff, norm)
			}
			if norm > 0 {
				worst = max(worst, diff/norm)
			}
		}
		t.Logf("case %d: gradients within %.1e", k, worst)
		if at != o.params || at == 0 {
			t.Errorf("case %d: got gradients for %d parameters, want %d", k, at, o.params)
		}
	}
}

// hybridCase has data x̄ ~ N(m, s² I) in d dimensions and a potential that is quadratic in x: (curve/2)|x|² + slope·x.
type hybridCase struct {
	m     []float64
	s     float64
	o     *objective
	times func(k uint64, i int) float64
}

// gradients runs batches and returns the moments of the gradient with respect to curve, the slopes and the constant.
func (c hybridCase) gradients(t *testing.T, batches int) *moments {
	t.Helper()
	n, d := c.o.n, c.o.d
	linear := lookup(t, "linear", 1)
	m := newMoments(c.o.params)
	x, noise := make([]float64, n*d), make([]float64, n*d)
	times, weights := make([]float64, n), make([]float64, n)
	for k := range uint64(batches) {
		random.New(21, "x", k).Normal64(x)
		random.New(21, "noise", k).Normal64(noise)
		for i := range x {
			x[i] = c.m[i%d] + c.s*x[i]
		}
		for i := range times {
			times[i], weights[i] = c.times(k, i), 1
		}
		c.o.runAt(t, linear, times, weights, x, noise)
		m.add(c.o.grad)
	}
	return m
}

// For w = 1, the flow's potential at t = 0 is m·x - |x|²/2. If all samples of a batch have t = 0, the hybrid loss has
// its minimum at k times this potential, where k > 1 solves k² = k + 1/(std(Gamma)·std(Phi)). Energy and matching have
// their minimum at k = 1.
func TestHybridAtTheStartIsTooFast(t *testing.T) {
	const n, d, batches = 4000, 2, 60
	m, s := []float64{0.6, -0.2}, 0.5
	m2 := m[0]*m[0] + m[1]*m[1]
	stdGamma := math.Sqrt(2*d+m2+d*s*s) / d // of mean_d(eps² - x̄·eps)
	stdPhi := math.Sqrt(m2 + d/2.0)         // of m·x - |x|²/2 under N(0, I)
	k := 0.5 + math.Sqrt(0.25+1/(stdGamma*stdPhi))
	t.Logf("the hybrid field at t = 0 is %.3f times the flow's", k)
	for objective, minimum := range map[string]float64{"hybrid": k, "energy": 1, "matching": 1} {
		for _, factor := range []float64{1, k} {
			c := hybridCase{m: m, s: s, times: func(uint64, int) float64 { return 0 }}
			c.o = newObjective(t, objective, n, d, quadratic(-factor, []float64{factor * m[0], factor * m[1]}, 0))
			g := c.gradients(t, batches)
			worst := 0.0
			for i := range 1 + d {
				worst = max(worst, math.Abs(g.errors(i)))
			}
			if factor == minimum && !(worst < 4) || factor != minimum && !(worst > 10) {
				t.Errorf("%s: at %.3f times the flow's potential the largest mean gradient is %.1f standard errors, "+
					"want less than 4 at the minimum and more than 10 elsewhere", objective,
					factor, worst)
			}
		}
	}
}

// At a single time t > 0, too, the flow's potential is a minimum of matching but not of the hybrid loss.
func TestHybridIsNotMinimalAtTheFlow(t *testing.T) {
	const n, d, batches = 2000, 2, 40
	m, s := []float64{0.6, -0.2}, 0.5
	linear := lookup(t, "linear", 1)
	for _, at := range []float64{0.2, 0.5, 0.9} {
		p := linear.At(at)
		curve := (p.Mu*p.DMu*s*s + p.Sigma*p.DSigma) / (p.Mu*p.Mu*s*s + p.Sigma*p.Sigma)
		slope := []float64{(p.DMu - curve*p.Mu) * m[0], (p.DMu - curve*p.Mu) * m[1]}
		for _, objective := range []string{"hybrid", "matching"} {
			c := hybridCase{m: m, s: s, times: func(uint64, int) float64 { return at }}
			c.o = newObjective(t, objective, n, d, quadratic(curve, slope, 0))
			g := c.gradients(t, batches)
			worst := 0.0
			for i := range 1 + d {
				worst = max(worst, math.Abs(g.errors(i)))
			}
			if objective == "matching" && !(worst < 4) || objective == "hybrid" && !(worst > 10) {
				t.Errorf("%s, t = %v: at the flow's potential the largest mean gradient is %.1f standard errors", objective, at,
					worst)
			}
		}
	}
}

// A constant added to Phi changes no batch's loss, because Gamma is centred. A term c(t) = rate·t added to Phi does
// change the loss, although it does not affect the flow. The expected gradient of the loss with respect to rate is
// -Var(t)/(std(Gamma)·std(Phi)) from align and rate/5 from drift.
func TestHybridAndConstants(t *testing.T) {
	const n, d, batches, rate = 3000, 2, 60, 0.4
	phi := func(param func(string, []float64, ...int) *graphop.Node, x, at *graphop.Node) *graphop.Node {
		offset := graphop.Mul(param("offset", []float64{0.7}, 1, 1), graphop.Fill(at, 1, at.Shape()...))
		drift := graphop.Mul(param("rate", []float64{rate}, 1, 1), at)
		return graphop.Add(graphop.Add(offset, drift), graphop.Scale(graphop.Sum(graphop.Square(x), 1), -0.25))
	}
	c := hybridCase{m: []float64{0, 0}, s: 1, o: newObjective(t, "hybrid", n, d, phi)}
	c.times = func(k uint64, i int) float64 { return 0.5 + 0.5*float64(i%2) } // t = 1/2 or 1
	g := c.gradients(t, batches)
	if mean := g.mean(0); !(math.Abs(mean) < 1e-12) {
		t.Errorf("the gradient with respect to a constant is %v, want 0", mean)
	}
	// Gamma is 0 at t = 1, and (1/2) mean_d(eps² - x̄·eps) at t = 1/2: mean 1/2, variance 3/8 there.
	mean, square := 0.25, 0.5*(0.25+0.375)
	stdGamma := math.Sqrt(square - mean*mean)
	// Phi is offset + 0.2 - |x|²/4 with x ~ N(0, 1/2 I) at t = 1/2, and offset + 0.4 - |x|²/4 with x ~ N(0, I) at t = 1.
	early, late := rate*0.5-0.25*d*0.5, rate-0.25*d
	vEarly, vLate := 2*d*0.25/16.0, 2*d/16.0
	stdPhi := math.Sqrt((vEarly+vLate)/2 + (early-late)*(early-late)/4)
	want := -(1.0/16)/(stdGamma*stdPhi) + rate/5
	if se := math.Sqrt(g.variance(1) / (batches - 1)); !(math.Abs(g.mean(1)-want) < 4*se) || !(se < 0.05*math.Abs(want)) {
		t.Errorf("the gradient with respect to rate is %v ± %v, want %v", g.mean(1), se, want)
	}
}

func TestHybridOfOneSample(t *testing.T) {
	g := gorgonia.NewGraph()
	input := func(name string, shape ...int) *graphop.Node { return graphop.Input(g, tensor.Float64, name, shape...) }
	phi := func(x, _ *graphop.Node) *graphop.Node { return graphop.Sum(graphop.Square(x), 1) }
	if _, err := lossOf("hybrid", phi, newInputs(input, 1, 2)); err == nil || !strings.Contains(err.Error(), "2 samples") {
		t.Errorf("a batch of one sample: error %v, want one about 2 samples", err)
	}
}

package optim_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
	"vapo/lib/optim"
)

func config() optim.Config {
	return optim.Config{LearningRate: 0.01, Decay: "constant", Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-6, ClipNorm: 0.5, EMADecay: 0.9}
}

func TestHyper(t *testing.T) {
	c := config()
	c.WarmupSteps = 4
	for step, want := range []float64{0.0025, 0.005, 0.0075, 0.01, 0.01} {
		if got := c.Hyper(int64(step)).Rate; math.Abs(got-want) > 1e-15 {
			t.Errorf("warm-up: rate %v at step %d, want %v", got, step, want)
		}
	}
	c.WarmupSteps, c.Decay, c.HorizonSteps = 0, "cosine", 10
	for step, want := range map[int64]float64{0: 0.01, 5: 0.005, 10: 0, 25: 0} {
		if got := c.Hyper(step).Rate; math.Abs(got-want) > 1e-15 {
			t.Errorf("cosine: rate %v at step %d, want %v", got, step, want)
		}
	}
	if got := c.Hyper(9).Rate; got <= 0 {
		t.Errorf("the last step of the horizon has rate %v", got)
	}
	c.WarmupSteps = 4 // both: the product
	if got, want := c.Hyper(1).Rate, 0.005*(1+math.Cos(math.Pi/10))/2; math.Abs(got-want) > 1e-15 {
		t.Errorf("warm-up and cosine: rate %v at step 1, want %v", got, want)
	}
	h := c.Hyper(2) // k = 3
	if want := 1 / (1 - 0.9*0.9*0.9); math.Abs(h.Correct1-want) > 1e-12 {
		t.Errorf("first bias correction %v, want %v", h.Correct1, want)
	}
	if want := 1 / (1 - 0.99*0.99*0.99); math.Abs(h.Correct2-want) > 1e-9 {
		t.Errorf("second bias correction %v, want %v", h.Correct2, want)
	}
	if want := 4.0 / 13; math.Abs(h.AverageDecay-want) > 1e-15 {
		t.Errorf("decay of the average %v, want (1+k)/(10+k) = %v early on", h.AverageDecay, want)
	}
	if got := c.Hyper(1 << 40); got.AverageDecay != 0.9 || got.Correct1 != 1 || got.Correct2 != 1 {
		t.Errorf("after many steps %+v, want the limits", got)
	}
}

func TestCheck(t *testing.T) {
	if err := config().Check(); err != nil {
		t.Errorf("a sound configuration: %v", err)
	}
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		says string
		edit func(c *optim.Config)
	}{
		{"learning rate", func(c *optim.Config) { c.LearningRate = 0 }},
		{"learning rate", func(c *optim.Config) { c.LearningRate = -1 }},
		{"learning rate", func(c *optim.Config) { c.LearningRate = nan }},
		{"learning rate", func(c *optim.Config) { c.LearningRate = inf }},
		{"learning rate", func(c *optim.Config) { c.LearningRate = 1e39 }}, // infinite in float32
		{"warm-up", func(c *optim.Config) { c.WarmupSteps = -1 }},
		{"decay", func(c *optim.Config) { c.Decay = "linear" }},
		{"horizon", func(c *optim.Config) { c.Decay = "cosine" }},
		{"betas", func(c *optim.Config) { c.Beta1 = 1 }},
		{"betas", func(c *optim.Config) { c.Beta2 = -0.1 }},
		{"betas", func(c *optim.Config) { c.Beta2 = nan }},
		{"epsilon", func(c *optim.Config) { c.Epsilon = 0 }},
		{"epsilon", func(c *optim.Config) { c.Epsilon = nan }},
		{"epsilon", func(c *optim.Config) { c.Epsilon = 1e-50 }}, // 0 in float32: 0/0 where a gradient is 0
		{"epsilon", func(c *optim.Config) { c.Epsilon = inf }},
		{"norm", func(c *optim.Config) { c.ClipNorm = -1 }},
		{"norm", func(c *optim.Config) { c.ClipNorm = nan }},
		{"norm", func(c *optim.Config) { c.ClipNorm = inf }},
		{"average", func(c *optim.Config) { c.EMADecay = 1 }},
		{"average", func(c *optim.Config) { c.EMADecay = nan }},
	} {
		bad := config()
		c.edit(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: error is %v, want one about the %s", bad, err, c.says)
		}
		if _, err := optim.Step(bad, nil, nil, nil); err == nil {
			t.Errorf("%+v: Step accepted it", bad)
		}
	}
}

// update is a compiled optimiser step whose loss and gradients are fed by the test.
type update struct {
	exe    backend.Executable
	in     []backend.Buffer // loss, gradients, hyperparameters
	states []string
	c      optim.Config
	dt     tensor.Dtype
}

var shapes = [][]int{{3}, {1, 3}, {2, 2}, {1}}

func newUpdate(t *testing.T, c optim.Config, dt tensor.Dtype) *update {
	t.Helper()
	be, err := tape.New("go")
	if err != nil {
		t.Fatal(err)
	}
	g := gorgonia.NewGraph()
	u := &update{c: c, dt: dt}
	loss := graphop.Input(g, dt, "loss", 1)
	inputs := []*graphop.Node{loss}
	var params, grads []*graphop.Node
	for i, s := range shapes {
		name := string(rune('a' + i))
		params = append(params, graphop.Input(g, dt, optim.Param+name, s...))
		grads = append(grads, graphop.Input(g, dt, "grad/"+name, s...))
	}
	inputs = append(inputs, grads...)
	up, err := optim.Step(c, loss, params, grads)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range inputs {
		u.in = append(u.in, u.buffer(n.Shape().TotalSize()))
	}
	for range up.Inputs {
		u.in = append(u.in, u.buffer(1))
	}
	for _, s := range up.State {
		u.states = append(u.states, s.In.Name())
	}
	u.exe, err = be.Compile(backend.Graph{Inputs: append(inputs, up.Inputs...), State: up.State, Outputs: []*graphop.Node{up.GradNorm, up.Applied}})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *update) buffer(n int) backend.Buffer {
	if u.dt == tensor.Float64 {
		return backend.F64(make([]float64, n))
	}
	return backend.F32(make([]float32, n))
}

func set(b backend.Buffer, i int, v float64) {
	if b.F64 != nil {
		b.F64[i] = v
	} else {
		b.F32[i] = float32(v)
	}
}

func get(b backend.Buffer, i int) float64 {
	if b.F64 != nil {
		return b.F64[i]
	}
	return float64(b.F32[i])
}

// run takes a step with the given loss and gradients.
func (u *update) run(t *testing.T, step int64, loss float64, grads [][]float64) (norm float64, applied bool) {
	t.Helper()
	set(u.in[0], 0, loss)
	for i, g := range grads {
		for k, v := range g {
			set(u.in[1+i], k, v)
		}
	}
	h := u.c.Hyper(step)
	for i, v := range []float64{h.Rate, h.Correct1, h.Correct2, h.AverageDecay} {
		set(u.in[1+len(grads)+i], 0, v)
	}
	out := []backend.Buffer{u.buffer(1), u.buffer(1)}
	if err := u.exe.Run(u.in, out); err != nil {
		t.Fatal(err)
	}
	return get(out[0], 0), get(out[1], 0) == 1
}

func (u *update) state(t *testing.T, name string, n int) backend.Buffer {
	t.Helper()
	b := u.buffer(n)
	if err := u.exe.Store(name, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func size(s []int) int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

func gradients(step int) [][]float64 {
	var out [][]float64
	for i, s := range shapes {
		g := make([]float64, size(s))
		for k := range g {
			g[k] = 3 * math.Sin(float64(7*step+3*i+k))
		}
		out = append(out, g)
	}
	out[2][1] = 0 // one parameter without a gradient
	return out
}

// Adam as in algorithm 1 of the paper, number by number, with clipping and the moving average.
func TestStepIsAdam(t *testing.T) {
	for _, clip := range []float64{0, 0.5, 1e6} {
		c := config()
		c.ClipNorm, c.WarmupSteps, c.Decay, c.HorizonSteps = clip, 3, "cosine", 20
		u := newUpdate(t, c, tensor.Float64)
		type scalar struct{ p, m, v, e float64 }
		var want [][]scalar
		for i, s := range shapes {
			row := make([]scalar, size(s))
			start := u.buffer(len(row))
			for k := range row {
				row[k].p = math.Cos(float64(5*i + k))
				row[k].e = row[k].p
				set(start, k, row[k].p)
			}
			for _, group := range []string{optim.Param, optim.EMA} {
				if err := u.exe.Load(group+string(rune('a'+i)), start); err != nil {
					t.Fatal(err)
				}
			}
			want = append(want, row)
		}
		for step := range 12 {
			grads := gradients(step)
			norm, applied := u.run(t, int64(step), 1, grads)
			var total float64
			for _, g := range grads {
				for _, v := range g {
					total += v * v
				}
			}
			if math.Abs(norm-math.Sqrt(total)) > 1e-12*norm || !applied {
				t.Fatalf("step %d: gradient norm %v (applied %v), want %v before clipping", step, norm, applied, math.Sqrt(total))
			}
			scale := 1.0
			if clip > 0 && norm > clip {
				scale = clip / norm
			}
			k := float64(step + 1)
			rate := 0.01 * math.Min(1, k/3) * (1 + math.Cos(math.Pi*float64(step)/20)) / 2
			decay := math.Min(0.9, (1+k)/(10+k))
			for i, g := range grads {
				for j := range g {
					w, d := &want[i][j], g[j]*scale
					w.m = 0.9*w.m + 0.1*d
					w.v = 0.99*w.v + 0.01*d*d
					w.p -= rate * (w.m / (1 - math.Pow(0.9, k))) / (math.Sqrt(w.v/(1-math.Pow(0.99, k))) + 1e-6)
					w.e = decay*w.e + (1-decay)*w.p
				}
			}
		}
		for i, row := range want {
			name := string(rune('a' + i))
			for group, f := range map[string]func(scalar) float64{
				optim.Param: func(s scalar) float64 { return s.p }, optim.EMA: func(s scalar) float64 { return s.e },
				optim.First: func(s scalar) float64 { return s.m }, optim.Second: func(s scalar) float64 { return s.v },
			} {
				got := u.state(t, group+name, len(row))
				for k := range row {
					// The clip factor has 1e-6 in its denominator, against a division by 0.
					if w := f(row[k]); math.Abs(get(got, k)-w) > 3e-6*(0.01+math.Abs(w)) {
						t.Errorf("clip %v: %s%s[%d] is %v, want %v", clip, group, name, k, get(got, k), w)
					}
				}
			}
		}
	}
}

// A step whose loss or gradient is not finite changes nothing, to the bit, and says so; the next sound one goes on.
func TestNonFiniteStepIsSkipped(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, bad := range map[string]struct {
		loss float64
		edit func(g [][]float64)
	}{
		"NaN loss":                 {nan, func([][]float64) {}},
		"infinite loss":            {-inf, func([][]float64) {}},
		"NaN gradient":             {1, func(g [][]float64) { g[1][2] = nan }},
		"infinite gradient":        {1, func(g [][]float64) { g[3][0] = -inf }},
		"gradient too large for v": {1, func(g [][]float64) { g[0][0] = 1e30 }}, // its square overflows float32
	} {
		c := config()
		if name == "gradient too large for v" {
			c.ClipNorm = 0
		}
		u := newUpdate(t, c, tensor.Float32)
		for i, s := range shapes {
			start := u.buffer(size(s))
			for k := range size(s) {
				set(start, k, math.Cos(float64(5*i+k)))
			}
			for _, group := range []string{optim.Param, optim.EMA} {
				if err := u.exe.Load(group+string(rune('a'+i)), start); err != nil {
					t.Fatal(err)
				}
			}
		}
		for step := range 3 {
			u.run(t, int64(step), 1, gradients(step))
		}
		all := func() []uint32 {
			var bits []uint32
			for _, group := range optim.Groups() {
				for i, s := range shapes {
					for _, v := range u.state(t, group+string(rune('a'+i)), size(s)).F32 {
						bits = append(bits, math.Float32bits(v))
					}
				}
			}
			return bits
		}
		before := all()
		grads := gradients(3)
		bad.edit(grads)
		if _, applied := u.run(t, 3, bad.loss, grads); applied {
			t.Errorf("%s: the step counts as applied", name)
		}
		if !slices.Equal(all(), before) {
			t.Errorf("%s: the state changed", name)
		}
		if _, applied := u.run(t, 3, 1, gradients(3)); !applied || slices.Equal(all(), before) {
			t.Errorf("%s: the sound step after it was not applied", name)
		}
	}
}

func TestStateIsEveryGroupOfEveryParameter(t *testing.T) {
	u := newUpdate(t, config(), tensor.Float32)
	var want []string
	for i := range shapes {
		for _, group := range optim.Groups() {
			want = append(want, group+string(rune('a'+i)))
		}
	}
	got := slices.Clone(u.states)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("state %v, want %v", got, want)
	}
}

// Fill and the inputs of Step are in one order.
func TestFill(t *testing.T) {
	h := optim.Hyper{Rate: 1, Correct1: 2, Correct2: 3, AverageDecay: 4}
	var dst [optim.Inputs][]float32
	for i := range dst {
		dst[i] = make([]float32, 1)
	}
	h.Fill(&dst)
	for i := range dst {
		if dst[i][0] != float32(i+1) {
			t.Errorf("input %d is %v, want %v", i, dst[i][0], i+1)
		}
	}
}

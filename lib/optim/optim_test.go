package optim_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"vapo/lib/average"
	"vapo/lib/checkpoint"
	"vapo/lib/optim"
)

func config() optim.Config {
	return optim.Config{LearningRate: 0.01, Decay: "constant", Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-6, ClipNorm: 0.5,
		BatchImages: 12, EMAHalfLifeImages: []float64{halfLife(0.9, 12), 36}}
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
		t.Errorf("the last step of the horizon has rate %v, want above 0", got)
	}
	c.WarmupSteps = 4 // with warm-up and decay the rate is the product of both factors
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
	if want := 1 / (1 - 0.99*0.99); math.Abs(h.Before2-want) > 1e-9 || h.ClipFloor != optim.ClipStdFloor {
		t.Errorf("second bias correction of the step before %v and floor %v, want %v and %v", h.Before2, h.ClipFloor, want,
			optim.ClipStdFloor)
	}
	if first := c.Hyper(0); first.Before2 != 1 || first.ClipFloor != math.MaxFloat32 {
		t.Errorf("first step: bias correction %v and floor %v, want 1 and %v, so that nothing is clipped",
			first.Before2, first.ClipFloor, math.MaxFloat32)
	}
	for i := range 2 {
		if want := 4.0 / 13; math.Abs(h.AverageDecays[i]-want) > 1e-15 {
			t.Errorf("decay of average %d is %v, want (1+k)/(10+k) = %v early on", i, h.AverageDecays[i], want)
		}
	}
	got := c.Hyper(1 << 40)
	if got.Correct1 != 1 || got.Correct2 != 1 {
		t.Errorf("after many steps the bias corrections are %v and %v, want 1", got.Correct1, got.Correct2)
	}
	for i, want := range []float64{0.9, math.Cbrt(0.5)} { // a half-life of 36 samples is three steps of 12
		if math.Abs(got.AverageDecays[i]-want) > 1e-15 {
			t.Errorf("decay of average %d is %v after many steps, want %v", i, got.AverageDecays[i], want)
		}
	}
}

// Converting a decay per step to a half-life and back gives the same float32 number.
func TestHalfLife(t *testing.T) {
	for _, decay := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9995, 0.9999, 0.99999} {
		for _, batch := range []int{1, 6, 64, 100, 512} {
			c := config()
			c.BatchImages, c.EMAHalfLifeImages = batch, []float64{halfLife(decay, batch)}
			if err := c.Check(); err != nil {
				t.Error(err)
			}
			if got := c.Hyper(1 << 40).AverageDecays[0]; float32(got) != float32(decay) {
				t.Errorf("decay %v at %d samples a step comes back as %v", decay, batch, got)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	if err := config().Check(); err != nil {
		t.Errorf("a valid configuration: error is %v, want none", err)
	}
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		message string
		edit    func(c *optim.Config)
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
		{"half-life", func(c *optim.Config) { c.EMAHalfLifeImages[1] = -1 }},
		{"half-life", func(c *optim.Config) { c.EMAHalfLifeImages[1] = nan }},
		{"half-life", func(c *optim.Config) { c.EMAHalfLifeImages[1] = inf }},
		{"half-life", func(c *optim.Config) { c.EMAHalfLifeImages[1] = 12e9 }}, // the decay rounds to 1 in float32
		{"averages", func(c *optim.Config) { c.EMAHalfLifeImages = nil }},
		{"averages", func(c *optim.Config) { c.EMAHalfLifeImages = make([]float64, optim.MaxAverages+1) }},
		{"averages", func(c *optim.Config) { c.EMAProfiles = make([]float64, optim.MaxAverages-1) }},
		{"standard deviation of", func(c *optim.Config) { c.EMAProfiles = []float64{0.1, 0.5} }},
		{"two averages", func(c *optim.Config) { c.EMAProfiles = []float64{0.1, 0.05, 0.1} }},
		{"samples", func(c *optim.Config) { c.BatchImages = 0 }},
		{"samples", func(c *optim.Config) { c.Accumulate = 5 }},  // does not divide 12
		{"samples", func(c *optim.Config) { c.Accumulate = 24 }}, // leaves no sample for a micro-batch
		{"micro-batches", func(c *optim.Config) { c.Accumulate = -1 }},
		{"micro-batches", func(c *optim.Config) { c.Accumulate = optim.MaxAccumulate + 1 }},
		{"weight decay", func(c *optim.Config) { c.WeightDecay = -1 }},
		{"weight decay", func(c *optim.Config) { c.WeightDecay = nan }},
		{"weight decay", func(c *optim.Config) { c.WeightDecay = 100 }}, // times a rate of 0.01
		{"standard deviations", func(c *optim.Config) { c.ClipStd = -1 }},
		{"standard deviations", func(c *optim.Config) { c.ClipStd = inf }},
	} {
		bad := config()
		c.edit(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%+v: error is %v, want one about the %s", bad, err, c.message)
		}
		if _, err := bad.Build(nil, nil, nil); err == nil {
			t.Errorf("%+v: Build accepted it", bad)
		}
	}
}

// A step agrees, element by element, with algorithm 1 of the Adam paper, plus weight decay, clipping and averages.
func TestStepIsAdam(t *testing.T) {
	for _, o := range []struct{ clip, std, weightDecay float64 }{
		{0, 0, 0}, {0.5, 0, 0}, {1e6, 0, 0}, {0, 0, 4}, {0, 0.2, 0}, {4, 0.2, 4},
	} {
		clip := o.clip
		c := config()
		c.ClipNorm, c.WarmupSteps, c.Decay, c.HorizonSteps = clip, 3, "cosine", 20
		c.ClipStd, c.WeightDecay = o.std, o.weightDecay
		bounded := 0
		u := newUpdate(t, c, tensor.Float64)
		type scalar struct{ p, m, v, e, slow float64 }
		var want [][]scalar
		for i, s := range shapes {
			row := make([]scalar, size(s))
			start := u.buffer(len(row))
			for k := range row {
				row[k].p = math.Cos(float64(5*i + k))
				row[k].e, row[k].slow = row[k].p, row[k].p
				set(start, k, row[k].p)
			}
			for _, group := range weightGroups {
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
				t.Fatalf("step %d: gradient norm %v, applied %v; want %v, the norm before clipping, and true",
					step, norm, applied, math.Sqrt(total))
			}
			scale := 1.0
			if clip > 0 && norm > clip {
				scale = clip / norm
			}
			k := float64(step + 1)
			rate := 0.01 * math.Min(1, k/3) * (1 + math.Cos(math.Pi*float64(step)/20)) / 2
			decay, slow := math.Min(0.9, (1+k)/(10+k)), math.Min(math.Pow(0.5, 12.0/36), (1+k)/(10+k))
			for i, g := range grads {
				for j := range g {
					w, d := &want[i][j], g[j]*scale
					if o.std > 0 && step > 0 {
						bound := o.std*math.Sqrt(w.v/(1-math.Pow(0.99, k-1))) + 0.1
						if math.Abs(d) > bound {
							bounded++
						}
						d = math.Max(-bound, math.Min(d, bound))
					}
					w.m = 0.9*w.m + 0.1*d
					w.v = 0.99*w.v + 0.01*d*d
					w.p *= 1 - rate*o.weightDecay
					w.p -= rate * (w.m / (1 - math.Pow(0.9, k))) / (math.Sqrt(w.v/(1-math.Pow(0.99, k))) + 1e-6)
					w.e = decay*w.e + (1-decay)*w.p
					w.slow = slow*w.slow + (1-slow)*w.p
				}
			}
		}
		if (bounded > 0) != (o.std > 0) {
			t.Errorf("%+v: ClipStd clipped %d elements, want some if std is set and none otherwise", o, bounded)
		}
		for i, row := range want {
			name := string(rune('a' + i))
			for group, f := range map[string]func(scalar) float64{
				checkpoint.Param: func(s scalar) float64 { return s.p }, checkpoint.EMA: func(s scalar) float64 { return s.e },
				"ema.1/":         func(s scalar) float64 { return s.slow },
				checkpoint.AdamM: func(s scalar) float64 { return s.m }, checkpoint.AdamV: func(s scalar) float64 { return s.v },
			} {
				got := u.state(t, group+name, len(row))
				for k := range row {
					// The tolerance covers the 1e-6 that the clip factor adds to its denominator to avoid a division by
					// 0.
					if w := f(row[k]); math.Abs(get(got, k)-w) > 3e-6*(0.01+math.Abs(w)) {
						t.Errorf("%+v: %s%s[%d] is %v, want %v", o, group, name, k, get(got, k), w)
					}
				}
			}
		}
	}
}

// A step whose loss or gradient is not finite changes no bit of the state and reports that it was not applied. The next
// finite step is applied.
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
			for _, group := range weightGroups {
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
			for _, group := range u.c.Groups() {
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
			t.Errorf("%s: the next step, which is finite, was not applied or did not change the state", name)
		}
	}
}

func TestStateIsEveryGroupOfEveryParameter(t *testing.T) {
	u := newUpdate(t, config(), tensor.Float32)
	var want []string
	for i := range shapes {
		for _, group := range u.c.Groups() {
			want = append(want, group+string(rune('a'+i)))
		}
	}
	got := slices.Clone(u.states)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the states are %v, want %v", got, want)
	}
}

// halfLife returns the half-life, in samples, of an average that keeps the share decay of its old value at every step
// of batch samples.
func halfLife(decay float64, batch int) float64 { return -float64(batch) / math.Log2(decay) }

// An average with a profile is the integral of the profile times the weights. The groups of averages with profiles
// follow those of averages with half-lives.
func TestProfileAverages(t *testing.T) {
	c := config()
	c.EMAProfiles = []float64{0.1, 0.25}
	groups := []string{checkpoint.Param, "ema/", "ema.1/", "ema.2/", "ema.3/", checkpoint.AdamM, checkpoint.AdamV}
	if got := c.Groups(); !slices.Equal(got, groups) {
		t.Errorf("groups %v, want %v", got, groups)
	}
	u := newUpdate(t, c, tensor.Float64)
	u.start(t)
	const steps = 30
	var path [][]float64 // the weights b after each step
	for step := range steps {
		u.run(t, int64(step), 1, gradients(step))
		b := u.state(t, checkpoint.Param+"b", 3)
		path = append(path, slices.Clone(b.F64))
	}
	for k, std := range c.EMAProfiles {
		gamma, err := average.Gamma(std)
		if err != nil {
			t.Fatal(err)
		}
		got := u.state(t, checkpoint.Average(2+k)+"b", 3)
		for i := range 3 {
			var want float64
			for s, theta := range path {
				share := func(s int) float64 { return math.Pow(float64(s)/steps, gamma+1) }
				want += (share(s+1) - share(s)) * theta[i]
			}
			if math.Abs(get(got, i)-want) > 1e-12 {
				t.Errorf("std %v: element %d is %v, want %v", std, i, get(got, i), want)
			}
		}
	}
}

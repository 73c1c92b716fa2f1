package potential_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
	"vapo/lib/layer"
	"vapo/lib/potential"
	"vapo/lib/random"
)

func mlp(schedule string) potential.Config {
	return potential.Config{Kind: "mlp", Shape: []int{3}, Schedule: schedule, PriorStd: 1,
		MLP: &potential.MLP{Width: 20, Depth: 2, Fourier: 3}}
}

func unet() potential.Config {
	return potential.Config{Kind: "unet", Shape: []int{1, 8, 12}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 8, Mult: []int{1, 2}, ResBlocks: 1, Groups: 4}}
}

func attentive() potential.Config {
	c := unet()
	c.UNet.Attention, c.UNet.Dropout = []int{2}, 0.3
	return c
}

func wrn(time bool) potential.Config {
	return potential.Config{Kind: "wrn", Shape: []int{2, 4, 8}, Schedule: "linear", PriorStd: 1,
		WRN: &potential.WRN{Depth: 10, Width: 1, Time: time}}
}

func engines(testing.TB) []backend.Backend { return []backend.Backend{tape.Tape{}} }

// weights draws random weights, even for parameters whose initial value is 0.
func weights(t *testing.T, c potential.Config) map[string][]float32 {
	t.Helper()
	params, err := c.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for _, p := range params {
		p.Init = layer.Init{Bound: 0.4}
		out[p.Name] = p.Draw(3)
	}
	return out
}

func TestConfigRoundTrip(t *testing.T) {
	for _, c := range []potential.Config{mlp("linear"), mlp("vapo"), unet(), attentive(), wrn(true), wrn(false)} {
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := potential.ParseConfig(raw)
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(raw) {
			t.Errorf("%s came back as %s (%v), want no change", raw, again, err)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	good, err := json.Marshal(unet())
	if err != nil {
		t.Fatal(err)
	}
	point, err := json.Marshal(mlp("linear"))
	if err != nil {
		t.Fatal(err)
	}
	picky, err := json.Marshal(attentive())
	if err != nil {
		t.Fatal(err)
	}
	wide, err := json.Marshal(wrn(true))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, old, new, message string }{
		{string(good), `"kind"`, `"sort"`, "sort"},
		{string(good), `"groups":4`, `"groups":4,"heads":1`, "heads"},
		{string(good), `"kind":"unet"`, `"kind":"mlp"`, "mlp"},
		{string(good), `"kind":"unet"`, `"kind":"wrn"`, "wrn"},
		{string(good), `"linear"`, `"curved"`, "curved"},
		{string(good), `"prior_std":1`, `"prior_std":0`, "prior"},
		{string(good), `[1,8,12]`, `[1,8,-12]`, "-12"},
		{string(good), `[1,8,12]`, `[8,12]`, "[8 12]"},
		{string(good), `[1,8,12]`, `[1,9,12]`, "divisible"},
		{string(good), `"channels":8`, `"channels":7`, "channels"},
		{string(good), `"groups":4`, `"groups":3`, "groups"},
		{string(good), `"groups":4`, `"groups":0`, "groups"},
		{string(good), `"mult":[1,2]`, `"mult":[]`, "multiplier"},
		{string(good), `"mult":[1,2]`, `"mult":[1,0]`, "multiplier"},
		{string(good), `"res_blocks":1`, `"res_blocks":0`, "block"},
		{string(good), `"res_blocks":1`, `"res_blocks":1000000000`, "block"}, // from a hostile checkpoint
		{string(good), `"channels":8`, `"channels":4611686018427387904`, "channels"},
		{string(good), `"channels":8`, `"channels":"8"`, "channels"},
		{string(picky), `"attention":[2]`, `"attention":[3]`, "attention"},
		{string(picky), `"attention":[2]`, `"attention":[0]`, "attention"},
		{string(picky), `"attention":[2]`, `"attention":[-2]`, "attention"},
		{string(picky), `"attention":[2]`, `"attention":[4]`, "attention"},
		{string(picky), `"attention":[2]`, `"attention":[2,2]`, "attention"},
		{string(picky), `[1,8,12]`, `[1,256,256]`, "16384 pixels"},
		{string(picky), `"dropout":0.3`, `"dropout":1`, "dropout"},
		{string(picky), `"dropout":0.3`, `"dropout":-0.1`, "dropout"},
		{string(wide), `[2,4,8]`, `[8]`, "[8]"},
		{string(wide), `[2,4,8]`, `[2,4,6]`, "divisible"},
		{string(wide), `[2,4,8]`, `[2,2,8]`, "divisible"},
		{string(wide), `"depth":10`, `"depth":4`, "depth"},
		{string(wide), `"depth":10`, `"depth":12`, "depth"},
		{string(wide), `"depth":10`, `"depth":-2`, "depth"},
		{string(wide), `"depth":10`, `"depth":6000000004`, "depth"},
		{string(wide), `"width":1`, `"width":0`, "width"},
		{string(wide), `"width":1`, `"width":4611686018427387904`, "width"},
		{string(wide), `"time":true`, `"time":1`, "time"},
		{string(point), `"width":20`, `"width":0`, "width"},
		{string(point), `"width":20`, `"width":4611686018427387904`, "width"},
		{string(point), `"depth":2`, `"depth":-1`, "depth"},
		{string(point), `"depth":2`, `"depth":1000000000`, "depth"},
		{string(point), `"fourier":3`, `"fourier":40`, "frequencies"},
		{string(point), `"shape":[3]`, `"shape":[]`, "shape"},
		{string(point), `"shape":[3]`, `"shape":[0]`, "shape"},
		{string(point), `"shape":[3]`, `"shape":[3,3,3]`, "shape"},
		{string(point), `"shape":[3]`, `"shape":[4611686018427387904]`, "shape"},
	} {
		raw := strings.Replace(c.from, c.old, c.new, 1)
		if raw == c.from {
			t.Fatalf("the test replaces %s, which is not in %s", c.old, raw)
		}
		if _, err := potential.ParseConfig(json.RawMessage(raw)); err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s for %s: error is %v, want one about %q", c.new, c.old, err, c.message)
		}
	}
	for _, raw := range []string{``, `null`, `[]`, `7`, `{`} {
		if _, err := potential.ParseConfig(json.RawMessage(raw)); err == nil {
			t.Errorf("configuration %q was accepted", raw)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, c := range []potential.Config{mlp("vapo"), unet(), attentive(), wrn(true)} {
		raw, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := potential.ParseConfig(raw)
		if err != nil {
			return
		}
		if c.Dim() < 1 {
			t.Fatalf("%s was accepted with %d dimensions", raw, c.Dim())
		}
		if c.Kind == "unet" && (len(c.UNet.Mult) > 6 || c.UNet.ResBlocks > 6) {
			return // valid, but slow to build
		}
		if c.Kind == "wrn" && (c.WRN.Depth > 100 || c.WRN.Width > 100) {
			return
		}
		if _, err := c.Parameters(); err != nil && c.Dim() < 1<<20 {
			t.Fatalf("%s is valid, but Parameters returns %v", raw, err)
		}
	})
}

// The bits of a row depend neither on the other rows of the block, even if they hold NaN, nor on earlier blocks.
func TestFieldRows(t *testing.T) {
	for _, be := range engines(t) {
		for _, c := range []potential.Config{mlp("linear"), mlp("vapo"), unet(), attentive(), wrn(true), wrn(false)} {
			const batch = 9
			d := c.Dim()
			f, err := potential.NewField(be, c, weights(t, c), batch)
			if err != nil {
				t.Fatal(err)
			}
			eval := func(seed uint64, keep int) (phi, grad []float32) {
				x, times := make([]float32, batch*d), make([]float32, batch)
				random.New(seed, "x", 0).Normal(x)
				for i := range times {
					times[i] = float32(random.New(seed, "t", uint64(i)).Uniform64())
				}
				random.New(1, "x", 0).Normal(x[keep*d : (keep+1)*d])
				times[keep] = 0.37
				if seed == 2 {
					x[(keep+1)%batch*d] = float32(math.NaN())
				}
				phi, grad = make([]float32, batch), make([]float32, batch*d)
				if err := f.Eval(x, times, phi, grad); err != nil {
					t.Fatal(err)
				}
				return phi[keep : keep+1], grad[keep*d : (keep+1)*d]
			}
			for keep := range batch {
				phi, grad := eval(1, keep)
				for seed := range uint64(4) {
					p, g := eval(seed, keep)
					if !slices.Equal(p, phi) || !slices.Equal(g, grad) {
						t.Fatalf("%s, %s %s: row %d depends on the other rows", be.Class(), c.Kind, c.Schedule, keep)
					}
				}
			}
		}
	}
}

// grad is the gradient of phi. The test compares it with central differences, which in float32 have an error of a few
// thousandths for a scalar of order one.
func TestFieldIsTheGradient(t *testing.T) {
	for _, c := range []potential.Config{mlp("linear"), unet(), attentive(), wrn(true), wrn(false)} {
		be := engines(t)[0]
		d := c.Dim()
		f, err := potential.NewField(be, c, weights(t, c), 2)
		if err != nil {
			t.Fatal(err)
		}
		x, times := make([]float32, 2*d), []float32{0.4, 0.4}
		random.New(5, "x", 0).Normal(x[:d])
		phi, grad := make([]float32, 2), make([]float32, 2*d)
		copy(x[d:], x[:d])
		if err := f.Eval(x, times, phi, grad); err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(grad[:d])
		scale := 0.0
		for _, g := range want {
			scale = max(scale, math.Abs(float64(g)))
		}
		const h = 1e-2
		for i := 0; i < d; i += 1 + d/12 {
			x[i] += h
			x[d+i] -= h
			if err := f.Eval(x, times, phi, grad); err != nil {
				t.Fatal(err)
			}
			step := float64(x[i]) - float64(x[d+i])
			x[i] -= h
			x[d+i] += h
			if got := (float64(phi[0]) - float64(phi[1])) / step; math.Abs(got-float64(want[i])) > 2e-2*scale {
				t.Errorf("%s: gradient[%d] is %v, central difference %v", c.Kind, i, want[i], got)
			}
		}
	}
}

// velocity compiles the velocity of sampling for blocks of n rows.
func velocity(t *testing.T, be backend.Backend, c potential.Config, guidance float64, n int) func(
	x, s []float32, labels []int) []float32 {
	t.Helper()
	g := gorgonia.NewGraph()
	x := graphop.Input(g, tensor.Float32, "x", n, c.Dim())
	s := graphop.Input(g, tensor.Float32, "s", n, 1)
	dx, states, err := c.Velocity(x, s, guidance)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := be.Compile(backend.Graph{Inputs: []*graphop.Node{x, s}, Outputs: []*graphop.Node{dx}, State: states})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.LoadWeights(exe.Load, weights(t, c)); err != nil {
		t.Fatal(err)
	}
	return func(x, s []float32, labels []int) []float32 {
		hot, out := make([]float32, n*c.Classes), make([]float32, n*c.Dim())
		if err := c.OneHot(hot, labels); err != nil {
			t.Fatal(err)
		}
		if c.Classes > 0 {
			if err := exe.Load(potential.LabelState, backend.F32(hot)); err != nil {
				t.Fatal(err)
			}
		}
		in, outs := []backend.Buffer{backend.F32(x), backend.F32(s)}, []backend.Buffer{backend.F32(out)}
		if err := exe.Run(in, outs); err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// The velocity is grad Phi times dt/ds at the schedule's own times.
func TestVelocity(t *testing.T) {
	for _, name := range []string{"linear", "vapo"} {
		c := mlp(name)
		f, err := potential.NewField(engines(t)[0], c, weights(t, c), 4)
		if err != nil {
			t.Fatal(err)
		}
		path, err := c.Path()
		if err != nil {
			t.Fatal(err)
		}
		from, to := path.Span()
		x := make([]float32, 12)
		random.New(5, "x", 0).Normal(x)
		s, times, rates := make([]float32, 4), make([]float32, 4), make([]float64, 4)
		for i := range s {
			s[i] = float32(from + (to-from)*float64(i)/3)
			at, rate := path.Time(float64(s[i]))
			times[i], rates[i] = float32(at), rate
		}
		flow, grad := velocity(t, engines(t)[0], c, 1, 4)(x, s, nil), make([]float32, 12)
		if err := f.Eval(x, times, nil, grad); err != nil {
			t.Fatal(err)
		}
		for i := range flow {
			if want := float64(grad[i]) * rates[i/3]; math.Abs(float64(flow[i])-want) > 1e-5*(1e-9+math.Abs(want)) {
				t.Errorf("%s: flow[%d] is %v, want %v", name, i, flow[i], want)
			}
		}
	}
}

// The JSON of a configuration whose optional settings (those with omitempty) are all unset must never change, because
// checkpoints are compared by this text.
func TestConfigText(t *testing.T) {
	raw, err := json.Marshal(unet())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"kind":"unet","shape":[1,8,12],"schedule":"linear","prior_std":1,` +
		`"unet":{"channels":8,"mult":[1,2],"res_blocks":1,"groups":4}}`
	if string(raw) != want {
		t.Errorf("configuration %s, want %s", raw, want)
	}
}

// At initialisation f = 0, so a U-Net's potential is exactly |x|²/2 and its gradient is exactly x.
func TestUNetStartsAsSquare(t *testing.T) {
	c := attentive()
	params, err := c.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	w := map[string][]float32{}
	for _, p := range params {
		w[p.Name] = p.Draw(1)
	}
	f, err := potential.NewField(engines(t)[0], c, w, 2)
	if err != nil {
		t.Fatal(err)
	}
	x, grad, phi := make([]float32, 2*96), make([]float32, 2*96), make([]float32, 2)
	random.New(5, "x", 0).Normal(x)
	if err := f.Eval(x, []float32{0.1, 0.9}, phi, grad); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x, grad) {
		t.Error("the gradient at initialisation is not x")
	}
	var square float64
	for _, v := range x[:96] {
		square += float64(v) * float64(v) / 2
	}
	if math.Abs(float64(phi[0])-square) > 1e-5*square {
		t.Errorf("Phi at initialisation is %v, want %v", phi[0], square)
	}
}

func TestFieldRefuses(t *testing.T) {
	be := engines(t)[0]
	c := mlp("linear")
	w := weights(t, c)
	f, err := potential.NewField(be, c, w, 4)
	if err != nil {
		t.Fatal(err)
	}
	v := func(n int) []float32 { return make([]float32, n) }
	for name, err := range map[string]error{
		"too few times":  f.Eval(v(12), v(3), nil, v(12)),
		"too few points": f.Eval(v(9), v(4), nil, v(12)),
		"too little phi": f.Eval(v(12), v(4), v(3), v(12)),
		"no gradient":    f.Eval(v(12), v(4), nil, nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name := range w {
		less := map[string][]float32{}
		for k, v := range w {
			if k != name {
				less[k] = v
			}
		}
		if _, err := potential.NewField(be, c, less, 4); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("weights without %s: error %v, want one that names it", name, err)
		}
		less[name] = w[name][1:]
		if _, err := potential.NewField(be, c, less, 4); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("weights with %s cut short: error %v, want one that names it", name, err)
		}
	}
}

// The parameter lists of networks must never change, because users have checkpoints with these parameters.
func TestParameters(t *testing.T) {
	big := potential.Config{Kind: "unet", Shape: []int{1, 28, 28}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 16, Mult: []int{1, 2, 2}, ResBlocks: 1, Groups: 8}}
	for _, c := range []struct {
		config      potential.Config
		tensors     int
		scalars     int
		first, last string
	}{
		{mlp("linear"), 6, 20*10 + 20 + 20*20 + 20 + 20 + 1, "layers.0.weight [20 10]", "out.bias [1]"},
		{unet(), 100, 41017, "time_embed.0.weight [32 8]", "out.2.bias [1]"},
		{attentive(), 100 + 4*6, 41017 + 4*(2*16+4*16*16+4*16), "time_embed.0.weight [32 8]", "out.2.bias [1]"},
		{wrn(true), 30, 82273, "time_embed.0.weight [32 16]", "out.bias [1]"},
		{wrn(false), 20, 76977, "conv_in.weight [16 2 3 3]", "out.bias [1]"},
		{big, 134, 252721, "time_embed.0.weight [64 16]", "out.2.bias [1]"},
	} {
		params, err := c.config.Parameters()
		if err != nil {
			t.Fatal(err)
		}
		first, last := params[0], params[len(params)-1]
		got := fmt.Sprintf("%d tensors, %d scalars, %s %v to %s %v",
			len(params), layer.Count(params), first.Name, first.Shape, last.Name, last.Shape)
		if want := fmt.Sprintf("%d tensors, %d scalars, %s to %s", c.tensors, c.scalars, c.first, c.last); got != want {
			t.Errorf("%s: %s, want %s", c.config.Kind, got, want)
		}
		seen := map[string]bool{}
		for _, p := range params {
			if seen[p.Name] {
				t.Errorf("parameter %s is declared twice", p.Name)
			}
			seen[p.Name] = true
		}
	}
}

// A network without time gives the same potential at all times; a network with time does not.
func TestWRNTime(t *testing.T) {
	for _, time := range []bool{false, true} {
		c := wrn(time)
		f, err := potential.NewField(engines(t)[0], c, weights(t, c), 2)
		if err != nil {
			t.Fatal(err)
		}
		d := c.Dim()
		x, phi, grad := make([]float32, 2*d), make([]float32, 2), make([]float32, 2*d)
		random.New(5, "x", 0).Normal(x[:d])
		copy(x[d:], x[:d])
		if err := f.Eval(x, []float32{0.2, 0.7}, phi, grad); err != nil {
			t.Fatal(err)
		}
		if same := phi[0] == phi[1] && slices.Equal(grad[:d], grad[d:]); same == time {
			t.Errorf("Phi is %v at t = 0.2 and %v at t = 0.7, want Phi or its gradient to depend on t: %v",
				phi[0], phi[1], time)
		}
	}
}

package training

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/checkpoint"
	"vapo/lib/homotopy"
	"vapo/lib/layer"
	"vapo/lib/optim"
	"vapo/lib/potential"
)

// golden is a case of testdata/golden.py: a few training steps of a potential, computed by PyTorch in float64. Tensors
// are stored as summaries, one for each parameter.
type golden struct {
	Config    potential.Config
	Objective string
	Seed      uint64 // of the dropout masks
	Optim     optim.Config
	Batch     int
	Times     []float64
	Labels    []int // -1: no label
	Names     []string
	Shapes    [][]int
	Loss, RMS []float64
	GradNorm  []float64 `json:"grad_norm"`
	Weight    [][]float64
	X         []float64 // the points at which the first step evaluates the network
	Phi, Grad []float64 // at X, without dropout
	TrainGrad []float64 `json:"train_grad"` // grad Psi at X, with dropout
	// After the first step: the loss's gradients and the new parameters.
	ParamGrads [][7]float64 `json:"param_grads"`
	Updated    [][7]float64
	// Indexed by step and sample.
	Losses, Squares, Values [][]float64
	Clipped                 []int          // number of elements of each step's gradient that Optim.ClipStd clips
	Change                  [][5]float64   // after the last step
	EMAChange               [][][5]float64 `json:"ema_change"` // for each average
}

func (g golden) String() string {
	name := g.Config.Kind
	switch {
	case g.Config.Kind == "wrn" && !g.Config.WRN.Time:
		name += " without time"
	case g.Config.Kind == "unet" && g.Config.UNet.AddTime:
		name += " as in torchcfm"
	case g.Config.Drops():
		name += " with attention and dropout"
	case g.Config.Kind == "unet" && g.Config.UNet.Attention != nil:
		name += " with attention"
	}
	if g.Optim.WeightDecay > 0 {
		name += " with AdamW"
	}
	if g.Config.Classes > 0 {
		name += " with labels"
	}
	return fmt.Sprintf("%s/%s/%s", name, g.Objective, g.Config.Schedule)
}

// onehot returns the labels in the form that a batch holds.
func (g golden) onehot() []float64 {
	v := make([]float64, g.Batch*g.Config.Classes)
	for i, l := range g.Labels {
		if l >= 0 {
			v[i*g.Config.Classes+l] = 1
		}
	}
	return v
}

func goldens(t *testing.T) []golden {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// wave is golden.py's sequence of values in [-1, 1].
func wave(k, i int) float32 { return float32(float64((i*7919+k*104729)%2003)/1001 - 1) }

// weights returns the initial weights of golden.py.
func weights(params []layer.Param) map[string][]float32 {
	out := map[string][]float32{}
	for k, p := range params {
		fan, offset, size := 4, 0.0, 1
		for i, d := range p.Shape {
			size *= d
			if i == 1 {
				fan = d
			} else if i > 1 {
				fan *= d
			}
		}
		if len(p.Shape) == 1 && p.Name[len(p.Name)-len("weight"):] == "weight" {
			offset = 1
		}
		v := make([]float32, size)
		for i := range v {
			v[i] = float32(offset + float64(wave(k, i))*1.5/math.Sqrt(float64(fan)))
		}
		out[p.Name] = v
	}
	return out
}

// summary computes the same summary of the change from before to now as golden.py: sum, product with wave, norm, first
// and last element.
func summary(k int, now, before []float32) (s [5]float64) {
	for i := range now {
		d := float64(now[i]) - float64(before[i])
		s[0] += d
		s[1] += d * float64(wave(k, i))
		s[2] += d * d
		if i == 0 {
			s[3] = d
		}
		s[4] = d
	}
	s[2] = math.Sqrt(s[2])
	return s
}

func near(got, want, scale, tolerance float64) bool { return math.Abs(got-want) <= tolerance*scale }

func load(t *testing.T, s *Trainer, w map[string][]float32) {
	t.Helper()
	c, err := s.Checkpoint(0)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range c.Tensors {
		for _, group := range s.optim.Groups() {
			if group != checkpoint.AdamM && group != checkpoint.AdamV && len(n.Name) > len(group) &&
				n.Name[:len(group)] == group {
				c.Tensors[i].Data = w[n.Name[len(group):]]
			}
		}
	}
	if err := s.Restore(c); err != nil {
		t.Fatal(err)
	}
}

func engines(testing.TB) []backend.Backend { return []backend.Backend{tape.Tape{}} }

// Names, potentials, fields, losses, gradient norms and updates agree with an independent implementation.
func TestGoldenSteps(t *testing.T) {
	for _, be := range engines(t) {
		for _, g := range goldens(t) {
			t.Run(fmt.Sprintf("%s/%v", be.Class(), g), func(t *testing.T) { goldenSteps(t, be, g) })
		}
	}
}

func goldenSteps(t *testing.T, be backend.Backend, g golden) {
	const tolerance = 1e-4
	c := g.Config
	s, err := Potential(be, c, g.Objective, g.Optim, false)
	if err != nil {
		t.Fatal(err)
	}
	s.Seed = g.Seed
	var names []string
	for i, p := range s.Params {
		names = append(names, p.Name)
		if i < len(g.Shapes) && !slices.Equal(p.Shape, g.Shapes[i]) {
			t.Errorf("%s has shape %v, want %v", p.Name, p.Shape, g.Shapes[i])
		}
	}
	if !slices.Equal(names, g.Names) {
		t.Fatalf("parameters\n%v\nwant, in this order\n%v", names, g.Names)
	}
	initial := weights(s.Params)
	load(t, s, initial)

	f, err := potential.NewField(be, c, initial, g.Batch)
	if err != nil {
		t.Fatal(err)
	}
	if c.Classes > 0 {
		if err := f.SetLabels(g.Labels); err != nil {
			t.Fatal(err)
		}
	}
	x, times := make([]float32, len(g.X)), make([]float32, g.Batch)
	for i, v := range g.X {
		x[i] = float32(v)
	}
	for i, v := range g.Times {
		times[i] = float32(v)
	}
	phi, grad := make([]float32, len(g.Phi)), make([]float32, len(x))
	if len(phi) == 0 {
		phi = nil
	}
	if err := f.Eval(x, times, phi, grad); err != nil {
		t.Fatal(err)
	}
	scale := 0.0
	for _, v := range g.Grad {
		scale = max(scale, math.Abs(v))
	}
	for i, v := range g.Phi {
		if !near(float64(phi[i]), v, max(1, math.Abs(v)), tolerance) {
			t.Errorf("Phi of sample %d is %v, want %v", i, phi[i], v)
		}
	}
	for i, v := range g.Grad {
		if !near(float64(grad[i]), v, scale, tolerance) {
			t.Fatalf("grad Phi[%d] is %v, want %v", i, grad[i], v)
		}
	}

	path, err := c.Path()
	if err != nil {
		t.Fatal(err)
	}
	for step := range g.Loss {
		m := goldenStep(t, s, g, path, step)
		if !m.Applied || !near(m.Loss, g.Loss[step], max(0.1, math.Abs(g.Loss[step])), tolerance) {
			t.Errorf("step %d: loss %v (applied %v), want %v, applied", step, m.Loss, m.Applied, g.Loss[step])
		}
		if !near(m.GradNorm, g.GradNorm[step], g.GradNorm[step], 3*tolerance) {
			t.Errorf("step %d: gradient norm %v, want %v", step, m.GradNorm, g.GradNorm[step])
		}
		if !near(m.FieldRMS, g.RMS[step], g.RMS[step], tolerance) {
			t.Errorf("step %d: root mean square of the field %v, want %v", step, m.FieldRMS, g.RMS[step])
		}
	}
	ck, err := s.Checkpoint(int64(len(g.Loss)))
	if err != nil {
		t.Fatal(err)
	}
	type change struct {
		group string
		want  [][5]float64
	}
	changes := []change{{checkpoint.Param, g.Change}}
	for k, want := range g.EMAChange {
		changes = append(changes, change{checkpoint.Average(k), want})
	}
	for _, c := range changes {
		group := ck.Group(c.group)
		for k, p := range s.Params {
			got := summary(k, group[p.Name].Data, initial[p.Name])
			norm := c.want[k][2]
			size := math.Sqrt(float64(len(initial[p.Name])))
			for i, scale := range [5]float64{norm * size, norm * size, norm, 0.02, 0.02} {
				if !near(got[i], c.want[k][i], scale, 1e-3) {
					t.Errorf("change of %s%s after the last step: %v, want %v", c.group, p.Name, got, c.want[k])
					break
				}
			}
		}
	}
}

// goldenStep takes a step on the batch of golden.py and compares the values of each sample.
func goldenStep(t *testing.T, s *Trainer, g golden, path homotopy.Schedule, step int) Metrics {
	const tolerance = 1e-4
	b := s.NewBatch()
	for i := range b.X {
		b.X[i], b.Noise[i] = wave(50+step, i), 1.5*wave(60+step, i)
	}
	for i, t := range g.Times {
		b.SetTime(i, path, t)
		b.Path.Weight[i] = float32(g.Weight[step][i])
	}
	for i, v := range g.onehot() {
		b.Labels[i] = float32(v)
	}
	m, err := s.Step(int64(step), b)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got  []float32
		want []float64
	}{
		"losses": {s.PerSample.Losses, g.Losses[step]}, "squares": {s.PerSample.Squares, g.Squares[step]},
		"values": {s.PerSample.Values, g.Values[step]},
	} {
		if len(c.got) != g.Batch {
			t.Fatalf("%d %s for %d samples, want one each", len(c.got), name, g.Batch)
		}
		for i, want := range c.want { // no values without a potential
			if v := c.got[i]; !near(float64(v), want, max(0.1, math.Abs(want)), tolerance) {
				t.Errorf("step %d: %s of sample %d are %v, want %v", step, name, i, v, want)
			}
		}
	}
	return m
}

package device

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"gorgonia.org/tensor"
	"vapo/lib/backend"
	"vapo/lib/backend/backendtest"
	"vapo/lib/backend/tape"
	"vapo/lib/enginename"
	"vapo/lib/optim"
	"vapo/lib/potential"
	"vapo/lib/random"
	"vapo/lib/training"
)

// step returns the training step of a network for batches of 8.
func step(t *testing.T, c potential.Config) (g backend.Graph) {
	t.Helper()
	c.Schedule, c.PriorStd = "linear", 1
	if _, err := training.Potential(captured{&g}, c, "matching", adam(8), false); !errors.Is(err, errCaptured) {
		t.Fatal(err)
	}
	return g
}

func adam(batch int) optim.Config {
	return optim.Config{
		LearningRate: 1e-3, HorizonSteps: 5000, Decay: "cosine", Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, ClipNorm: 1,
		BatchImages: batch, EMAHalfLifeImages: []float64{5540},
	}
}

// statement is an operation of a program.
type statement struct {
	op         string
	args       []string
	attributes string
	from, dt   string // element types of the first operand and of the result
}

var statementForm = regexp.MustCompile(
	`(?s)(%\w+) = "stablehlo\.(\w+)"\(([^)]*)\)(.*?) : \(tensor<(?:[\dx]*x)?(\w+)>.*?\) -> tensor<(?:[\dx]*x)?(\w+)>`)

// statements maps the name of each result in a program to the statement that computes it.
func statements(text string) map[string]statement {
	all := map[string]statement{}
	for _, m := range statementForm.FindAllStringSubmatch(text, -1) {
		all[m[1]] = statement{op: m[2], args: strings.Split(m[3], ", "), attributes: m[4], from: m[5], dt: m[6]}
	}
	return all
}

// With bfloat16 activations every product multiplies bfloat16. No value is converted to the type that it already has,
// and no conversion undoes the one before it. No transposition directly follows another.
func TestBF16Programs(t *testing.T) {
	graphs := map[string]backend.Graph{"unet-cifar10": step(t, potential.Presets()["unet-cifar10"])}
	for _, s := range backendtest.Steps(tensor.Float32) {
		graphs[s.Name] = s.Graph
	}
	for name, g := range graphs {
		all := statements(write(t, g, enginename.BFloat16))
		products := 0
		for v, s := range all {
			first := all[s.args[0]]
			switch s.op {
			case "dot_general", "convolution":
				products++
				if s.from != "bf16" {
					t.Errorf("%s: %s multiplies %s, want bf16", name, v, s.from)
				}
			case "convert":
				if s.from == s.dt || first.op == "convert" && !strings.HasPrefix(s.from, "ui") && first.from == s.dt {
					t.Errorf("%s: %s, a conversion of %s (%s of %s) to %s, changes nothing or undoes the one before it",
						name, v, s.from, first.op, first.from, s.dt)
				}
			case "transpose":
				if first.op == "transpose" {
					t.Errorf("%s: %s transposes the result of another transposition", name, v)
				}
			}
		}
		if products == 0 {
			t.Errorf("%s: the program multiplies nothing, so the test checks no product", name)
		}
	}
}

// Nearly all values of a batch are kept in bfloat16, and all states of the optimiser in float32.
func TestBF16Roles(t *testing.T) {
	g := step(t, potential.Presets()["unet-cifar10"])
	l := newLowering(nil, g, dtypes.Float32, true)
	elements := map[role]int{}
	for _, n := range g.Order() {
		if n.Op() != nil && n.Shape()[0] == 8 {
			elements[l.roles[n].role] += l.roles[n].rows
		}
	}
	if share := float64(elements[activation]) / float64(elements[activation]+elements[exact]); !(share > 0.97) {
		t.Errorf("%.1f %% of the values of a batch are kept in bfloat16, want more than 97", 100*share)
	}
	for _, s := range g.State {
		if l.roles[s.Out].role == activation {
			t.Errorf("the next value of the state %s may be kept in bfloat16, want float32", s.In.Name())
		}
	}
}

// follow trains with the same batches on tape and, with bfloat16 activations, on the Go engine. It returns the largest
// relative difference between their sums of ten losses.
func follow(t *testing.T, c potential.Config, batch, steps int, rate float64) float64 {
	t.Helper()
	c.Schedule, c.PriorStd = "linear", 1
	half := goBackend(t).(*goEngine)
	half.half = true
	var losses [2][]float64
	for i, be := range []backend.Backend{tape.Tape{}, half} {
		o := adam(batch)
		o.LearningRate, o.WarmupSteps = rate, 10
		s, err := training.Potential(be, c, "matching", o, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Initialise(1); err != nil {
			t.Fatal(err)
		}
		path, err := c.Path()
		if err != nil {
			t.Fatal(err)
		}
		b := s.NewBatch()
		for k := range int64(steps) {
			random.New(1, "data", uint64(k)).Normal(b.X)
			for j := range b.X { // eight Gaussians on a circle, or images of eight kinds
				kind := float64((j/c.Dim()*5 + int(k)) % 8)
				b.X[j] = 0.15*b.X[j] + float32(math.Cos(kind*math.Pi/4-float64(j%c.Dim())*math.Pi/2))
			}
			random.New(1, "noise", uint64(k)).Normal(b.Noise)
			u := random.New(1, "time", uint64(k))
			for j := range b.N() {
				b.SetTime(j, path, path.Draw(u.Uniform64()))
			}
			m, err := s.Step(k, b)
			if err != nil {
				t.Fatal(err)
			}
			if k%10 == 0 {
				losses[i] = append(losses[i], 0)
			}
			losses[i][k/10] += m.Loss
		}
	}
	var most float64
	for i, want := range losses[0] {
		most = max(most, math.Abs(losses[1][i]-want)/want)
	}
	t.Logf("sums of ten losses: %s on tape, %s with bfloat16 activations; largest relative difference %.3g",
		fmt.Sprintf("%.3f", losses[0]), fmt.Sprintf("%.3f", losses[1]), most)
	return most
}

// With bfloat16 activations, the losses follow those of tape: each sum of ten losses agrees to within 1 % for points
// like those of the recipe mixture2d, and to within 2 % for images.
func TestBF16Training(t *testing.T) {
	points := potential.Config{Kind: "mlp", Shape: []int{2}, MLP: &potential.MLP{Width: 128, Depth: 3, Fourier: 2}}
	images := potential.Config{Kind: "unet", Shape: []int{1, 8, 8},
		UNet: &potential.UNet{Channels: 8, Mult: []int{1, 2}, ResBlocks: 1, Groups: 4}}
	for _, c := range []struct {
		config       potential.Config
		batch, steps int
		rate         float64
		tolerance    float64
	}{{points, 128, 60, 5e-3, 0.01}, {images, 4, 50, 3e-4, 0.02}} {
		if d := follow(t, c.config, c.batch, c.steps, c.rate); !(d <= c.tolerance) {
			t.Errorf("%s: the losses differ by %.3g, want at most %g", c.config.Kind, d, c.tolerance)
		}
	}
}

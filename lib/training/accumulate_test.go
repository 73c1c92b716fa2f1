package training

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/optim"
	"vapo/lib/potential"
)

// A step of k micro-batches of n samples equals a step of one batch of k·n samples, up to the rounding of the sums.
func TestAccumulationIsOneBatch(t *testing.T) {
	const n, k, steps = 4, 3, 5
	points := potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1,
		MLP: &potential.MLP{Width: 9, Depth: 2, Fourier: 2}}
	pictures := potential.Config{Kind: "unet", Shape: []int{1, 4, 4}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2, Attention: []int{2}}}
	for _, be := range engines(t) {
		for _, c := range []potential.Config{points, pictures} {
			o := adam(n * k)
			// Adam divides by the gradient's size, so a small epsilon would turn rounding errors of gradients near 0
			// into whole steps.
			o.Epsilon, o.WeightDecay, o.ClipStd, o.LearningRate = 1e-3, 0.1, 0.1, 0.01
			whole, err := Potential(be, c, "matching", o, false)
			if err != nil {
				t.Fatal(err)
			}
			o.Accumulate = k
			parts, err := Potential(be, c, "matching", o, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*Trainer{whole, parts} {
				if err := s.Initialise(5); err != nil {
					t.Fatal(err)
				}
			}
			for step := range int64(steps) {
				batch, divided := whole.NewBatch(), parts.NewBatch()
				fill(batch, c, uint64(step))
				fill(divided, c, uint64(step))
				want, err := whole.Step(step, batch)
				if err != nil {
					t.Fatal(err)
				}
				got, err := parts.Step(step, divided)
				if err != nil {
					t.Fatal(err)
				}
				for name, v := range map[string][2]float64{
					"loss": {got.Loss, want.Loss}, "gradient norm": {got.GradNorm, want.GradNorm}, "field": {got.FieldRMS,
						want.FieldRMS},
				} {
					if !near(v[0], v[1], math.Abs(v[1]), 1e-4) {
						t.Errorf("%s, %s, step %d: %s %v in micro-batches, %v in one batch",
							be.Class(), c.Kind, step, name, v[0], v[1])
					}
				}
				if got.Rate != want.Rate || !got.Applied {
					t.Errorf("%s, %s, step %d: %+v in micro-batches, want the rate of %+v in one batch, and Applied",
						be.Class(), c.Kind, step, got, want)
				}
				for i, v := range parts.PerSample.Values {
					if w := float64(whole.PerSample.Values[i]); !near(float64(v), w, max(1, math.Abs(w)), 1e-4) {
						t.Errorf("%s, %s, step %d: Psi of sample %d is %v in micro-batches, %v in one batch",
							be.Class(), c.Kind, step, i, v, w)
					}
				}
			}
			one, err := whole.Checkpoint(steps)
			if err != nil {
				t.Fatal(err)
			}
			many, err := parts.Checkpoint(steps)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range one.Tensors {
				got := many.Tensors[i]
				var diff, norm float64
				for j, v := range want.Data {
					diff += math.Pow(float64(v-got.Data[j]), 2)
					norm += float64(v) * float64(v)
				}
				if got.Name != want.Name || math.Sqrt(diff) > 1e-3*math.Sqrt(norm)+1e-6 {
					t.Errorf("%s, %s: the error of %s is %.2g, want at most 1e-3 of its norm %.2g",
						be.Class(), c.Kind, want.Name, math.Sqrt(diff), math.Sqrt(norm))
				}
			}
		}
	}
}

func accumulating(t *testing.T) trainee {
	t.Helper()
	all := trainees()
	return all[slices.IndexFunc(all, func(tr trainee) bool { return tr.name == "unet accumulating" })]
}

// Each of the M micro-batches gets every M-th sample and holds its samples in contiguous rows.
func TestRows(t *testing.T) {
	b := newBatch(batchSize{n: 6, micro: 2, dim: 1}, false)
	var rows []int
	for i := range b.N() {
		rows = append(rows, b.Row(i))
	}
	if !slices.Equal(rows, []int{0, 3, 1, 4, 2, 5}) {
		t.Errorf("rows %v, want [0 3 1 4 2 5]", rows)
	}
}

// A step that fails between micro-batches does not affect the next step.
func TestIncompleteStepLeavesNoTrace(t *testing.T) {
	for _, be := range engines(t) {
		tr := accumulating(t)
		s := tr.new(t, be)
		tr.run(t, s, 0, 3)
		before := bytesOf(t, s, 3)
		b := s.NewBatch()
		tr.fill(b, 100)
		s.exe = &failing{Executable: s.exe, left: 2}
		if _, err := s.Step(3, b); err == nil {
			t.Fatalf("%s: a step with a failing micro-batch succeeded", be.Class())
		}
		s.exe = s.exe.(*failing).Executable
		if !bytes.Equal(before, bytesOf(t, s, 3)) {
			t.Errorf("%s: a step that failed after some micro-batches changed the state", be.Class())
		}
		whole := tr.new(t, be)
		tr.run(t, whole, 0, 4)
		tr.run(t, s, 3, 4)
		if !bytes.Equal(bytesOf(t, s, 4), bytesOf(t, whole, 4)) {
			t.Errorf("%s: after a step that failed, the same step gives a different state", be.Class())
		}
		c, err := s.Checkpoint(4)
		if err != nil {
			t.Fatal(err)
		}
		if c.Has(optim.Sum) {
			t.Errorf("%s: a checkpoint contains sums of gradients", be.Class())
		}
	}
}

// failing is an executable whose Run succeeds left times and then fails.
type failing struct {
	backend.Executable
	left int
}

func (f *failing) Run(in, out []backend.Buffer) error {
	if f.left == 0 {
		return errors.New("this run fails on purpose")
	}
	f.left--
	return f.Executable.Run(in, out)
}

// Each micro-batch has its own dropout masks, even if all micro-batches hold the same samples.
func TestMicroBatchesHaveTheirOwnMasks(t *testing.T) {
	be := engines(t)[0]
	tr := accumulating(t)
	s := tr.new(t, be)
	tr.run(t, s, 0, 3) // train first: some initial weights are 0, so dropout would have no effect
	s.Limit = 1e-9     // skips the steps, so that the weights stay the same
	b := s.NewBatch()
	tr.fill(b, 0)
	for _, v := range [][]float32{b.X, b.Noise, b.Path.Condition, b.Path.Mu, b.Path.Sigma} {
		for k := range s.size.micro {
			copy(part(v, k, s.size.micro), part(v, 0, s.size.micro))
		}
	}
	seen := map[string]bool{}
	for step := range int64(2) {
		if _, err := s.Step(step, b); err != nil {
			t.Fatal(err)
		}
		for k := range s.size.micro {
			values := fmt.Sprint(part(s.PerSample.Values, k, s.size.micro))
			if seen[values] {
				t.Errorf("micro-batch %d of step %d has the dropout masks of an earlier micro-batch", k, step)
			}
			seen[values] = true
		}
	}
}

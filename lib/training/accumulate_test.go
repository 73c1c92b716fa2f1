package training

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"vapo/lib/optim"
	"vapo/lib/potential"
)

// k micro-batches of n samples make the step that one batch of k·n makes, but for the order of the sums.
func TestAccumulationIsOneBatch(t *testing.T) {
	const n, k, steps = 4, 3, 5
	points := potential.Config{Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1, MLP: &potential.MLP{Width: 9, Depth: 2, Fourier: 2}}
	pictures := potential.Config{Kind: "unet", Shape: []int{1, 4, 4}, Schedule: "linear", PriorStd: 1,
		UNet: &potential.UNet{Channels: 4, Mult: []int{1, 2}, ResBlocks: 1, Groups: 2, Attention: []int{2}}}
	for _, be := range engines(t) {
		for _, c := range []potential.Config{points, pictures} {
			o := adam(n * k)
			// Its division by the gradient's size makes rounding of gradients that are 0 as large as a step.
			o.Epsilon, o.WeightDecay, o.ClipStd, o.LearningRate = 1e-3, 0.1, 0.1, 0.01
			whole, err := Potential(be, c, "matching", o, n*k)
			if err != nil {
				t.Fatal(err)
			}
			o.Accumulate = k
			parts, err := Potential(be, c, "matching", o, n)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*Step{whole, parts} {
				if err := s.Initialise(5); err != nil {
					t.Fatal(err)
				}
			}
			for step := range int64(steps) {
				fill(whole, c, n*k, uint64(step))
				want, err := whole.Run(step)
				if err != nil {
					t.Fatal(err)
				}
				var got Metrics
				var values []float32
				for micro := range k {
					for i, v := range parts.Batch {
						copy(v, whole.Batch[i][micro*len(v):])
					}
					if got, _, err = parts.RunMicro(step, micro); err != nil {
						t.Fatal(err)
					}
					values = append(values, parts.PerSample.Values...)
				}
				for name, v := range map[string][2]float64{
					"loss": {got.Loss, want.Loss}, "gradient norm": {got.GradNorm, want.GradNorm}, "field": {got.FieldRMS, want.FieldRMS},
				} {
					if !near(v[0], v[1], math.Abs(v[1]), 1e-4) {
						t.Errorf("%s, %s, step %d: %s %v in parts, %v in one", be.Class(), c.Kind, step, name, v[0], v[1])
					}
				}
				if got.Rate != want.Rate || !got.Applied {
					t.Errorf("%s, %s, step %d: %+v in parts, %+v in one", be.Class(), c.Kind, step, got, want)
				}
				for i, v := range values {
					if w := float64(whole.PerSample.Values[i]); !near(float64(v), w, max(1, math.Abs(w)), 1e-4) {
						t.Errorf("%s, %s, step %d: Psi of sample %d is %v in parts, %v in one", be.Class(), c.Kind, step, i, v, w)
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
					t.Errorf("%s, %s: %s differs by %.2g of %.2g", be.Class(), c.Kind, want.Name, math.Sqrt(diff), math.Sqrt(norm))
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

// A step that is left in the middle is as if it had not begun, and the order of micro-batches is kept.
func TestIncompleteStepLeavesNoTrace(t *testing.T) {
	for _, be := range engines(t) {
		tr := accumulating(t)
		s := tr.new(t, be)
		tr.run(t, s, 0, 3)
		before := bytesOf(t, s, 3)
		for micro := range 2 {
			tr.fill(s, int64(100+micro))
			if m, done, err := s.RunMicro(3, micro); err != nil || done || m.Applied || m.Spike || m.NonFinite {
				t.Fatalf("%s: micro-batch %d: %+v, done is %v, %v", be.Class(), micro, m, done, err)
			}
		}
		if !bytes.Equal(before, bytesOf(t, s, 3)) {
			t.Errorf("%s: a part of a step changed the state", be.Class())
		}
		for _, turn := range []struct {
			step  int64
			micro int
		}{{3, 1}, {4, 2}, {3, 3}, {3, -1}} {
			if _, _, err := s.RunMicro(turn.step, turn.micro); err == nil {
				t.Errorf("%s: micro-batch %d of step %d was run after 1 of step 3", be.Class(), turn.micro, turn.step)
			}
		}
		if _, err := s.Run(3); err == nil {
			t.Errorf("%s: one batch was run as a step of three", be.Class())
		}
		whole := tr.new(t, be)
		tr.run(t, whole, 0, 4)
		tr.run(t, s, 3, 4)
		if !bytes.Equal(bytesOf(t, s, 4), bytesOf(t, whole, 4)) {
			t.Errorf("%s: a step begun anew is another one", be.Class())
		}
		c, err := s.Checkpoint(4)
		if err != nil {
			t.Fatal(err)
		}
		if c.Has(optim.Sum) {
			t.Errorf("%s: sums of gradients are in a checkpoint", be.Class())
		}
	}
}

// Micro-batches of a step drop differently: a step on the same batch three times is none on one batch.
func TestMicroBatchesHaveTheirOwnMasks(t *testing.T) {
	be := engines(t)[0]
	tr := accumulating(t)
	s := tr.new(t, be)
	tr.run(t, s, 0, 3) // where everything starts at 0, what is dropped does not matter
	seen := map[string]int64{}
	for step := range int64(2) {
		for micro := range s.Micro() {
			tr.fill(s, 0)
			s.Limit = 1e-9 // keeps the weights
			if _, _, err := s.RunMicro(step, micro); err != nil {
				t.Fatal(err)
			}
			values := fmt.Sprint(s.PerSample.Values)
			if other, ok := seen[values]; ok {
				t.Errorf("micro-batch %d of step %d drops as number %d", micro, step, other)
			}
			seen[values] = step*int64(s.Micro()) + int64(micro)
		}
	}
}

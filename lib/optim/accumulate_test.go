package optim_test

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"vapo/lib/optim"
)

// micro returns the gradient of one of the micro-batches of a step: the step's gradient plus a term that cancels in the
// mean over the micro-batches.
func micro(step, i, of int) [][]float64 {
	g := gradients(step)
	for _, row := range g {
		for k := range row {
			row[k] += float64(2*i+1-of) * math.Cos(float64(k+step))
		}
	}
	return g
}

// A step of several micro-batches equals a step with their mean gradient and mean loss, and it leaves nothing behind
// for the next step.
func TestAccumulation(t *testing.T) {
	const of = 4
	c := config()
	c.WeightDecay, c.ClipStd, c.Accumulate = 2, 0.5, of
	parts := newUpdate(t, c, tensor.Float64)
	c.Accumulate = 0
	whole := newUpdate(t, c, tensor.Float64)
	parts.start(t)
	whole.start(t)
	for step := range 8 {
		before := parts.all(t)
		norm, applied := whole.run(t, int64(step), 1, gradients(step))
		for i := range of {
			h := parts.c.Hyper(int64(step))
			h.First, h.Last = i == 0, i == of-1
			n, ok, mean := parts.feed(t, h, 0.4+0.4*float64(i), micro(step, i, of))
			if !h.Last {
				if ok || !slices.Equal(parts.all(t), before) {
					t.Fatalf("step %d: micro-batch %d, which is not the last, was applied (%v) or changed the state", step, i, ok)
				}
				continue
			}
			if !ok || !applied || math.Abs(n-norm) > 1e-12 || math.Abs(mean-1) > 1e-12 {
				t.Fatalf("step %d: norm %v, loss %v, applied %v in parts and %v as a whole; want norm %v, loss 1, both true",
					step, n, mean, ok, applied, norm)
			}
		}
		got := parts.all(t)
		for i, want := range whole.all(t) {
			if math.Abs(got[i]-want) > 1e-12 {
				t.Fatalf("step %d: state %d is %v, want %v", step, i, got[i], want)
			}
		}
	}
}

// If one micro-batch is bad, its step is skipped and other steps are not affected.
func TestBadMicroBatchSkipsItsStep(t *testing.T) {
	const of = 3
	nan, inf := math.NaN(), math.Inf(1)
	for name, bad := range map[string]struct {
		loss, gradient, limit float64
	}{
		"NaN loss": {nan, 1, 0}, "infinite loss": {inf, 1, 0}, "NaN gradient": {1, nan, 0}, "infinite gradient": {1, -inf, 0},
		"gradient beyond the limit": {1, 1e3, 100},
	} {
		for at := range of {
			c := config()
			c.Accumulate = of
			u, clean := newUpdate(t, c, tensor.Float32), newUpdate(t, c, tensor.Float32)
			u.start(t)
			clean.start(t)
			step := func(u *update, step int, spoil bool) (applied bool) {
				for i := range of {
					h := c.Hyper(int64(step))
					h.First, h.Last, h.Limit = i == 0, i == of-1, bad.limit
					loss, g := 1.0, micro(step, i, of)
					if spoil && i == at {
						loss, g[1][2] = bad.loss, bad.gradient
					}
					_, applied, _ = u.feed(t, h, loss, g)
				}
				return applied
			}
			step(u, 0, false)
			before := u.all(t)
			if step(u, 1, true) || !slices.Equal(u.all(t), before) {
				t.Errorf("%s in micro-batch %d: the step was applied or changed the state", name, at)
			}
			step(clean, 0, false)
			if !step(u, 1, false) || !step(clean, 1, false) || !slices.Equal(u.all(t), clean.all(t)) {
				t.Errorf("%s in micro-batch %d: the next step was not applied, or differs from that without the bad step",
					name, at)
			}
		}
	}
}

// A step whose gradient norm equals the limit is applied. A step with a norm above the limit changes nothing.
func TestLimit(t *testing.T) {
	u := newUpdate(t, config(), tensor.Float64)
	u.start(t)
	norm, _ := u.run(t, 0, 1, gradients(0))
	for _, c := range []struct {
		limit   float64
		applied bool
	}{{norm, true}, {norm * (1 - 1e-12), false}, {0, true}, {1e-30, false}, {math.MaxFloat32, true}} {
		before := u.all(t)
		h := u.c.Hyper(1)
		h.Limit = c.limit
		got, applied, _ := u.feed(t, h, 1, gradients(0))
		if got != norm || applied != c.applied || slices.Equal(u.all(t), before) == c.applied {
			t.Errorf("limit %v: norm %v, applied %v; want norm %v, applied %v, and a state that changes only if applied",
				c.limit, got, applied, norm, c.applied)
		}
	}
}

// Only a graph that accumulates gradients has the sums as states, and the sums are not a group of a checkpoint.
func TestSumsAreNoGroup(t *testing.T) {
	c := config()
	if u := newUpdate(t, c, tensor.Float32); slices.Contains(u.states, optim.Sum+"a") {
		t.Error("without micro-batches, the state contains a sum of gradients")
	}
	c.Accumulate = 2
	if u := newUpdate(t, c, tensor.Float32); !slices.Contains(u.states, optim.Sum+"a") ||
		slices.Contains(c.Groups(), optim.Sum) {
		t.Errorf("with micro-batches, the states are %v and the groups %v; want %sa among the states only",
			u.states, c.Groups(), optim.Sum)
	}
}

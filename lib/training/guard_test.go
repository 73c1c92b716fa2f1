package training

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"

	"vapo/lib/random"
)

// The limit is the factor times the median norm of the last 100 applied steps. There is no limit before 20 applied
// steps.
func TestGuardLimit(t *testing.T) {
	g, err := NewGuard(3)
	if err != nil {
		t.Fatal(err)
	}
	src := random.New(1, "guard", 0)
	var applied []float64
	for i := range 300 {
		want := 0.0
		if len(applied) >= 20 {
			last := slices.Clone(applied[max(0, len(applied)-100):])
			slices.Sort(last)
			n := len(last)
			want = 3 * (last[n/2] + last[(n-1)/2]) / 2
		}
		if got := g.Limit(); math.Abs(got-want) > 1e-12*want {
			t.Fatalf("limit %v after %d norms, want %v", got, len(applied), want)
		}
		m := Metrics{Applied: true, GradNorm: src.Uniform64()}
		if i%7 == 6 { // skipped steps must not count
			m = Metrics{Spike: true, GradNorm: 1e9}
		} else {
			applied = append(applied, m.GradNorm)
		}
		if err := g.Observe(m); err != nil {
			t.Fatal(err)
		}
	}
	if g.Spikes != 300/7 || g.NonFinite != 0 {
		t.Errorf("%d spikes and %d steps that were not finite, want %d and 0", g.Spikes, g.NonFinite, 300/7)
	}
	g.Factor = 0
	if g.Limit() != 0 {
		t.Error("a guard that is off has a limit")
	}
}

// A guard that is read from JSON continues like the guard that was written.
func TestGuardResumes(t *testing.T) {
	src := random.New(1, "guard", 1)
	a, err := NewGuard(2)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range 250 {
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var b Guard
		if err := json.Unmarshal(raw, &b); err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		m := Metrics{Applied: cut%9 != 0, Spike: cut%9 == 0 && cut%2 == 0, GradNorm: src.Uniform64()}
		if errA, errB := a.Observe(m), b.Observe(m); errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		again, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = json.Marshal(a); err != nil || !bytes.Equal(raw, again) || a.Limit() != b.Limit() {
			t.Fatalf("after %d steps the guard is %s with limit %v, the one read from JSON %s with limit %v (%v)", cut+1,
				raw, a.Limit(), again, b.Limit(), err)
		}
	}
}

// If gradients become permanently larger, the guard accepts them after ten skipped steps.
func TestGuardLearnsANewLevel(t *testing.T) {
	g, err := NewGuard(3)
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i := range 200 {
		norm := 1.0
		if i >= 50 {
			norm = 20
		}
		limit := g.Limit()
		spike := limit > 0 && norm > limit
		if !spike {
			taken++
		}
		if err := g.Observe(Metrics{Applied: !spike, Spike: spike, GradNorm: norm}); err != nil {
			t.Fatal(err)
		}
	}
	if taken != 190 || g.Spikes != 10 || g.Limit() != 60 {
		t.Errorf("%d of 200 steps were taken, %d were spikes, the limit is %v; want 190, 10 and 60", taken, g.Spikes,
			g.Limit())
	}
}

func TestGuardEndsARun(t *testing.T) {
	g, err := NewGuard(2)
	if err != nil {
		t.Fatal(err)
	}
	skip := Metrics{NonFinite: true, Loss: math.NaN(), GradNorm: 7}
	for range 99 {
		if err := g.Observe(skip); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Observe(Metrics{Applied: true, GradNorm: 1}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		err = g.Observe(skip)
		if (err != nil) != (i == 99) {
			t.Fatalf("consecutive skip %d: error %v, want one only at 100", i+1, err)
		}
	}
	var diverged *DivergedError
	if !errors.As(err, &diverged) || diverged.Steps != 100 || diverged.Last.GradNorm != 7 {
		t.Errorf("error %v, want a DivergedError after 100 steps, the last with gradient norm 7", err)
	}
	if g.NonFinite != 199 || g.Spikes != 0 {
		t.Errorf("%d steps not finite and %d spikes, want 199 and 0", g.NonFinite, g.Spikes)
	}
}

func TestGuardCheck(t *testing.T) {
	for _, factor := range []float64{-1, 0.5, 1, math.NaN(), math.Inf(1)} {
		if _, err := NewGuard(factor); err == nil {
			t.Errorf("a factor of %v was accepted", factor)
		}
	}
	for name, g := range map[string]Guard{
		"too many norms": {Norms: make([]float64, 101)}, "a negative norm": {Norms: []float64{1,
			-1}}, "a NaN": {Norms: []float64{math.NaN()}},
		"a negative count": {Spikes: -1}, "a negative number of skips": {Row: -1},
	} {
		if g.Check() == nil {
			t.Errorf("a guard with %s was accepted", name)
		}
	}
}

func TestGuardLeavesNoGarbage(t *testing.T) {
	g, err := NewGuard(2)
	if err != nil {
		t.Fatal(err)
	}
	step := func() {
		g.Limit()
		if err := g.Observe(Metrics{Applied: true, GradNorm: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for range 250 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("a step of the guard makes %v allocations", n)
	}
}

// A step on a batch that is far from the others is skipped and does not change the state.
func TestGuardSkipsSpikes(t *testing.T) {
	be := engines(t)[0]
	for _, tr := range []trainee{trainees()[0], accumulating(t)} {
		runs := [2]*Trainer{tr.new(t, be), tr.new(t, be)}
		for i, s := range runs {
			g, err := NewGuard(10)
			if err != nil {
				t.Fatal(err)
			}
			for step := range int64(30) {
				s.Limit = g.Limit()
				if i == 1 && step == 25 {
					before := bytesOf(t, s, step)
					m := tr.take(t, s, step, func(b *Batch) {
						for j := range b.X {
							b.X[j] *= 300
						}
					})
					if !m.Spike || m.Applied || !bytes.Equal(before, bytesOf(t, s, step)) {
						t.Errorf("%s: a batch of values 300 times as large: %+v at a limit of %v, want a spike that changes nothing",
							tr.name, m, s.Limit)
					}
					if err := g.Observe(m); err != nil {
						t.Fatal(err)
					}
				}
				m := tr.take(t, s, step, nil)
				if !m.Applied {
					t.Fatalf("%s: step %d was skipped: %+v at a limit of %v", tr.name, step, m, s.Limit)
				}
				if err := g.Observe(m); err != nil {
					t.Fatal(err)
				}
			}
			if g.Spikes != int64(i) {
				t.Errorf("%s: %d spikes, want %d", tr.name, g.Spikes, i)
			}
		}
		if !bytes.Equal(bytesOf(t, runs[0], 30), bytesOf(t, runs[1], 30)) {
			t.Errorf("%s: the run with a spike ends in a different state", tr.name)
		}
	}
}

package training

import (
	"encoding/json"
	"math"
	"testing"

	"gonum.org/v1/gonum/stat"

	"vapo/lib/random"
)

// samples draws values and fractions of n samples. The values of Psi in a bin lie around a large number that differs
// from bin to bin.
func samples(n int, index uint64) (u []float64, s PerSample) {
	src := random.New(1, "bins", index)
	s = PerSample{make([]float32, n), make([]float32, n), make([]float32, n)}
	for _, v := range [][]float32{s.Losses, s.Squares, s.Values} {
		src.Normal(v)
	}
	for i := range n {
		u = append(u, src.Uniform64())
		s.Squares[i] *= s.Squares[i]
		s.Values[i] = 1000*float32(int(u[i]*10)) + s.Values[i]
	}
	return u, s
}

func TestBins(t *testing.T) {
	var whole, second Bins
	type bin struct{ losses, squares, values []float64 }
	var want [BinCount]bin
	for k := range 7 {
		u, s := samples(33, uint64(k))
		u[0], u[1] = 0, math.Nextafter(1, 0) // the ends
		for i, v := range u {
			b := &want[int(math.Floor(v*10*(1-1e-16)))]
			b.losses, b.squares = append(b.losses, float64(s.Losses[i])), append(b.squares, float64(s.Squares[i]))
			b.values = append(b.values, float64(s.Values[i]))
		}
		if err := whole.Add(u, s); err != nil {
			t.Fatal(err)
		}
		if k == 3 { // a resumed run
			raw, err := json.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &second); err != nil {
				t.Fatal(err)
			}
		} else if k > 3 {
			if err := second.Add(u, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if second != whole {
		t.Errorf("bins that went through JSON are %v, want %v", second, whole)
	}
	for name, got := range map[string][]BinSummary{"whole": whole.Summary(), "resumed": second.Summary()} {
		for i, g := range got {
			w := want[i]
			if int(g.Count) != len(w.losses) || g.From != float64(i)/10 || g.To != float64(i+1)/10 || g.NonFinite != 0 {
				t.Fatalf("%s, bin %d: %+v, want %d finite samples from %v to %v",
					name, i, g, len(w.losses), float64(i)/10, float64(i+1)/10)
			}
			for what, v := range map[string][2]float64{
				"loss": {g.Loss, stat.Mean(w.losses, nil)}, "root mean square": {g.GradRMS, math.Sqrt(stat.Mean(w.squares, nil))},
				"spread": {g.Spread, stat.PopStdDev(w.values, nil)},
			} {
				if !near(v[0], v[1], max(0.1, math.Abs(v[1])), 1e-10) {
					t.Errorf("%s, bin %d: %s %v, want %v", name, i, what, v[0], v[1])
				}
			}
		}
	}
	whole = Bins{}
	for _, g := range whole.Summary() {
		if g.Count != 0 || g.Loss != 0 || g.GradRMS != 0 || g.Spread != 0 {
			t.Errorf("an empty bin has the summary %+v, want zeros", g)
		}
	}
}

// A sample that is not finite is counted but does not enter the sums: bins are stored as JSON, which cannot represent
// NaN.
func TestBinsKeepOutNonFinite(t *testing.T) {
	u, s := samples(30, 0)
	var clean, b Bins
	if err := clean.Add(u[3:], PerSample{s.Losses[3:], s.Squares[3:], s.Values[3:]}); err != nil {
		t.Fatal(err)
	}
	s.Losses[0], s.Squares[1], s.Values[2] = float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))
	if err := b.Add(u, s); err != nil {
		t.Fatal(err)
	}
	var left int64
	for i, v := range b.Summary() {
		left += v.NonFinite
		v.NonFinite = 0
		if w := clean.Summary()[i]; v != w {
			t.Errorf("bin %d is %+v, want %+v", i, v, w)
		}
	}
	if left != 3 {
		t.Errorf("%d samples were left out, want 3", left)
	}
	if _, err := json.Marshal(b); err != nil {
		t.Error(err)
	}
}

func TestBinsRefuse(t *testing.T) {
	var b Bins
	u, s := samples(4, 0)
	if b.Add(u[:3], s) == nil || b.Add(u, PerSample{s.Losses, s.Squares, nil}) == nil {
		t.Error("slices of different lengths were accepted")
	}
	for _, bad := range []float64{-0.1, 1, math.NaN()} {
		u[2] = bad
		if b.Add(u, s) == nil {
			t.Errorf("a fraction of %v was accepted", bad)
		}
	}
	if b != (Bins{}) {
		t.Error("rejected samples were counted")
	}
}

package ode

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// each returns a Func that applies the scalar right-hand side g to every value.
func each(d int, g func(x, t float64) float64) Func {
	return func(x, t, dx []float32) error {
		for i := range x {
			dx[i] = float32(g(float64(x[i]), float64(t[i/d])))
		}
		return nil
	}
}

func TestFixedConvergesAtTheStatedOrder(t *testing.T) {
	// The equation depends on t, so that errors in C, A and B all have an effect. Since f rounds to float32, the steps
	// must be long enough for truncation errors to dominate.
	rhs := func(x, t float64) float64 { return math.Cos(t) * x }
	exact := func(t float64) float64 { return math.Exp(math.Sin(t)) }
	for _, tc := range []struct {
		tab   *Tableau
		steps int
	}{{Euler, 256}, {Heun, 64}, {RK4, 6}, {RK45, 5}} {
		errAt := func(steps int) float64 {
			want := steps * tc.tab.Stages()
			if tc.tab.FSAL {
				want = 1 + steps*(tc.tab.Stages()-1)
			}
			// Sum the errors at several end times, because a single error may be close to a change of sign.
			var sum float64
			for end := 1.5; end < 2.5; end += 0.1 {
				x := []float32{1}
				nfe, err := Fixed(tc.tab, each(1, rhs), x, 1, 1, 0, end, steps)
				if err != nil {
					t.Fatal(err)
				}
				if nfe != want {
					t.Errorf("%v: %d evaluations in %d steps, want %d", tc.tab, nfe, steps, want)
				}
				sum += math.Abs(float64(x[0]) - exact(end))
			}
			return sum
		}
		coarse, fine := errAt(tc.steps), errAt(2*tc.steps)
		if order := math.Log2(coarse / fine); order < float64(tc.tab.Order)-0.4 || order > float64(tc.tab.Order)+0.8 {
			t.Errorf("%v: errors %.3g, %.3g at %d and twice the steps: order %.2f, stated %d",
				tc.tab, coarse, fine, tc.steps, order, tc.tab.Order)
		}
	}
}

func TestBackwardUndoesForward(t *testing.T) {
	rhs := each(2, func(x, t float64) float64 { return math.Cos(3*t) * x })
	start := []float32{1, -2, 0.5, 3}
	for _, t0 := range []float64{0, -1.5, 1e-5, 7} {
		x := slices.Clone(start)
		if _, err := Fixed(RK4, rhs, x, 2, 2, t0, t0+1, 100); err != nil {
			t.Fatal(err)
		}
		growth := math.Exp((math.Sin(3*(t0+1)) - math.Sin(3*t0)) / 3)
		for i := range x {
			if want := float64(start[i]) * growth; math.Abs(float64(x[i])-want) > 1e-5*math.Abs(want) {
				t.Errorf("t0=%g: x[%d] = %g, want %g", t0, i, x[i], want)
			}
		}
		if _, err := Adaptive(RK45, rhs, x, 2, 2, t0+1, t0, Options{RTol: 1e-6, ATol: 1e-6}); err != nil {
			t.Fatal(err)
		}
		for i := range x {
			if math.Abs(float64(x[i]-start[i])) > 2e-5 {
				t.Errorf("t0=%g: came back to %g from %g", t0, x[i], start[i])
			}
		}
	}
}

func TestAdaptiveKeepsItsTolerance(t *testing.T) {
	for _, tab := range []*Tableau{Heun, RK45} {
		for _, tol := range []float64{1e-2, 1e-3, 1e-4, 1e-5} {
			x := []float32{1}
			f := each(1, func(x, t float64) float64 { return -5 * t * x })
			st, err := Adaptive(tab, f, x, 1, 1, 0, 2, Options{RTol: tol, ATol: tol})
			if err != nil {
				t.Fatal(err)
			}
			// Local errors accumulate over the interval, but the flow contracts.
			if e := math.Abs(float64(x[0]) - math.Exp(-10)); e > 20*tol {
				t.Errorf("%v at %g: error %g", tab, tol, e)
			}
			if want := 2 + (st.Accepted[0]+st.Rejected[0])*(tab.Stages()-1); tab.FSAL && st.NFE[0] != want {
				t.Errorf("%v at %g: %d evaluations for %d+%d trial steps, want %d",
					tab, tol, st.NFE[0], st.Accepted[0], st.Rejected[0], want)
			}
			if st.Blocks < st.NFE[0] {
				t.Errorf("%v: %d block evaluations for a row that used %d", tab, st.Blocks, st.NFE[0])
			}
		}
	}
}

// The numbers are from SciPy 1.10.1: solve_ivp(lambda t, x: -5*t*x, (0, 2), [1], rtol=1e-3, atol=1e-3).nfev, and
// likewise for the other cases. For a single row, the error norm and therefore the steps are the same as SciPy's.
func TestAdaptiveCountsLikeSciPy(t *testing.T) {
	for _, tc := range []struct {
		f    func(x, t float64) float64
		x0   float32
		t1   float64
		nfev int
	}{
		{func(x, t float64) float64 { return -5 * t * x }, 1, 2, 80},
		{func(x, t float64) float64 { return math.Sin(5*t) * x * 3 }, 0.25, 3, 92},
		{func(x, t float64) float64 { return x * (1 - x) * 20 }, 0.01, 1, 68},
	} {
		x := []float32{tc.x0}
		st, err := Adaptive(RK45, each(1, tc.f), x, 1, 1, 0, tc.t1, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if st.NFE[0] != tc.nfev {
			t.Errorf("%d evaluations, SciPy takes %d", st.NFE[0], tc.nfev)
		}
	}
}

// unequalRows returns rows that need very different numbers of steps.
func unequalRows(n, d int, seed uint64) (x []float32, f Func) {
	r := rand.New(rand.NewPCG(seed, 1))
	x = make([]float32, n*d)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x, func(x, t, dx []float32) error {
		for i := range len(t) {
			row := x[i*d : (i+1)*d]
			var norm float64
			for _, v := range row {
				norm += float64(v) * float64(v)
			}
			for j, v := range row {
				dx[i*d+j] = float32(math.Sin(4*norm+float64(t[i])*7)*5) - v
			}
		}
		return nil
	}
}

// The counts and bits of a row do not depend on the other rows.
func TestRowsAreIndependent(t *testing.T) {
	const n, d = 23, 3
	for _, tab := range []*Tableau{Heun, RK45} {
		all, f := unequalRows(n, d, 7)
		start := slices.Clone(all)
		whole, err := Adaptive(tab, f, all, n, d, 0, 1.5, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Min(whole.NFE) == slices.Max(whole.NFE) {
			t.Fatal("every row took the same number of steps: the test proves nothing")
		}
		r := rand.New(rand.NewPCG(3, 3))
		for range 20 {
			// A block of a random subset in random order.
			pick := r.Perm(n)[:1+r.IntN(n)]
			x := make([]float32, 0, len(pick)*d)
			for _, i := range pick {
				x = append(x, start[i*d:(i+1)*d]...)
			}
			part, err := Adaptive(tab, f, x, len(pick), d, 0, 1.5, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for k, i := range pick {
				if got, want := x[k*d:(k+1)*d], all[i*d:(i+1)*d]; !slices.Equal(got, want) {
					t.Fatalf("%v: row %d is %v in one block and %v in another", tab, i, got, want)
				}
				counts := [3]int{part.NFE[k], part.Accepted[k], part.Rejected[k]}
				if want := [3]int{whole.NFE[i], whole.Accepted[i], whole.Rejected[i]}; counts != want {
					t.Fatalf("%v: row %d has the counts %v in one block and %v in another", tab, i, counts, want)
				}
			}
		}
		// The same holds for Fixed.
		a, b := slices.Clone(start), slices.Clone(start[:d])
		if _, err := Fixed(tab, f, a, n, d, 0, 1, 9); err != nil {
			t.Fatal(err)
		}
		if _, err := Fixed(tab, f, b, 1, d, 0, 1, 9); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a[:d], b) {
			t.Errorf("%v: fixed steps depend on the block", tab)
		}
	}
}

// After a row has reached the end, f gets the final state of the row until all rows have reached the end.
func TestFinishedRowsStayFrozen(t *testing.T) {
	const n, d = 8, 3
	x, f := unequalRows(n, d, 11)
	var calls int
	last := make([][]float32, n) // the last state in which each row was evaluated
	at := make([]float32, n)
	watched := func(x, ts, dx []float32) error {
		calls++
		if len(x) != n*d || len(ts) != n || len(dx) != n*d {
			t.Fatalf("block of %d, %d, %d values", len(x), len(ts), len(dx))
		}
		for i := range n {
			last[i] = slices.Clone(x[i*d : (i+1)*d])
			at[i] = ts[i]
		}
		return f(x, ts, dx)
	}
	st, err := Adaptive(RK45, watched, x, n, d, 0, 1.5, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if calls != st.Blocks {
		t.Errorf("%d calls, Blocks = %d", calls, st.Blocks)
	}
	slowest := slices.Max(st.NFE)
	for i := range n {
		if at[i] != 1.5 {
			t.Errorf("row %d last evaluated at t=%g", i, at[i])
		}
		if st.NFE[i] < slowest && !slices.Equal(last[i], x[i*d:(i+1)*d]) {
			t.Errorf("the result of row %d is %v, but it was last evaluated at %v", i, x[i*d:(i+1)*d], last[i])
		}
	}
}

func TestErrorsNameTheRow(t *testing.T) {
	nan := float32(math.NaN())
	poison := func(row int, after float32) Func {
		return func(x, ts, dx []float32) error {
			for i := range ts {
				dx[i] = -x[i]
				if i == row && ts[i] >= after {
					dx[i] = nan
				}
			}
			return nil
		}
	}
	blowUp := each(1, func(x, t float64) float64 { return x * x }) // pole at t = 1/x0
	cubic := each(1, func(x, t float64) float64 { return -x * x * x })
	fixed := func(tab *Tableau, f Func, x []float32, steps int) error {
		_, err := Fixed(tab, f, x, 4, 1, 0, 1, steps)
		return err
	}
	adaptive := func(tab *Tableau, f Func, x []float32, t1 float64, o Options) error {
		_, err := Adaptive(tab, f, x, 4, 1, 0, t1, o)
		return err
	}
	for _, tc := range []struct {
		name string
		run  func(x []float32) error
		row  int
		want error
	}{
		{"fixed", func(x []float32) error { return fixed(RK4, poison(2, 0.5), x, 10) }, 2, ErrNonFinite},
		{"fixed, zero weight", func(x []float32) error { return fixed(RK45, poison(1, 0.5), x, 1) }, 1, ErrNonFinite},
		{"adaptive at once", func(x []float32) error {
			return adaptive(RK45, poison(3, 0), x, 1, Options{})
		}, 3, ErrNonFinite},
		{"adaptive later", func(x []float32) error {
			return adaptive(RK45, poison(3, 0.5), x, 1, Options{})
		}, 3, ErrNonFinite},
		{"steps", func(x []float32) error {
			x[1] = 5
			return adaptive(Heun, cubic, x, 1, Options{RTol: 1e-6, ATol: 1e-6, MaxSteps: 10})
		}, 0, ErrMaxSteps},
		{"pole", func(x []float32) error {
			x[2] = 2
			return adaptive(RK45, blowUp, x, 0.9, Options{})
		}, 2, nil},
		{"state", func(x []float32) error {
			x[3] = nan
			return adaptive(RK45, blowUp, x, 1, Options{})
		}, 3, ErrNonFinite},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := []float32{1, 1, 1, 1}
			err := tc.run(x)
			var re *RowError
			if !errors.As(err, &re) {
				t.Fatalf("error %v, want a RowError", err)
			}
			if tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if tc.want != ErrMaxSteps && re.Row != tc.row {
				t.Errorf("error %v, want row %d", err, tc.row)
			}
			if x[0] != 1 { // a successful integration would change row 0
				t.Errorf("a failed call changed x to %v", x)
			}
		})
	}
}

func TestErrorsOfFAreReturned(t *testing.T) {
	f := func(x, t, dx []float32) error { return context.Canceled }
	x := []float32{1}
	if _, err := Fixed(Euler, f, x, 1, 1, 0, 1, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Fixed: %v", err)
	}
	if _, err := Adaptive(RK45, f, x, 1, 1, 0, 1, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Adaptive: %v", err)
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	f := each(1, func(x, t float64) float64 { return 0 })
	x := []float32{1, 2}
	for name, run := range map[string]func() error{
		"size":       func() error { _, err := Fixed(Heun, f, x, 3, 1, 0, 1, 1); return err },
		"steps":      func() error { _, err := Fixed(Heun, f, x, 2, 1, 0, 1, 0); return err },
		"interval":   func() error { _, err := Fixed(Heun, f, x, 2, 1, 0, math.Inf(1), 1); return err },
		"tableau":    func() error { _, err := Fixed(nil, f, x, 2, 1, 0, 1, 1); return err },
		"function":   func() error { _, err := Fixed(Heun, nil, x, 2, 1, 0, 1, 1); return err },
		"dimension":  func() error { _, err := Fixed(Heun, f, nil, 0, 0, 0, 1, 1); return err },
		"estimate":   func() error { _, err := Adaptive(RK4, f, x, 2, 1, 0, 1, Options{}); return err },
		"tolerance":  func() error { _, err := Adaptive(RK45, f, x, 2, 1, 0, 1, Options{RTol: -1}); return err },
		"tolerance2": func() error { _, err := Adaptive(RK45, f, x, 2, 1, 0, 1, Options{ATol: math.NaN()}); return err },
		"max steps":  func() error { _, err := Adaptive(RK45, f, x, 2, 1, 0, 1, Options{MaxSteps: -1}); return err },
	} {
		if err := run(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// An empty interval or block is not an error.
	if nfe, err := Fixed(Heun, f, x, 2, 1, 1, 1, 5); nfe != 0 || err != nil {
		t.Errorf("empty interval: %d evaluations, %v", nfe, err)
	}
	if st, err := Adaptive(RK45, f, nil, 0, 1, 0, 1, Options{}); st.Blocks != 0 || err != nil {
		t.Errorf("empty block: %+v, %v", st, err)
	}
}

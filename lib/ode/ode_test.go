package ode

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/device"
	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
	"vapo/lib/ode/odetest"
)

// flow returns a Flow without states.
func flow(f func(x, t *graphop.Node) *graphop.Node) Flow {
	return func(x, t *graphop.Node) (*graphop.Node, []backend.State, error) { return f(x, t), nil, nil }
}

// solve compiles a solver on the CPU engine and integrates x [n, d].
func solve(t *testing.T, tab *Tableau, f Flow, x []float32, n int, t0, t1 float64, steps int,
	a *Adaptive) ([]int, error) {
	t.Helper()
	return solveOn(t, tape.Tape{}, tab, f, x, n, t0, t1, steps, a)
}

func solveOn(t *testing.T, be backend.Backend, tab *Tableau, f Flow, x []float32, n int, t0, t1 float64, steps int,
	a *Adaptive) ([]int, error) {
	t.Helper()
	s, err := Compile(be, tab, f, n, len(x)/n, a)
	if err != nil {
		t.Fatal(err)
	}
	return s.Integrate(context.Background(), x, t0, t1, steps)
}

func tolerance(tol float64) *Adaptive { return &Adaptive{RTol: tol, ATol: tol, MaxSteps: 10_000} }

func TestConvergesAtTheStatedOrder(t *testing.T) {
	// The equation depends on t, so that errors in C, A and B all have an effect.
	//
	// The truncation error must exceed that of rounding, even with twice the steps. x is at most e, so a step rounds it
	// by up to half a unit in the last place, 1.2e-7, and 2n steps round the sum of ten values by about
	// 10·1.2e-7·√(2n): 3e-6 for n = 3. The truncation error of six steps of rk45 is 1.6e-5, that of eight only 3e-6.
	rhs := flow(func(x, t *graphop.Node) *graphop.Node { return graphop.Mul(x, graphop.Cos(t)) })
	for _, tc := range []struct {
		tab   *Tableau
		steps int
	}{{Euler, 256}, {Heun, 64}, {RK4, 6}, {RK45, 3}} {
		errAt := func(steps int) float64 {
			// Sum the errors at several end times, because a single error may be close to a change of sign.
			var sum float64
			for end := 1.5; end < 2.5; end += 0.1 {
				x := []float32{1}
				nfe, err := solve(t, tc.tab, rhs, x, 1, 0, end, steps, nil)
				if err != nil {
					t.Fatal(err)
				}
				if nfe[0] != steps*tc.tab.Stages() {
					t.Errorf("%s: %d evaluations in %d steps, want %d", tc.tab.Name, nfe, steps, steps*tc.tab.Stages())
				}
				sum += math.Abs(float64(x[0]) - math.Exp(math.Sin(end)))
			}
			return sum
		}
		coarse, fine := errAt(tc.steps), errAt(2*tc.steps)
		if order := math.Log2(coarse / fine); order < float64(tc.tab.Order)-0.4 || order > float64(tc.tab.Order)+0.8 {
			t.Errorf("%s: error %.3g and %.3g with %d and twice as many steps: order %.2f, want %d",
				tc.tab.Name, coarse, fine, tc.steps, order, tc.tab.Order)
		}
	}
}

func TestAdaptiveKeepsItsTolerance(t *testing.T) {
	f := flow(func(x, t *graphop.Node) *graphop.Node { return graphop.Mul(x, graphop.Scale(t, -5)) })
	for _, tol := range []float64{1e-2, 1e-3, 1e-4, 1e-5} {
		x := []float32{1}
		if _, err := solve(t, RK45, f, x, 1, 0, 2, 0, tolerance(tol)); err != nil {
			t.Fatal(err)
		}
		// Local errors accumulate over the interval, but the flow contracts.
		if e := math.Abs(float64(x[0]) - math.Exp(-10)); e > 20*tol {
			t.Errorf("tolerance %g: error %g, want at most 20 times the tolerance", tol, e)
		}
	}
}

// The numbers are from SciPy 1.10.1: solve_ivp(lambda t, x: -5*t*x, (0, 2), [1], rtol=1e-3, atol=1e-3).nfev, and
// likewise for the other cases. For a single row, the error norm and therefore the steps are the same as SciPy's.
func TestAdaptiveCountsLikeSciPy(t *testing.T) {
	for _, tc := range []struct {
		f    func(x, t *graphop.Node) *graphop.Node
		x0   float32
		t1   float64
		nfev int
	}{
		{func(x, t *graphop.Node) *graphop.Node { return graphop.Mul(x, graphop.Scale(t, -5)) }, 1, 2, 80},
		{func(x, t *graphop.Node) *graphop.Node {
			return graphop.Mul(x, graphop.Scale(graphop.Sin(graphop.Scale(t, 5)), 3))
		}, 0.25, 3, 92},
		{func(x, t *graphop.Node) *graphop.Node {
			return graphop.Scale(graphop.Mul(x, graphop.Affine(x, -1, 1)), 20)
		}, 0.01, 1, 68},
	} {
		nfe, err := solve(t, RK45, flow(tc.f), []float32{tc.x0}, 1, 0, tc.t1, 0, tolerance(1e-3))
		if err != nil || nfe[0] != tc.nfev {
			t.Errorf("%v evaluations, SciPy needs %d (%v)", nfe, tc.nfev, err)
		}
	}
}

// unequalRows returns rows, and a flow on which they need very different numbers of steps.
func unequalRows(n, d int, seed uint64) (x []float32, f Flow) {
	r := rand.New(rand.NewPCG(seed, 1))
	x = make([]float32, n*d)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x, flow(func(x, t *graphop.Node) *graphop.Node {
		angle := graphop.Add(graphop.Scale(graphop.Sum(graphop.Square(x), 1), 4), graphop.Scale(t, 7))
		return graphop.Sub(graphop.Scale(graphop.Sin(angle), 5), x)
	})
}

// gentle returns a flow that amplifies errors little, as a graph and on the host.
func gentle(d int) (Flow, odetest.Func) {
	f := flow(func(x, t *graphop.Node) *graphop.Node {
		return graphop.Sub(graphop.Sin(graphop.Add(graphop.Scale(x, 2), graphop.Scale(t, 7))), x)
	})
	return f, func(x, t, dx []float32) error {
		for i, v := range x {
			dx[i] = float32(math.Sin(2*float64(v)+7*float64(t[i/d])) - float64(v))
		}
		return nil
	}
}

// On both CPU engines, the compiled solver gives the results of the solver on the host. With adaptive steps, it needs
// as many evaluations and is as accurate.
func TestAgreesWithTheHost(t *testing.T) {
	compute, err := device.OpenGo()
	if err != nil {
		t.Fatal(err)
	}
	const n, d = 400, 3
	f, host := gentle(d)
	for _, be := range []backend.Backend{tape.Tape{}, compute} {
		start, _ := unequalRows(n, d, 7)
		for _, tab := range []*Tableau{Euler, Heun, RK4} {
			got, want := slices.Clone(start), slices.Clone(start)
			if _, err := solveOn(t, be, tab, f, got, n, 0, 1, 30, nil); err != nil {
				t.Fatal(err)
			}
			if err := odetest.Equal(method(tab), host, want, n, 0, 1, 30); err != nil {
				t.Fatal(err)
			}
			if e := distance(got, want); !(e < 1e-5) {
				t.Errorf("%s, %s: the results differ from the host's by %.3g, want less than 1e-5", be.Class(), tab.Name, e)
			}
		}
		got, want := slices.Clone(start), slices.Clone(start)
		nfe, err := solveOn(t, be, RK45, f, got, n, 0, 1, 0, tolerance(1e-3))
		if err != nil {
			t.Fatal(err)
		}
		hostNFE, err := odetest.Adaptive(method(RK45), host, want, n, 0, 1, 1e-3, 1e-3)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := mean(nfe), mean(hostNFE); math.Abs(a/b-1) > 0.01 {
			t.Errorf("%s: %.2f evaluations a row, the host needs %.2f, want the same within 1%%", be.Class(), a, b)
		}
		// A rounded error estimate near 1 may lead to other steps, so rows may differ by as much as the tolerance
		// permits. But the engine must be as accurate as the host.
		exact := slices.Clone(start)
		if err := odetest.Equal(method(RK4), host, exact, n, 0, 1, 1000); err != nil {
			t.Fatal(err)
		}
		if e, bound := distance(got, exact), 1.1*distance(want, exact); !(e < bound) {
			t.Errorf("%s: the error of adaptive steps is %.3g, want less than %.3g", be.Class(), e, bound)
		}
	}
}

func method(t *Tableau) odetest.Method {
	return odetest.Method{A: t.A, B: t.B, C: t.C, E: t.E, EmbeddedOrder: t.EmbeddedOrder}
}

func distance(a, b []float32) float64 {
	worst := 0.0
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i])-float64(b[i])))
	}
	return worst
}

func mean(v []int) float64 {
	sum := 0.0
	for _, n := range v {
		sum += float64(n)
	}
	return sum / float64(len(v))
}

// Rounding to float32 in every step does not accumulate to more than 1e-5 over 1,000 steps.
func TestRounding(t *testing.T) {
	const n, d = 100, 3
	start, _ := unequalRows(n, d, 3)
	f, host := gentle(d)
	for _, tab := range []*Tableau{Euler, Heun, RK4} {
		got, want := slices.Clone(start), slices.Clone(start)
		if _, err := solve(t, tab, f, got, n, 0, 1, 1000, nil); err != nil {
			t.Fatal(err)
		}
		if err := odetest.Equal(method(tab), host, want, n, 0, 1, 1000); err != nil {
			t.Fatal(err)
		}
		e := distance(got, want)
		t.Logf("%s: %.3g", tab.Name, e)
		if !(e < 1e-5) {
			t.Errorf("%s: the results differ from the host's by %.3g after 1000 steps, want less than 1e-5", tab.Name, e)
		}
	}
}

// The counts and bits of a row depend neither on the other rows nor on earlier blocks.
func TestRowsAreIndependent(t *testing.T) {
	const n, d = 23, 3
	start, f := unequalRows(n, d, 7)
	for _, c := range []struct {
		tab *Tableau
		a   *Adaptive
	}{{Heun, nil}, {RK45, tolerance(1e-3)}} {
		s, err := Compile(tape.Tape{}, c.tab, f, n, d, c.a)
		if err != nil {
			t.Fatal(err)
		}
		all := slices.Clone(start)
		whole, err := s.Integrate(context.Background(), all, 0, 1.5, 9)
		if err != nil {
			t.Fatal(err)
		}
		if c.a != nil && slices.Min(whole) == slices.Max(whole) {
			t.Fatal("every row took the same number of steps: the test proves nothing")
		}
		r := rand.New(rand.NewPCG(3, 3))
		for range 10 {
			// Some of the rows, in random order.
			pick := make([]int, n)
			x := make([]float32, 0, n*d)
			for k := range pick {
				pick[k] = r.IntN(n)
				x = append(x, start[pick[k]*d:(pick[k]+1)*d]...)
			}
			part, err := s.Integrate(context.Background(), x, 0, 1.5, 9)
			if err != nil {
				t.Fatal(err)
			}
			for k, i := range pick {
				if !slices.Equal(x[k*d:(k+1)*d], all[i*d:(i+1)*d]) || part[k] != whole[i] {
					t.Fatalf("%s: row %d is %v after %d evaluations in one block and %v after %d in another", c.tab.Name, i,
						x[k*d:(k+1)*d], part[k], all[i*d:(i+1)*d], whole[i])
				}
			}
		}
	}
}

func TestErrorsNameTheRow(t *testing.T) {
	// If the second value of a row is above 0, it is the time from which the derivative of the first value is NaN.
	poison := flow(func(x, t *graphop.Node) *graphop.Node {
		v, at := graphop.Slice(x, 1, 0, 1), graphop.Slice(x, 1, 1, 2)
		late := and(positive(at), not(positive(graphop.Sub(at, t))))
		d := graphop.Where(late, graphop.Fill(v, math.NaN(), 1, 1), graphop.Neg(v))
		return graphop.Concat(1, d, graphop.Scale(at, 0))
	})
	square := flow(func(x, _ *graphop.Node) *graphop.Node { return graphop.Mul(x, x) }) // pole at t = 1/x0
	cubic := flow(func(x, _ *graphop.Node) *graphop.Node { return graphop.Neg(graphop.Mul(x, graphop.Mul(x, x))) })
	few := tolerance(1e-6)
	few.MaxSteps = 10
	nan := float32(math.NaN())
	for name, tc := range map[string]struct {
		tab  *Tableau
		f    Flow
		x    []float32
		a    *Adaptive
		row  int
		want error
	}{
		"equal steps":      {RK4, poison, []float32{1, 0, 1, 0, 1, 0.5, 1, 0.1}, nil, 2, ErrNonFinite},
		"adaptive at once": {RK45, poison, []float32{1, 0, 1, 0, 1, 0, 1, 1e-30}, tolerance(1e-3), 3, nil},
		"adaptive later":   {RK45, poison, []float32{1, 0, 1, 0, 1, 0, 1, 0.5}, tolerance(1e-3), 3, ErrNonFinite},
		"steps":            {RK45, cubic, []float32{0.1, 5, 0.1, 0.1}, few, 1, ErrMaxSteps},
		"pole":             {RK45, square, []float32{0.1, 0, 2, 0}, tolerance(1e-3), 2, nil},
		"tolerances":       {RK45, square, []float32{0, 0, 0, 1}, tolerance(1e-24), 3, ErrStepSize},
		"state":            {RK45, square, []float32{0, 0, 0, nan}, tolerance(1e-3), 3, ErrNonFinite},
	} {
		t.Run(name, func(t *testing.T) {
			x := slices.Clone(tc.x)
			_, err := solve(t, tc.tab, tc.f, x, 4, 0, 0.9, 10, tc.a)
			var re *RowError
			if !errors.As(err, &re) || re.Row != tc.row {
				t.Fatalf("error %v, want a RowError of row %d", err, tc.row)
			}
			if tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("error %v, want one that wraps %v", err, tc.want)
			}
			if x[0] != tc.x[0] { // a successful integration would change row 0
				t.Errorf("a call that failed changed x to %v", x)
			}
		})
	}
}

// A solver can be used again after a block that failed.
func TestFailureLeavesNothingBehind(t *testing.T) {
	square := flow(func(x, _ *graphop.Node) *graphop.Node { return graphop.Mul(x, x) })
	for _, a := range []*Adaptive{nil, tolerance(1e-3)} {
		s, err := Compile(tape.Tape{}, RK45, square, 2, 1, a)
		if err != nil {
			t.Fatal(err)
		}
		run := func(x ...float32) ([]float32, error) {
			_, err := s.Integrate(context.Background(), x, 0, 0.9, 3)
			return x, err
		}
		want, err := run(0.5, 0.2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run(1e30, 1e30); err == nil {
			t.Error("a block that overflows did not fail")
		}
		if got, err := run(0.5, 0.2); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v after a failure (%v), %v before it, want the same", got, err, want)
		}
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	f := flow(func(x, _ *graphop.Node) *graphop.Node { return graphop.Neg(x) })
	bad := errors.New("no flow")
	compile := func(tab *Tableau, f Flow, a *Adaptive) error {
		_, err := Compile(tape.Tape{}, tab, f, 2, 1, a)
		return err
	}
	if err := compile(RK45, func(_, _ *graphop.Node) (*graphop.Node, []backend.State, error) {
		return nil, nil, bad
	}, nil); !errors.Is(err, bad) {
		t.Errorf("an error of the flow becomes %v, want one that wraps %v", err, bad)
	}
	s, err := Compile(tape.Tape{}, Heun, f, 2, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	x := []float32{1, 2}
	if _, err := s.Integrate(ctx, x, 0, 1, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, want context.Canceled", err)
	}
	integrate := func(x []float32, t0, t1 float64, steps int) error {
		_, err := s.Integrate(context.Background(), x, t0, t1, steps)
		return err
	}
	for name, err := range map[string]error{
		"estimate":  compile(RK4, f, tolerance(1)),
		"tolerance": compile(RK45, f, tolerance(-1)),
		"not a tol": compile(RK45, f, tolerance(math.NaN())),
		"max steps": compile(RK45, f, &Adaptive{RTol: 1, ATol: 1}),
		"size":      integrate(x[:1], 0, 1, 1),
		"steps":     integrate(x, 0, 1, 0),
		"interval":  integrate(x, 0, math.Inf(1), 1),
		"backwards": integrate(x, 1, 0, 1),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, a := range []*Adaptive{nil, tolerance(1e-3)} { // an empty interval is not an error
		x := []float32{1, 2}
		if _, err := solve(t, RK45, f, x, 2, 1, 1, 5, a); err != nil || x[1] != 2 {
			t.Errorf("an empty interval changed x to %v, or gave the error %v", x, err)
		}
	}
}

package ode

import (
	"fmt"
	"math"
)

// Tableau is an explicit Runge-Kutta method, in the notation of Hairer, Nørsett and Wanner, "Solving Ordinary
// Differential Equations I", II.1:
//
//	k_i = f(t + C[i]·h, x + h·sum_j A[i][j]·k_j)
//	x'  = x + h·sum_i B[i]·k_i
//
// The solvers in this package have no code for particular methods.
type Tableau struct {
	Name  string
	Order int // the order of the solution x'

	A [][]float64 // row i holds its i coefficients (strictly lower triangle)
	B []float64   // weights of the solution
	C []float64   // stage times, as fractions of a step

	// E = B - B̂ holds the weights of the embedded error estimate, err = h·sum_i E[i]·k_i. E is nil if a method has no
	// error estimate. Adaptive does not accept such a method.
	E []float64
	// EmbeddedOrder is the order of the embedded solution, which has the weights B̂. The exponent of the step controller
	// is -1/(EmbeddedOrder+1).
	EmbeddedOrder int

	// FSAL ("first same as last") means that the last stage is evaluated at x'. The last stage of an accepted step is
	// then the first stage of the next step.
	FSAL bool
}

// Stages returns the number of evaluations of f in a single step.
func (t *Tableau) Stages() int { return len(t.B) }

// The methods of this package. They are checked when the package is initialised.
var (
	// Euler is the explicit Euler method, order 1.
	Euler = must(&Tableau{
		Name: "euler", Order: 1,
		A: [][]float64{{}},
		B: []float64{1},
		C: []float64{0},
	})

	// Heun is the explicit trapezoid rule, order 2, with Euler embedded.
	Heun = must(&Tableau{
		Name: "heun", Order: 2,
		A: [][]float64{{}, {1}},
		B: []float64{1. / 2, 1. / 2},
		C: []float64{0, 1},
		E: []float64{-1. / 2, 1. / 2}, EmbeddedOrder: 1,
	})

	// RK4 is the classical method of Kutta, order 4, without an error estimate.
	RK4 = must(&Tableau{
		Name: "rk4", Order: 4,
		A: [][]float64{{}, {1. / 2}, {0, 1. / 2}, {0, 0, 1}},
		B: []float64{1. / 6, 1. / 3, 1. / 3, 1. / 6},
		C: []float64{0, 1. / 2, 1. / 2, 1},
	})

	// RK45 is the method of Dormand and Prince (J. Comp. Appl. Math. 6, 1980), of order 5 with an embedded solution of
	// order 4: "RK45" in SciPy, "ode45" in MATLAB. The authors of Variational Potential Flow sample with it.
	RK45 = must(&Tableau{
		Name: "rk45", Order: 5,
		A: [][]float64{
			{},
			{1. / 5},
			{3. / 40, 9. / 40},
			{44. / 45, -56. / 15, 32. / 9},
			{19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
			{9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
			{35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84},
		},
		B: []float64{35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84, 0},
		C: []float64{0, 1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1},
		E: []float64{71. / 57600, 0, -71. / 16695, 71. / 1920, -17253. / 339200, 22. / 525, -1. / 40},

		EmbeddedOrder: 4, FSAL: true,
	})
)

// Tableaux returns the methods of this package in ascending order of their cost per step.
func Tableaux() []*Tableau { return []*Tableau{Euler, Heun, RK4, RK45} }

// Lookup returns the method with the given name.
func Lookup(name string) (*Tableau, error) {
	for _, t := range Tableaux() {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("ode: no method %q (have euler, heun, rk4, rk45)", name)
}

// checkTol bounds the rounding errors of sums of coefficients. The coefficients are quotients in float64.
const checkTol = 1e-12

// Check returns an error if the tableau is not consistent. It checks the shape, sum_j A[i][j] = C[i], the order
// conditions for B up to Order, the order conditions for B - E up to EmbeddedOrder, and FSAL. B - E must not satisfy
// the conditions of order EmbeddedOrder + 1, because the error estimate would then vanish together with the true error.
//
// In Butcher's theory, there is one order condition for each rooted tree τ of at most Order nodes: sum_i B[i]·φ_i(τ) =
// 1/γ(τ).
func (t *Tableau) Check() error {
	s := len(t.B)
	if s == 0 || len(t.A) != s || len(t.C) != s {
		return fmt.Errorf("ode: tableau %s: %d rows in A, %d in B, %d in C", t.Name, len(t.A), s, len(t.C))
	}
	if t.Order < 1 || t.Order > 6 {
		return fmt.Errorf("ode: tableau %s: order %d not in 1..6", t.Name, t.Order)
	}
	for i, row := range t.A {
		if len(row) != i {
			return fmt.Errorf("ode: tableau %s: row %d of A has %d coefficients, an explicit method has %d",
				t.Name, i, len(row), i)
		}
		var sum float64
		for _, a := range row {
			sum += a
		}
		if !(math.Abs(sum-t.C[i]) <= checkTol) { // NaN fails too
			return fmt.Errorf("ode: tableau %s: row %d of A sums to %g, C has %g", t.Name, i, sum, t.C[i])
		}
	}
	if err := t.checkOrder("B", t.B, t.Order); err != nil {
		return err
	}
	if t.E != nil {
		if len(t.E) != s {
			return fmt.Errorf("ode: tableau %s: %d error weights for %d stages", t.Name, len(t.E), s)
		}
		hat := make([]float64, s)
		for i := range hat {
			hat[i] = t.B[i] - t.E[i]
		}
		if t.EmbeddedOrder < 1 || t.EmbeddedOrder > 5 {
			return fmt.Errorf("ode: tableau %s: embedded order %d not in 1..5", t.Name, t.EmbeddedOrder)
		}
		if err := t.checkOrder("B-E", hat, t.EmbeddedOrder); err != nil {
			return err
		}
		if t.checkOrder("B-E", hat, t.EmbeddedOrder+1) == nil {
			return fmt.Errorf("ode: tableau %s: embedded solution has order %d, more than the %d stated",
				t.Name, t.EmbeddedOrder+1, t.EmbeddedOrder)
		}
	}
	if t.FSAL {
		last := t.A[s-1]
		for j := range last {
			if last[j] != t.B[j] {
				return fmt.Errorf("ode: tableau %s: FSAL, but the last row of A differs from B at %d", t.Name, j)
			}
		}
		if t.B[s-1] != 0 || t.C[s-1] != 1 {
			return fmt.Errorf("ode: tableau %s: FSAL, but the last stage is not at the end of the step", t.Name)
		}
	}
	return nil
}

func (t *Tableau) checkOrder(what string, b []float64, order int) error {
	for p := 1; p <= order; p++ {
		for _, tree := range treesOfOrder(p) {
			var sum float64
			for i, phi := range tree.weights(t.A) {
				sum += float64(b[i] * phi)
			}
			if want := 1 / tree.density(); !(math.Abs(sum-want) <= checkTol) {
				return fmt.Errorf("ode: tableau %s: %s misses the condition of tree %v of order %d: %.17g, want %.17g",
					t.Name, what, tree, p, sum, want)
			}
		}
	}
	return nil
}

func must(t *Tableau) *Tableau {
	if err := t.Check(); err != nil {
		panic(err)
	}
	return t
}

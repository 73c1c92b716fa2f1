package ode

import "fmt"

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
	// error estimate. Adaptive steps need one.
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

// The methods of this package.
var (
	// Euler is the explicit Euler method, order 1.
	Euler = &Tableau{
		Name: "euler", Order: 1,
		A: [][]float64{{}},
		B: []float64{1},
		C: []float64{0},
	}

	// Heun is the explicit trapezoid rule, order 2, with Euler embedded.
	Heun = &Tableau{
		Name: "heun", Order: 2,
		A: [][]float64{{}, {1}},
		B: []float64{1. / 2, 1. / 2},
		C: []float64{0, 1},
		E: []float64{-1. / 2, 1. / 2}, EmbeddedOrder: 1,
	}

	// RK4 is the classical method of Kutta, order 4, without an error estimate.
	RK4 = &Tableau{
		Name: "rk4", Order: 4,
		A: [][]float64{{}, {1. / 2}, {0, 1. / 2}, {0, 0, 1}},
		B: []float64{1. / 6, 1. / 3, 1. / 3, 1. / 6},
		C: []float64{0, 1. / 2, 1. / 2, 1},
	}

	// RK45 is the method of Dormand and Prince (J. Comp. Appl. Math. 6, 1980), of order 5 with an embedded solution of
	// order 4: "RK45" in SciPy, "ode45" in MATLAB. The authors of Variational Potential Flow sample with it.
	RK45 = &Tableau{
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
	}
)

// tableaux returns the methods of this package in ascending order of their cost per step.
func tableaux() []*Tableau { return []*Tableau{Euler, Heun, RK4, RK45} }

// Lookup returns the method with the given name.
func Lookup(name string) (*Tableau, error) {
	for _, t := range tableaux() {
		if t.Name == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("ode: no method %q (expected euler, heun, rk4 or rk45)", name)
}

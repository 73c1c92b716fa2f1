// Package ode integrates dx/dt = f(x, t) over a block of independent rows, on a compute engine.
//
// A method is defined by data: see Tableau. A compiled program contains f once, however many stages and steps a method
// has. A run of the program is one evaluation of f with the arithmetic around it:
//
//	k_i   = f(point, t)              point is where the previous run decided to evaluate f
//	point = x + h·sum_j w_j·k_j      w is the next row of the tableau: A[i+1], or B after the last stage
//	x     = point                    after the last stage of a step
//
// x, the point, the stages k and, with adaptive steps, the time and the step length of each row stay in the engine's
// memory. The host only passes the position within the step to each run, in a vector of a few numbers (see control).
// With equal steps the host reads nothing until the end; with adaptive steps it reads the number of unfinished rows.
//
// Sampling a flow needs two properties that existing solvers do not combine. First, networks are efficient on batches,
// so rows must be evaluated as one block. Second, sample k of a run depends only on (weights, seed, k), so the bits of
// a row must not depend on the other rows. Therefore every row has its own time, step length and error norm. When a row
// has reached the end, its step length is 0: it remains in the block, whose size does not change, but no longer moves.
// If the engine promises that rows are independent, the next row can replace it (see IntegrateAll). Every row then has
// its own position in its own step.
//
// TestGolden of stages/sample pins the digests of samples. All values are float32. Rounding errors stay below 1e-5 in
// 1,000 steps (TestRounding), so sums are not compensated.
//
// Note: one step length for the whole block (SciPy's RK45 on a flattened batch, torchdiffeq) was rejected. Each sample
// would depend on its batch.
package ode

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"vapo/lib/backend"
	"vapo/lib/graphop"
)

// Flow adds dx/dt = f(x, t) to the graph of x. x is [n, d] and t is [n, 1]. Flow returns dx, [n, d], and the states
// that dx depends on. The caller sets them with Solver.Load. Row i of dx must depend only on row i of x and
// on t[i].
type Flow func(x, t *graphop.Node) (dx *graphop.Node, state []backend.State, err error)

// Adaptive holds the options of a solver that chooses its steps.
type Adaptive struct {
	RTol float64 // relative tolerance of a step
	ATol float64 // absolute tolerance of a step, in units of x

	MaxSteps int // trial steps per row, rejected ones included
}

// The causes of a *RowError.
var (
	ErrNonFinite = errors.New("state or derivative is not finite")
	ErrMaxSteps  = errors.New("step limit reached before the end of the interval")
	ErrStepSize  = errors.New("step size fell below the resolution of float32 time")
)

// RowError names the row that could not be integrated. Use errors.Is to test for its cause.
type RowError struct {
	Row int     // index of the row in x
	T   float64 // the time that the row had reached; NaN with equal steps, or if x is not finite at the start
	Err error   // ErrNonFinite, ErrMaxSteps or ErrStepSize
}

func (e *RowError) Error() string {
	if math.IsNaN(e.T) {
		return fmt.Sprintf("ode: row %d: %v", e.Row, e.Err)
	}
	return fmt.Sprintf("ode: row %d at t=%.6g: %v", e.Row, e.T, e.Err)
}

func (e *RowError) Unwrap() error { return e.Err }

// Solver is a compiled program that integrates blocks of n rows of d values. It is not safe for concurrent use.
type Solver struct {
	tab      *Tableau
	n, d     int
	adaptive *Adaptive // nil for equal steps
	refills  bool
	exe      backend.Executable
	control  []float32
}

// Refills reports whether IntegrateAll can be used: the solver chooses its steps, and its engine promises that rows are
// independent.
func (s *Solver) Refills() bool { return s.refills }

// Compile compiles a solver for blocks of n rows of d values. The solver takes equal steps if a is nil. Otherwise, it
// chooses its steps, and tab must have an error estimate and be FSAL.
func Compile(be backend.Backend, tab *Tableau, f Flow, n, d int, a *Adaptive) (*Solver, error) {
	if a != nil {
		switch {
		case tab.E == nil || !tab.FSAL:
			return nil, fmt.Errorf("ode: method %s cannot choose its steps: it has no error estimate, or is not FSAL", tab.Name)
		case !(a.RTol >= 0) || !(a.ATol >= 0) || !isFinite(a.RTol+a.ATol) || a.MaxSteps < 1:
			return nil, fmt.Errorf("ode: the tolerances are %g (relative) and %g (absolute), and the step limit is %d: "+
				"expected finite tolerances of at least 0 and a limit of at least 1", a.RTol, a.ATol, a.MaxSteps)
		}
	}
	g := gorgonia.NewGraph()
	b := &builder{tab: tab}
	s := &Solver{tab: tab, n: n, d: d, adaptive: a, refills: a != nil && be.Promises().Rows}
	places := 1
	if s.refills {
		places = n
	}
	s.control = make([]float32, places*(controlWeights+2*tab.Stages()))
	var flowErr error
	err := graphop.Build(func() {
		b.control = graphop.Input(g, tensor.Float32, "ode/control", places, len(s.control)/places)
		b.x, b.point = b.declare(stateX, n, d), b.declare(statePoint, n, d)
		if a != nil {
			flowErr = b.adaptiveStep(f, *a)
		} else {
			flowErr = b.equalStep(f)
		}
	})
	if err = errors.Join(err, flowErr); err != nil {
		return nil, err
	}
	s.exe, err = be.Compile(backend.Graph{Inputs: []*graphop.Node{b.control}, State: b.state})
	return s, err
}

// Load sets a state of f.
func (s *Solver) Load(name string, v backend.Buffer) error { return s.exe.Load(name, v) }

// Integrate integrates every row of x [n, d] from t0 to t1 >= t0, in place. It takes the given number of equal steps;
// a solver with adaptive steps ignores the number. nfe [n] holds the number of evaluations of f that each row needed. A
// *RowError names the first row that failed. After an error x is unchanged.
func (s *Solver) Integrate(ctx context.Context, x []float32, t0, t1 float64, steps int) (nfe []int, err error) {
	if s.adaptive != nil {
		return s.integrate(x, t0, t1, func(x []float32) ([]int, error) {
			return s.adaptiveSteps(ctx, x, t0, t1, nil, nil)
		})
	}
	if steps < 1 {
		return nil, fmt.Errorf("ode: %d steps, expected at least 1", steps)
	}
	h := (t1 - t0) / float64(steps)
	return s.integrate(x, t0, t1, func(x []float32) ([]int, error) {
		// t is computed from the index of the step, because rounding errors would add up in a running sum.
		return s.fixedSteps(ctx, x, steps, func(i int) (t, length float64) {
			return t0 + float64((t1-t0)*(float64(i)/float64(steps))), h
		})
	})
}

// IntegrateGrid integrates like Integrate, in steps between consecutive times of grid, which must ascend. The solver
// must not choose its steps.
func (s *Solver) IntegrateGrid(ctx context.Context, x []float32, grid []float64) (nfe []int, err error) {
	steps := len(grid) - 1
	if s.adaptive != nil || steps < 1 || !slices.IsSorted(grid) {
		return nil, fmt.Errorf("ode: grid %v: expected at least two times in ascending order, "+
			"and a solver that does not choose its steps", grid)
	}
	return s.integrate(x, grid[0], grid[steps], func(x []float32) ([]int, error) {
		return s.fixedSteps(ctx, x, steps, func(i int) (t, length float64) { return grid[i], grid[i+1] - grid[i] })
	})
}

// integrate checks a block and runs the steps from t0 to t1 on a copy of it, which becomes the result.
func (s *Solver) integrate(x []float32, t0, t1 float64, run func(x []float32) ([]int, error)) (nfe []int, err error) {
	if len(x) != s.n*s.d {
		return nil, fmt.Errorf("ode: state holds %d values, but a block of %d rows of %d needs %d", len(x), s.n, s.d, s.n*s.d)
	}
	if err := s.check(x, t0, t1); err != nil {
		return nil, err
	}
	end := slices.Clone(x)
	if nfe, err = run(end); err != nil {
		return nil, err
	}
	copy(x, end)
	return nfe, nil
}

func (s *Solver) check(x []float32, t0, t1 float64) error {
	if !(t1 >= t0) || !isFinite(t0) || !isFinite(t1) {
		return fmt.Errorf("ode: interval from %g to %g: expected finite times in ascending order", t0, t1)
	}
	return s.finite(x)
}

// finite returns an error for the first row of x that is not finite.
func (s *Solver) finite(x []float32) error {
	for i, v := range x {
		if !isFinite(float64(v)) {
			return &RowError{Row: i / s.d, T: math.NaN(), Err: ErrNonFinite}
		}
	}
	return nil
}

// place writes to the control vector how far a row, or every row, has come in its step. f becomes stage number slot
// unless slot is negative, and weights are those of the stages for the next point. at holds the leading values of the
// vector.
func (s *Solver) place(control []float32, slot int, weights []float64, at ...float64) {
	clear(control)
	for i, v := range at {
		control[i] = float32(v)
	}
	for i, v := range weights {
		control[controlWeights+i] = float32(v)
	}
	if slot >= 0 {
		control[controlWeights+s.tab.Stages()+slot] = 1
	}
}

// evaluate runs the program once: it evaluates f and computes the next point.
func (s *Solver) evaluate(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.exe.Run([]backend.Buffer{backend.F32(s.control)}, nil)
}

// fixedSteps integrates a block in place. step returns the time and the length of each step.
func (s *Solver) fixedSteps(ctx context.Context, x []float32, steps int, step func(i int) (t, length float64)) (
	[]int, error) {
	for _, name := range []string{stateX, statePoint} {
		if err := s.exe.Load(name, backend.F32(x)); err != nil {
			return nil, err
		}
	}
	stages := s.tab.Stages()
	for k := range steps {
		t, h := step(k)
		for i := range stages {
			weights, last := s.tab.B, 1.0
			if i+1 < stages {
				weights, last = s.tab.A[i+1], 0
			}
			s.place(s.control, i, weights, t+float64(s.tab.C[i]*h), h, last)
			if err := s.evaluate(ctx); err != nil {
				return nil, err
			}
		}
	}
	if err := s.exe.Store(stateX, backend.F32(x)); err != nil {
		return nil, err
	}
	return slices.Repeat([]int{steps * stages}, s.n), s.finite(x)
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

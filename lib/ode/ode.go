// Package ode integrates dx/dt = f(x, t) over a block of independent rows.
//
// Sampling a flow needs two properties that existing solvers do not combine. First, networks are efficient on batches,
// so rows must be evaluated as one block. Second, sample k of a run depends only on (weights, seed, k), so the bits of
// a row must not depend on the other rows. Therefore every row has its own time, step size and error norm. When a row
// has reached the end, it is frozen, but remains in the block, whose size does not change.
//
// A method is defined by data: see Tableau.
//
// The state is passed to f in float32, but kept in float64, so that rounding errors do not accumulate over many small
// steps. The cost of this is negligible compared with f.
//
// Note: one step size for the whole block (SciPy's RK45 on a flattened batch, torchdiffeq) was rejected. Each sample
// would depend on its batch.
package ode

import (
	"errors"
	"fmt"
	"math"
)

// Func computes dx = f(x, t) for a block of rows.
//
//	x:  [n, d], the states; read only
//	t:  [n], the time of each row; read only
//	dx: [n, d], the result
//
// Row i of dx must depend only on row i of x and on t[i]. If f returns an error, the solver stops and returns the error
// wrapped. To cancel an integration, return the error of a context.
type Func func(x []float32, t []float32, dx []float32) error

// The causes of a *RowError.
var (
	ErrNonFinite = errors.New("state or derivative is not finite")
	ErrMaxSteps  = errors.New("step limit reached before the end of the interval")
	ErrStepSize  = errors.New("step size fell below the resolution of float32 time")
)

// RowError names the row that could not be integrated. Use errors.Is to test for its cause.
type RowError struct {
	Row int     // index in the block
	T   float64 // the time that the row had reached
	Err error   // ErrNonFinite, ErrMaxSteps or ErrStepSize
}

func (e *RowError) Error() string {
	return fmt.Sprintf("ode: row %d at t=%.6g: %v", e.Row, e.T, e.Err)
}

func (e *RowError) Unwrap() error { return e.Err }

// Fixed integrates every row from t0 to t1 in equal steps, backwards if t1 < t0. x, [n, d], row-major, is overwritten
// with the result, and unchanged after an error. nfe is the number of evaluations of f, which is the same for every
// row.
func Fixed(tab *Tableau, f Func, x []float32, n, d int, t0, t1 float64, steps int) (nfe int, err error) {
	if err := checkArgs(tab, f, x, n, d, t0, t1); err != nil {
		return 0, err
	}
	if steps < 1 {
		return 0, fmt.Errorf("ode: %d steps, at least 1 is needed", steps)
	}
	if n == 0 || t0 == t1 {
		return 0, nil
	}
	b := newBlock(tab, f, x, n, d, t0)
	h := (t1 - t0) / float64(steps)
	for step := range steps {
		// t is recomputed in every step instead of accumulated, so that the last step ends exactly at t1.
		t := t0 + float64((t1-t0)*(float64(step)/float64(steps)))
		for i := range b.rows {
			b.rows[i].t, b.rows[i].h = t, h
		}
		if step == 0 || !tab.FSAL {
			if err := b.firstStage(); err != nil {
				return 0, err
			}
		}
		if err := b.laterStages(); err != nil {
			return 0, err
		}
		end := t0 + float64((t1-t0)*(float64(step+1)/float64(steps)))
		for i := range b.rows {
			if !b.finite(i) {
				return 0, &RowError{Row: i, T: t, Err: ErrNonFinite}
			}
			b.accept(i, end)
		}
	}
	b.store(x)
	return b.rows[0].nfe, nil
}

func checkArgs(tab *Tableau, f Func, x []float32, n, d int, t0, t1 float64) error {
	switch {
	case tab == nil:
		return errors.New("ode: no tableau")
	case f == nil:
		return errors.New("ode: no function to integrate")
	case n < 0 || d < 1:
		return fmt.Errorf("ode: block of %d rows of %d values", n, d)
	case len(x) != n*d:
		return fmt.Errorf("ode: state holds %d values, a block of %d rows of %d needs %d", len(x), n, d, n*d)
	case !isFinite(t0) || !isFinite(t1):
		return fmt.Errorf("ode: interval from %g to %g is not finite", t0, t1)
	}
	for i, v := range x {
		if !isFinite(float64(v)) {
			return &RowError{Row: i / d, T: t0, Err: ErrNonFinite}
		}
	}
	return nil
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

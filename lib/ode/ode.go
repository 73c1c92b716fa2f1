// Package ode integrates dx/dt = f(x, t) over a block of independent rows.
//
// It exists because sampling a flow needs two things that ready-made solvers
// do not give together. Rows are evaluated as one block, since a network wants
// batches; yet each row must come out the same, bit for bit, whatever its
// neighbours are, since sample k of a run is a function of (weights, seed, k)
// alone. So every row carries its own time and step size, error norms are taken
// over one row, and a row that has arrived is frozen while the block goes on
// being evaluated at its fixed size.
//
// A method is data (see Tableau), checked against its order conditions.
//
// The state is kept in float64 and handed to f in float32: a sum of many small
// steps then loses nothing to rounding, at a cost that is nothing beside f.
//
// Note: one step size for the whole block (SciPy's RK45 on a flattened batch,
// torchdiffeq) was rejected: it makes each sample depend on the batch it is in.
package ode

import (
	"errors"
	"fmt"
	"math"
)

// Func computes dx = f(x, t) for a block of rows.
//
//	x:  [n, d], the states; read only
//	t:  [n], one time a row; read only
//	dx: [n, d], to be filled
//
// Row i of dx must depend on row i of x and t alone. An error stops the solver
// and comes back wrapped; a context's error is the way to cancel.
type Func func(x []float32, t []float32, dx []float32) error

// Errors of a row, wrapped in a *RowError that says which one and when.
var (
	ErrNonFinite = errors.New("state or derivative is not finite")
	ErrMaxSteps  = errors.New("step limit reached before the end of the interval")
	ErrStepSize  = errors.New("step size fell below the resolution of float32 time")
)

// A RowError names the row that could not be integrated. Test its cause with
// errors.Is against the Err variables of this package.
type RowError struct {
	Row int     // index in the block
	T   float64 // the time that the row had reached
	Err error
}

func (e *RowError) Error() string {
	return fmt.Sprintf("ode: row %d at t=%.6g: %v", e.Row, e.T, e.Err)
}

func (e *RowError) Unwrap() error { return e.Err }

// Fixed integrates every row from t0 to t1 in equal steps and returns the
// number of evaluations of f, which is the same for each row. t1 < t0
// integrates backwards. x ([n, d], row-major) is overwritten on success and
// untouched on error.
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
		// Recomputed rather than accumulated: the last step then ends at t1.
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

package ode

import (
	"context"
	"errors"
	"fmt"

	"vapo/lib/backend"
)

// IntegrateAll integrates every row of x [m, d] from t0 to t1 >= t0, in place, for any m. When a row of the block has
// reached t1, the next row of x replaces it, so only the last rows wait for the slowest one. The bits of a row, and its
// number of evaluations in nfe [m], are those of Integrate. Refills reports whether a solver can do this.
//
// When rows of the block have changed, IntegrateAll calls placed with the index in x of each row of the block, or -1
// for an unused row. placed may Load states of f. IntegrateAll also calls done with the number of finished rows of x.
// placed and done may be nil. A *RowError names the row of x that failed; x is then partly integrated.
func (s *Solver) IntegrateAll(ctx context.Context, x []float32, t0, t1 float64, placed func(rows []int) error,
	done func(n int)) (nfe []int, err error) {
	if !s.refills {
		return nil, errors.New("ode: rows can be refilled only with adaptive steps and if the engine promises that rows " +
			"are independent")
	}
	if len(x)%s.d != 0 {
		return nil, fmt.Errorf("ode: %d values are not rows of %d", len(x), s.d)
	}
	if err := s.check(x, t0, t1); err != nil {
		return nil, err
	}
	return s.adaptiveSteps(ctx, x, t0, t1, placed, done)
}

// adaptiveSteps integrates the rows of x in place. Unless s refills rows, x is one block.
func (s *Solver) adaptiveSteps(ctx context.Context, x []float32, t0, t1 float64, placed func(rows []int) error,
	done func(n int)) (nfe []int, err error) {
	b := newBlock(s, x, t0, t1)
	active := make([]float32, 1)
	for {
		running := b.fill()
		if done != nil && b.finished > 0 {
			done(b.finished)
		}
		if running == 0 {
			return b.nfe, nil
		}
		if placed != nil {
			if err := placed(b.rows); err != nil {
				return nil, err
			}
		}
		if err := b.each(s.exe.Load); err != nil {
			return nil, err
		}
		// Evaluate until a row can be replaced. If no rows wait, finished rows need not be collected one by one.
		for active[0] = float32(running); active[0] > 0 && (int(active[0]) == running || b.next == len(b.nfe)); {
			b.place()
			if err := s.evaluate(ctx); err != nil {
				return nil, err
			}
			if b.advance() {
				if err := s.exe.Store(stateActive, backend.F32(active)); err != nil {
					return nil, err
				}
			}
		}
		if err := b.each(s.exe.Store); err != nil {
			return nil, err
		}
		if err := b.collect(); err != nil {
			return nil, err
		}
	}
}

// block is the host's view of the rows of a block.
type block struct {
	s        *Solver
	all      []float32 // [m, d], all rows; rows that have not begun hold their starts, finished rows their results
	nfe      []int     // [m]
	t0, t1   float64
	next     int   // the row of all that begins next
	finished int   // rows of all that have reached t1
	rows     []int // the index in all of each row of the block, or -1
	age      []int // the number of evaluations since each row of the block began

	// Copies of states while rows are collected and filled.
	x, point                           []float32 // [n, d]
	left, h, tries, rejected, failures []float32 // [n]
}

func newBlock(s *Solver, x []float32, t0, t1 float64) *block {
	wide, narrow := func() []float32 { return make([]float32, s.n*s.d) }, func() []float32 { return make([]float32, s.n) }
	b := &block{
		s: s, all: x, nfe: make([]int, len(x)/s.d), t0: t0, t1: t1, rows: make([]int, s.n), age: make([]int, s.n),
		x: wide(), point: wide(),
		left: narrow(), h: narrow(), tries: narrow(), rejected: narrow(), failures: narrow(),
	}
	for i := range b.rows {
		b.rows[i] = -1
	}
	return b
}

// each calls f, which loads or stores a state, for every state of a row except its stages, which a new row overwrites
// before it reads them.
func (b *block) each(f func(name string, v backend.Buffer) error) error {
	for _, v := range []struct {
		name   string
		values []float32
	}{
		{stateX, b.x}, {statePoint, b.point}, {stateLeft, b.left}, {stateH, b.h}, {stateTries, b.tries},
		{stateRejected, b.rejected}, {stateFailed, b.failures},
	} {
		if err := f(v.name, backend.F32(v.values)); err != nil {
			return err
		}
	}
	return nil
}

// fill starts new rows in the unused rows of the block. It returns the number of rows in use.
func (b *block) fill() (running int) {
	d := b.s.d
	for i := range b.rows {
		if b.rows[i] < 0 && b.next < len(b.nfe) {
			start := b.all[b.next*d:][:d]
			copy(b.x[i*d:], start)
			copy(b.point[i*d:], start)
			b.left[i], b.h[i], b.tries[i], b.rejected[i] = float32(b.t1-b.t0), 0, 0, 0
			b.rows[i], b.age[i] = b.next, 0
			b.next++
		}
		if b.rows[i] >= 0 {
			running++
		}
	}
	return running
}

// collect stores the results of the rows that have reached t1. It returns an error for the first row that failed.
func (b *block) collect() error {
	d := b.s.d
	for i, at := range b.rows {
		if at < 0 {
			continue
		}
		if f := int(b.failures[i]); f != 0 {
			cause := causes[f]
			if cause == ErrMaxSteps {
				cause = fmt.Errorf("%w (%d attempts)", cause, b.s.adaptive.MaxSteps)
			}
			return &RowError{Row: at, T: b.t1 - float64(b.left[i]), Err: cause}
		}
		if b.left[i] == 0 {
			copy(b.all[at*d:(at+1)*d], b.x[i*d:])
			b.nfe[at] = 2 + int(b.tries[i])*(b.s.tab.Stages()-1)
			b.rows[i] = -1
			b.finished++
		}
	}
	return nil
}

// place writes to the control input how far each row has come in its step. If the solver does not refill rows, all rows
// are as far as the first.
func (b *block) place() {
	s := b.s
	stages, a, c := s.tab.Stages(), s.tab.A, s.tab.C
	width := controlWeights + 2*stages
	for i := range len(s.control) / width {
		control := s.control[i*width:][:width]
		switch age := b.age[i]; {
		case b.rows[i] < 0:
			s.place(control, -1, nil, b.t1)
		case age == 0: // k_0, and an Euler step
			s.place(control, 0, []float64{1}, b.t1, 0, 0, 1, 0)
		case age == 1: // f after the Euler step
			s.place(control, -1, a[1], b.t1, 1, 0, 0, 1)
		default:
			stage := 1 + (age-2)%(stages-1)
			weights, last := a[1], 1.0
			if stage+1 < stages {
				weights, last = a[stage+1], 0
			}
			s.place(control, stage, weights, b.t1, c[stage], last)
		}
	}
}

// advance counts an evaluation. It reports whether a row has completed a step and thus may have finished.
func (b *block) advance() (ended bool) {
	for i := range b.age {
		b.age[i]++
		ended = ended || b.rows[i] >= 0 && b.age[i] >= 2 && (b.age[i]-2)%(b.s.tab.Stages()-1) == 0
	}
	return ended
}

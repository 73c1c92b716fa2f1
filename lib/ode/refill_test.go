package ode

import (
	"context"
	"errors"
	"slices"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/backend/tape"
	"vapo/lib/graphop"
)

// counter is the CPU engine with a count of runs. If lockstep is set, it does not promise independent rows; devices do
// not either.
type counter struct {
	backend.Backend
	lockstep bool
	runs     int
}

func (c *counter) Promises() backend.Promises {
	if c.lockstep {
		return backend.Promises{}
	}
	return c.Backend.Promises()
}

func (c *counter) Compile(g backend.Graph) (backend.Executable, error) {
	exe, err := c.Backend.Compile(g)
	return &counted{exe, c}, err
}

type counted struct {
	backend.Executable
	by *counter
}

func (c *counted) Run(in, out []backend.Buffer) error {
	c.by.runs++
	return c.Executable.Run(in, out)
}

// Rows that replace finished rows have the same bits and numbers of evaluations as in blocks whose rows wait for each
// other, even if f depends on values that the caller sets for each row. IntegrateAll needs fewer runs than Integrate on
// one block after another.
func TestRefilledRows(t *testing.T) {
	const n, d, rest = 23, 3, 5
	for _, m := range []int{0, 1, n, 6*n + rest} {
		start, f := unequalRows(m, d, 7)
		speed := func(row int) float32 { return float32(row%4) / 2 }
		faster := func(x, t *graphop.Node) (*graphop.Node, []backend.State, error) {
			dx, _, err := f(x, t)
			s := graphop.Input(x.Graph(), x.Dtype(), "speed", n, 1)
			return graphop.Mul(dx, s), []backend.State{{In: s, Exact: true}}, err
		}
		solver := func(lockstep bool) (*Solver, *counter) {
			be := &counter{Backend: tape.Tape{}, lockstep: lockstep}
			s, err := Compile(be, RK45, faster, n, d, tolerance(1e-3))
			if err != nil {
				t.Fatal(err)
			}
			if s.Refills() == lockstep {
				t.Fatal("rows are refilled on an engine that does not promise Rows, or not on one that does")
			}
			return s, be
		}
		set := func(s *Solver, speedOf func(i int) float32) error {
			v := make([]float32, n)
			for i := range v {
				v[i] = speedOf(i)
			}
			return s.Load("speed", backend.F32(v))
		}

		var blocks [2]*counter
		var want []float32
		var wantNFE []int
		for i, lockstep := range []bool{false, true} { // each row has its own steps; all rows wait for each other
			var s *Solver
			s, blocks[i] = solver(lockstep)
			results, all := []float32{}, []int{}
			for base := 0; base < m; base += n {
				x := make([]float32, n*d)
				copy(x, start[base*d:])
				err := set(s, func(i int) float32 { return speed(base + i) })
				nfe, stepErr := s.Integrate(context.Background(), x, 0, 1.5, 0)
				if err := errors.Join(err, stepErr); err != nil {
					t.Fatal(err)
				}
				count := min(n, m-base)
				results, all = append(results, x[:count*d]...), append(all, nfe[:count]...)
			}
			if lockstep && (!slices.Equal(results, want) || !slices.Equal(all, wantNFE)) {
				t.Errorf("%d rows: Integrate has other results on an engine without the promise Rows", m)
			}
			want, wantNFE = results, all
		}

		s, be := solver(false)
		got, begun, finished := slices.Clone(start), make([]bool, m), []int{}
		nfe, err := s.IntegrateAll(context.Background(), got, 0, 1.5, func(rows []int) error {
			for _, row := range rows {
				if row >= 0 {
					begun[row] = true
				}
			}
			return set(s, func(i int) float32 { return speed(max(0, rows[i])) })
		}, func(count int) { finished = append(finished, count) })
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) || !slices.Equal(nfe, wantNFE) {
			t.Errorf("%d rows: IntegrateAll has other results or evaluations than Integrate on blocks", m)
		}
		if slices.Contains(begun, false) || !slices.IsSorted(finished) || m > 0 && finished[len(finished)-1] != m {
			t.Errorf("%d rows: placed %v, finished %v, want all placed, and finished to rise to the number of rows",
				m, begun, finished)
		}
		if blocks[0].runs != blocks[1].runs || be.runs > blocks[0].runs || m > n && be.runs > blocks[0].runs*9/10 {
			t.Errorf("%d rows: %d runs, want fewer than the %d and %d in blocks", m, be.runs, blocks[0].runs, blocks[1].runs)
		}
		t.Logf("%d rows: %d runs, %d in blocks, %.1f evaluations a row", m, be.runs, blocks[0].runs, mean(nfe))
	}
}

func TestIntegrateAllErrors(t *testing.T) {
	square := flow(func(x, _ *graphop.Node) *graphop.Node { return graphop.Mul(x, x) }) // pole at t = 1/x0
	compile := func(a *Adaptive) *Solver {
		s, err := Compile(tape.Tape{}, RK45, square, 2, 1, a)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	all := func(s *Solver, x []float32, placed func([]int) error) error {
		_, err := s.IntegrateAll(context.Background(), x, 0, 0.9, placed, nil)
		return err
	}
	s := compile(tolerance(1e-3))
	x := []float32{0.1, 0.2, 0.3, 2, 0.1}
	var row *RowError
	if err := all(s, slices.Clone(x), nil); !errors.As(err, &row) || row.Row != 3 || row.T < 0.4 || row.T > 0.5 {
		t.Errorf("a pole of row 3 at t = 0.5: error %v, want a RowError for that row and t from 0.4 to 0.5", err)
	}
	x[3] = 0.4
	if err := all(s, x, nil); err != nil || !(x[3] > 0.624 && x[3] < 0.626) { // 0.4/(1 - 0.36)
		t.Errorf("after a failure: %v (%v), want 0.625", x[3], err)
	}
	failed := errors.New("no class")
	if err := all(s, x, func([]int) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("an error of placed becomes %v, want one that wraps %v", err, failed)
	}
	if all(compile(nil), x, nil) == nil {
		t.Error("a solver with equal steps refilled rows")
	}
	if two, err := Compile(tape.Tape{}, RK45, square, 2, 2, tolerance(1)); err != nil || all(two, x, nil) == nil {
		t.Errorf("five values were accepted as rows of two, or Compile failed (%v)", err)
	}
}

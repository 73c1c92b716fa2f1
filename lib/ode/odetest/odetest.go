// Package odetest solves differential equations on the host, as a reference for package ode. The states of the solver
// are float64, the values of f float32.
package odetest

import (
	"math"
	"slices"
)

// Method is a Runge-Kutta method, in the notation of ode.Tableau. Adaptive needs E and a method that is FSAL.
type Method struct {
	A             [][]float64
	B, C, E       []float64
	EmbeddedOrder int
}

// Func computes dx = f(x, t) for a block of rows x [n, d] at times t [n].
type Func func(x, t, dx []float32) error

// Equal integrates every row of x [n, d] from t0 to t1 in equal steps, in place.
func Equal(m Method, f Func, x []float32, n int, t0, t1 float64, steps int) error {
	s := start(m, f, x, n)
	for step := range steps {
		for r := range s.t {
			s.t[r], s.h[r] = t0+(t1-t0)*float64(step)/float64(steps), (t1-t0)/float64(steps)
		}
		for i := range m.B {
			if err := s.stage(i, m.A[i], m.C[i]); err != nil {
				return err
			}
		}
		s.x = s.combine(m.B)
	}
	s.end(x)
	return nil
}

// Adaptive is like Equal, but chooses the steps of each row as ode.Adaptive specifies. It returns the number of
// evaluations for each row.
func Adaptive(m Method, f Func, x []float32, n int, t0, t1, rtol, atol float64) (nfe []int, err error) {
	s := start(m, f, x, n)
	stages, exponent := len(m.B), -1/float64(m.EmbeddedOrder+1)
	for r := range s.t {
		s.t[r] = t0
	}
	if err := s.stage(0, nil, 0); err != nil {
		return nil, err
	}
	// norm is the scaled norm of v over a row.
	norm := func(r int, v, next func(j int) float64) float64 {
		var sum float64
		for j := r * s.d; j < (r+1)*s.d; j++ {
			sum += math.Pow(v(j)/(atol+rtol*max(math.Abs(s.x[j]), math.Abs(next(j)))), 2)
		}
		return math.Sqrt(sum / float64(s.d))
	}
	state := func(j int) float64 { return s.x[j] }
	first := slices.Clone(s.k[0])
	slope := func(j int) float64 { return float64(first[j]) }
	for r := range s.h {
		s.h[r] = 1e-6
		if d0, d1 := norm(r, state, state), norm(r, slope, state); d0 >= 1e-5 && d1 >= 1e-5 {
			s.h[r] = 0.01 * d0 / d1
		}
		s.h[r] = min(s.h[r], t1-t0)
	}
	if err := s.stage(1, []float64{1}, 1); err != nil {
		return nil, err
	}
	for r, h := range s.h {
		change := func(j int) float64 { return (float64(s.k[1][j]) - slope(j)) / h }
		s.h[r] = min(100*h, math.Pow(0.01/max(norm(r, slope, state), norm(r, change, state)), -exponent))
	}
	nfe = slices.Repeat([]int{2}, n)
	rejected := make([]bool, n)
	for slices.ContainsFunc(s.t, func(t float64) bool { return t < t1 }) {
		for r, h := range s.h {
			if h*(1+1e-6) >= t1-s.t[r] {
				s.h[r] = t1 - s.t[r]
			}
		}
		for i := 1; i < stages; i++ {
			if err := s.stage(i, m.A[i], m.C[i]); err != nil {
				return nil, err
			}
		}
		next := s.combine(m.B)
		for r, h := range s.h {
			if s.t[r] == t1 {
				continue
			}
			nfe[r] += stages - 1
			e := norm(r, func(j int) float64 { return h * s.sum(m.E, j) }, func(j int) float64 { return next[j] })
			factor := max(0.2, min(10, 0.9*math.Pow(e, exponent)))
			if rejected[r] {
				factor = min(1, factor)
			}
			if rejected[r] = e > 1; !rejected[r] {
				row, last := r*s.d, (r+1)*s.d
				copy(s.x[row:last], next[row:last])
				copy(s.k[0][row:last], s.k[stages-1][row:last])
				if h == t1-s.t[r] {
					s.t[r] = t1
				} else {
					s.t[r] += h
				}
			}
			s.h[r] = h * factor
		}
	}
	s.end(x)
	return nfe, nil
}

type solver struct {
	f    Func
	d    int
	x    []float64   // [n, d]
	t, h []float64   // [n], the beginning and the length of the step
	k    [][]float32 // stages, each [n, d]
}

func start(m Method, f Func, x []float32, n int) *solver {
	s := &solver{f: f, d: len(x) / n, t: make([]float64, n), h: make([]float64, n), k: make([][]float32, len(m.B))}
	for _, v := range x {
		s.x = append(s.x, float64(v))
	}
	return s
}

func (s *solver) end(x []float32) {
	for i, v := range s.x {
		x[i] = float32(v)
	}
}

// stage sets stage i to f at x + h·sum_j w_j·k_j and t + c·h.
func (s *solver) stage(i int, w []float64, c float64) error {
	x, t := make([]float32, len(s.x)), make([]float32, len(s.t))
	for j, v := range s.combine(w) {
		x[j] = float32(v)
	}
	for r := range t {
		t[r] = float32(s.t[r] + c*s.h[r])
	}
	s.k[i] = make([]float32, len(x))
	return s.f(x, t, s.k[i])
}

// combine returns x + h·sum_i w_i·k_i.
func (s *solver) combine(w []float64) []float64 {
	next := slices.Clone(s.x)
	for j := range next {
		next[j] += s.h[j/s.d] * s.sum(w, j)
	}
	return next
}

func (s *solver) sum(w []float64, j int) (sum float64) {
	for i, v := range w {
		sum += v * float64(s.k[i][j])
	}
	return sum
}

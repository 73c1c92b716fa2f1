package ode

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"vapo/lib/portable"
)

// Options are the options of Adaptive. The zero value of a field means its default.
type Options struct {
	RTol float64 // relative tolerance of a step; default 1e-3
	ATol float64 // absolute tolerance of a step, in units of x; default 1e-3

	MaxSteps int // trial steps per row, rejected ones included; default 10,000
}

// Stats counts the work of an integration.
type Stats struct {
	NFE      []int // [n] evaluations of f that each row needed; independent of the other rows
	Accepted []int // [n] accepted steps
	Rejected []int // [n] rejected trial steps
	Blocks   int   // calls of f on the whole block: the actual cost, at least max(NFE)
}

// The step controller is that of Hairer, Nørsett and Wanner, II.4. Its constants are those of SciPy's solve_ivp, so
// that the numbers of evaluations are comparable.
const (
	safety    = 0.9
	minFactor = 0.2
	maxFactor = 10
)

// Adaptive integrates every row from t0 to t1, backwards if t1 < t0. It chooses the steps of each row so that the
// embedded error estimate err of a step from x to x' satisfies
//
//	sqrt(mean_j (err_j / (ATol + RTol·max(|x_j|, |x'_j|)))²) <= 1
//
// where the mean is over the d values of the row. x, [n, d], row-major, is overwritten with the result, and unchanged
// after an error. A *RowError names the first row that failed. tab must have an error estimate.
//
// A trial step whose result is not finite is rejected, like a trial step with too large an error. A row therefore fails
// with ErrNonFinite only if shorter steps do not help.
func Adaptive(tab *Tableau, f Func, x []float32, n, d int, t0, t1 float64, opt Options) (Stats, error) {
	if err := checkArgs(tab, f, x, n, d, t0, t1); err != nil {
		return Stats{}, err
	}
	if tab.E == nil {
		return Stats{}, fmt.Errorf("ode: method %s has no error estimate and cannot choose its steps", tab.Name)
	}
	if err := opt.resolve(); err != nil {
		return Stats{}, err
	}
	b := newBlock(tab, f, x, n, d, t0)
	if n > 0 && t0 != t1 {
		if err := b.start(t0, t1, opt); err != nil {
			return Stats{}, err
		}
		for b.active() {
			if err := b.step(t1, opt); err != nil {
				return Stats{}, err
			}
		}
		b.store(x)
	}
	st := Stats{NFE: make([]int, n), Accepted: make([]int, n), Rejected: make([]int, n), Blocks: b.blocks}
	for i, r := range b.rows {
		st.NFE[i], st.Accepted[i], st.Rejected[i] = r.nfe, r.accepted, r.rejects
	}
	return st, nil
}

func (o *Options) resolve() error {
	o.RTol, o.ATol, o.MaxSteps = cmp.Or(o.RTol, 1e-3), cmp.Or(o.ATol, 1e-3), cmp.Or(o.MaxSteps, 10_000)
	for name, v := range map[string]float64{"RTol": o.RTol, "ATol": o.ATol} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("ode: option %s is %g, not a finite number of at least 0", name, v)
		}
	}
	if o.MaxSteps < 0 {
		return fmt.Errorf("ode: option MaxSteps is %d", o.MaxSteps)
	}
	return nil
}

func (b *block) active() bool {
	return slices.ContainsFunc(b.rows, func(r row) bool { return !r.done })
}

// start evaluates the first stage and chooses the first step of each row, as in Hairer, Nørsett and Wanner, II.4,
// "Starting Step Size".
func (b *block) start(t0, t1 float64, opt Options) error {
	if err := b.firstStage(); err != nil {
		return err
	}
	for i := range b.rows {
		for _, v := range b.k[0][i*b.d : (i+1)*b.d] {
			if !isFinite(float64(v)) {
				return &RowError{Row: i, T: t0, Err: ErrNonFinite}
			}
		}
	}
	limit, sign := math.Abs(t1-t0), math.Copysign(1, t1-t0)

	// An explicit Euler step of length h0 shows how fast f changes.
	h0 := make([]float64, b.n)
	d1 := make([]float64, b.n)
	for i := range b.rows {
		var sx, sf float64
		for j := i * b.d; j < (i+1)*b.d; j++ {
			scale := opt.scale(b.x[j])
			sx += square(b.x[j] / scale)
			sf += square(float64(b.k[0][j]) / scale)
		}
		d0 := math.Sqrt(sx / float64(b.d))
		d1[i] = math.Sqrt(sf / float64(b.d))
		h0[i] = 1e-6
		if d0 >= 1e-5 && d1[i] >= 1e-5 {
			h0[i] = 0.01 * d0 / d1[i]
		}
		h0[i] = math.Min(h0[i], limit)
		for j := i * b.d; j < (i+1)*b.d; j++ {
			b.xs[j] = float32(b.x[j] + float64(sign*h0[i]*float64(b.k[0][j])))
		}
		b.ts[i] = float32(t0 + float64(sign*h0[i]))
		b.rows[i].nfe++
	}
	if err := b.eval(b.first); err != nil {
		return err
	}
	for i := range b.rows {
		var s float64
		for j := i * b.d; j < (i+1)*b.d; j++ {
			scale := opt.scale(b.x[j])
			s += square((float64(b.first[j]) - float64(b.k[0][j])) / scale)
		}
		d2 := math.Sqrt(s/float64(b.d)) / h0[i]
		h := math.Max(1e-6, h0[i]*1e-3)
		if m := math.Max(d1[i], d2); m > 1e-15 {
			h = portable.Pow(0.01/m, 1/float64(b.tab.EmbeddedOrder+1))
		}
		h = math.Min(math.Min(100*h0[i], h), limit)
		if !(h > 0) { // the probe is not finite: start with a short step, and leave the rest to the controller
			h = h0[i]
		}
		b.rows[i].h = sign * h
	}
	return nil
}

// step makes one trial step for every row that has not reached t1.
func (b *block) step(t1 float64, opt Options) error {
	for i := range b.rows {
		r := &b.rows[i]
		if r.done {
			continue
		}
		if r.accepted+r.rejects >= opt.MaxSteps {
			return &RowError{Row: i, T: r.t, Err: fmt.Errorf("%w (%d attempts)", ErrMaxSteps, opt.MaxSteps)}
		}
		// Without the tolerance, rounding could leave a last step of almost zero length.
		if math.Abs(r.h)*(1+1e-6) >= math.Abs(t1-r.t) {
			r.h = t1 - r.t
		}
	}
	if err := b.firstStage(); err != nil {
		return err
	}
	if err := b.laterStages(); err != nil {
		return err
	}
	exponent := -1 / float64(b.tab.EmbeddedOrder+1)
	for i := range b.rows {
		r := &b.rows[i]
		if r.done {
			continue
		}
		finite := b.finite(i)
		e := math.Inf(1)
		if finite {
			e = b.errorNorm(i, opt)
		}
		if e <= 1 {
			factor := float64(maxFactor)
			if e > 0 {
				factor = math.Min(maxFactor, safety*portable.Pow(e, exponent))
			}
			if r.rejected {
				factor = math.Min(1, factor)
			}
			end := r.t + r.h
			if r.h == t1-r.t {
				end, r.done = t1, true
			}
			b.accept(i, end)
			r.h *= math.Max(minFactor, factor)
			continue
		}
		r.rejects++
		r.rejected = true
		r.h *= math.Max(minFactor, safety*portable.Pow(e, exponent)) // Inf^exponent is 0
		if math.Abs(r.h) < 4*resolution(r.t) {
			cause := ErrStepSize
			if !finite {
				cause = ErrNonFinite
			}
			return &RowError{Row: i, T: r.t, Err: cause}
		}
	}
	return nil
}

// errorNorm is the scaled error estimate of the trial step of row i. The step is accepted up to 1.
func (b *block) errorNorm(i int, opt Options) float64 {
	var sum float64
	h := b.rows[i].h
	for j := i * b.d; j < (i+1)*b.d; j++ {
		var e float64
		for s, w := range b.tab.E {
			e += float64(w * float64(b.k[s][j]))
		}
		scale := opt.scale(math.Max(math.Abs(b.x[j]), math.Abs(b.next[j])))
		sum += square(h * e / scale)
	}
	return math.Sqrt(sum / float64(b.d))
}

// resolution is the spacing of float32 numbers at t. f gets times in float32, so steps of only a few times this length
// are useless.
func resolution(t float64) float64 {
	a := float32(math.Abs(t))
	return float64(math.Nextafter32(a, math.MaxFloat32) - a)
}

// scale is the error tolerance for a coordinate with the value x.
func (o Options) scale(x float64) float64 { return o.ATol + float64(o.RTol*math.Abs(x)) }

func square(v float64) float64 { return float64(v * v) }

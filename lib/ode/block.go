package ode

import (
	"fmt"
	"math"
)

// row is the progress of one trajectory.
type row struct {
	t, h     float64 // the current time, and the signed length of the trial step
	done     bool    // the row has reached t1: it is still evaluated with the block, but no longer moved
	hasFirst bool    // k[0] holds f at (x, t)
	rejected bool    // the row's last trial step was rejected
	nfe      int
	accepted int
	rejects  int
}

// block is the state of an integration, with the working memory of a step. All memory is allocated once.
type block struct {
	tab  *Tableau
	f    Func
	n, d int

	rows []row
	x    []float64   // [n, d], states
	next []float64   // [n, d], states after the trial step
	k    [][]float32 // stages, each [n, d]

	xs     []float32 // [n, d], states that are passed to f
	ts     []float32 // [n], times that are passed to f
	first  []float32 // [n, d], a result of f of which only some rows are used
	blocks int       // calls of f
}

func newBlock(tab *Tableau, f Func, x []float32, n, d int, t0 float64) *block {
	b := &block{
		tab: tab, f: f, n: n, d: d,
		rows:  make([]row, n),
		x:     make([]float64, n*d),
		next:  make([]float64, n*d),
		k:     make([][]float32, tab.Stages()),
		xs:    make([]float32, n*d),
		ts:    make([]float32, n),
		first: make([]float32, n*d),
	}
	for i, v := range x {
		b.x[i] = float64(v)
	}
	for i := range b.rows {
		b.rows[i].t = t0
	}
	for i := range b.k {
		b.k[i] = make([]float32, n*d)
	}
	return b
}

// store copies the states to the caller's slice.
func (b *block) store(x []float32) {
	for i, v := range b.x {
		x[i] = float32(v)
	}
}

func (b *block) eval(dx []float32) error {
	b.blocks++
	if err := b.f(b.xs, b.ts, dx); err != nil {
		return fmt.Errorf("ode: evaluation %d of the block: %w", b.blocks, err)
	}
	return nil
}

// firstStage computes k[0] for the rows that do not have it yet.
func (b *block) firstStage() error {
	need := false
	for i := range b.rows {
		r := &b.rows[i]
		need = need || (!r.done && !r.hasFirst)
		b.ts[i] = float32(r.t)
	}
	if !need {
		return nil
	}
	for i, v := range b.x {
		b.xs[i] = float32(v)
	}
	if err := b.eval(b.first); err != nil {
		return err
	}
	for i := range b.rows {
		if r := &b.rows[i]; !r.done && !r.hasFirst {
			copy(b.k[0][i*b.d:(i+1)*b.d], b.first[i*b.d:(i+1)*b.d])
			r.hasFirst = true
			r.nfe++
		}
	}
	return nil
}

// laterStages computes k[1:] and next for the trial step of each row.
func (b *block) laterStages() error {
	for s := 1; s < len(b.k); s++ {
		for i := range b.rows {
			r := &b.rows[i]
			lo, hi := i*b.d, (i+1)*b.d
			if r.done { // the row is evaluated at its final state
				b.ts[i] = float32(r.t)
				for j := lo; j < hi; j++ {
					b.xs[j] = float32(b.x[j])
				}
				continue
			}
			b.ts[i] = float32(r.t + float64(b.tab.C[s]*r.h))
			b.combine(i, b.tab.A[s])
			for j := lo; j < hi; j++ {
				b.xs[j] = float32(b.next[j])
			}
			r.nfe++
		}
		if err := b.eval(b.k[s]); err != nil {
			return err
		}
	}
	for i := range b.rows {
		if !b.rows[i].done {
			b.combine(i, b.tab.B)
		}
	}
	return nil
}

// combine sets next = x + h·sum_s w[s]·k_s for row i.
func (b *block) combine(i int, w []float64) {
	lo, hi := i*b.d, (i+1)*b.d
	next := b.next[lo:hi]
	clear(next)
	for s, ws := range w {
		if ws == 0 {
			continue
		}
		for j, k := range b.k[s][lo:hi] {
			next[j] += float64(ws * float64(k))
		}
	}
	h := b.rows[i].h
	for j, v := range b.x[lo:hi] {
		next[j] = v + float64(h*next[j])
	}
}

// finite reports whether the new state of row i is finite in float32 and all stages of the row are finite, including
// stages with a weight of zero.
func (b *block) finite(i int) bool {
	lo, hi := i*b.d, (i+1)*b.d
	for _, v := range b.next[lo:hi] {
		if !(math.Abs(v) <= math.MaxFloat32) {
			return false
		}
	}
	for _, k := range b.k {
		for _, v := range k[lo:hi] {
			if !isFinite(float64(v)) {
				return false
			}
		}
	}
	return true
}

// accept moves row i to the end of its trial step, at time t.
func (b *block) accept(i int, t float64) {
	lo, hi := i*b.d, (i+1)*b.d
	copy(b.x[lo:hi], b.next[lo:hi])
	r := &b.rows[i]
	r.t = t
	r.accepted++
	r.rejected = false
	if r.hasFirst = b.tab.FSAL; r.hasFirst {
		copy(b.k[0][lo:hi], b.k[len(b.k)-1][lo:hi])
	}
}

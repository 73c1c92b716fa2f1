// Package kernel holds the numeric loops of the CPU engine: plain functions on flat slices, without graphs,
// shapes objects or allocation in steady state.
//
// The loops in Go define what is computed, to the bit: every product is rounded before it is added. In float32 loops in
// assembly, for AVX-512 and AVX2, take their place if the machine has such vectors, and give the same bits. Products of
// matrices and convolutions rest on package microkernel.
//
// Two rules hold for every kernel. Work is cut into pieces by the shape alone, never by the number of
// threads, and every sum runs in one fixed order, so a result has the same bits on one core as on sixty-four. Matrix
// products and convolutions cut a sum of products into runs of a fixed number of terms (runTerms, runLength, runPixels),
// add up each run from zero with fused multiply-adds, and add the runs in their order.
// And nothing allocates after construction, so training neither pauses for the collector nor grows.
package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Float is the element type of a kernel.
type Float interface{ float32 | float64 }

// task is one parallel loop in flight. Every worker begins with a run of pieces of its own, the same part of the loop
// each time: kernels cut batches in the order of the images, so what a core reads is what it wrote itself a moment ago,
// still in its own cache, where another core's would cost as much as the arithmetic. A worker that is done helps the others.
type task struct {
	f       func(worker, piece int)
	runs    []run        // by worker
	pending atomic.Int64 // helpers that are not done
	asleep  atomic.Bool  // whether the caller has stopped polling for that
	done    chan struct{}
}

// run is a worker's pieces that nobody has taken yet, [next, end), on a cache line of its own.
type run struct {
	next atomic.Int64
	end  int64
	_    [48]byte
}

// cut shares the pieces out among workers.
func (t *task) cut(pieces, workers int) {
	t.runs = t.runs[:cap(t.runs)]
	for len(t.runs) < workers {
		t.runs = append(t.runs, run{})
	}
	t.runs = t.runs[:workers]
	for w := range t.runs {
		t.runs[w].next.Store(int64(w * pieces / workers))
		t.runs[w].end = int64((w + 1) * pieces / workers)
	}
}

func (t *task) work(worker int) {
	for i := range t.runs {
		r := &t.runs[(worker+i)%len(t.runs)]
		for {
			p := r.next.Add(1) - 1
			if p >= r.end {
				break
			}
			t.f(worker, int(p))
		}
	}
}

// pool keeps one goroutine a core waiting for loops. Only one loop runs in parallel at a time; a loop started
// while another runs (two executables used at once) runs on its caller's goroutine alone.
type pool struct {
	once    sync.Once
	mu      sync.Mutex
	helpers []*helper
	t       task
}

// helper is a goroutine that takes part in loops. Between two of them it polls for a while, as the loops of a graph
// follow each other within microseconds, while to wake a sleeping thread takes as long as many of them; then it sleeps.
type helper struct {
	turn   atomic.Int64 // the number of loops that it has been given
	asleep atomic.Bool
	wake   chan struct{}
	_      [40]byte // a cache line of its own
}

// polls is how often a goroutine looks before it sleeps: about a tenth of a millisecond. Tests have it sleep at once.
var polls atomic.Int64

func init() { polls.Store(1 << 17) }

var shared pool

// Workers is the number of goroutines that Parallel may use, and the bound on its worker argument.
// It is fixed at the first use.
var Workers = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

func (p *pool) start() {
	p.t.done = make(chan struct{}, 1)
	for i := range Workers() - 1 {
		h := &helper{wake: make(chan struct{}, 1)}
		p.helpers = append(p.helpers, h)
		go func() {
			for turn := int64(1); ; turn++ {
				h.await(turn)
				p.t.work(i + 1)
				p.t.leave()
			}
		}()
	}
}

// give hands the helper a loop.
func (h *helper) give() {
	h.turn.Add(1)
	if h.asleep.CompareAndSwap(true, false) {
		h.wake <- struct{}{}
	}
}

// await returns when the helper has been given its turn-th loop. A wake-up may come late, from a give whose loop the
// helper found by polling and has done already, so what counts is the turn.
func (h *helper) await(turn int64) {
	for {
		for range polls.Load() {
			if h.turn.Load() >= turn {
				return
			}
		}
		h.asleep.Store(true)
		if h.turn.Load() < turn || !h.asleep.CompareAndSwap(true, false) {
			<-h.wake // give has found the helper asleep, or will
		}
	}
}

// leave says that a helper is done with the loop.
func (t *task) leave() {
	if t.pending.Add(-1) == 0 && t.asleep.CompareAndSwap(true, false) {
		t.done <- struct{}{}
	}
}

// finish returns when all helpers are done. As in await, a late signal of the loop before may wake it.
func (t *task) finish() {
	for {
		for range polls.Load() {
			if t.pending.Load() == 0 {
				return
			}
		}
		t.asleep.Store(true)
		if t.pending.Load() != 0 || !t.asleep.CompareAndSwap(true, false) {
			<-t.done
		}
	}
}

// Parallel calls f once for every piece in [0, pieces), on several cores. worker < Workers() identifies the
// goroutine for the use of scratch memory; a result must not depend on it. Pieces must be independent.
func Parallel(pieces int, f func(worker, piece int)) {
	// Scratch memory belongs to the executable that calls, so worker 0 is free to use where another loop has the helpers.
	if pieces <= 1 || Workers() == 1 || !shared.mu.TryLock() {
		for p := range pieces {
			f(0, p)
		}
		return
	}
	defer shared.mu.Unlock()
	shared.once.Do(shared.start)
	t := &shared.t
	t.f = f
	helpers := shared.helpers[:min(len(shared.helpers), pieces-1)]
	t.cut(pieces, len(helpers)+1)
	t.pending.Store(int64(len(helpers)))
	for _, h := range helpers {
		h.give()
	}
	t.work(0)
	t.finish()
	t.f = nil
}

// grain is the number of elements that one piece of a light loop covers: enough to hide the dispatch, small
// enough to share out.
const grain = 16384

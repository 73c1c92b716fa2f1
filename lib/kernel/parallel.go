// Package kernel provides the numeric loops of the CPU engine. They work on flat slices, without graphs or tensors. A
// kernel is prepared once for a shape and then run many times.
//
// The loops in Go define the bits of every result: each product is rounded before it is added. On machines with AVX-512
// or AVX2, loops in assembly replace them for float32 and give the same bits. Matrix products and convolutions are the
// exception: they are built on package microkernel, which fuses multiply-adds.
//
// Every kernel follows two rules. First, results have the same bits on one core as on sixty-four: the division of work
// into pieces depends only on the shape, never on the number of threads, and every sum is taken in a fixed order.
// Matrix products and convolutions divide a sum of products into runs of a fixed number of terms (runTerms, runLength,
// runPixels). Each run is summed from zero with fused multiply-adds, and the sums of the runs are added in order.
// Second, a kernel allocates no memory after construction, so training neither pauses for the garbage collector nor
// uses more and more memory.
package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Float is the element type of a kernel.
type Float interface{ float32 | float64 }

// task is a parallel loop in progress. Every worker starts with its own run of consecutive pieces, which is the same
// part of every loop. Kernels divide batches in the order of the images. A core therefore mostly reads from its own
// cache what it has just written. Reading from another core's cache would cost as much as the arithmetic. A worker that
// has finished its own run takes pieces from the other runs.
type task struct {
	f       func(worker, piece int)
	runs    []run        // by worker
	pending atomic.Int64 // helpers that have not finished
	asleep  atomic.Bool  // the caller no longer polls pending, but waits for done
	done    chan struct{}
}

// run is the range [next, end) of a worker's pieces that have not been taken yet. A run fills a cache line.
type run struct {
	next atomic.Int64
	end  int64
	_    [48]byte
}

// cut divides the pieces among workers.
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

// pool keeps helpers waiting for loops: one for every core except the caller's. Only one loop at a time runs in
// parallel. If another loop starts meanwhile, because two executables run at once or loops are nested, that loop runs
// only on its caller's goroutine.
type pool struct {
	once    sync.Once
	mu      sync.Mutex
	helpers []*helper
	t       task
}

// helper is a goroutine that takes part in loops. Between two loops, it polls for a while before it sleeps: the loops
// of a graph follow each other within microseconds, and waking a sleeping thread takes as long as many loops.
type helper struct {
	turn   atomic.Int64 // the number of loops given to the helper so far
	asleep atomic.Bool
	wake   chan struct{}
	_      [40]byte // fills the cache line
}

// polls is the number of times that a goroutine polls before it sleeps. By default, this takes about a tenth of a
// millisecond. Tests set polls to 1.
var polls atomic.Int64

func init() { polls.Store(1 << 17) }

var shared pool

// Workers returns the number of goroutines that Parallel may use. They are numbered from 0 to Workers()-1. The number
// is fixed at the first call.
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

// give assigns a loop to the helper.
func (h *helper) give() {
	h.turn.Add(1)
	if h.asleep.CompareAndSwap(true, false) {
		h.wake <- struct{}{}
	}
}

// await returns when the helper has been given loop number turn. Receiving a wake-up is not enough: the wake-up may
// belong to an earlier loop, which the helper found by polling and has already run.
//
// The helper must set asleep before it looks at turn again; otherwise give might not wake it. Swap, unlike Store,
// keeps that order even if QEMU emulates ARM on x86, where QEMU lets a load pass an earlier store.
func (h *helper) await(turn int64) {
	for {
		for range polls.Load() {
			if h.turn.Load() >= turn {
				return
			}
		}
		h.asleep.Swap(true)
		if h.turn.Load() < turn || !h.asleep.CompareAndSwap(true, false) {
			<-h.wake // give has seen asleep or will see it, so a wake-up comes
		}
	}
}

// leave reports that a helper has finished its part of the loop.
func (t *task) leave() {
	if t.pending.Add(-1) == 0 && t.asleep.CompareAndSwap(true, false) {
		t.done <- struct{}{}
	}
}

// finish returns when all helpers have finished. As in await, receiving a signal is not enough, because it may be a
// late one from the previous loop. Like await, finish uses Swap to set asleep before it looks at pending again.
func (t *task) finish() {
	for {
		for range polls.Load() {
			if t.pending.Load() == 0 {
				return
			}
		}
		t.asleep.Swap(true)
		if t.pending.Load() != 0 || !t.asleep.CompareAndSwap(true, false) {
			<-t.done
		}
	}
}

// Parallel calls f once for every piece in [0, pieces), on several cores, and returns when all calls have returned.
// Pieces must be independent. The argument worker, from 0 to Workers()-1, identifies the goroutine, so that every
// goroutine can have its own scratch memory. Results must not depend on worker.
func Parallel(pieces int, f func(worker, piece int)) {
	// Scratch memory belongs to the calling executable. The memory of worker 0 is therefore free even while another loop
	// uses the helpers.
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

// grain is the number of elements per piece of a light loop: large enough to hide the cost of dispatch, and small
// enough to occupy all cores. No result depends on it.
const grain = 16384

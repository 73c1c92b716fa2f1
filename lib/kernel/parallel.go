// Package kernel holds the numeric loops of the CPU engine: plain functions on flat slices, without graphs,
// shapes objects or allocation in steady state.
//
// Two rules hold for every kernel. Work is cut into pieces by the shape alone, never by the number of
// threads, and every sum runs in one fixed order, so a result has the same bits on one core as on sixty-four.
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
	runs    []run // by worker
	pending sync.WaitGroup
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
	once sync.Once
	mu   sync.Mutex
	wake []chan *task
	t    task
}

var shared pool

// Workers is the number of goroutines that Parallel may use, and the bound on its worker argument.
// It is fixed at the first use.
var Workers = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

func (p *pool) start() {
	p.wake = make([]chan *task, Workers()-1)
	for i := range p.wake {
		c := make(chan *task, 1)
		p.wake[i] = c
		go func() {
			for t := range c {
				t.work(i + 1)
				t.pending.Done()
			}
		}()
	}
}

// Parallel calls f once for every piece in [0, pieces), on several cores. worker < Workers() identifies the
// goroutine for the use of scratch memory; a result must not depend on it. Pieces must be independent.
func Parallel(pieces int, f func(worker, piece int)) {
	if pieces <= 1 || Workers() == 1 {
		for p := range pieces {
			f(0, p)
		}
		return
	}
	if !shared.mu.TryLock() {
		// Scratch memory belongs to the executable that calls, so worker 0 is free to use here.
		for p := range pieces {
			f(0, p)
		}
		return
	}
	defer shared.mu.Unlock()
	shared.once.Do(shared.start)
	t := &shared.t
	t.f = f
	helpers := min(len(shared.wake), pieces-1)
	t.cut(pieces, helpers+1)
	t.pending.Add(helpers)
	for _, c := range shared.wake[:helpers] {
		c <- t
	}
	t.work(0)
	t.pending.Wait()
	t.f = nil
}

// grain is the number of elements that one piece of a light loop covers: enough to hide the dispatch, small
// enough to share out.
const grain = 16384

package kernel

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// Every piece runs exactly once, whether helpers poll or sleep when a loop begins.
func TestParallel(t *testing.T) {
	for round := range 400 {
		pieces := 1 + round%37
		counts := make([]atomic.Int32, pieces)
		Parallel(pieces, func(worker, piece int) {
			if worker < 0 || worker >= Workers() {
				t.Errorf("a piece has the worker %d, want one from 0 to %d", worker, Workers()-1)
			}
			if round%3 == 0 && piece%5 == 0 {
				time.Sleep(time.Duration(round%4) * 100 * time.Microsecond)
			}
			counts[piece].Add(1)
		})
		for i := range counts {
			if n := counts[i].Load(); n != 1 {
				t.Fatalf("round %d: piece %d of %d ran %d times, want once", round, i, pieces, n)
			}
		}
		if round%20 == 0 {
			time.Sleep(time.Millisecond) // long enough for the helpers to fall asleep
		}
	}
}

// Short loops follow each other while helpers fall asleep and are woken, sometimes late. No loop misses a piece or ends
// early.
func TestParallelWhileHelpersSleep(t *testing.T) {
	defer polls.Store(polls.Swap(1))
	rounds := 100000
	if testing.Short() {
		rounds = 2000
	}
	var counts [3]int64 // counts[i] is written by piece i only, and read after the loop
	for round := range rounds {
		Parallel(len(counts), func(_, piece int) { counts[piece]++ })
		for piece, n := range counts {
			if n != int64(round+1) {
				t.Fatalf("after %d loops, piece %d has run %d times, want once per loop", round+1, piece, n)
			}
		}
	}
}

// A late wake-up from an earlier loop does not start the next loop, and a late signal does not end a loop.
func TestLateSignals(t *testing.T) {
	defer polls.Store(polls.Swap(1))
	h := &helper{wake: make(chan struct{}, 1)}
	h.wake <- struct{}{}
	started := make(chan struct{})
	go func() { h.await(1); close(started) }()
	tk := &task{done: make(chan struct{}, 1)}
	tk.pending.Store(1)
	tk.done <- struct{}{}
	ended := make(chan struct{})
	go func() { tk.finish(); close(ended) }()
	select {
	case <-started:
		t.Fatal("a late wake-up started a loop that was not given")
	case <-ended:
		t.Fatal("a late signal ended a loop while its helper was working")
	case <-time.After(50 * time.Millisecond):
	}
	h.give()
	tk.leave()
	<-started
	<-ended
}

// A nested loop runs on the goroutine that starts it.
func TestParallelWithinParallel(t *testing.T) {
	var total atomic.Int32
	Parallel(8, func(_, _ int) { Parallel(5, func(_, _ int) { total.Add(1) }) })
	if total.Load() != 40 {
		t.Errorf("%d pieces ran, want 40", total.Load())
	}
}

// BenchmarkParallel runs loops of eight pieces that take the given time in total.
func BenchmarkParallel(b *testing.B) {
	for _, total := range []time.Duration{0, 5 * time.Microsecond, 50 * time.Microsecond, 200 * time.Microsecond} {
		b.Run(fmt.Sprint(total), func(b *testing.B) {
			for b.Loop() {
				Parallel(8, func(_, _ int) {
					for start := time.Now(); time.Since(start) < total/8; {
					}
				})
			}
		})
	}
}

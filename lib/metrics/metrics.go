// Package metrics measures how far a set of samples is from a set of data.
//
// Every function here is deterministic to the bit for given arguments, however
// many processors there are: work is split by the shape of the problem and sums
// are taken in one fixed order. What is random (the directions of the sliced
// distance, the subsets of KID, of FID-infinity and of large sets) is a function
// of a seed. All arithmetic is float64; the one place
// that uses float32 (Nearest) does so where it is exact.
//
// A number alone is no result: N, the reference split and the feature network
// belong beside it. The functions return what they know of that, warnings
// included, as fields.
package metrics

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// RelativeRMS is the root mean square of got - want over that of want:
//
//	sqrt(Σ (got - want)² / Σ want²)
//
// got and want have equal lengths and any layout; the result has no unit. It is
// an error if want is all zero or a value is not finite.
func RelativeRMS(got, want []float32) (float64, error) {
	if len(got) != len(want) {
		return 0, fmt.Errorf("relative rms: %d values against %d", len(got), len(want))
	}
	var num, den float64
	for i, w := range want {
		e := float64(got[i]) - float64(w)
		num += float64(e * e)
		den += float64(float64(w) * float64(w))
	}
	r := math.Sqrt(num / den)
	if math.IsNaN(r) || math.IsInf(r, 0) {
		return 0, fmt.Errorf("relative rms: error %g over norm %g of %d values", math.Sqrt(num), math.Sqrt(den), len(want))
	}
	return r, nil
}

// parallel calls work(i) once for each i < n, on as many goroutines as there
// are processors. Results are written by index, so the order does not matter.
func parallel(n int, work func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		for i := range n {
			work(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				work(i)
			}
		})
	}
	wg.Wait()
}

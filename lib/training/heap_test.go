package training

import (
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"testing"

	"vapo/lib/backend/tape"
	"vapo/lib/potential"
)

// heapConfigs are small networks of every kind.
var heapConfigs = []struct{ name, config string }{
	{"mlp", `{"kind":"mlp","shape":[2],"schedule":"linear","prior_std":1,"mlp":{"width":32,"depth":2,"fourier":2}}`},
	{"unet", `{"kind":"unet","shape":[1,8,8],"schedule":"linear","prior_std":1,` +
		`"unet":{"channels":8,"mult":[1,2],"res_blocks":1,"groups":4}}`},
	{"unet dropping", `{"kind":"unet","shape":[1,8,8],"schedule":"linear","prior_std":1,` +
		`"unet":{"channels":8,"mult":[1,2],"res_blocks":1,"groups":4,"attention":[2],"dropout":0.3}}`},
	{"wrn", `{"kind":"wrn","shape":[1,8,8],"schedule":"linear","prior_std":1,"wrn":{"depth":10,"width":1,"time":true}}`},
}

// A month of training has millions of steps, so steps must not grow the heap. The test takes 100 steps with bins, a
// guard, uploads, micro-batches, weight decay, both kinds of clipping and three averages.
func TestHeapDoesNotGrow(t *testing.T) {
	const warm, steps, batch = 10, 100, 2 // steps of two micro-batches
	for _, be := range engines(t) {
		for _, c := range heapConfigs {
			config, err := potential.ParseConfig(json.RawMessage(c.config))
			if err != nil {
				t.Fatal(err)
			}
			o := adam(2 * batch)
			o.Accumulate, o.WeightDecay, o.ClipStd, o.EMAHalfLifeImages = 2, 0.1, 3, []float64{100, 200, 300}
			s, err := Potential(be, config, "matching", o, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Initialise(1); err != nil {
				t.Fatal(err)
			}
			b := s.NewBatch()
			fill(b, config, 0)
			guard, err := NewGuard(1e3)
			if err != nil {
				t.Fatal(err)
			}
			guard.Norms = make([]float64, 0, 2*guardNorms) // allocate the largest size that the slice reaches
			var bins Bins
			run := func(from, to int64) (m runtime.MemStats) {
				for step := from; step < to; step++ {
					s.Limit = guard.Limit()
					uploadErr := s.Upload(b)
					m, err := s.Step(step, b)
					if err := errors.Join(uploadErr, err, guard.Observe(m), bins.Add(b.Fraction, s.PerSample)); err != nil {
						t.Fatal(err)
					}
				}
				runtime.ReadMemStats(&m)
				return m
			}
			before := run(0, warm)
			after := run(warm, warm+steps)
			runtime.KeepAlive(s)
			mallocs := after.Mallocs - before.Mallocs
			grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			allowed := uint64(steps / 2) // for occasional allocations of the runtime itself
			if mallocs > allowed || grown > 64<<10 {
				t.Errorf("%s, %s: %d steps made %d allocations and the heap grew by %d bytes, want at most %d and 64 KiB",
					be.Class(), c.name, steps, mallocs, grown, allowed)
			}
		}
	}
}

// The memory that a compiled step reports differs by at most 5 % from the growth of the heap. train --plan-memory
// prints the reported memory before anything runs. The report leaves out the program's tables, which do not grow with
// the batch.
func TestMemoryIsPlanned(t *testing.T) {
	config := unetConfig(16, 1, 2)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the first collection only queues objects that have a finaliser
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s, err := Potential(tape.Tape{}, config, "matching", adam(64), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Initialise(1); err != nil {
		t.Fatal(err)
	}
	b := s.NewBatch()
	fill(b, config, 0)
	if _, err := s.Step(0, b); err != nil {
		t.Fatal(err)
	}
	grown := float64(heap() - before)
	if planned := float64(s.MemoryBytes()); math.Abs(grown-planned) > 0.05*planned {
		t.Errorf("the heap grew by %.0f bytes, want the planned %.0f within 5%%", grown, planned)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(b)
}

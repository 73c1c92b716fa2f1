package main

import (
	"errors"

	"vapo/lib/backend"
	"vapo/lib/graphop"
	"vapo/lib/stage"
	"vapo/stages/train/internal/loop"
)

// memoryPlan is what --plan-memory prints. Samples is the number computed at once: the batch or the micro-batch.
type memoryPlan struct {
	Backend   string `json:"backend"`
	Samples   int    `json:"samples"`
	Memory    int64  `json:"memory_bytes"`
	Available int64  `json:"available_bytes,omitempty"` // omitted, like Largest, if the engine does not know it
	Largest   int    `json:"largest_samples,omitempty"` // also omitted if twice the samples are too many for a graph
}

// planMemory compiles the training step, without snapshots and measurements, for p's batch and, if the engine knows how
// much memory is available, for twice as many samples. The memory for the samples is proportional to their number, and
// the memory for the state is constant, so the two sizes give both.
func planMemory(be backend.Backend, p *params, prepare func(*params) (*loop.Loop, error)) error {
	need := func(times int) (int64, error) {
		q := *p
		q.Batch, q.MicroBatch = times*p.Batch, times*p.MicroBatch
		q.FieldEvery, q.VarianceEvery, q.Snapshots.SampleEvery = 0, 0, 0
		l, err := prepare(&q)
		if large := (*backend.MemoryError)(nil); errors.As(err, &large) && large.Need > 0 {
			return large.Need, nil
		}
		if err != nil {
			return 0, err
		}
		return l.Trainer.MemoryBytes(), nil
	}
	once, err := need(1)
	if err != nil {
		return err
	}
	plan := memoryPlan{Backend: be.Class(), Samples: p.rows(), Memory: once, Available: be.Memory()}
	if plan.Available > 0 {
		twice, err := need(2)
		if large := (*graphop.Error)(nil); errors.As(err, &large) && large.TooLarge {
			return stage.Answer{Value: plan}
		}
		if err != nil {
			return err
		}
		state := 2*once - twice
		plan.Largest = int(float64(plan.Available-state) / float64(twice-once) * float64(plan.Samples))
		plan.Largest = max(0, plan.Largest)
	}
	return stage.Answer{Value: plan}
}

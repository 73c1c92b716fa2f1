package data

import (
	"errors"
	"slices"
	"testing"
	"time"

	"vapo/lib/backend"
	"vapo/lib/backend/device"
	"vapo/lib/backend/tape"
	"vapo/lib/optim"
	"vapo/lib/potential"
	"vapo/lib/training"
)

// recorder is an engine that records the calls of a training step and passes them to another engine. Each run, except
// the last, waits until the inputs of the next run have been uploaded. If uploads waited for runs, Run would time out.
type recorder struct {
	backend.Backend
	backend.Executable
	inputs, runs int // number of inputs per batch, number of runs left
	calls        []string
	next         chan bool // receives a value for each batch uploaded
}

func (r *recorder) Compile(g backend.Graph) (backend.Executable, error) {
	var err error
	r.Executable, err = r.Backend.Compile(g)
	return r, err
}

func (r *recorder) Upload(i int, v backend.Buffer) (backend.Buffer, error) {
	v, err := r.Executable.Upload(i, v)
	if i == r.inputs-1 {
		r.next <- true
	}
	return v, err
}

func (r *recorder) Run(in, out []backend.Buffer) error {
	r.calls = append(r.calls, "run")
	if r.runs--; r.runs > 0 {
		select {
		case <-r.next:
			r.calls = append(r.calls, "uploaded the next batch")
		case <-time.After(time.Minute):
			return errors.New("the next batch was not uploaded during the run")
		}
	}
	err := r.Executable.Run(in, out)
	r.calls = append(r.calls, "ran")
	return err
}

// The next batch is drawn and uploaded while a step runs. The losses are bit for bit those of steps without a
// Prefetcher.
func TestUploadsOverlapSteps(t *testing.T) {
	compute, err := device.OpenGo()
	if err != nil {
		t.Fatal(err)
	}
	const steps, size = 3, 4
	c := potential.Config{
		Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1, MLP: &potential.MLP{Width: 4, Depth: 1},
	}
	path, err := c.Path()
	if err != nil {
		t.Fatal(err)
	}
	fill := func(step int64, b *training.Batch) error {
		for i := range size {
			copy(b.Sample(i), []float32{float32(step) / 10, float32(i)})
			copy(b.SampleNoise(i), []float32{1, float32(step)})
			b.SetTime(i, path, float64(i)/size)
		}
		return nil
	}
	for _, be := range []backend.Backend{tape.Tape{}, compute} {
		train := func(be backend.Backend) *training.Trainer {
			trainer, err := training.Potential(be, c, "matching", optim.Config{
				LearningRate: 0.1, Decay: "constant", Epsilon: 1, BatchImages: size, EMAHalfLifeImages: []float64{0},
			}, false)
			if err == nil {
				err = trainer.Initialise(1)
			}
			if err != nil {
				t.Fatal(err)
			}
			return trainer
		}
		plain, want := train(be), []float64{}
		for step := range int64(steps) {
			b := plain.NewBatch()
			err := fill(step, b)
			m, stepErr := plain.Step(step, b)
			if err := errors.Join(err, stepErr); err != nil {
				t.Fatal(err)
			}
			want = append(want, m.Loss)
		}

		r := &recorder{Backend: be, inputs: 8, runs: steps, next: make(chan bool, steps)}
		trainer := train(r)
		batches, got := NewPrefetcher(fill, trainer, steps), []float64{}
		for step := range int64(steps) {
			b, err := batches.Take(step)
			if err != nil {
				t.Fatal(err)
			}
			if step == 0 {
				<-r.next // no step precedes the first batch
			}
			m, err := trainer.Step(step, b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Loss)
		}
		batches.Close()
		if !slices.Equal(got, want) {
			t.Errorf("%s: losses %v, want %v", be.Class(), got, want)
		}
		order := slices.Repeat([]string{"run", "uploaded the next batch", "ran"}, steps)
		order = slices.Delete(order, len(order)-2, len(order)-1) // no batch follows the last step
		if !slices.Equal(r.calls, order) {
			t.Errorf("%s: calls %q, want %q", be.Class(), r.calls, order)
		}
	}
}

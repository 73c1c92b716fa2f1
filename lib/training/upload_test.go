package training

import (
	"errors"
	"testing"

	"vapo/lib/potential"
)

// Steps on uploaded batches have the metrics of steps that copy their inputs, also with micro-batches. If a batch is
// changed after its step, the earlier upload is not used again.
func TestUpload(t *testing.T) {
	c := potential.Config{
		Kind: "mlp", Shape: []int{2}, Schedule: "linear", PriorStd: 1, MLP: &potential.MLP{Width: 8, Depth: 1},
	}
	for _, be := range engines(t) {
		o := adam(6)
		o.Accumulate = 2
		var got [2][]Metrics
		for uploads := range got {
			s, err := Potential(be, c, "matching", o, false)
			if err == nil {
				err = s.Initialise(1)
			}
			if err != nil {
				t.Fatal(err)
			}
			b := s.NewBatch()
			for step := range int64(4) {
				fill(b, c, uint64(step))
				if uploads == 1 && step != 2 {
					err = s.Upload(b)
				}
				m, stepErr := s.Step(step, b)
				if err := errors.Join(err, stepErr); err != nil {
					t.Fatal(err)
				}
				got[uploads] = append(got[uploads], m)
			}
		}
		for step, want := range got[0] {
			if got[1][step] != want {
				t.Errorf("%s, step %d: %+v with uploads, %+v without, want the same", be.Class(), step, got[1][step], want)
			}
		}
	}
}

package data

import (
	"math"
	"slices"
	"testing"

	"vapo/lib/backend/tape"
	"vapo/lib/dataloader"
	"vapo/lib/dataset"
	"vapo/lib/homotopy"
	"vapo/lib/optim"
	"vapo/lib/potential"
	"vapo/lib/training"
)

func TestMirror(t *testing.T) {
	v := []float32{1, 2, 3, 4, 5, 6}
	mirror(v, 3)
	if !slices.Equal(v, []float32{3, 2, 1, 6, 5, 4}) {
		t.Errorf("the mirrored rows are %v, want 3 2 1 and 6 5 4", v)
	}
}

// The seed and the step alone decide which labels are dropped. The fraction of dropped labels is the configured one;
// the remaining labels are those of the samples.
func TestLabelDropout(t *testing.T) {
	const n, classes, size = 50, 3, 40
	labels := make([]int64, n)
	x := make([]float32, n)
	for i := range labels {
		labels[i], x[i] = int64(i%classes), float32(i)
	}
	set := &dataset.Points{N: n, D: 1, X: x, Labels: labels}
	c := potential.Config{
		Kind: "mlp", Shape: []int{1}, Schedule: "linear", PriorStd: 1, Classes: classes,
		MLP: &potential.MLP{Width: 2, Depth: 1},
	}
	trainer, err := training.Potential(tape.Tape{}, c, "matching", optim.Config{
		LearningRate: 1, Decay: "constant", Epsilon: 1, BatchImages: size, EMAHalfLifeImages: []float64{0},
	}, false)

	if err != nil {
		t.Fatal(err)
	}
	path, err := c.Path()
	if err != nil {
		t.Fatal(err)
	}
	draw := func(seed uint64, dropout float64, step int64) *training.Batch {
		src := &Source{Set: set, samples: dataloader.NewMemory(set, 1, Limits)}
		d := &Batches{Source: src, Seed: seed, Labels: labels, Dropout: dropout, Path: path, Times: homotopy.Schedule.Draw}
		b := trainer.NewBatch()
		for _, s := range []int64{99, step} { // the previous content of the batch must not matter
			if err := d.Fill(s, b); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	dropped, total := 0, 0
	for step := range int64(50) {
		b := draw(1, 0.3, step)
		got := b.Labels
		if !slices.Equal(got, draw(1, 0.3, step).Labels) {
			t.Fatalf("step %d: a second draw has other labels", step)
		}
		if slices.Equal(got, draw(2, 0.3, step).Labels) || step > 0 && slices.Equal(got, draw(1, 0.3, 0).Labels) {
			t.Errorf("step %d has the same labels as another seed or step 0", step)
		}
		for row := range b.N() {
			v := got[row*classes : (row+1)*classes]
			want := []float32{0, 0, 0}
			want[labels[int(b.Sample(row)[0])]] = 1
			total++
			if slices.Equal(v, []float32{0, 0, 0}) {
				dropped++
			} else if !slices.Equal(v, want) {
				t.Fatalf("row %d has the label %v, want %v", row, v, want)
			}
		}
	}
	if share := float64(dropped) / float64(total); math.Abs(share-0.3) > 0.04 {
		t.Errorf("%.3f of the labels are dropped, want 0.26 to 0.34", share)
	}
	for row := range slices.Chunk(draw(1, 0, 3).Labels, classes) {
		if !slices.Contains(row, 1) {
			t.Error("a label is dropped although the dropout is 0")
		}
	}
}

// A class without training samples counts, for points as for images.
func TestClassesWithoutSamples(t *testing.T) {
	names, labels := []string{"a", "b", "c"}, []int64{1, 0}
	for _, set := range []dataset.Set{
		&dataset.Points{N: 2, D: 1, X: []float32{1, 2}, Labels: labels, Classes: names},
		&dataset.Images{N: 2, C: 1, H: 1, W: 1, Pixels: []uint8{1, 2}, Labels: labels, Classes: names},
	} {
		src := &Source{Set: set, labels: dataset.LabelsOf(set), samples: dataloader.NewMemory(set, 0, Limits)}
		if _, classes, err := src.Labels("a test"); err != nil || classes != 3 {
			t.Errorf("%T: %d classes, error %v; want 3", set, classes, err)
		}
	}
}

package scoring

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vapo/lib/backend"
	_ "vapo/lib/backend/tape"
	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/optim"
	"vapo/lib/training"
)

// classifier is the file of an untrained one for grey images of 4x4.
func classifier(t *testing.T, be backend.Backend) string {
	t.Helper()
	o := optim.Config{LearningRate: 1e-3, Decay: "constant", HorizonSteps: 1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, BatchImages: 2, EMAHalfLifeImages: []float64{10}}
	s, err := training.Classifier(be, feature.Classifier{Shape: []int{1, 4, 4}, Classes: 3, Channels: 2, Features: 5}, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Initialise(1); err != nil {
		t.Fatal(err)
	}
	c, err := s.Checkpoint(0)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "classifier.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := checkpoint.Write(f, c); err != nil {
		t.Fatal(err)
	}
	return path
}

func images(n, side int) *dataset.Images {
	s := &dataset.Images{N: n, C: 1, H: side, W: side, Pixels: make([]uint8, n*side*side)}
	for i := range s.Pixels {
		s.Pixels[i] = uint8(i * i % 251)
	}
	return s
}

// The moments are those of the features alone, without the logits that stand beside them in the network's rows.
func TestMoments(t *testing.T) {
	be, err := backend.Open("tape")
	if err != nil {
		t.Fatal(err)
	}
	n, err := Open(be, classifier(t, be), "sha256:00", feature.Options{Tap: 2048}, true)
	if err != nil {
		t.Fatal(err)
	}
	if n.Metric() != ClassifierMetric || n.Weights != "sha256:00" || n.Backend != "tape" {
		t.Errorf("%s, %s, %s", n.Metric(), n.Weights, n.Backend)
	}
	set := images(70, 4) // more than a block
	got, err := n.Moments(context.Background(), feature.Of(set), "input samples")
	if err != nil {
		t.Fatal(err)
	}
	const dim, classes = 5, 3
	rows := make([]float32, 70*(dim+classes))
	if err := n.Network.Features(feature.Of(set), 0, 70, rows); err != nil {
		t.Fatal(err)
	}
	var features []float32
	for row := range slices.Chunk(rows, dim+classes) {
		features = append(features, row[:dim]...)
	}
	want := metrics.NewMoments(dim)
	if err := want.Add(features); err != nil {
		t.Fatal(err)
	}
	if got.N() != 70 || !slices.Equal(got.Mean(), want.Mean()) || !slices.Equal(got.Cov(), want.Cov()) {
		t.Errorf("mean %v, want %v", got.Mean(), want.Mean())
	}
}

// What goes wrong is said in the contract's terms, and whose images they were.
func TestErrors(t *testing.T) {
	be, err := backend.Open("tape")
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no network\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(be, text, "", feature.Options{Tap: 2048}, true); failure.ClassOf(err) != failure.Input {
		t.Errorf("a text as a network: %v", err)
	}
	n, err := Open(be, classifier(t, be), "", feature.Options{Tap: 2048}, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Moments(context.Background(), feature.Of(images(3, 5)), "input samples"); failure.ClassOf(err) != failure.Input || !strings.Contains(err.Error(), "input samples") {
		t.Errorf("images of another size: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.Moments(ctx, feature.Of(images(3, 4)), "input samples"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	nan := make([]float32, 10)
	nan[3] /= nan[4]
	if _, err := MomentsOf(nan, 5, "input samples"); failure.ClassOf(err) != failure.Numeric {
		t.Errorf("features that are no numbers: %v", err)
	}
}

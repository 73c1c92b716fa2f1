package feature_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/checkpoint"
	"vapo/lib/dataset"
	"vapo/lib/failure"
	"vapo/lib/feature"
	"vapo/lib/metrics"
	"vapo/lib/optim"
	"vapo/lib/training"
)

// classifierFile writes an untrained classifier for grey images of 4x4 pixels.
func classifierFile(t *testing.T, be backend.Backend) string {
	t.Helper()
	o := optim.Config{
		LearningRate: 1e-3, Decay: "constant", HorizonSteps: 1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8,
		BatchImages: 2, EMAHalfLifeImages: []float64{10},
	}
	c := feature.Classifier{Shape: []int{1, 4, 4}, Classes: 3, Channels: 2, Features: 5}
	s, err := training.Classifier(be, c, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Initialise(1); err != nil {
		t.Fatal(err)
	}
	ck, err := s.Checkpoint(0)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "classifier.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := checkpoint.Write(f, ck); err != nil {
		t.Fatal(err)
	}
	return path
}

func greyImages(n, side int) *dataset.Images {
	s := &dataset.Images{N: n, C: 1, H: side, W: side, Pixels: make([]uint8, n*side*side)}
	for i := range s.Pixels {
		s.Pixels[i] = uint8(i * i % 251)
	}
	return s
}

// The moments are those of the features, without the logits that follow them in the network's rows.
func TestMoments(t *testing.T) {
	be := engine(t)
	n, err := feature.Open(be, classifierFile(t, be), "sha256:00", feature.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n.Metric() != feature.ClassifierMetric || n.Weights != "sha256:00" || n.Backend != "tape" {
		t.Errorf("metric %s, weights %s, engine %s, want %s, sha256:00 and tape", n.Metric(), n.Weights, n.Backend,
			feature.ClassifierMetric)
	}
	set := greyImages(70, 4) // more than one block
	got, err := n.Moments(t.Context(), feature.Of(set))
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
		t.Errorf("moments of %d images with mean %v and covariance %v, want 70, %v and %v",
			got.N(), got.Mean(), got.Cov(), want.Mean(), want.Cov())
	}
}

func TestErrorClasses(t *testing.T) {
	be := engine(t)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no network\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, filepath.Join(t.TempDir(), "missing")} {
		if _, err := feature.Open(be, path, "", feature.Options{}); failure.ClassOf(err) != failure.Input {
			t.Errorf("opening a file that holds no network: %v, want an input error", err)
		}
	}
	n, err := feature.Open(be, classifierFile(t, be), "", feature.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Moments(t.Context(), feature.Of(greyImages(3, 5))); failure.ClassOf(err) != failure.Input {
		t.Errorf("images of another size: %v, want an input error", err)
	}
	large := feature.Image{C: 1, H: 5, W: 5, Pixels: make([]uint8, 25)}
	if err := n.Network.Check(large); failure.ClassOf(err) != failure.Input {
		t.Errorf("an image of another size: %v, want an input error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Moments(ctx, feature.Of(greyImages(3, 4))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, want context.Canceled", err)
	}
	m := feature.Matrix{Width: 1, Data: []float32{1, float32(nan())}}
	if _, err := m.Moments(); failure.ClassOf(err) != failure.Numeric {
		t.Errorf("features that are not finite: %v, want a numeric error", err)
	}
}

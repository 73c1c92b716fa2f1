package source

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/random"
)

func TestShapes(t *testing.T) {
	train, test, err := Shapes(1, 16, 3, 700, 50)
	if err != nil {
		t.Fatal(err)
	}
	a, err := gather(t, train)
	if err != nil {
		t.Fatal(err)
	}
	counts := make([]int, 3)
	for _, l := range a.Labels {
		counts[l]++
	}
	if a.N != 700 || a.C != 3 || a.H != 16 || a.Split != "train" || slices.Min(counts) < 180 {
		t.Errorf("%d %s images of %v, %v per label, want 700 train images of [3 16 16] and 180 per label or more",
			a.N, a.Split, a.Shape(), counts)
	}
	// Image k does not depend on the others.
	pixels := make([]uint8, 3*16*16)
	label := drawShape(pixels, 16, 3, random.New(1, "dataset/shapes/train", 677))
	if !slices.Equal(pixels, a.Image(677)) || label != a.Labels[677] {
		t.Error("image 677 or its label differs if it is drawn alone")
	}
	b, err := gather(t, test)
	if err != nil || slices.Equal(b.Image(0), a.Image(0)) {
		t.Errorf("training and test images are the same (%v)", err)
	}
	for _, c := range [][2]int{{3, 3}, {MaxEdge + 1, 3}, {16, 2}} {
		if _, _, err := Shapes(1, c[0], c[1], 1, 1); err == nil {
			t.Errorf("edge and channels %v are accepted", c)
		}
	}
}

// TestStreamBounded: the memory of a stream does not grow with its length, and the stream ends at the first error.
func TestStreamBounded(t *testing.T) {
	train, _, err := Shapes(1, 64, 3, 8000, 1) // 98 MB
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	var most uint64
	n := 0
	if err := train.Each(t.Context(), func(b *dataset.Images) error {
		if n += b.N; n%2048 < b.N {
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
		return nil
	}); err != nil || n != 8000 {
		t.Fatalf("%d images (%v), want 8000", n, err)
	}
	if most > 48<<20 {
		t.Errorf("%d bytes in memory while 98 MB pass, want at most 48 MiB", most)
	}
	stop := errors.New("stop")
	if err := train.Each(t.Context(), func(*dataset.Images) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the one that yield returned", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := train.Each(ctx, func(*dataset.Images) error { cancel(stop); return nil }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the cause of the cancellation", err)
	}
}

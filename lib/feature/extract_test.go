package feature_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"vapo/lib/dataset"
	"vapo/lib/feature"
	"vapo/lib/tensorfile"
)

// memory implements feature.Cache in memory.
type memory map[string][]byte

func (s memory) Save(_ context.Context, key string, value []byte) error {
	s[key] = slices.Clone(value)
	return nil
}

func (s memory) Load(_ context.Context, key string) ([]byte, bool, error) {
	v, ok := s[key]
	return v, ok, nil
}

// broken is a set with an image that cannot be read.
type broken struct {
	feature.Images
	at int
}

var errUnreadable = errors.New("unreadable")

func (b broken) Image(i int) (feature.Image, error) {
	if i == b.at {
		return feature.Image{}, errUnreadable
	}
	return b.Images.Image(i)
}

// extraction counts the images that an extractor computes and those that it finds in the cache.
type extraction struct {
	feature.Extractor
	computed, cached int
}

func newExtraction(t *testing.T, cache feature.Cache) *extraction {
	t.Helper()
	net, err := feature.NewClassifier(engine(t), config, weights(read(t)))
	if err != nil {
		t.Fatal(err)
	}
	e := &extraction{Extractor: feature.Extractor{Network: net, Weights: "sha256:1", Backend: "tape", Cache: cache}}
	e.Progress = func(n int, cached bool) {
		if cached {
			e.cached += n
		} else {
			e.computed += n
		}
	}
	return e
}

func (e *extraction) rows(t *testing.T, set *dataset.Images) []float32 {
	t.Helper()
	e.computed, e.cached = 0, 0
	features, logits, err := e.Extract(t.Context(), feature.Of(set))
	if err != nil {
		t.Fatal(err)
	}
	var rows []float32
	for i := range set.N {
		rows = append(rows, features.Data[i*features.Width:][:features.Width]...)
		rows = append(rows, logits.Data[i*logits.Width:][:logits.Width]...)
	}
	return rows
}

// A larger set reuses the parts of a smaller one, workers share a set, and a killed run resumes. Each gives the same
// bytes as a run that computes everything at once.
func TestPartsAddUp(t *testing.T) {
	const n, row = 3*feature.PartSize + 40, 6 + 4
	all := images(n, nil)
	for i := range n { // make all images different
		copy(all.Image(i), []uint8{uint8(i), uint8(i >> 8)})
	}
	plain := newExtraction(t, nil)
	want := plain.rows(t, all)
	if plain.computed != n || plain.cached != 0 || len(want) != n*row {
		t.Fatalf("%d images computed, %d cached and %d values, want %d, 0 and %d",
			plain.computed, plain.cached, len(want), n, n*row)
	}

	extended := newExtraction(t, memory{})
	small := all.Head(2 * feature.PartSize).(*dataset.Images)
	if got := extended.rows(t, small); !slices.Equal(got, want[:len(got)]) || extended.computed != small.N {
		t.Errorf("features of the first images differ, or %d of %d were computed", extended.computed, small.N)
	}
	got := extended.rows(t, all)
	if !slices.Equal(got, want) || extended.cached != small.N || extended.computed != n-small.N {
		t.Errorf("an extended set gives other features, or %d images were computed and %d cached, want %d and %d",
			extended.computed, extended.cached, n-small.N, small.N)
	}

	shared := memory{}
	for worker := range 3 {
		if err := newExtraction(t, shared).Work(t.Context(), feature.Of(all), worker, 3); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.EqualFunc(shared, extended.Cache.(memory), bytes.Equal) {
		t.Error("three workers did not cache the same parts as one extractor")
	}
	if e := newExtraction(t, shared); !slices.Equal(e.rows(t, all), want) || e.computed != 0 {
		t.Errorf("after all workers had finished, the features differ or %d images were computed, want 0", e.computed)
	}

	// End a run in the third part, by cancellation or by an unreadable image.
	killed := newExtraction(t, memory{})
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("terminated")
	killed.Progress = func(int, bool) {
		if killed.computed++; killed.computed == 10 { // each part has 4 blocks
			cancel(stop)
		}
	}
	if _, _, err := killed.Extract(ctx, feature.Of(all)); !errors.Is(err, stop) || len(killed.Cache.(memory)) != 2 {
		t.Errorf("the cancelled run ended with %v and cached %d parts, want %v and 2",
			err, len(killed.Cache.(memory)), stop)
	}
	failed := newExtraction(t, killed.Cache)
	_, _, err := failed.Extract(t.Context(), broken{feature.Of(all), 2*feature.PartSize + 7})
	if !errors.Is(err, errUnreadable) {
		t.Errorf("an image that cannot be read: error %v, want %v", err, errUnreadable)
	}
	if got := failed.rows(t, all); !slices.Equal(got, want) || failed.cached != 2*feature.PartSize {
		t.Errorf("after a cancelled run, the features differ or %d images were cached, want %d",
			failed.cached, 2*feature.PartSize)
	}
}

// The key of a part depends on the pixels, the network, its weights and the engine. A damaged part is recomputed.
func TestPartKeys(t *testing.T) {
	cache := memory{}
	set := images(30, nil)
	want := newExtraction(t, cache).rows(t, set)
	for name, edit := range map[string]func(e *extraction, set *dataset.Images){
		"weights": func(e *extraction, _ *dataset.Images) { e.Weights = "sha256:2" },
		"engine":  func(e *extraction, _ *dataset.Images) { e.Backend = "xla-cuda" },
		"pixels":  func(_ *extraction, set *dataset.Images) { set.Pixels[29*128]++ },
		"count":   func(_ *extraction, set *dataset.Images) { set.N--; set.Pixels = set.Pixels[:29*128] },
	} {
		e, other := newExtraction(t, maps.Clone(cache)), images(30, nil)
		edit(e, other)
		if e.rows(t, other); e.computed != other.N {
			t.Errorf("a cached part was used although the %s changed", name)
		}
	}
	named := images(30, []int64{})
	named.Name, named.Labels = "another name", nil
	if e := newExtraction(t, cache); !slices.Equal(e.rows(t, named), want) || e.cached != 30 {
		t.Error("the features or cached parts depend on the name or labels of the set")
	}
	for key, value := range cache {
		for _, bad := range [][]byte{nil, value[:len(value)/2], []byte("ARROW1")} {
			e := newExtraction(t, memory{key: bad})
			if got := e.rows(t, set); !slices.Equal(got, want) || e.computed != 30 {
				t.Errorf("a damaged part of %d bytes: the features differ or %d images were computed, want 30",
					len(bad), e.computed)
			}
		}
	}
}

func TestTable(t *testing.T) {
	rows := []float32{1, 2, 4, 5}
	f, l := feature.Matrix{Width: 2, Data: rows}, feature.Matrix{Width: 1, Data: []float32{3, 6}}
	features, logits, err := feature.FromTable(feature.Table(f, l))
	if err != nil || features.Width != 2 || logits.Width != 1 ||
		!slices.Equal(features.Data, f.Data) || !slices.Equal(logits.Data, l.Data) {
		t.Errorf("the table came back as features %v and logits %v (%v), want no change", features, logits, err)
	}
	if _, logits, err := feature.FromTable(feature.Table(f, feature.Matrix{})); err != nil || logits.Width != 0 {
		t.Errorf("a table without logits came back with logits %v (%v), want none", logits, err)
	}
	for name, c := range map[string]tensorfile.Column{
		"another column": {Name: "image", Shape: []int{2}, Data: rows},
		"bytes":          {Name: "features", Shape: []int{1}, Data: []uint8{1, 2}},
		"scalars":        {Name: "features", Data: rows[:2]},
		"nan":            {Name: "features", Shape: []int{1}, Data: []float32{1, float32(nan())}},
	} {
		if _, _, err := feature.FromTable(&tensorfile.Table{Rows: 2, Columns: []tensorfile.Column{c}}); err == nil {
			t.Errorf("%s was accepted as features", name)
		}
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

package artifact_test

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"testing"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/objectstore"
)

// shifted is a store whose clock differs from this machine's.
type shifted struct {
	objectstore.Store
	by time.Duration
}

func (s *shifted) shift(info objectstore.Info) objectstore.Info {
	info.ModTime = info.ModTime.Add(s.by)
	if !info.Date.IsZero() {
		info.Date = info.Date.Add(s.by)
	}
	return info
}

func (s *shifted) Get(ctx context.Context, key string) (io.ReadCloser, objectstore.Info, error) {
	body, info, err := s.Store.Get(ctx, key)
	return body, s.shift(info), err
}

func (s *shifted) Head(ctx context.Context, key string) (objectstore.Info, error) {
	info, err := s.Store.Head(ctx, key)
	return s.shift(info), err
}

func (s *shifted) List(ctx context.Context, prefix string) iter.Seq2[objectstore.Info, error] {
	return func(yield func(objectstore.Info, error) bool) {
		for info, err := range s.Store.List(ctx, prefix) {
			if !yield(s.shift(info), err) {
				return
			}
		}
	}
}

// TestClockOfTheStore: ages are measured by the store's clock, however wrong the local clock is.
func TestClockOfTheStore(t *testing.T) {
	for _, by := range []time.Duration{-1000 * time.Hour, 1000 * time.Hour} {
		s := artifact.New(&shifted{open(t).Objects(), by})
		d := put(t, s, "x")
		rec := record(t, "train", map[string]artifact.Digest{"x": d})
		if _, _, err := s.Publish(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		before, err := s.Record(t.Context(), rec.Key)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := s.Renew(t.Context(), before); !ok || err != nil {
			t.Errorf("Renew returns %v, %v, want true", ok, err)
		}
		if after, err := s.Record(t.Context(), rec.Key); err != nil || !after.Renewed.IsZero() {
			t.Errorf("clock off by %v: a young record was renewed, or cannot be read: error %v", by, err)
		}
		what := func(age time.Duration) func(*artifact.Contents) artifact.Collection {
			return func(*artifact.Contents) artifact.Collection {
				return artifact.Collection{Grace: age, Delete: true}
			}
		}
		if freed, err := collect(t.Context(), s, what(artifact.GracePeriod)); err != nil || len(freed) > 0 {
			t.Errorf("clock off by %v: freed %v, error %v, want nothing, because all objects are young", by, freed, err)
		}
		time.Sleep(2 * time.Second)
		if freed, err := collect(t.Context(), s, what(time.Second)); err != nil || freed["blobs"].Objects != 1 {
			t.Errorf("clock off by %v: freed %v, error %v, want 1 old blob", by, freed, err)
		}
	}
}

// TestRenewedRecordIsRead: a renewed record has the same outputs, and Renew returns false for a copy that was read
// before the renewal.
func TestRenewedRecordIsRead(t *testing.T) {
	defer artifact.SetRenewAge(-time.Minute)() // negative, because the Date header may lag behind an object's time
	s := open(t)
	rec := record(t, "train", map[string]artifact.Digest{"x": put(t, s, "x")})
	if _, _, err := s.Publish(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	first, err := s.Record(t.Context(), rec.Key)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Renew(t.Context(), first); !ok || err != nil {
		t.Fatalf("Renew returns %v, %v, want true", ok, err)
	}
	second, err := s.Record(t.Context(), rec.Key)
	if err != nil || second.Renewed.IsZero() || !json.Valid(second.Manifest) || second.Outputs["x"] != first.Outputs["x"] {
		t.Errorf("the renewed record is %+v, error %v, want a time of renewal, a manifest in JSON and output x %s",
			second, err, first.Outputs["x"])
	}
	if ok, err := s.Renew(t.Context(), first); ok || err != nil {
		t.Errorf("Renew of a record that has changed returns %v, %v, want false, nil", ok, err)
	}
}

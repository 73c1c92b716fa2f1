package artifact_test

import (
	"errors"
	"fmt"
	"testing"

	"vapo/lib/artifact"
)

func TestSeries(t *testing.T) {
	s := open(t)
	series := record(t, "a series", nil).Key
	below := func(length int64) (int64, string) {
		t.Helper()
		rec, n, err := s.LongestBelow(t.Context(), series, length)
		if errors.Is(err, artifact.ErrNotFound) {
			return -1, ""
		}
		if err != nil {
			t.Fatal(err)
		}
		return n, rec.Key
	}
	if n, _ := below(1 << 40); n != -1 {
		t.Errorf("an empty series has an action of length %d", n)
	}
	keys := map[int64]string{}
	for _, n := range []int64{5, 1000, 20, 300} { // the lexical order differs from the numeric order
		rec := record(t, fmt.Sprint("of length ", n), map[string]artifact.Digest{"out": put(t, s, fmt.Sprint(n))})
		if _, _, err := s.Publish(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		if err := s.AddToSeries(t.Context(), series, n, rec.Key); err != nil {
			t.Fatal(err)
		}
		keys[n] = rec.Key
	}
	for _, c := range []struct{ length, want int64 }{{5, -1}, {6, 5}, {20, 5}, {300, 20}, {301, 300}, {1 << 40, 1000}} {
		if n, key := below(c.length); n != c.want || key != keys[n] {
			t.Errorf("below %d: length %d, action %q, want length %d, action %q", c.length, n, key, c.want, keys[n])
		}
	}
	// An entry whose record does not exist is skipped.
	if err := s.AddToSeries(t.Context(), series, 400, record(t, "never published", nil).Key); err != nil {
		t.Fatal(err)
	}
	if n, _ := below(401); n != 300 {
		t.Errorf("below 401: length %d, want 300, because the action of length 400 was never published", n)
	}
	if err := s.AddToSeries(t.Context(), "../x", 1, keys[5]); err == nil {
		t.Error("a path was accepted as a series")
	}
	if err := s.AddToSeries(t.Context(), series, 1, "x"); err == nil {
		t.Error("an invalid key was added")
	}
}

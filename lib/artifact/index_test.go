package artifact_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/artifact"
)

// TestIndex: an index lists what the records say, and reads only records that are new or were replaced.
func TestIndex(t *testing.T) {
	s, file := onDisk(t)
	made, damaged := map[string]artifact.Made{}, 0
	index := func(what string, wantChange bool, wantDamaged int, keys ...string) {
		t.Helper()
		damaged = 0
		changed, err := s.Index(t.Context(), "", made, func(err error) {
			if !errors.Is(err, artifact.ErrCorrupt) {
				t.Error(err)
			}
			damaged++
		})
		if err != nil || changed != wantChange || damaged != wantDamaged || len(made) != len(keys) {
			t.Errorf("index %s: changed %v, %d damaged, %d records, error %v, want %v, %d, %d",
				what, changed, damaged, len(made), err, wantChange, wantDamaged, len(keys))
		}
		for _, key := range keys {
			if _, ok := made[key]; !ok {
				t.Errorf("index %s: made lacks %s", what, key)
			}
		}
	}
	index("of an empty store", false, 0)
	d := put(t, s, "weights")
	a, b := record(t, "a", map[string]artifact.Digest{"x": d}), record(t, "b", nil)
	for _, rec := range []artifact.Record{a, b} {
		if _, _, err := s.Publish(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	index("of two records", true, 0, a.Key, b.Key)
	if got := made[a.Key]; got.Stage != "a" || got.Version != 1 || got.Created.IsZero() || got.Outputs["x"] != d {
		t.Errorf("Index returns %+v for record a, want stage a, version 1, a time and output x %s", got, d)
	}
	index("again", false, 0, a.Key, b.Key)

	// A record whose object has not changed is not read again.
	path := file("actions/" + a.Key + ".json")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	garbage := []byte(strings.Repeat("x", int(info.Size())))
	if err := errors.Join(os.WriteFile(path, garbage, 0), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	index("of the same objects", false, 0, a.Key, b.Key)
	if err := os.Chtimes(path, time.Now(), info.ModTime().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	index("of a damaged record", true, 1, b.Key)
	index("of a record that is still damaged", false, 1, b.Key)
	if _, _, err := s.Publish(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	index("of a record that was replaced", true, 0, a.Key, b.Key)
	if err := s.Objects().Delete(t.Context(), "actions/"+b.Key+".json"); err != nil {
		t.Fatal(err)
	}
	index("of a record that is gone", true, 0, a.Key)
	part := map[string]artifact.Made{}
	for _, prefix := range strings.Split("0123456789abcdef", "") {
		clear(part)
		changed, err := s.Index(t.Context(), prefix, part, func(err error) { t.Error(err) })
		if err != nil || changed != (prefix == a.Key[:1]) {
			t.Errorf("index of records that begin with %s: changed %v, error %v, want %v",
				prefix, changed, err, prefix == a.Key[:1])
		}
	}
	if diff := cmp.Diff(map[string]artifact.Digest{"x": d}, made[a.Key].Outputs); diff != "" {
		t.Error(diff)
	}
}

package objectstoretest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"vapo/lib/objectstore"
)

func exists(t testing.TB, s objectstore.Store, key string) bool {
	t.Helper()
	_, err := s.Head(t.Context(), key)
	if err != nil && !errors.Is(err, objectstore.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func testDeleteUnchanged(t *testing.T, s objectstore.Store) {
	fill := func() (objects []objectstore.Info) {
		for _, key := range []string{"a", "b/c", "d e&ü"} {
			put(t, s, key, key, objectstore.PutOptions{})
		}
		for info, err := range s.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, info)
		}
		return objects
	}
	objects := append(fill(), objectstore.Info{Key: "nobody", ETag: "x"})
	if changed, err := s.DeleteUnchanged(t.Context(), objects, time.Now()); err != nil || len(changed) > 0 {
		t.Errorf("changed objects: %v, error %v, want none", changed, err)
	}
	for _, info := range objects {
		if exists(t, s, info.Key) {
			t.Errorf("%s was not deleted", info.Key)
		}
	}
	// If the objects were listed too long ago, only unchanged ones are deleted.
	objects = fill()
	put(t, s, "a", "changed", objectstore.PutOptions{})
	if err := s.Delete(t.Context(), "b/c"); err != nil {
		t.Fatal(err)
	}
	changed, err := s.DeleteUnchanged(t.Context(), objects, time.Now().Add(-time.Minute))
	if err != nil || !slices.Equal(changed, objects[:1]) || !exists(t, s, "a") || exists(t, s, "d e&ü") {
		t.Errorf("changed objects: %v, error %v, want only a; a, d e&ü exist: %v, %v, want only a",
			changed, err, exists(t, s, "a"), exists(t, s, "d e&ü"))
	}
	if _, err := s.DeleteUnchanged(t.Context(), nil, time.Time{}); err != nil {
		t.Error(err)
	}
	many := make([]objectstore.Info, objectstore.MaxDelete+1)
	if _, err := s.DeleteUnchanged(t.Context(), many, time.Now()); err == nil {
		t.Error("too many objects were accepted")
	}
}

package localcache

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestLoadWhatWasSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "file")
	want := map[string][]int{"a": {1, 2}, "b": nil}
	load := func() map[string][]int {
		got := map[string][]int{}
		Load(path, &got)
		return got
	}
	if got := load(); len(got) > 0 {
		t.Errorf("loaded %v without a file, want nothing", got)
	}
	Save(path, want)
	if got := load(); !maps.EqualFunc(got, want, func(a, b []int) bool { return len(a) == len(b) }) {
		t.Errorf("loaded %v, want %v", got, want)
	}
	var other map[string]string
	if Load(path, &other); len(other) > 0 {
		t.Errorf("loaded %v as another type, want nothing", other)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := [][]byte{nil, whole[:20], whole[:len(whole)-1]}
	for i := range whole {
		flipped := append([]byte(nil), whole...)
		flipped[i] ^= 1
		damaged = append(damaged, flipped)
	}
	for i, data := range damaged {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := load(); len(got) > 0 {
			t.Errorf("loaded %v from damaged file %d, want nothing", got, i)
		}
	}
	Save(filepath.Join(path, "below", "a file"), want) // does not fail
}

package artifact_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/artifact"
	"vapo/lib/objectstore"
)

// TestGoldenRecord: a record that an earlier version stored can still be read, and is still written in the same form.
func TestGoldenRecord(t *testing.T) {
	const key = "36d1d051176886b5e4153472f2c80b84f7ada1a9710d267fbd8dd5d289728b15"
	stored, err := os.ReadFile(filepath.Join("testdata", "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t)
	output := put(t, s, "a checkpoint")
	name := "actions/" + key + ".json"
	put := func(content string) {
		t.Helper()
		r, size := strings.NewReader(content), int64(len(content))
		if _, err := s.Objects().Put(t.Context(), name, r, size, objectstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put(string(stored))
	rec, err := s.Record(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]artifact.Digest{"checkpoint": output}, rec.Outputs); d != "" {
		t.Error(d)
	}
	if err := s.Objects().Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, won, err := s.Publish(t.Context(), *rec); err != nil || !won {
		t.Fatalf("Publish returns won %v, error %v, want true", won, err)
	}
	again, _, err := s.Objects().Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	data, err := io.ReadAll(again)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(stored), string(data)); d != "" {
		t.Error(d)
	}
	put(string(stored) + "{}")
	if _, err := s.Record(t.Context(), key); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("bytes after the document: error %v, want ErrCorrupt", err)
	}
}

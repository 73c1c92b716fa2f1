package artifact_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/objectstoretest"
)

// onDisk returns a store whose objects a test can damage. file returns the path of the file that holds an object.
func onDisk(t *testing.T) (s *artifact.Store, file func(key string) string) {
	t.Helper()
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child, env, err := embedded.Start(t.Context(), dir, exe)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Close() })
	return artifact.New(objectstoretest.Open(t, env)), func(key string) string {
		return filepath.Join(dir, ".vapo", "store", "vapo", filepath.FromSlash(key))
	}
}

func TestCorruptBlob(t *testing.T) {
	s, file := onDisk(t)
	content := strings.Repeat("some content ", 100_000)
	d := put(t, s, content)
	damaged := []byte(content)
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(file(blobKey(d)), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := read(t, s, d)
	var corrupt *artifact.CorruptError
	if !errors.Is(err, artifact.ErrCorrupt) || !errors.As(err, &corrupt) {
		t.Fatalf("read of a damaged blob: error %v, want a CorruptError", err)
	}
	if !strings.Contains(err.Error(), d.Hex()) || corrupt.Hint == "" {
		t.Errorf("error %q with hint %q does not name the blob or a remedy", err, corrupt.Hint)
	}
	to := filepath.Join(t.TempDir(), "to")
	if err := s.Fetch(t.Context(), d, to); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("fetch of a damaged blob: error %v, want ErrCorrupt", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(to)); len(entries) != 0 {
		t.Errorf("fetch left %v, want nothing", entries)
	}
	if err := s.Verify(t.Context(), d); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("verify of a damaged blob: error %v, want ErrCorrupt", err)
	}
	put(t, s, content) // as the run that repeats the action does
	if err := s.Verify(t.Context(), d); err != nil {
		t.Error(err)
	}
}

// TestTruncatedBlobIsRepaired: a blob that a crash truncated can be stored again.
func TestTruncatedBlobIsRepaired(t *testing.T) {
	s, file := onDisk(t)
	d := put(t, s, "some content")
	if err := os.Truncate(file(blobKey(d)), 4); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, s, d); !errors.Is(err, artifact.ErrCorrupt) {
		t.Fatalf("read of a truncated blob: error %v, want ErrCorrupt", err)
	}
	put(t, s, "some content")
	if got, err := read(t, s, d); err != nil || got != "some content" {
		t.Errorf("read %q, error %v, want %q", got, err, "some content")
	}
}

func TestCorruptDocuments(t *testing.T) {
	s, file := onDisk(t)
	d := put(t, s, "x")
	rec, other := record(t, "a", map[string]artifact.Digest{"x": d}), record(t, "b", map[string]artifact.Digest{"x": d})
	for _, r := range []artifact.Record{rec, other} {
		if _, _, err := s.Publish(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	path := file("actions/" + rec.Key + ".json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(file("actions/" + other.Key + ".json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"cut":             good[:len(good)/2],
		"empty":           nil,
		"another record":  foreign,
		"changed":         bytes.Replace(good, []byte(`"n"`), []byte(`"m"`), 1),
		"no digest":       bytes.Replace(good, []byte("sha256:"), []byte("sha25:"), 1),
		"not an object":   []byte("[]"),
		"null":            []byte("null"),
		"other outputs":   bytes.Replace(good, []byte(`"outputs": {`), []byte(`"outputs": {"y": {"digest": "`+d+`"}, `), 1),
		"only its key":    []byte(`{"key":"` + rec.Key + `"}`),
		"not JSON at all": []byte("\x00\x01"),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Record(t.Context(), rec.Key); !errors.Is(err, artifact.ErrCorrupt) {
			t.Errorf("%s: error %v, want ErrCorrupt", name, err)
		}
	}
	if made, damaged := index(t, s); len(made) != 1 || damaged != 1 {
		t.Errorf("the store has the records %+v and %d damaged ones, want one of each", made, damaged)
	}
	if _, won, err := s.Publish(t.Context(), rec); err != nil || !won {
		t.Errorf("Publish over a damaged record: won %v, error %v, want true", won, err)
	}

	if err := s.SetRef(t.Context(), "r", d); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("refs/r.ref"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ref(t.Context(), "r"); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("a damaged ref: error %v, want ErrCorrupt", err)
	}

	live := s.Live(rec.Key)
	if err := live.Save(t.Context(), "state", strings.NewReader("progress")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("live/"+rec.Key+"/state/state"), []byte("pr0gress"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := live.Load(t.Context(), "state")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("a damaged live state: error %v, want ErrCorrupt", err)
	}
}

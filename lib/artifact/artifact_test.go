package artifact_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/artifact"
	"vapo/lib/cachekey"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/objectstoretest"
)

func TestMain(m *testing.M) { os.Exit(objectstoretest.Main(m)) }

// noBlob is the digest of a blob that no test stores.
var noBlob = artifact.Digest("sha256:" + strings.Repeat("0", 64))

// sizes holds the sizes of the blobs that put has stored, by digest.
var sizes sync.Map

func open(t testing.TB) *artifact.Store {
	t.Helper()
	return artifact.New(objectstoretest.Embedded(t))
}

func put(t testing.TB, s *artifact.Store, content string) artifact.Digest {
	t.Helper()
	d, n, err := s.Put(t.Context(), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(len(content)) {
		t.Errorf("Put returned size %d, want %d", n, len(content))
	}
	sizes.Store(d, n)
	return d
}

func read(t testing.TB, s *artifact.Store, d artifact.Digest) (string, error) {
	r, err := s.Open(t.Context(), d)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

func blobKey(d artifact.Digest) string {
	return "blobs/sha256/" + d.Hex()[:2] + "/" + d.Hex()
}

func record(t testing.TB, stage string, outputs map[string]artifact.Digest) artifact.Record {
	t.Helper()
	a := cachekey.Action{Contract: 1, Stage: stage, Version: 1, Params: map[string]any{"n": 1, "text": "a<b"}}
	key, err := a.Key()
	if err != nil {
		t.Fatal(err)
	}
	pre, err := a.Preimage()
	if err != nil {
		t.Fatal(err)
	}
	m := contract.Manifest{Stage: stage, Outputs: map[string]contract.Output{}}
	for name, d := range outputs {
		size, _ := sizes.Load(d)
		n, _ := size.(int64)
		m.Outputs[name] = contract.Output{Digest: string(d), Size: n}
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return artifact.Record{Key: key, Action: pre, Manifest: manifest, Outputs: outputs}
}

func TestBlobs(t *testing.T) {
	s := open(t)
	// The digest was computed by sha256sum.
	const want = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	d := put(t, s, "hello\n")
	if d != want {
		t.Errorf("digest is %s, want %s", d, want)
	}
	if again := put(t, s, "hello\n"); again != d {
		t.Errorf("storing the blob again returns digest %s, want %s", again, d)
	}
	if got, err := read(t, s, d); err != nil || got != "hello\n" {
		t.Errorf("read %q, error %v, want %q", got, err, "hello\n")
	}
	if size, ok, err := s.Has(t.Context(), d); size != 6 || !ok || err != nil {
		t.Errorf("Has returns %d, %v, %v, want 6, true, nil", size, ok, err)
	}
	if size, ok, err := s.Has(t.Context(), noBlob); size != 0 || ok || err != nil {
		t.Errorf("Has of a missing blob returns %d, %v, %v, want 0, false, nil", size, ok, err)
	}
	if _, err := s.Open(t.Context(), noBlob); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("open of a missing blob: error %v, want ErrNotFound", err)
	}
	if _, err := s.Open(t.Context(), "md5:00"); err == nil || errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("open of an invalid digest: error %v, want one other than ErrNotFound", err)
	}
	if d := put(t, s, ""); d.Hex()[:8] != "e3b0c442" {
		t.Errorf("the digest of the empty blob is %s, want one that begins with e3b0c442", d)
	}
}

func TestFiles(t *testing.T) {
	s := open(t)
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	content := strings.Repeat("0123456789abcdef", 1<<20) + "!" // more than one part of a multipart upload
	if err := os.WriteFile(from, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var sent []int64
	d, n, err := s.PutFile(t.Context(), from, func(done, size int64) {
		if size != int64(len(content)) {
			t.Fatalf("PutFile reports a size of %d, want %d", size, len(content))
		}
		sent = append(sent, done)
	})
	if !slices.IsSorted(sent) || len(sent) < 2 || sent[len(sent)-1] != int64(len(content)) {
		t.Errorf("PutFile reports %v bytes sent, want several ascending numbers up to %d", sent, len(content))
	}
	if err != nil || n != int64(len(content)) {
		t.Fatalf("PutFile returns size %d, error %v, want %d", n, err, len(content))
	}
	if err := os.WriteFile(to, []byte("older and longer than nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Fetch(t.Context(), d, to); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(to)
	if err != nil || string(got) != content {
		t.Fatalf("Fetch wrote %d bytes, error %v, want the %d bytes that PutFile stored", len(got), err, len(content))
	}
	if _, _, err := s.PutFile(t.Context(), filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("PutFile of a missing file: error %v, want os.ErrNotExist", err)
	}
	// Files that change or cannot be read while they are sent are no failures of the store.
	write := func(text string) {
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	write(content[1:] + "?")
	_, _, err = s.PutFile(t.Context(), from, func(int64, int64) { write(content) })
	if !errors.Is(err, objectstore.ErrContent) || failure.ClassOf(err) != failure.Integrity ||
		!strings.Contains(failure.HintOf(err), "store it again") {
		t.Errorf("PutFile of a changing file: error %v (%v), want ErrContent (integrity)", err, failure.ClassOf(err))
	}
	if _, _, err := s.PutFile(t.Context(), dir, nil); failure.ClassOf(err) != failure.Input {
		t.Errorf("PutFile of a directory: error %v (%v), want class input", err, failure.ClassOf(err))
	}
	if err := s.Fetch(t.Context(), noBlob, filepath.Join(dir, "absent")); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("Fetch of a missing blob: error %v, want ErrNotFound", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("the directory has %v, want only the stored and the fetched file", entries)
	}
}

func TestPublish(t *testing.T) {
	s := open(t)
	a, b := put(t, s, "a"), put(t, s, "b")
	first := record(t, "train", map[string]artifact.Digest{"checkpoint": a})
	if _, err := s.Record(t.Context(), first.Key); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("Record before Publish: error %v, want ErrNotFound", err)
	}
	standing, won, err := s.Publish(t.Context(), first)
	if err != nil || !won || standing.Outputs["checkpoint"] != a || standing.Created.IsZero() {
		t.Fatalf("Publish returns %+v, %v, %v, want checkpoint %s and a time, true, nil", standing, won, err, a)
	}
	second := record(t, "train", map[string]artifact.Digest{"checkpoint": b})
	standing, won, err = s.Publish(t.Context(), second)
	if err != nil || won || standing.Outputs["checkpoint"] != a {
		t.Fatalf("the second Publish returns %+v, %v, %v, want the first record, false, nil", standing, won, err)
	}
	got, err := s.Record(t.Context(), first.Key)
	if err != nil {
		t.Fatal(err)
	}
	act, err := cachekey.Parse(got.Action)
	if err != nil || act.Stage != "train" {
		t.Errorf("the stored action is %+v, error %v, want stage train", act, err)
	}
	var manifest struct{ Stage string }
	if err := json.Unmarshal(got.Manifest, &manifest); err != nil || manifest.Stage != "train" {
		t.Errorf("the stored manifest is %s, error %v, want stage train", got.Manifest, err)
	}
	if diff := cmp.Diff(standing.Outputs, got.Outputs); diff != "" {
		t.Error(diff)
	}

	if made, damaged := index(t, s); len(made) != 1 || damaged != 0 || len(made[first.Key].Outputs) != len(got.Outputs) {
		t.Errorf("the store has the records %+v and %d damaged ones, want only that of %s", made, damaged, first.Key)
	}
}

func TestPublishRefuses(t *testing.T) {
	s := open(t)
	_, _, err := s.Publish(t.Context(), record(t, "a", map[string]artifact.Digest{"x": noBlob}))
	if failure.ClassOf(err) != failure.Integrity || !strings.Contains(err.Error(), string(noBlob)) {
		t.Errorf("Publish with a missing blob: error %v, want class integrity and the digest", err)
	}
	wrongKey := record(t, "a", nil)
	wrongKey.Key = record(t, "b", nil).Key
	noKey := record(t, "a", nil)
	noKey.Key = "../../etc/passwd"
	noManifest := record(t, "a", nil)
	noManifest.Manifest = nil
	noDigest := record(t, "a", map[string]artifact.Digest{"x": "latest"})
	for i, rec := range []artifact.Record{wrongKey, noKey, noManifest, noDigest} {
		if _, _, err := s.Publish(t.Context(), rec); err == nil {
			t.Errorf("record %d was published, want an error", i)
		}
	}
	if made, damaged := index(t, s); len(made) != 0 || damaged != 0 {
		t.Errorf("the store has the records %+v and %d damaged ones, want none", made, damaged)
	}
}

// TestPublishRace: of several publishers with different results one wins, and all of them receive the winner's record.
func TestPublishRace(t *testing.T) {
	s := open(t)
	var wins atomic.Int64
	var wg sync.WaitGroup
	digests := make([]artifact.Digest, 16)
	for i := range digests {
		wg.Go(func() {
			d := put(t, s, fmt.Sprint(i))
			standing, won, err := s.Publish(t.Context(), record(t, "race", map[string]artifact.Digest{"x": d}))
			if err != nil {
				t.Error(err)
				return
			}
			if won {
				wins.Add(1)
			}
			digests[i] = standing.Outputs["x"]
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d publishers won, want 1", wins.Load())
	}
	for _, d := range digests {
		if d != digests[0] || d == "" {
			t.Fatalf("the publishers got outputs %q, want the same digest for all", digests)
		}
	}
}

// index returns all records, by key, and the number of damaged ones.
func index(t testing.TB, s *artifact.Store) (made map[string]artifact.Made, damaged int) {
	t.Helper()
	made = map[string]artifact.Made{}
	if _, err := s.Index(t.Context(), "", made, func(error) { damaged++ }); err != nil {
		t.Fatal(err)
	}
	return made, damaged
}

// missing describes the first output of a record that the store lacks.
func missing(t testing.TB, s *artifact.Store, rec artifact.Record) string {
	t.Helper()
	m, err := contract.DecodeManifest(rec.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.Missing(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestMissingBlobIsAMiss: Missing reports the missing blob of a record, and the next Publish replaces the record.
func TestMissingBlobIsAMiss(t *testing.T) {
	s := open(t)
	a, b := put(t, s, "a"), put(t, s, "b")
	rec := record(t, "train", map[string]artifact.Digest{"x": a, "y": b})
	if _, _, err := s.Publish(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if text := missing(t, s, rec); text != "" {
		t.Error(text)
	}
	if err := s.Objects().Delete(t.Context(), blobKey(b)); err != nil {
		t.Fatal(err)
	}
	if text := missing(t, s, rec); !strings.Contains(text, "lost output y ("+string(b)) {
		t.Errorf("Missing returns %q, want output y and %s", text, b)
	}
	c := put(t, s, "c")
	again := record(t, "train", map[string]artifact.Digest{"x": a, "y": c})
	standing, won, err := s.Publish(t.Context(), again)
	if err != nil || !won || standing.Outputs["y"] != c {
		t.Fatalf("Publish over an incomplete record returns %+v, %v, %v, want output y %s, true, nil", standing, won, err, c)
	}
	if got, err := s.Record(t.Context(), rec.Key); err != nil || got.Outputs["y"] != c {
		t.Errorf("the record is %+v, error %v, want output y %s", got, err, c)
	}
}

// TestRecordThatLies: the next Publish replaces a record that states a wrong size, or lacks an output.
func TestRecordThatLies(t *testing.T) {
	s := open(t)
	outputs := map[string]artifact.Digest{"x": put(t, s, "a"), "y": put(t, s, "b")}
	honest := record(t, "train", outputs)
	size := honest
	size.Manifest = []byte(strings.Replace(string(honest.Manifest), `"size":1`, `"size":1450000000`, 1))
	fewer := record(t, "train", map[string]artifact.Digest{"x": outputs["x"]})
	for name, lie := range map[string]artifact.Record{"size": size, "fewer outputs": fewer} {
		data, err := json.Marshal(lie)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Objects().Put(t.Context(), "actions/"+lie.Key+".json", strings.NewReader(string(data)), -1,
			objectstore.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if standing, won, err := s.Publish(t.Context(), honest); err != nil || !won {
			t.Errorf("%s: Publish returns %+v, %v, %v, want the new record, true, nil", name, standing, won, err)
		}
	}
	if _, _, err := s.Publish(t.Context(), size); failure.ClassOf(err) != failure.Integrity {
		t.Errorf("Publish of a record with a wrong size: error %v, want class integrity", err)
	}
}

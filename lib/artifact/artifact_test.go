package artifact_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vapo/lib/artifact"
	"vapo/lib/cachekey"
	"vapo/lib/contract"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/objectstoretest"
)

func TestMain(m *testing.M) { os.Exit(objectstoretest.Main(m)) }

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
		t.Errorf("%d bytes were stored of %d", n, len(content))
	}
	return d
}

func read(s *artifact.Store, t testing.TB, d artifact.Digest) (string, error) {
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
	a := cachekey.Action{Contract: 1, Stage: stage, Version: 1, Params: map[string]any{"n": 1}}
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
		m.Outputs[name] = contract.Output{Digest: string(d)}
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return artifact.Record{Key: key, Action: pre, Manifest: manifest, Outputs: outputs}
}

func TestBlobs(t *testing.T) {
	s := open(t)
	// sha256 of "hello\n", from coreutils.
	const want = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	d := put(t, s, "hello\n")
	if d != want {
		t.Errorf("digest is %s", d)
	}
	if again := put(t, s, "hello\n"); again != d {
		t.Errorf("stored again as %s", again)
	}
	if got, err := read(s, t, d); err != nil || got != "hello\n" {
		t.Errorf("read %q, %v", got, err)
	}
	if size, ok, err := s.Has(t.Context(), d); size != 6 || !ok || err != nil {
		t.Errorf("has: %d, %v, %v", size, ok, err)
	}
	other := artifact.Digest("sha256:" + strings.Repeat("0", 64))
	if size, ok, err := s.Has(t.Context(), other); size != 0 || ok || err != nil {
		t.Errorf("has of a missing blob: %d, %v, %v", size, ok, err)
	}
	if _, err := s.Open(t.Context(), other); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("open of a missing blob: %v", err)
	}
	if _, err := s.Open(t.Context(), "md5:00"); err == nil || errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("open of what is no digest: %v", err)
	}
	if d := put(t, s, ""); d.Hex()[:8] != "e3b0c442" {
		t.Errorf("the empty blob is %s", d)
	}
}

func TestFiles(t *testing.T) {
	s := open(t)
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	content := strings.Repeat("0123456789abcdef", 1<<20) + "!" // more than one part
	if err := os.WriteFile(from, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	d, n, err := s.PutFile(t.Context(), from)
	if err != nil || n != int64(len(content)) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if err := os.WriteFile(to, []byte("older and longer than nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Fetch(t.Context(), d, to); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(to)
	if err != nil || string(got) != content {
		t.Fatalf("%d bytes fetched, %v", len(got), err)
	}
	if _, _, err := s.PutFile(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := s.Fetch(t.Context(), "sha256:"+artifact.Digest(strings.Repeat("0", 64)), filepath.Join(dir, "absent")); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("a missing blob: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("temporary files were left: %v", entries)
	}
}

func TestPublish(t *testing.T) {
	s := open(t)
	a, b := put(t, s, "a"), put(t, s, "b")
	first := record(t, "train", map[string]artifact.Digest{"checkpoint": a})
	if _, err := s.Record(t.Context(), first.Key); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("record before it was published: %v", err)
	}
	standing, won, err := s.Publish(t.Context(), first)
	if err != nil || !won || standing.Outputs["checkpoint"] != a || standing.Created.IsZero() {
		t.Fatalf("publish: %+v, %v, %v", standing, won, err)
	}
	second := record(t, "train", map[string]artifact.Digest{"checkpoint": b})
	standing, won, err = s.Publish(t.Context(), second)
	if err != nil || won || standing.Outputs["checkpoint"] != a {
		t.Fatalf("the second publisher gets %+v, %v, %v", standing, won, err)
	}
	got, err := s.Record(t.Context(), first.Key)
	if err != nil {
		t.Fatal(err)
	}
	act, err := cachekey.Parse(got.Action)
	if err != nil || act.Stage != "train" {
		t.Errorf("the stored action is %+v, %v", act, err)
	}
	var manifest struct{ Stage string }
	if err := json.Unmarshal(got.Manifest, &manifest); err != nil || manifest.Stage != "train" {
		t.Errorf("the stored manifest is %s, %v", got.Manifest, err)
	}
	if diff := cmp.Diff(standing.Outputs, got.Outputs); diff != "" {
		t.Error(diff)
	}

	var keys []string
	for rec, err := range s.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, rec.Key)
	}
	if diff := cmp.Diff([]string{first.Key}, keys); diff != "" {
		t.Error(diff)
	}
}

func TestPublishRefuses(t *testing.T) {
	s := open(t)
	missing := artifact.Digest("sha256:" + strings.Repeat("0", 64))
	if _, _, err := s.Publish(t.Context(), record(t, "a", map[string]artifact.Digest{"x": missing})); !errors.Is(err, artifact.ErrNotFound) || !strings.Contains(err.Error(), string(missing)) {
		t.Errorf("a missing blob: %v", err)
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
			t.Errorf("record %d was published", i)
		}
	}
	for rec := range s.Records(t.Context()) {
		t.Errorf("%+v was published", rec)
	}
}

// TestPublishRace: of many publishers of different results one wins, and all
// are told the same.
func TestPublishRace(t *testing.T) {
	s := open(t)
	var wins atomic.Int64
	var wg sync.WaitGroup
	told := make([]artifact.Digest, 16)
	for i := range told {
		wg.Go(func() {
			d, _, err := s.Put(t.Context(), strings.NewReader(fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
				return
			}
			standing, won, err := s.Publish(t.Context(), record(t, "race", map[string]artifact.Digest{"x": d}))
			if err != nil {
				t.Error(err)
				return
			}
			if won {
				wins.Add(1)
			}
			told[i] = standing.Outputs["x"]
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d publishers won", wins.Load())
	}
	for _, d := range told {
		if d != told[0] || d == "" {
			t.Fatalf("publishers were told different winners: %v", told)
		}
	}
}

// TestMissingBlobIsAMiss: a record whose blob is gone is told as such, and the
// step that runs again takes its place.
func TestMissingBlobIsAMiss(t *testing.T) {
	s := open(t)
	a, b := put(t, s, "a"), put(t, s, "b")
	rec := record(t, "train", map[string]artifact.Digest{"x": a, "y": b})
	if _, _, err := s.Publish(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if missing, err := s.Complete(t.Context(), &rec); err != nil || len(missing) != 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
	if err := s.Objects().Delete(t.Context(), blobKey(b)); err != nil {
		t.Fatal(err)
	}
	if missing, err := s.Complete(t.Context(), &rec); err != nil || len(missing) != 1 || missing[0] != b {
		t.Errorf("missing %v, %v", missing, err)
	}
	c := put(t, s, "c")
	again := record(t, "train", map[string]artifact.Digest{"x": a, "y": c})
	standing, won, err := s.Publish(t.Context(), again)
	if err != nil || !won || standing.Outputs["y"] != c {
		t.Fatalf("publish over a broken promise: %+v, %v, %v", standing, won, err)
	}
	if got, err := s.Record(t.Context(), rec.Key); err != nil || got.Outputs["y"] != c {
		t.Errorf("record is %+v, %v", got, err)
	}
}

func TestRefs(t *testing.T) {
	s := open(t)
	a, b := put(t, s, "a"), put(t, s, "b")
	for name, d := range map[string]artifact.Digest{"best": a, "best/ever": b, "v1.0_x-y": a} {
		if err := s.SetRef(t.Context(), name, d); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetRef(t.Context(), "best", b); err != nil {
		t.Fatal(err)
	}
	got := map[string]artifact.Digest{}
	for r, err := range s.Refs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got[r.Name] = r.Digest
	}
	if diff := cmp.Diff(map[string]artifact.Digest{"best": b, "best/ever": b, "v1.0_x-y": a}, got); diff != "" {
		t.Error(diff)
	}
	if err := s.DeleteRef(t.Context(), "best"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ref(t.Context(), "best"); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("a deleted ref: %v", err)
	}
	if err := s.SetRef(t.Context(), "none", "sha256:"+artifact.Digest(strings.Repeat("0", 64))); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("a ref to nothing: %v", err)
	}
	for _, name := range []string{"", "/a", "a/", "a//b", "..", "a b", "x.ref/y", "-x", strings.Repeat("x", 201)} {
		if err := s.SetRef(t.Context(), name, a); err == nil {
			t.Errorf("ref %q was set", name)
		}
	}
}

func TestRuns(t *testing.T) {
	s := open(t)
	for _, id := range []string{"20260102-a", "20260101-b"} {
		if err := s.SaveRun(t.Context(), id, []byte(`{"state":"running"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveRun(t.Context(), "20260101-b", []byte(`{"state":"done"}`)); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for run, err := range s.Runs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, run.ID)
	}
	if diff := cmp.Diff([]string{"20260101-b", "20260102-a"}, ids); diff != "" {
		t.Error(diff)
	}
	if got, err := s.Run(t.Context(), "20260101-b"); err != nil || string(got) != `{"state":"done"}` {
		t.Errorf("run is %s, %v", got, err)
	}
	if _, err := s.Run(t.Context(), "never"); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("an unknown run: %v", err)
	}
	if err := s.SaveRun(t.Context(), "x", []byte("{")); err == nil {
		t.Error("a run that is not JSON was saved")
	}
	if err := s.SaveRun(t.Context(), "a/b", []byte("{}")); err == nil {
		t.Error("a run with a path for an id was saved")
	}
}

func TestLive(t *testing.T) {
	s := open(t)
	live := s.Live(record(t, "train", nil).Key)
	if _, err := live.Load(t.Context(), "checkpoint"); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("state before it was saved: %v", err)
	}
	for _, content := range []string{"step 1", "step 2"} {
		if err := live.Save(t.Context(), "checkpoint", strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := live.Save(t.Context(), "metrics.ndjson", strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	r, err := live.Load(t.Context(), "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	r.Close()
	if err != nil || string(got) != "step 2" {
		t.Errorf("loaded %q, %v", got, err)
	}
	if names, err := live.Names(t.Context()); err != nil || !cmp.Equal(names, []string{"checkpoint", "metrics.ndjson"}) {
		t.Errorf("names are %v, %v", names, err)
	}
	if _, err := s.Live(record(t, "other", nil).Key).Load(t.Context(), "checkpoint"); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("another action's state: %v", err)
	}
	if err := live.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, err := live.Names(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("names after delete are %v, %v", names, err)
	}
	for _, name := range []string{"", "../x", "a/b", "lease\x00"} {
		if err := live.Save(t.Context(), name, strings.NewReader("")); err == nil {
			t.Errorf("state %q was saved", name)
		}
	}
	if err := s.Live("not-a-key").Save(t.Context(), "x", strings.NewReader("")); err == nil {
		t.Error("state of no action was saved")
	}
}

func TestUnreachableStore(t *testing.T) {
	env := objectstoretest.EmbeddedEnv(t)
	cfg, err := env.Config()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Bucket = "gone"
	if _, err := objectstore.Open(t.Context(), cfg); !errors.Is(err, objectstore.ErrNoBucket) || errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("a missing bucket would pass for a cache miss: %v", err)
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add("sha256:" + strings.Repeat("ab", 32))
	f.Add("sha256:")
	f.Add("latest")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := artifact.ParseDigest(s)
		if err == nil && (string(d) != s || len(d.Hex()) != 64 || strings.ContainsAny(s, "/. ")) {
			t.Fatalf("%q passes for a digest", s)
		}
	})
}

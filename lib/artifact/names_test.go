package artifact_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"vapo/lib/artifact"
	"vapo/lib/objectstore"
	"vapo/lib/objectstore/objectstoretest"
)

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
		t.Errorf("a deleted ref: error %v, want ErrNotFound", err)
	}
	if err := s.SetRef(t.Context(), "none", noBlob); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("a ref to a missing blob: error %v, want ErrNotFound", err)
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
	for run, err := range s.Runs(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, run.ID)
	}
	if diff := cmp.Diff([]string{"20260101-b", "20260102-a"}, ids); diff != "" {
		t.Error(diff)
	}
	if got, err := s.Run(t.Context(), "20260101-b"); err != nil || string(got) != `{"state":"done"}` {
		t.Errorf("the run is %s, error %v, want state done", got, err)
	}
	if _, err := s.Run(t.Context(), "never"); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("an unknown run: error %v, want ErrNotFound", err)
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
		t.Errorf("Load before Save: error %v, want ErrNotFound", err)
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
		t.Errorf("loaded %q, error %v, want %q", got, err, "step 2")
	}
	if names, err := live.Names(t.Context()); err != nil || !cmp.Equal(names, []string{"checkpoint", "metrics.ndjson"}) {
		t.Errorf("names are %v, error %v, want checkpoint and metrics.ndjson", names, err)
	}
	other := s.Live(record(t, "other", nil).Key)
	if _, err := other.Load(t.Context(), "checkpoint"); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("Load of another action's state: error %v, want ErrNotFound", err)
	}
	if err := live.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, err := live.Names(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("names after Delete are %v, error %v, want none", names, err)
	}
	for _, name := range []string{"", "../x", "a/b", "lease\x00"} {
		if err := live.Save(t.Context(), name, strings.NewReader("")); err == nil {
			t.Errorf("state %q was saved", name)
		}
	}
	if err := s.Live("not-a-key").Save(t.Context(), "x", strings.NewReader("")); err == nil {
		t.Error("a state was saved under an invalid action key")
	}
}

func TestUnreachableStore(t *testing.T) {
	env := objectstoretest.EmbeddedEnv(t)
	cfg, err := env.Config()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Bucket = "gone"
	_, err = objectstore.Open(t.Context(), cfg)
	if !errors.Is(err, objectstore.ErrNoBucket) || errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("open of a missing bucket: error %v, want ErrNoBucket and not ErrNotFound", err)
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add("sha256:" + strings.Repeat("ab", 32))
	f.Add("sha256:")
	f.Add("latest")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := artifact.ParseDigest(s)
		if err == nil && (string(d) != s || len(d.Hex()) != 64 || strings.ContainsAny(s, "/. ")) {
			t.Fatalf("%q is accepted as a digest and parses to %q", s, d)
		}
	})
}

// TestUpdateRun checks that no update of a run is lost if several happen at once.
func TestUpdateRun(t *testing.T) {
	s := open(t)
	want := map[string]int{}
	var group errgroup.Group
	for i := range 8 {
		want[fmt.Sprint(i)] = i
		group.Go(func() error {
			return s.UpdateRun(t.Context(), "shared", func(document []byte) ([]byte, error) {
				all := map[string]int{}
				if document != nil {
					if err := json.Unmarshal(document, &all); err != nil {
						return nil, err
					}
				}
				all[fmt.Sprint(i)] = i
				return json.Marshal(all)
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	document, err := s.Run(t.Context(), "shared")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	if err := json.Unmarshal(document, &got); err != nil || !maps.Equal(got, want) {
		t.Errorf("the run has %v, %v; want %v", got, err, want)
	}
}

package stage

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/objectstore/objectstoretest"
)

func TestMain(m *testing.M) { os.Exit(objectstoretest.Main(m)) }

// TestOpenInput: a blob within the limit is fetched, a larger blob is read from the store, and a local file is read
// directly.
func TestOpenInput(t *testing.T) {
	env := objectstoretest.EmbeddedEnv(t)
	for _, kv := range env.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	const content = "some content"
	digest, _, err := artifact.New(objectstoretest.Open(t, env)).Put(t.Context(), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "data.json")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ref     string
		limit   int64
		local   bool
		fetched int
	}{{string(digest), 11, false, 0}, {string(digest), 12, true, 1}, {file, 0, true, 0}} {
		s := spec()
		s.Run = func(ctx context.Context, job *Job, p *params) error {
			if n := job.InputSize("data"); n != 12 || job.InputSize("extra") != 0 {
				t.Errorf("%s has %d bytes, want 12; the absent input has %d, want 0", c.ref, n, job.InputSize("extra"))
			}
			if _, err := job.OpenInput(ctx, "extra", 0); !errors.Is(err, errNoInput) {
				t.Errorf("absent input: error %v, want errNoInput", err)
			}
			r, err := job.OpenInput(ctx, "data", c.limit)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size))
			if err != nil || string(got) != content || r.Local != c.local {
				t.Errorf("%s, limit %d bytes: read %q, error %v, local %v, want %q and local %v",
					c.ref, c.limit, got, err, r.Local, content, c.local)
			}
			if in, err := os.ReadDir(job.Scratch()); err != nil || len(in) != c.fetched {
				t.Errorf("%s, limit %d bytes: %d files fetched, want %d, error %v", c.ref, c.limit, len(in), c.fetched, err)
			}
			return errors.Join(r.Close(), job.Output(ctx, "model", func(io.Writer) error { return nil }))
		}
		var out, errs strings.Builder
		if code := Main(s, []string{"--input=data=" + c.ref, "--out=" + t.TempDir()}, &out, &errs); code != 0 {
			t.Errorf("exit %d, want 0\n%s", code, errs.String())
		}
	}
}

package artifact_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/objectstore/embedded"
	"vapo/lib/objectstore/objectstoretest"
)

// TestWrongBytesInTransit changes a byte of a blob or a state on its way from the server. No reader may accept such
// content. A check reads twice, so it must not report damage after a single bad read.
func TestWrongBytesInTransit(t *testing.T) {
	for name, server := range map[string]func(testing.TB) embedded.Env{
		"embedded": objectstoretest.EmbeddedEnv, "minio": objectstoretest.MinIOEnv,
	} {
		t.Run(name, func(t *testing.T) {
			var bad atomic.Int64 // how many of the next responses are changed
			faults := objectstoretest.Faults{After: func(r *http.Response) error {
				content := strings.Contains(r.Request.URL.Path, "/blobs/") || strings.Contains(r.Request.URL.Path, "/state/")
				if r.Request.Method != http.MethodGet || r.StatusCode != http.StatusOK || !content || bad.Add(-1) < 0 {
					return nil
				}
				data, err := io.ReadAll(r.Body)
				if err != nil {
					return err
				}
				data[len(data)/2] ^= 1
				r.Body = io.NopCloser(bytes.NewReader(data))
				return nil
			}}
			s := artifact.New(faults.Open(t, server(t)))
			d := put(t, s, "some content")
			live := s.Live(leaseAction)
			if err := live.Save(t.Context(), "state", strings.NewReader("some state")); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "file")
			for what, try := range map[string]func() error{
				"read":   func() error { _, err := read(t, s, d); return err },
				"verify": func() error { return s.Verify(t.Context(), d) },
				"fetch":  func() error { return s.Fetch(t.Context(), d, path) },
				"state": func() error {
					r, err := live.Load(t.Context(), "state")
					if err != nil {
						return err
					}
					defer r.Close()
					_, err = io.ReadAll(r)
					return err
				},
			} {
				bad.Store(1)
				if err := try(); !errors.Is(err, artifact.ErrCorrupt) {
					t.Errorf("%s: error %v for wrong bytes, want ErrCorrupt", what, err)
				}
				bad.Store(0)
				if err := try(); err != nil {
					t.Errorf("%s: error %v for the right bytes, want none", what, err)
				}
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "some content" {
				t.Errorf("the fetched file has %q, error %v, want %q", got, err, "some content")
			}
			bad.Store(1)
			sum, err := s.Check(t.Context(), true, func(f artifact.Finding) { t.Errorf("after one bad read: %+v", f) })
			if err != nil || sum.Damaged != 0 {
				t.Errorf("check after one bad read: %+v, error %v, want no damage", sum, err)
			}
		})
	}
}

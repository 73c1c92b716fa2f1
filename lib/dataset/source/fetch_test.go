package source

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"vapo/lib/failure"
)

// publisher serves the MNIST files of the Go module as their publisher does. It hides these files from Locate, and sets
// an empty cache directory.
func publisher(t *testing.T, handle func(files http.Handler) http.Handler) {
	files, err := Locate("mnist", "")
	if err != nil {
		t.Skipf("the module with MNIST is not in the module cache: %v", err)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	srv := httptest.NewServer(handle(http.FileServer(http.Dir(filepath.Dir(files[0])))))
	was := mnist
	t.Cleanup(func() { srv.Close(); mnist = was })
	mnist.installed = func() []string { return nil }
	mnist.remote = nil
	for _, r := range was.remote {
		mnist.remote = append(mnist.remote, remote{srv.URL + "/", r.name, r.md5})
	}
}

func plainly(files http.Handler) http.Handler { return files }

func fetch(t *testing.T, source string) error {
	t.Helper()
	return Fetch(t.Context(), source, slog.New(slog.DiscardHandler), func() (func(done, total int64), func()) {
		return func(int64, int64) {}, func() {}
	})
}

// TestFetch downloads a set once. Its digest must be known before the download, stay the same after it, and equal that
// of the loaded set. Otherwise, the runner would compute everything again.
func TestFetch(t *testing.T) {
	requests := 0
	publisher(t, func(files http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			files.ServeHTTP(w, r)
		})
	})
	if _, err := Locate("mnist", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("MNIST before it is fetched: error %v, want fs.ErrNotExist", err)
	}
	before, err := Digest("mnist", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := fetch(t, "mnist"); err != nil {
			t.Fatal(err)
		}
	}
	if requests != 4 {
		t.Errorf("%d requests for four files, want one each", requests)
	}
	after, err := Digest("mnist", "")
	if err != nil || after != before {
		t.Errorf("digest %s, want %s as before (%v)", after, before, err)
	}
	loaded, err := Load("mnist", "", false, 0, 0)
	if err != nil || loaded.Digest != before || loaded.Train.N != 60000 || loaded.Test.N != 10000 {
		t.Errorf("loaded: %+v (%v), want digest %s, 60000 and 10000 images", loaded, err, before)
	}
	// A damaged file is found even with --no-verify, because the digest stands for the content.
	files, err := Locate("mnist", "")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[3], data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("mnist", "", false, 0, 0); failure.ClassOf(err) != failure.Input &&
		failure.ClassOf(err) != failure.Integrity {
		t.Errorf("a file with the content of another: error %v, want an input or integrity error", err)
	}
}

// TestFetchFails checks that a failed download says how else to get the set, and leaves no file that looks complete.
func TestFetchFails(t *testing.T) {
	for name, c := range map[string]struct {
		class  failure.Class
		handle http.HandlerFunc
	}{
		"missing": {failure.Input, http.NotFound},
		"other content": {failure.Integrity, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html>maintenance</html>"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			publisher(t, func(http.Handler) http.Handler { return c.handle })
			err := fetch(t, "mnist")
			if failure.ClassOf(err) != c.class || failure.HintOf(err) != mnist.hint {
				t.Errorf("error %v of class %v with hint %q, want class %v with hint %q",
					err, failure.ClassOf(err), failure.HintOf(err), c.class, mnist.hint)
			}
			if _, err := Locate("mnist", ""); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after a failed download: error %v, want fs.ErrNotExist", err)
			}
		})
	}
	t.Run("no home", func(t *testing.T) {
		publisher(t, plainly)
		t.Setenv("HOME", "")
		t.Setenv("XDG_CACHE_HOME", "")
		if err := fetch(t, "mnist"); failure.ClassOf(err) != failure.Usage {
			t.Errorf("without a home directory: error %v, want a usage error", err)
		}
	})
}

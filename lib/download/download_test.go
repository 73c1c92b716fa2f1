package download

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vapo/lib/failure"
)

var content = bytes.Repeat([]byte("0123456789abcdef"), 10_000)

const half = 80_000

func TestMain(m *testing.M) {
	firstWait, maxSilence = time.Millisecond, 300*time.Millisecond
	os.Exit(m.Run())
}

// server serves content over HTTP with the faults that a test sets.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	content  []byte
	etag     string
	cut      []int // bytes after which each of the next responses breaks off; if negative, the server falls silent
	noRanges bool
	status   []int // status codes of the next responses, which have no content
	ranges   []string
}

func newServer(t *testing.T, content []byte) *server {
	s := &server{content: content, etag: `"one"`}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/moved" {
		http.Redirect(w, r, "/", http.StatusFound)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	if len(s.status) > 0 {
		http.Error(w, "no", s.status[0])
		s.status = s.status[1:]
		return
	}
	if s.noRanges {
		r.Header.Del("Range")
	}
	w.Header().Set("ETag", s.etag)
	if len(s.cut) > 0 {
		w = &cutter{w, r.Context(), s.cut[0]}
		s.cut = s.cut[1:]
	}
	http.ServeContent(w, r, "file", time.Time{}, bytes.NewReader(s.content))
}

// requests returns the Range headers of all requests.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ranges)
}

// cutter breaks off a response after some bytes or, if left is negative, sends nothing more until the client gives up.
type cutter struct {
	http.ResponseWriter
	ctx  context.Context
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), max(c.left, -c.left))])
	silent := c.left < 0
	if silent {
		c.left += n
	} else {
		c.left -= n
	}
	if err != nil || c.left != 0 {
		return n, err
	}
	c.ResponseWriter.(http.Flusher).Flush()
	if silent {
		<-c.ctx.Done()
	}
	panic(http.ErrAbortHandler)
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// file returns a download of content into an empty directory.
func file(t *testing.T, url string) *File {
	return &File{
		URL: url, Path: filepath.Join(t.TempDir(), "file"), Digest: digest(content), MaxBytes: int64(len(content)) + 1000,
		Progress: func(int64, int64) {}, Log: slog.New(slog.DiscardHandler),
	}
}

func entries(t *testing.T, f *File) (names []string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Dir(f.Path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func checkComplete(t *testing.T, f *File) {
	t.Helper()
	if got, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file has other content than the server's, %d bytes, error %v", len(got), err)
	}
	if names := entries(t, f); !slices.Equal(names, []string{"file"}) {
		t.Errorf("the directory has %v, want only the file", names)
	}
}

func TestGet(t *testing.T) {
	rest := fmt.Sprintf("bytes=%d-", half)
	for name, c := range map[string]struct {
		set    func(s *server)
		ranges []string // Range headers of the requests
	}{
		"at once": {func(*server) {}, []string{""}},
		"cut off twice": {func(s *server) { s.cut = []int{half, 1000} },
			[]string{"", rest, fmt.Sprintf("bytes=%d-", half+1000)}},
		"silent server": {func(s *server) { s.cut = []int{-half} }, []string{"", rest}},
		"server errors": {func(s *server) { s.status = []int{503, 429, 500} }, []string{"", "", "", ""}},
		"no ranges":     {func(s *server) { s.cut, s.noRanges = []int{half, half}, true }, []string{"", rest, rest}},
		"no ETag":       {func(s *server) { s.cut, s.etag = []int{half}, "" }, []string{"", rest}},
		"weak ETag":     {func(s *server) { s.cut, s.etag = []int{half}, `W/"one"` }, []string{"", rest}},
		"many cuts":     {func(s *server) { s.cut = slices.Repeat([]int{1000}, 10) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, content)
			c.set(s)
			f := file(t, s.URL+"/moved")
			var last [2]int64
			f.Progress = func(done, total int64) { last = [2]int64{done, total} }
			if err := f.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
			checkComplete(t, f)
			if got := s.requests(); c.ranges != nil && !slices.Equal(got, c.ranges) {
				t.Errorf("requested %q, want %q", got, c.ranges)
			}
			if n := int64(len(content)); last != [2]int64{n, n} {
				t.Errorf("the last call of Progress had %v, want both %d", last, n)
			}
		})
	}
}

func TestMD5(t *testing.T) {
	f := file(t, newServer(t, content).URL)
	f.Digest = fmt.Sprintf("md5:%x", md5.Sum(content))
	if err := f.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkComplete(t, f)
}

// TestResume: a download resumes where an earlier process stopped. If the server has another version of the file by
// then, the content does not match and is removed, so the next call downloads the whole file.
func TestResume(t *testing.T) {
	for _, changed := range []bool{false, true} {
		s := newServer(t, content)
		if changed {
			s.content = bytes.Repeat([]byte("x"), len(content))
		}
		stopped := file(t, s.URL)
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped.Progress = func(done, _ int64) {
			if done >= half/2 {
				cancel(failure.ErrTerminated)
			}
		}
		s.cut = []int{half}
		if err := stopped.Get(ctx); failure.ClassOf(err) != failure.Terminated {
			t.Fatalf("a download that was stopped: error %v, want class terminated", err)
		}
		info, err := os.Stat(stopped.Path + ".part")
		if err != nil || info.Size() == 0 {
			t.Fatalf("a stopped download left no content: %v", err)
		}
		if changed {
			s.content, s.etag = content, `"two"`
		}
		f := file(t, s.URL)
		f.Path = stopped.Path
		err = f.Get(t.Context())
		if got := s.requests(); got[len(got)-1] != fmt.Sprintf("bytes=%d-", info.Size()) {
			t.Errorf("requested %q, want the last request to begin at byte %d", got, info.Size())
		}
		if changed {
			if failure.ClassOf(err) != failure.Integrity {
				t.Errorf("parts of two versions: error %v, want class integrity", err)
			}
			err = f.Get(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		checkComplete(t, f)
	}
}

// TestResumeFromPart: a complete part file is only renamed. A part file with other content is removed.
func TestResumeFromPart(t *testing.T) {
	s := newServer(t, content)
	for _, part := range []string{"", "and more"} {
		f := file(t, s.URL)
		if err := os.WriteFile(f.Path+".part", append(bytes.Clone(content), part...), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := f.Get(t.Context()); part == "" && err != nil {
			t.Fatal(err)
		} else if part == "" {
			checkComplete(t, f)
		} else if failure.ClassOf(err) != failure.Integrity || len(entries(t, f)) > 0 {
			t.Errorf("error %v, directory has %v, want class integrity and no files", err, entries(t, f))
		}
	}
	if got := s.requests(); len(got) != 1 {
		t.Errorf("requested %q, want 1 request", got)
	}
}

func TestGetFails(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	damaged := bytes.Clone(content)
	damaged[half] ^= 1
	tooLong := append(bytes.Clone(content), make([]byte, 2000)...)
	for name, c := range map[string]struct {
		content  []byte
		set      func(s *server)
		url      string
		class    failure.Class
		want     string
		requests int
		left     []string
	}{
		"flipped bit": {damaged, nil, "", failure.Integrity, "expected " + digest(content)[7:], 1, nil},
		"login page":  {[]byte("<html>log in first</html>"), nil, "", failure.Integrity, "sha256", 1, nil},
		"empty":       {nil, nil, "", failure.Integrity, "sha256", 1, nil},
		"too long":    {tooLong, nil, "", failure.Integrity, "sha256", 1, nil},
		"not found":   {content, func(s *server) { s.status = []int{404} }, "", failure.Input, "404", 1, nil},
		"forbidden":   {content, func(s *server) { s.status = []int{403} }, "", failure.Input, "403", 1, nil},
		"always 503": {content, func(s *server) { s.status = slices.Repeat([]int{503}, 9) }, "", failure.Input,
			"503 Service Unavailable", 5, nil},
		"always cut": {content, func(s *server) { s.cut, s.noRanges = slices.Repeat([]int{1000}, 20), true }, "",
			failure.Input, "5 attempt(s): unexpected EOF", 10, []string{"file.part"}},
		"no server":      {content, nil, "http://" + closed.Addr().String(), failure.Input, "connection refused", 0, nil},
		"no such host":   {content, nil, "http://nowhere.invalid/", failure.Input, "nowhere.invalid", 0, nil},
		"unknown scheme": {content, nil, "file:///etc/passwd", failure.Input, "unsupported protocol", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, c.content)
			if c.set != nil {
				c.set(s)
			}
			f := file(t, s.URL)
			if c.url != "" {
				f.URL = c.url
			}
			err := f.Get(t.Context())
			if failure.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.want) || failure.HintOf(err) == "" {
				t.Errorf("class %v, error %v, hint %q, want class %v, %q and a hint",
					failure.ClassOf(err), err, failure.HintOf(err), c.class, c.want)
			}
			if got := s.requests(); len(got) != c.requests {
				t.Errorf("requested %q, want %d requests", got, c.requests)
			}
			if names := entries(t, f); !slices.Equal(names, c.left) {
				t.Errorf("the directory has %v, want %v", names, c.left)
			}
		})
	}
}

// TestEndlessContent: endless content without a stated length is cut off at MaxBytes.
func TestEndlessContent(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	f := file(t, s.URL)
	if err := f.Get(t.Context()); failure.ClassOf(err) != failure.Integrity || len(entries(t, f)) > 0 {
		t.Errorf("error %v, directory has %v, want class integrity and no files", err, entries(t, f))
	}
}

// TestNoResponse: if a server accepts the connection but sends nothing, the request is repeated.
func TestNoResponse(t *testing.T) {
	s := newServer(t, content)
	var first sync.Once
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first.Do(func() { <-r.Context().Done() })
		s.ServeHTTP(w, r)
	}))
	defer silent.Close()
	f := file(t, silent.URL)
	if err := f.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkComplete(t, f)
}

func TestTwoProcesses(t *testing.T) {
	s := newServer(t, content)
	f := file(t, s.URL)
	other := *f
	var err error
	f.Progress = func(done, total int64) {
		if done == total {
			err = other.Get(t.Context())
		}
	}
	if err := f.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if failure.ClassOf(err) != failure.Usage || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second download to the same file: error %v, want class usage and \"another process\"", err)
	}
	checkComplete(t, f)
}

// TestLocalErrors: errors of the local file are not retried.
func TestLocalErrors(t *testing.T) {
	s := newServer(t, content)
	f := file(t, s.URL)
	f.Path = filepath.Join(f.Path, "in", "no", "directory")
	if err := f.Get(t.Context()); failure.ClassOf(err) != failure.Usage || len(s.requests()) > 0 {
		t.Errorf("error %v after requests %q, want class usage before any request", err, s.requests())
	}
	if err := os.WriteFile("/dev/full", nil, 0); err == nil { // every write to it fails
		f := file(t, s.URL)
		if f.part, err = os.OpenFile("/dev/full", os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		}
		defer f.part.Close()
		_, err := f.Write(content)
		again, _ := f.retry(t.Context(), nil, err)
		if failure.ClassOf(err) != failure.Resources || again {
			t.Errorf("a full disk: error %v, retried: %v, want class resources and no retry", err, again)
		}
	}
}

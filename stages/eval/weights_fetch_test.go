package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

	"vapo/lib/artifact"
	"vapo/lib/failure"
)

// A mirror serves content over HTTP, as faultily as a test wants.
type mirror struct {
	mu       sync.Mutex
	content  []byte
	etag     string
	cut      []int // after how many bytes the next answers break off
	noRanges bool
	status   []int // of the next answers, before any content
	ranges   []string
	*httptest.Server
}

func newMirror(t *testing.T, content []byte) *mirror {
	m := &mirror{content: content, etag: `"one"`}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.ranges = append(m.ranges, r.Header.Get("Range"))
	var out io.Writer = w
	if len(m.status) > 0 {
		s := m.status[0]
		m.status = m.status[1:]
		m.mu.Unlock()
		http.Error(w, "no", s)
		return
	}
	if len(m.cut) > 0 {
		out = &cutter{w, m.cut[0]}
		m.cut = m.cut[1:]
	}
	content, etag, noRanges := m.content, m.etag, m.noRanges
	m.mu.Unlock()
	if noRanges {
		r.Header.Del("Range")
	}
	w.Header().Set("ETag", etag)
	http.ServeContent(writerOf{w, out}, r, "weights.pth", time.Time{}, bytes.NewReader(content))
}

func (m *mirror) asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ranges)
}

type writerOf struct {
	http.ResponseWriter
	out io.Writer
}

func (w writerOf) Write(p []byte) (int, error) { return w.out.Write(p) }

// cutter breaks the connection after some bytes.
type cutter struct {
	w    http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	written, err := c.w.Write(p[:n])
	if c.left -= written; err != nil || c.left > 0 {
		return written, err
	}
	if f, ok := c.w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

// fetcher is the command with published content and no patience.
func fetcher(content []byte) *weightsCmd {
	return &weightsCmd{Fetch: fetchWeightsCmd{published: map[string]string{digestOf(content): "published.pth"}, limit: int64(len(content)) + 1000, pause: time.Millisecond}}
}

// left lists what lies in a folder.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWeightsFetch(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	content, sum := torchBytes(t)
	half := len(content) / 2
	for _, c := range []struct {
		name   string
		damage func(m *mirror)
		ranges []string // what is asked for
	}{
		{"at once", func(*mirror) {}, []string{""}},
		{"cut twice", func(m *mirror) { m.cut = []int{half, 1000} }, []string{"", fmt.Sprintf("bytes=%d-", half), fmt.Sprintf("bytes=%d-", half+1000)}},
		{"errors of the server", func(m *mirror) { m.status = []int{503, 429, 500} }, []string{"", "", "", ""}},
		{"ranges ignored", func(m *mirror) { m.cut, m.noRanges = []int{half, half}, true }, []string{"", fmt.Sprintf("bytes=%d-", half), fmt.Sprintf("bytes=%d-", half)}},
		{"no version to hold on to", func(m *mirror) { m.cut, m.etag = []int{half}, "" }, []string{"", ""}},
		{"a weak version", func(m *mirror) { m.cut, m.etag = []int{half}, `W/"one"` }, []string{"", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t, content)
			c.damage(m)
			dir := t.TempDir()
			out := filepath.Join(dir, "w.pth")
			code, stdout, stderr := weightsTool(t, fetcher(content), "fetch", "--url", m.URL, "--out", out)
			l := weightsResult(t, code, stdout, stderr)
			if l.File != out || l.FileDigest != sum || l.Published != "published.pth" || l.Digest != "" || l.Ref != "" || l.Size != int64(len(content)) || !slices.Equal(l.Taps, []int{64, 192}) {
				t.Errorf("%s", stdout)
			}
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, content) {
				t.Errorf("the file differs: %v", err)
			}
			if names := left(t, dir); !slices.Equal(names, []string{"w.pth"}) {
				t.Errorf("left behind: %v", names)
			}
			if got := m.asked(); !slices.Equal(got, c.ranges) {
				t.Errorf("asked for %q, want %q", got, c.ranges)
			}
			if !strings.Contains(stderr, `"unit":"bytes"`) {
				t.Errorf("no progress: %s", stderr)
			}
			// A second time there is nothing to do.
			code, stdout, stderr = weightsTool(t, fetcher(content), "fetch", "--url", m.URL, "--out", out)
			if again := weightsResult(t, code, stdout, stderr); again.FileDigest != sum || len(m.asked()) != len(c.ranges) {
				t.Errorf("%s after %d requests", stdout, len(m.asked()))
			}
		})
	}
}

// A process goes on where another was stopped, unless the server has another file by then.
func TestWeightsFetchResumes(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	content, _ := torchBytes(t)
	half := len(content) / 2
	for _, changed := range []bool{false, true} {
		first := content
		if changed {
			first = bytes.Repeat([]byte("x"), len(content))
		}
		m := newMirror(t, first)
		dir := t.TempDir()
		part := filepath.Join(dir, "w.pth.part")
		ctx, cancel := context.WithCancelCause(t.Context())
		d := &download{
			url: m.URL, part: part, limit: 1 << 30, pause: time.Millisecond, silence: time.Minute, log: slog.New(slog.DiscardHandler),
			progress: func(done, total int64) {
				if done >= int64(half/2) {
					cancel(failure.ErrTerminated)
				}
			},
		}
		m.cut = []int{half}
		if err := d.get(ctx); !errors.Is(err, failure.ErrTerminated) || failure.ClassOf(err) != failure.Terminated {
			t.Fatalf("stopped: %v", err)
		}
		info, err := os.Stat(part)
		if err != nil || info.Size() == 0 {
			t.Fatalf("nothing is left of what had come: %v", err)
		}
		if changed {
			m.content, m.etag = content, `"two"`
		}
		m.cut = nil
		code, stdout, stderr := weightsTool(t, fetcher(content), "fetch", "--url", m.URL, "--out", filepath.Join(dir, "w.pth"))
		weightsResult(t, code, stdout, stderr)
		if asked := m.asked(); asked[len(asked)-1] != fmt.Sprintf("bytes=%d-", info.Size()) {
			t.Errorf("asked for %q with %d bytes there", asked, info.Size())
		}
		if names := left(t, dir); !slices.Equal(names, []string{"w.pth"}) {
			t.Errorf("left behind: %v", names)
		}
	}
}

// A download that was complete but for its name is not made again.
func TestWeightsFetchOfACompletePart(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	content, _ := torchBytes(t)
	m := newMirror(t, content)
	out := filepath.Join(t.TempDir(), "w.pth")
	for path, data := range map[string][]byte{out + ".part": content, out + ".part.etag": []byte(m.etag)} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := weightsTool(t, fetcher(content), "fetch", "--url", m.URL, "--out", out)
	weightsResult(t, code, stdout, stderr)
	if got := m.asked(); len(got) != 1 {
		t.Errorf("asked for %q", got)
	}
}

func TestWeightsFetchFails(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	content, _ := torchBytes(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	damaged := bytes.Clone(content)
	damaged[len(damaged)/2] ^= 1
	six := []int{503, 503, 503, 503, 503, 503, 503, 503}
	for _, c := range []struct {
		name   string
		served []byte
		damage func(m *mirror)
		url    string
		code   failure.Class
		want   string
		asked  int
		left   []string
	}{
		{"a flipped bit", damaged, func(*mirror) {}, "", failure.Integrity, "not that of a published file", 1, nil},
		{"a page", []byte("<html>log in first</html>"), func(*mirror) {}, "", failure.Integrity, "not that of a published file", 1, nil},
		{"nothing", nil, func(*mirror) {}, "", failure.Integrity, "not that of a published file", 1, nil},
		{"no such file", content, func(m *mirror) { m.status = []int{404} }, "", failure.Input, "404", 1, nil},
		{"forbidden", content, func(m *mirror) { m.status = []int{403} }, "", failure.Input, "403", 1, nil},
		{"no end of errors", content, func(m *mirror) { m.status = six }, "", failure.Input, "6 tries got no further, the last: the server answers 503", 6, nil},
		{"always cut, ranges ignored", content, func(m *mirror) { m.cut, m.noRanges = slices.Repeat([]int{1000}, 20), true }, "", failure.Input, "6 tries got no further, the last: unexpected EOF", 7, []string{"w.pth.part", "w.pth.part.etag"}},
		{"too large a claim", append(bytes.Clone(content), make([]byte, 2000)...), func(*mirror) {}, "", failure.Integrity, "expected at most", 1, nil},
		{"no server", content, func(*mirror) {}, "http://" + closed.Addr().String(), failure.Input, "HTTPS_PROXY", 0, nil},
		{"no such host", content, func(*mirror) {}, "http://nowhere.invalid/", failure.Input, "nowhere.invalid", 0, nil},
		{"another scheme", content, func(*mirror) {}, "file:///etc/passwd", failure.Usage, "--url", 0, nil},
		{"a password", content, func(*mirror) {}, "https://a:b@localhost/", failure.Usage, "password", 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t, c.served)
			c.damage(m)
			address := m.URL
			if c.url != "" {
				address = c.url
			}
			dir := t.TempDir()
			code, stdout, stderr := weightsTool(t, fetcher(content), "fetch", "--url", address, "--out", filepath.Join(dir, "w.pth"))
			if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "panic") {
				t.Errorf("exit %d, %q: %s; want %d with %q", code, stdout, stderr, c.code, c.want)
			}
			if got := m.asked(); len(got) != c.asked {
				t.Errorf("asked %d times, want %d", len(got), c.asked)
			}
			if names := left(t, dir); !slices.Equal(names, c.left) {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

// A body that never ends is cut off at the bound, whatever its length was said to be.
func TestWeightsFetchIsBounded(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	content, _ := torchBytes(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for { // chunked, without a length
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	code, _, stderr := weightsTool(t, fetcher(content), "fetch", "--url", server.URL, "--out", filepath.Join(dir, "w.pth"))
	if code != failure.Integrity || !strings.Contains(stderr, "expected at most") || len(left(t, dir)) > 0 {
		t.Errorf("exit %d: %s; left behind: %v", code, stderr, left(t, dir))
	}
}

// A file of another content is not written over, and two processes do not write to one.
func TestWeightsFetchSparesFiles(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	content, _ := torchBytes(t)
	m := newMirror(t, content)
	out := filepath.Join(t.TempDir(), "w.pth")
	if err := os.WriteFile(out, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := weightsTool(t, fetcher(content), "fetch", "--url", m.URL, "--out", out); code != failure.Usage || !strings.Contains(stderr, "there already") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "precious" {
		t.Errorf("the file is now %q, %v", got, err)
	}
	other := filepath.Join(t.TempDir(), "w.pth")
	unlock, err := (&download{part: other + ".part"}).lock()
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := weightsTool(t, fetcher(content), "fetch", "--url", m.URL, "--out", other); code != failure.Usage || !strings.Contains(stderr, "another process") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	unlock()
	if len(m.asked()) != 0 {
		t.Errorf("asked for %q", m.asked())
	}
	code, stdout, stderr := weightsTool(t, fetcher(content), "fetch", "--url", m.URL, "--out", other)
	weightsResult(t, code, stdout, stderr)
}

// Where there is a store, what was fetched is imported.
func TestWeightsFetchImports(t *testing.T) {
	store := ownStore(t)
	content, sum := torchBytes(t)
	m := newMirror(t, content)
	code, stdout, stderr := weightsTool(t, fetcher(content), "fetch", "--url", m.URL, "--out", filepath.Join(t.TempDir(), "w.pth"), "--ref", "weights/mine")
	if l := weightsResult(t, code, stdout, stderr); l.Digest != "sha256:"+sum || l.Ref != "weights/mine" {
		t.Errorf("%s", stdout)
	}
	if d, err := store.Ref(t.Context(), "weights/mine"); err != nil || d != artifact.Digest("sha256:"+sum) {
		t.Errorf("the ref is %s, %v", d, err)
	}
}

// A server that stops in the middle without a word is asked again for the rest.
func TestWeightsFetchLeavesASilentServer(t *testing.T) {
	t.Setenv("VAPO_STORE", "")
	content, _ := torchBytes(t)
	m := newMirror(t, content)
	half := len(content) / 2
	first := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !first {
			m.ServeHTTP(w, r)
			return
		}
		first = false
		w.Header().Set("ETag", m.etag)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if _, err := w.Write(content[:half]); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	cmd := fetcher(content)
	cmd.Fetch.silence = 300 * time.Millisecond
	code, stdout, stderr := weightsTool(t, cmd, "fetch", "--url", server.URL, "--out", filepath.Join(t.TempDir(), "w.pth"))
	weightsResult(t, code, stdout, stderr)
	if got := m.asked(); !slices.Equal(got, []string{fmt.Sprintf("bytes=%d-", half)}) || !strings.Contains(stderr, "nothing came for 300ms") {
		t.Errorf("asked for %q: %s", got, stderr)
	}
}

// Through a proxy of the environment, as net/http finds it.
func TestWeightsFetchHonoursProxies(t *testing.T) {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok || transport.Proxy == nil {
		t.Error("the default client asks no proxy")
	}
}

func TestContentRange(t *testing.T) {
	for s, want := range map[string][3]int64{
		"bytes 5-9/10": {5, 10, 1}, "bytes 0-0/*": {0, -1, 1}, "bytes */10": {0, 10, 1},
		"bytes */*": {0, 0, 0}, "": {0, 0, 0}, "bytes -5-9/10": {0, 0, 0}, "items 5-9/10": {0, 0, 0}, "bytes 5": {0, 0, 0}, "bytes 99999999999999999999-/1": {0, 0, 0},
	} {
		from, total, ok := contentRange(s)
		if ok != (want[2] == 1) || ok && (from != want[0] || total != want[1]) {
			t.Errorf("%q is %d, %d, %v", s, from, total, ok)
		}
	}
}

package stall

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// TestTransport: a body that arrives slowly is read to its end. A body that stalls fails, and its connection is closed.
func TestTransport(t *testing.T) {
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 4 {
			io.WriteString(w, "slow ")
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
		if r.URL.Path == "/silent" {
			<-r.Context().Done()
			close(gone)
		}
	}))
	defer server.Close()
	client := http.Client{Transport: Transport{http.DefaultTransport, time.Second}}
	for path, want := range map[string]error{"/": nil, "/silent": os.ErrDeadlineExceeded} {
		res, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(res.Body)
		res.Body.Close()
		if string(content) != "slow slow slow slow " || !errors.Is(err, want) {
			t.Errorf("%s: read %q, error %v, want four times \"slow \" and error %v", path, content, err, want)
		}
	}
	<-gone
}

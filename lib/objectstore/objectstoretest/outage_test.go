package objectstoretest

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

// TestOutage: operations wait for a store that is unavailable. The user is notified once when the outage begins and
// once when the store returns. Open waits only if WaitAtOpen is set.
func TestOutage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, env embedded.Env) {
		handler := Faults{}.handler(t, env)
		srv := httptest.NewServer(handler)
		cfg := Faults{}.config(t, env, srv.URL)
		var mu sync.Mutex
		var told []string
		cfg.Notify = func(text string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, text)
		}
		s := open(t, cfg)
		impatient := cfg
		impatient.Patience = 0
		hasty := open(t, impatient)
		srv.Close()

		began := time.Now()
		if _, err := hasty.Head(t.Context(), "k"); !errors.Is(err, objectstore.ErrUnreachable) {
			t.Errorf("head without patience: error %v, want ErrUnreachable", err)
		}
		if _, err := objectstore.Open(t.Context(), cfg); !errors.Is(err, objectstore.ErrUnreachable) {
			t.Errorf("open: error %v, want ErrUnreachable", err)
		}
		if d := time.Since(began); d > cfg.Patience/2 {
			t.Errorf("two operations that should not wait took %v", d)
		}
		if len(told) > 0 {
			t.Errorf("no operation waited, but the user was notified: %q", told)
		}

		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() {
				if _, err := s.Head(t.Context(), "k"); !errors.Is(err, objectstore.ErrNotFound) {
					t.Errorf("head: error %v, want ErrNotFound", err)
				}
			})
		}
		wait.Go(func() {
			waiting := cfg
			waiting.WaitAtOpen, waiting.Notify = true, nil
			if _, err := objectstore.Open(t.Context(), waiting); err != nil {
				t.Errorf("open with WaitAtOpen: error %v, want none", err)
			}
		})
		time.Sleep(3 * time.Second) // longer than an impatient client's attempts
		l, err := net.Listen("tcp", strings.TrimPrefix(cfg.Endpoint, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		back := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
		back.Start()
		defer back.Close()
		wait.Wait()
		if len(told) != 2 || !strings.Contains(told[0], "waiting up to 30s") || !strings.Contains(told[1], "again") {
			t.Errorf("the user's notices are %q, want one of the outage and one of its end", told)
		}
	})
}

// TestPatienceEnds: if a store stays unavailable, an operation fails after the patience, and its hint names the
// variable that sets it.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(Faults{}.handler(t, EmbeddedEnv(t)))
	cfg := Faults{}.config(t, EmbeddedEnv(t), srv.URL)
	cfg.Patience = 2 * time.Second
	s := open(t, cfg)
	srv.Close()
	began := time.Now()
	_, err := s.Head(t.Context(), "k")
	var typed *objectstore.Error
	if !errors.As(err, &typed) || !strings.Contains(typed.Hint, "VAPO_STORE_PATIENCE") {
		t.Errorf("error %v, want one whose hint names VAPO_STORE_PATIENCE", err)
	}
	if d := time.Since(began); d < cfg.Patience {
		t.Errorf("the operation waited only %v, want at least %v", d, cfg.Patience)
	}
}

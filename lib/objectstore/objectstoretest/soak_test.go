package objectstoretest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

// randomFaults injects a fault into up to a third of all requests, but never into more than two in a row.
func randomFaults(random *rand.Rand) Faults {
	var mu sync.Mutex
	inRow := 0
	next := func() int {
		mu.Lock()
		defer mu.Unlock()
		if inRow++; inRow > 2 || random.IntN(3) > 0 {
			inRow = 0
			return -1
		}
		return random.IntN(6)
	}
	return Faults{
		Before: func(w http.ResponseWriter, r *http.Request) bool {
			switch fault := next(); {
			case fault == 0:
				panic(http.ErrAbortHandler)
			case fault == 1:
				refuse(w, r, http.StatusServiceUnavailable, "SlowDown")
				return true
			case fault == 2 && r.Method == http.MethodPut:
				refuse(w, r, http.StatusConflict, "ConditionalRequestConflict")
				return true
			case fault >= 3:
				r.Header.Set("Vapo-Test-Fault", fmt.Sprint(fault)) // not signed, so the server ignores it
			}
			return false
		},
		After: func(r *http.Response) error {
			if r.Request.Header.Get("Vapo-Test-Fault") == "3" {
				return errLost
			}
			if r.Request.Method == http.MethodHead || r.ContentLength == 0 {
				return nil // the client would not notice that the body is cut
			}
			switch r.Request.Header.Get("Vapo-Test-Fault") {
			case "4":
				cut(r, r.ContentLength/2, false)
			case "5":
				cut(r, r.ContentLength/3, true)
			}
			return nil
		},
	}
}

// TestRandomFaults runs clients behind faulty networks. Each client works on keys of its own, whose contents it knows
// at any time, and races the others to create shared keys. Exactly one client may win each race.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, env embedded.Env) {
		const clients = 3
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		var group sync.WaitGroup
		rounds := Soak(t, 4)
		wins := make([]atomic.Int64, rounds)
		for i := range clients {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			s := randomFaults(rand.New(rand.NewPCG(seed, uint64(i+clients)))).Open(t, env)
			m := &model{t: t, s: s, random: random, prefix: fmt.Sprintf("%d/", i), want: map[string]string{}}
			group.Go(func() {
				for round := range rounds {
					for range 8 {
						m.step()
					}
					_, err := tryPut(t, s, fmt.Sprintf("shared/%d", round), m.prefix, objectstore.PutOptions{IfAbsent: true})
					if err == nil {
						wins[round].Add(1)
					} else if !errors.Is(err, objectstore.ErrExists) {
						t.Errorf("round %d: error %v, want none or ErrExists", round, err)
					}
				}
			})
		}
		group.Wait()
		for round := range wins {
			if n := wins[round].Load(); n != 1 {
				t.Errorf("round %d: %d clients won, want 1", round, n)
			}
		}
	})
}

// model is a client and the objects that the store must hold for it.
type model struct {
	t      *testing.T
	s      objectstore.Store
	random *rand.Rand
	prefix string
	want   map[string]string
}

func (m *model) step() {
	key := m.prefix + fmt.Sprint(m.random.IntN(3))
	content := string(large(byte(m.random.IntN(256)))[:1+m.random.IntN(300_000)])
	want, exists := m.want[key]
	fail := func(what string, err error) {
		m.t.Errorf("%s %s, which should exist: %v: error %v", what, key, exists, err)
	}
	switch m.random.IntN(6) {
	case 0:
		if _, err := tryPut(m.t, m.s, key, content, objectstore.PutOptions{}); err != nil {
			fail("put", err)
		}
		m.want[key] = content
	case 1:
		_, err := tryPut(m.t, m.s, key, content, objectstore.PutOptions{IfAbsent: true})
		if exists && !errors.Is(err, objectstore.ErrExists) || !exists && err != nil {
			fail("put if absent", err)
		}
		if !exists {
			m.want[key] = content
		}
	case 2:
		info, err := m.s.Head(m.t.Context(), key)
		if !exists {
			if !errors.Is(err, objectstore.ErrNotFound) {
				fail("head", err)
			}
			return
		}
		if _, err = tryPut(m.t, m.s, key, content, objectstore.PutOptions{IfMatch: info.ETag}); err != nil {
			fail("put if match", err)
		}
		m.want[key] = content
		_, err = tryPut(m.t, m.s, key, "stale", objectstore.PutOptions{IfMatch: info.ETag})
		if content != want && !errors.Is(err, objectstore.ErrExists) {
			fail("put with a stale ETag", err)
		}
	case 3:
		r, _, err := m.s.Get(m.t.Context(), key)
		if !exists {
			if !errors.Is(err, objectstore.ErrNotFound) {
				fail("get", err)
			}
			return
		}
		var got []byte
		if err == nil {
			got, err = io.ReadAll(r)
			r.Close()
		}
		if err != nil || string(got) != want {
			fail(fmt.Sprintf("get %d of %d bytes of", len(got), len(want)), err)
		}
	case 4:
		if err := m.s.Delete(m.t.Context(), key); err != nil {
			fail("delete", err)
		}
		delete(m.want, key)
	case 5:
		var got []string
		for info, err := range m.s.List(m.t.Context(), m.prefix) {
			if err != nil {
				fail("list", err)
			}
			got = append(got, info.Key)
		}
		if keys := slices.Sorted(maps.Keys(m.want)); !slices.Equal(got, keys) {
			fail(fmt.Sprintf("list of %v instead of %v", got, keys), nil)
		}
	}
}

package objectstoretest

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/embedded"
)

func isDeleteAll(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("delete")
}

// TestDeleteAnswerIsLost: objects are deleted but the answer is lost, and another program creates one of them again
// before the next attempt. The new object is kept.
func TestDeleteAnswerIsLost(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, env embedded.Env) {
		direct := Open(t, env)
		var lost atomic.Bool
		s := Faults{After: func(r *http.Response) error {
			if !isDeleteAll(r.Request) || lost.Swap(true) {
				return nil
			}
			put(t, direct, "b", "created again", objectstore.PutOptions{IfAbsent: true})
			return errLost
		}}.Open(t, env)
		var objects []objectstore.Info
		for _, key := range []string{"a", "b", "c"} {
			objects = append(objects, put(t, s, key, key, objectstore.PutOptions{}))
		}
		changed, err := s.DeleteUnchanged(t.Context(), objects, time.Now())
		if err != nil || len(changed) != 1 || changed[0].Key != "b" {
			t.Errorf("changed objects: %v, error %v, want only b", changed, err)
		}
		if exists(t, s, "a") || !exists(t, s, "b") || exists(t, s, "c") || !lost.Load() {
			t.Errorf("a, b, c exist: %v, %v, %v, want only b; answer lost: %v, want true",
				exists(t, s, "a"), exists(t, s, "b"), exists(t, s, "c"), lost.Load())
		}
	})
}

// TestDeleteFails: if a store refuses to delete anything for a while, the request is retried. If it refuses to delete
// one of several objects, the error names that object.
func TestDeleteFails(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, env embedded.Env) {
		var refusals atomic.Int64
		refusals.Store(2)
		s := Faults{Before: func(w http.ResponseWriter, r *http.Request) bool {
			if !isDeleteAll(r) || refusals.Add(-1) < 0 {
				return false
			}
			refuse(w, r, http.StatusServiceUnavailable, "SlowDown")
			return true
		}}.Open(t, env)
		a := put(t, s, "a", "a", objectstore.PutOptions{})
		if changed, err := s.DeleteUnchanged(t.Context(), []objectstore.Info{a}, time.Now()); err != nil || changed != nil {
			t.Errorf("changed objects: %v, error %v, want none", changed, err)
		}
		if exists(t, s, "a") || refusals.Load() != -1 {
			t.Errorf("a exists: %v, want false; %d requests, want 3", exists(t, s, "a"), 2-refusals.Load())
		}
	})
	denied := Faults{Before: func(w http.ResponseWriter, r *http.Request) bool {
		if !isDeleteAll(r) {
			return false
		}
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprint(w, "<DeleteResult><Deleted><Key>a</Key></Deleted>"+
			"<Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>")
		return true
	}}
	env := EmbeddedEnv(t)
	env.Store = "s3://vapo"
	_, err := denied.Open(t, env).DeleteUnchanged(t.Context(), []objectstore.Info{{Key: "a"}, {Key: "b"}}, time.Now())
	wantKind(t, err, objectstore.ErrDenied, "delete: store is read-only: b: ")
}

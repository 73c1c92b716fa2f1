package objectstoretest

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"vapo/lib/objectstore"
)

// TestLoserOfARace: if several writers write one large object, one wins. The others learn that the object exists,
// although the gateway refuses them before it has read their data.
func TestLoserOfARace(t *testing.T) {
	s := Embedded(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 8<<16)
	for round := range 4 {
		var won atomic.Int64
		var group errgroup.Group
		for range 8 {
			group.Go(func() error {
				size, opt := int64(len(data)), objectstore.PutOptions{IfAbsent: true}
				_, err := s.Put(t.Context(), fmt.Sprint(round), bytes.NewReader(data), size, opt)
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, objectstore.ErrExists) {
					return err
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil || won.Load() != 1 {
			t.Fatalf("round %d: %d writers won, want 1; error %v, want none", round, won.Load(), err)
		}
	}
}

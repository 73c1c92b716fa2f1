package objectstore_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"vapo/lib/objectstore"
	"vapo/lib/objectstore/objectstoretest"
)

// unconditional is a store that ignores the conditions of Put, as some real stores do.
type unconditional struct{ objectstore.Store }

func (u unconditional) Put(
	ctx context.Context, key string, r io.Reader, size int64, _ objectstore.PutOptions,
) (objectstore.Info, error) {
	return u.Store.Put(ctx, key, r, size, objectstore.PutOptions{})
}

func TestProbeFindsUnconditionalStore(t *testing.T) {
	s := objectstoretest.Embedded(t)
	err := objectstore.Probe(t.Context(), unconditional{s})
	if !errors.Is(err, objectstore.ErrUnconditional) {
		t.Errorf("error %v, want ErrUnconditional", err)
	}
	for info := range s.List(t.Context(), "") {
		t.Errorf("the probe left %s", info.Key)
	}
}

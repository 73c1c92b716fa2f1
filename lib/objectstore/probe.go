package objectstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Probe checks that a store can hold a shared cache: it is writable, returns what was written, and respects both
// conditions of Put. Probe writes a temporary object under "probe/". It fails with ErrUnconditional if the store
// ignores conditions, and with ErrReadOnly or another class if a write fails.
func Probe(ctx context.Context, s Store) error {
	key := "probe/" + strings.ToLower(rand.Text())
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = s.Delete(ctx, key) // a leftover object does no harm
	}()
	put := func(content string, opt PutOptions) (Info, error) {
		return s.Put(ctx, key, strings.NewReader(content), int64(len(content)), opt)
	}
	ignored := func(what string) error {
		return &Error{Op: "probe", Key: key, Store: s.String(), Kind: ErrUnconditional, Err: errors.New(what),
			Hint: "use a store with conditional writes (AWS S3, MinIO, Ceph, versitygw) or the embedded one"}
	}
	first, err := put("first", PutOptions{IfAbsent: true})
	if err != nil {
		return err
	}
	if _, err := put("again", PutOptions{IfAbsent: true}); err == nil {
		return ignored("a write with IfAbsent replaced an existing object")
	} else if !errors.Is(err, ErrExists) {
		return err
	}
	second, err := put("second", PutOptions{IfMatch: first.ETag})
	if err != nil {
		return err
	}
	if _, err := put("stale", PutOptions{IfMatch: first.ETag}); err == nil {
		return ignored("a write with IfMatch replaced an object that had changed")
	} else if !errors.Is(err, ErrExists) {
		return err
	}
	body, info, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, []byte("second")) || info.ETag != second.ETag {
		err := fmt.Errorf("the store returned %q, although %q was written last", got, "second")
		return &Error{Op: "probe", Key: key, Store: s.String(), Err: err}
	}
	return nil
}

package artifact

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vapo/lib/cachekey"
)

// Made is the part of a record that is needed to find the action that made a blob.
type Made struct {
	Stage   string
	Version int // of the stage
	Created time.Time
	Outputs map[string]Digest
	Object  string // identifies the version of the record in the store
}

// readers is the number of small documents that are read at once.
const readers = 16

// Index updates made and reports whether made changed. made holds the contents of all records whose keys begin with
// prefix, by key. Index lists these records but reads only new and replaced ones. It calls damaged for each record that
// it cannot decode, and leaves that record out.
func (s *Store) Index(
	ctx context.Context, prefix string, made map[string]Made, damaged func(error),
) (changed bool, err error) {
	listed := map[string]string{}
	for info, err := range s.objects.List(ctx, "actions/"+prefix) {
		if err != nil {
			return false, err
		}
		if key, ok := actionOfKey(info.Key); ok {
			listed[key] = fmt.Sprint(info.ETag, info.Size, info.ModTime.UnixNano())
		}
	}
	for key, m := range made {
		if listed[key] != m.Object {
			delete(made, key)
			changed = true
		}
	}
	for key := range made {
		delete(listed, key) // what remains in listed has to be read
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for key, object := range listed {
		group.Go(func() error {
			rec, err := s.Record(ctx, key)
			var action cachekey.Action
			if err == nil {
				action, err = cachekey.Parse(rec.Action)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrNotFound): // deleted after it was listed
			case errors.Is(err, ErrCorrupt):
				damaged(err)
			case err != nil:
				return err
			default:
				changed = true
				made[key] = Made{action.Stage, action.Version, rec.Created, rec.Outputs, object}
			}
			return nil
		})
	}
	err = group.Wait()
	return changed, err
}

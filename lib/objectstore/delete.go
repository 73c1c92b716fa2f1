package objectstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

const (
	// MaxDelete is the largest number of objects that DeleteUnchanged takes. It is S3's limit.
	MaxDelete = 1000
	// freshLook is how long DeleteUnchanged relies on the caller's Infos before it checks the objects again.
	freshLook = 2 * time.Second
	// looksInFlight is the number of objects that DeleteUnchanged checks concurrently.
	looksInFlight = 16
)

func (s *s3Store) DeleteUnchanged(
	ctx context.Context, objects []Info, looked time.Time,
) (changed []Info, err error) {
	if len(objects) > MaxDelete {
		err = fmt.Errorf("%d objects in one request, expected at most %d", len(objects), MaxDelete)
		return nil, &Error{Op: "delete", Store: s.name, Err: err}
	}
	left := objects
	err = s.retry(ctx, "delete", "", true, func(attempt int) error {
		// An attempt that failed may have deleted objects, and other programs may have created them again since.
		if attempt > 0 || time.Since(looked) > freshLook {
			same, other, err := s.look(ctx, left)
			if err != nil {
				return err
			}
			left, changed = same, append(changed, other...)
		}
		var err error
		left, err = s.deleteAll(ctx, left)
		return err
	})
	return changed, err
}

// look separates unchanged objects from replaced ones, and leaves out deleted ones. The ETag alone does not show that
// an object was replaced by the same content. Times are compared in whole seconds, because Head returns no fractions.
// An Info from Put may have no time to compare.
func (s *s3Store) look(ctx context.Context, objects []Info) (same, changed []Info, err error) {
	now := make([]Info, len(objects))
	group, looking := errgroup.WithContext(ctx)
	group.SetLimit(looksInFlight)
	for i := range objects {
		group.Go(func() (err error) {
			now[i], err = s.Head(looking, objects[i].Key)
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for i, was := range objects {
		switch {
		case now[i].Key == "": // gone
		case now[i].ETag == was.ETag && now[i].Size == was.Size &&
			(was.ModTime.IsZero() || now[i].ModTime.Unix() == was.ModTime.Unix()):
			same = append(same, was)
		default:
			changed = append(changed, was)
		}
	}
	return same, changed, nil
}

// deleteAll deletes objects in one request and returns those that remain.
func (s *s3Store) deleteAll(ctx context.Context, objects []Info) (left []Info, err error) {
	if len(objects) == 0 {
		return nil, nil
	}
	remain := map[string]Info{}
	for _, info := range objects {
		name, err := s.object("delete", info.Key)
		if err != nil {
			return objects, err
		}
		remain[name] = info
	}
	names := func(yield func(minio.ObjectInfo) bool) {
		for _, info := range objects {
			if !yield(minio.ObjectInfo{Key: s.prefix + info.Key}) {
				return
			}
		}
	}
	results, err := s.core.RemoveObjectsWithIter(ctx, s.bucket, names, minio.RemoveObjectsOptions{})
	if err != nil {
		return objects, err
	}
	for r := range results {
		switch {
		case r.Err == nil, minio.ToErrorResponse(r.Err).Code == "NoSuchKey":
			delete(remain, r.ObjectName)
		case err == nil:
			err = fmt.Errorf("%s: %w", remain[r.ObjectName].Key, r.Err)
		}
	}
	for _, info := range remain {
		left = append(left, info)
	}
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("the store's response does not mention %s", left[0].Key)
	}
	return left, err
}

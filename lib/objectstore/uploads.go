package objectstore

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

func (s *s3Store) Uploads(ctx context.Context, before time.Time, abort bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var page minio.ListMultipartUploadsResult
		for more := true; more; more = page.IsTruncated {
			err := s.retry(ctx, "list uploads", "", false, func(int) (err error) {
				page, err = s.core.ListMultipartUploads(ctx, s.bucket, s.prefix, page.NextKeyMarker, page.NextUploadIDMarker, "",
					1000)
				return err
			})
			if err != nil {
				yield("", err)
				return
			}
			for _, upload := range page.Uploads {
				if !upload.Initiated.Before(before) {
					continue
				}
				key := strings.TrimPrefix(upload.Key, s.prefix)
				if abort {
					err = s.retry(ctx, "abort upload", key, true, func(int) error {
						return s.core.AbortMultipartUpload(ctx, s.bucket, upload.Key, upload.UploadID)
					})
				}
				if errors.Is(err, ErrNotFound) {
					err = nil // the writer has just completed or aborted the upload
				}
				if !yield(key, err) || err != nil {
					return
				}
			}
		}
	}
}

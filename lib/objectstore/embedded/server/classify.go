package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"vapo/lib/failure"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// classify wraps the gateway's backend and reports failures of the file system with the matching S3 error. Otherwise
// the gateway might report a full disk or an unwritable directory as InternalError, which explains nothing and makes
// clients retry. The wrapper also refuses keys that lead through a symbolic link or to a special file. Otherwise the
// gateway would follow the link out of the store, and would wait forever for a FIFO.
type classify struct{ backend.Backend }

// regular checks that the path of an object, as far as it exists, consists of directories and a regular file.
func regular(bucket, key *string) error {
	path := *bucket
	for elem := range strings.SplitSeq(*key, "/") {
		path = filepath.Join(path, elem)
		if fi, err := os.Lstat(path); err == nil && !fi.IsDir() && !fi.Mode().IsRegular() {
			const text = "%s in the directory of the embedded store is neither a file nor a directory; move it away"
			return s3err.APIError{
				Code: "NotAFile", Description: fmt.Sprintf(text, path), HTTPStatusCode: http.StatusConflict,
			}
		}
	}
	return nil
}

func fileError(err error) error {
	var answered s3err.S3Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answered):
		return answered // without wrapping, because versitygw does not unwrap errors
	case failure.NoSpace(err):
		return s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	}
	return err
}

func (c classify) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	if err := regular(in.Bucket, in.Key); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	out, err := c.Backend.PutObject(ctx, in)
	return out, fileError(err)
}

func (c classify) CreateMultipartUpload(
	ctx context.Context, in s3response.CreateMultipartUploadInput,
) (s3response.InitiateMultipartUploadResult, error) {
	if err := regular(in.Bucket, in.Key); err != nil {
		return s3response.InitiateMultipartUploadResult{}, err
	}
	out, err := c.Backend.CreateMultipartUpload(ctx, in)
	return out, fileError(err)
}

func (c classify) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	out, err := c.Backend.UploadPart(ctx, in)
	return out, fileError(err)
}

func (c classify) CompleteMultipartUpload(
	ctx context.Context, in *s3.CompleteMultipartUploadInput,
) (s3response.CompleteMultipartUploadResult, string, error) {
	if err := regular(in.Bucket, in.Key); err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	out, version, err := c.Backend.CompleteMultipartUpload(ctx, in)
	return out, version, fileError(err)
}

func (c classify) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	if err := regular(in.Bucket, in.Key); err != nil {
		return nil, err
	}
	out, err := c.Backend.DeleteObject(ctx, in)
	return out, fileError(err)
}

// DeleteObjects deletes one object after the other, each as DeleteObject does.
func (c classify) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	var out s3response.DeleteResult
	for _, obj := range in.Delete.Objects {
		_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: in.Bucket, Key: obj.Key, VersionId: obj.VersionId})
		if err != nil {
			out.Error = append(out.Error, s3err.ObjectDeleteError(obj.Key, obj.VersionId, err))
			continue
		}
		out.Deleted = append(out.Deleted, types.DeletedObject{Key: obj.Key, VersionId: obj.VersionId})
	}
	return out, nil
}

func (c classify) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	if err := regular(in.Bucket, in.Key); err != nil {
		return nil, err
	}
	return c.Backend.GetObject(ctx, in)
}

func (c classify) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	if err := regular(in.Bucket, in.Key); err != nil {
		return nil, err
	}
	return c.Backend.HeadObject(ctx, in)
}

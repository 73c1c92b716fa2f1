package embedded

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// classify wraps the gateway's backend and reports failures of the file system with the matching S3 error. Otherwise
// the gateway might report a full disk or an unwritable directory as InternalError, which clients retry and which
// explains nothing.
type classify struct{ backend.Backend }

func fileError(err error) error {
	var answered s3err.S3Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answered):
		return answered // without wrapping, because versitygw does not unwrap errors
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	}
	return err
}

func (c classify) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	out, err := c.Backend.PutObject(ctx, in)
	return out, fileError(err)
}

func (c classify) CreateMultipartUpload(
	ctx context.Context, in s3response.CreateMultipartUploadInput,
) (s3response.InitiateMultipartUploadResult, error) {
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
	out, version, err := c.Backend.CompleteMultipartUpload(ctx, in)
	return out, version, fileError(err)
}

func (c classify) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	out, err := c.Backend.DeleteObject(ctx, in)
	return out, fileError(err)
}

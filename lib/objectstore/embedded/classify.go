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

// classify is the gateway's backend with the failures of the file system reported to the client as such. Without it, a
// directory that became unwritable or a full disk may be an "internal error", which is retried and explains nothing.
type classify struct{ backend.Backend }

func fileError(err error) error {
	var answered s3err.S3Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answered):
		return answered // versitygw itself does not unwrap errors
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

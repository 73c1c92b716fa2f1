package stage

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Reader gives random access to the content of an input.
type Reader struct {
	io.ReaderAt
	Size  int64 // bytes
	Local bool  // whether it reads a local file; otherwise every read is a request to the store
	io.Closer
}

// OpenInput opens the named input for random access. A blob is first fetched to a local file, unless it has more than
// local bytes. A larger blob is read from the store in parts. Every byte is verified: once if it comes from a file, and
// at each read if it comes from the store (see artifact.Blob). Reads from the store fail after ctx ends.
func (j *Job) OpenInput(ctx context.Context, name string, local int64) (*Reader, error) {
	in, ok := j.inputs[name]
	if !ok {
		return nil, fmt.Errorf("input %s: %w", name, errNoInput)
	}
	if in.blob != nil && in.size > local {
		blob, err := in.blob(ctx)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		return &Reader{ReaderAt: blob, Size: blob.Size(), Closer: io.NopCloser(nil)}, nil
	}
	path, err := j.Input(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", name, err)
	}
	return &Reader{ReaderAt: f, Size: in.size, Local: true, Closer: f}, nil
}

// InputSize returns the length of the named input in bytes, or 0 if the input was not given.
func (j *Job) InputSize(name string) int64 {
	if in := j.inputs[name]; in != nil {
		return in.size
	}
	return 0
}

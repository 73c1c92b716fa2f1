package stage

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Reader is random access to the bytes of an input.
type Reader struct {
	io.ReaderAt
	Size  int64 // bytes
	Local bool  // a file on this machine; otherwise every read is a request to the store
	io.Closer
}

// OpenInput opens the named input for reading parts of it: a local file, or a blob in the store, which is fetched to a local
// file first if it is at most local bytes long, and otherwise stays there. Every byte read is verified, from the store
// each time (see artifact.Blob), of a file once. Reads end with ctx.
func (j *Job) OpenInput(ctx context.Context, name string, local int64) (*Reader, error) {
	in, ok := j.inputs[name]
	if !ok {
		return nil, fmt.Errorf("input %s: %w", name, ErrNoInput)
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

// InputSize is the length in bytes of the named input, or 0.
func (j *Job) InputSize(name string) int64 {
	if in := j.inputs[name]; in != nil {
		return in.size
	}
	return 0
}

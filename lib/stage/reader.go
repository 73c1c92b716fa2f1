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

// OpenInput opens the named input for reading parts of it. A blob in the store is first fetched to a local file if it
// has at most local bytes; of a larger one the parts are read from the store. Every byte is verified: of a file once,
// from the store at each read (see artifact.Blob). Reads end with ctx.
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

// InputSize returns the length in bytes of the named input, or 0.
func (j *Job) InputSize(name string) int64 {
	if in := j.inputs[name]; in != nil {
		return in.size
	}
	return 0
}

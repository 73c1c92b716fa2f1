package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"vapo/lib/artifact"
	"vapo/lib/failure"
)

// Parts keeps values computed on the way to an output that are pure functions of what their key digests. They outlive
// the run, so that a killed one goes on where it was, and other actions find them too. A key has the form of an
// action's ([cachekey.Action.Key]). Losing a part costs only the work it took.
type Parts interface {
	Save(ctx context.Context, key string, value []byte) error
	// Load returns ok false for a part that is not there or is damaged.
	Load(ctx context.Context, key string) (value []byte, ok bool, err error)
}

// Parts are kept in the store where there is one. Else they are part of the live state beside --out, and end with it.
func (j *Job) Parts(ctx context.Context) (Parts, error) {
	if !configured() {
		return liveParts{j.live}, nil
	}
	return openParts(ctx, j.src, j.log)
}

// openParts is nil where no store is configured.
func openParts(ctx context.Context, src *source, log *slog.Logger) (Parts, error) {
	if !configured() {
		return nil, nil
	}
	store, err := src.open(ctx)
	if err != nil {
		return nil, err
	}
	return &storeParts{store, log}, nil
}

// partsIn keeps parts in a directory.
func partsIn(dir string, scratch string, log *slog.Logger) (Parts, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, failure.New(failure.Usage, "name a directory that can be written", "%w", err)
	}
	probe, err := os.CreateTemp(dir, ".vapo-*.tmp") // said before the work, not after it
	if err != nil {
		return nil, failure.New(failure.Usage, "name a directory that can be written", "%w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, err
	}
	return liveParts{&localLive{parent: filepath.Dir(dir), dir: dir, scratch: scratch, log: log, what: "part"}}, nil
}

type storeParts struct {
	store *artifact.Store
	log   *slog.Logger
}

func (p *storeParts) Save(ctx context.Context, key string, value []byte) error {
	if err := p.store.SavePart(ctx, key, value); err != nil {
		return fmt.Errorf("part %s: %w", key, err)
	}
	return nil
}

func (p *storeParts) Load(ctx context.Context, key string) ([]byte, bool, error) {
	value, err := p.store.Part(ctx, key)
	switch {
	case errors.Is(err, artifact.ErrNotFound):
		return nil, false, nil
	case errors.Is(err, artifact.ErrCorrupt):
		p.log.Warn("part is damaged; starting over", "name", key)
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("part %s: %w", key, err)
	}
	return value, true, nil
}

// liveParts are values of a live state, under their keys as names.
type liveParts struct{ live Live }

func (p liveParts) Save(ctx context.Context, key string, value []byte) error {
	return p.live.Save(ctx, key, func(w io.Writer) error {
		_, err := w.Write(value)
		return err
	})
}

func (p liveParts) Load(ctx context.Context, key string) ([]byte, bool, error) {
	path, ok, err := p.live.Load(ctx, key)
	if err != nil || !ok {
		return nil, false, err
	}
	defer os.Remove(path) // a copy in the scratch directory
	value, err := os.ReadFile(path)
	return value, err == nil, err
}

package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"vapo/lib/artifact"
	"vapo/lib/failure"
)

// Parts keeps intermediate values, each of which depends only on what enters its key. The values outlive the run: a
// killed run need not compute them again, and other actions can use them. A key has the form of an action's key
// ([cachekey.Action.Key]). Losing a part costs only the time to compute it again.
type Parts interface {
	Save(ctx context.Context, key string, value []byte) error
	// Load returns ok == false if the part is missing or damaged.
	Load(ctx context.Context, key string) (value []byte, ok bool, err error)
}

// Parts returns the parts in the store. Without a store, parts are kept in the live state and last until the run
// succeeds.
func (j *Job) Parts(ctx context.Context) (Parts, error) {
	if !configured() {
		return liveParts{j.live}, nil
	}
	return openParts(ctx, j.src, j.log)
}

// openParts returns the parts in the store, or nil if no store is configured.
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

func partsIn(dir string, scratch string, log *slog.Logger) (Parts, error) {
	const hint = "name a directory that you may write to"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, failure.New(failure.Usage, hint, "%w", err)
	}
	probe, err := os.CreateTemp(dir, ".vapo-*.tmp") // reports an unusable directory before the work begins
	if err != nil {
		return nil, failure.New(failure.Usage, hint, "%w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, err
	}
	return liveParts{&localLive{dir: dir, scratch: scratch, log: log, kind: "part"}}, nil
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
		p.log.Warn("part is damaged; computing it again", "name", key)
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("part %s: %w", key, err)
	}
	return value, true, nil
}

// liveParts keeps each part in a live state, under the part's key.
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
	defer os.Remove(path) // path is a copy in the scratch directory
	value, err := os.ReadFile(path)
	return value, err == nil, err
}

package stage

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"vapo/lib/artifact"
)

// Live saves the state that a run needs to resume after it was killed. Each name has one value, which Save replaces
// atomically. The state belongs to the action's key, so a run with other parameters or inputs never sees it.
type Live interface {
	// Save replaces the value of name.
	Save(ctx context.Context, name string, write func(io.Writer) error) error
	// Load returns the path of a file with the last saved value. ok is false if no value was saved, or if the value does
	// not match the digest that was saved with it; the run then starts over.
	Load(ctx context.Context, name string) (path string, ok bool, err error)
}

func (j *Job) openLive(ctx context.Context) (Live, error) {
	if j.paths.live != "" && configured() {
		store, err := j.src.open(ctx)
		if err != nil {
			return nil, err
		}
		live := store.Live(j.key)
		live.HeldBy(j.paths.lease)
		return &storeLive{live: live, scratch: j.scratch, log: j.log}, nil
	}
	dir := j.paths.out
	if dir == "" {
		dir = j.scratch // there is a store but no runner, so no later run will resume
	}
	dir = filepath.Join(dir, ".live", j.key)
	return &localLive{dir: dir, scratch: j.scratch, log: j.log, kind: "live state"}, nil
}

// The file of a locally saved value has one line with the digest of the value, followed by the value. The state affects
// every byte of the result, so damage must be detected.
const liveMagic = "vapo-live 1 sha256:"

// seal writes the line with the digest, and then the value, to a new file in dir.
func seal(dir string, write func(io.Writer) error) (path string, err error) {
	f, err := os.CreateTemp(dir, ".live-*.tmp")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	defer f.Close()
	header := liveMagic + strings.Repeat("0", 64) + "\n"
	if _, err := f.WriteString(header); err != nil {
		return "", err
	}
	sum := sha256.New()
	buf := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20)
	if err := errors.Join(write(buf), buf.Flush()); err != nil {
		return "", err
	}
	if _, err := f.WriteAt([]byte(hex.EncodeToString(sum.Sum(nil))), int64(len(liveMagic))); err != nil {
		return "", err
	}
	return f.Name(), errors.Join(f.Sync(), f.Close())
}

// unseal copies the value from r to a new file in dir. ok is false if the value is damaged.
func unseal(dir string, r io.Reader) (path string, ok bool, err error) {
	in := bufio.NewReaderSize(r, 1<<16)
	header := make([]byte, len(liveMagic)+65)
	if _, err := io.ReadFull(in, header); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", false, nil
		}
		return "", false, err
	}
	want, found := strings.CutPrefix(strings.TrimSuffix(string(header), "\n"), liveMagic)
	if !found {
		return "", false, nil
	}
	f, err := os.CreateTemp(dir, "live-*")
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, sum), in); err != nil {
		return "", false, errors.Join(err, os.Remove(f.Name()))
	}
	if hex.EncodeToString(sum.Sum(nil)) != want {
		return "", false, os.Remove(f.Name())
	}
	return f.Name(), true, f.Close()
}

// storeLive keeps the state in the store under live/<key>/. The store verifies the state when it is loaded.
type storeLive struct {
	live    *artifact.Live
	scratch string
	log     *slog.Logger
}

func (l *storeLive) Save(ctx context.Context, name string, write func(io.Writer) error) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		buf := bufio.NewWriterSize(w, 1<<20)
		err := errors.Join(write(buf), buf.Flush())
		w.CloseWithError(err) // if err is nil, this marks the end of the value
		written <- err
	}()
	err := l.live.Save(ctx, name, r)
	r.CloseWithError(err)
	if werr := <-written; err == nil {
		err = werr
	}
	if err != nil {
		return fmt.Errorf("live state %s: %w", name, err)
	}
	return nil
}

func (l *storeLive) Load(ctx context.Context, name string) (string, bool, error) {
	path, err := l.load(ctx, name)
	switch {
	case errors.Is(err, artifact.ErrNotFound):
		return "", false, nil
	case errors.Is(err, artifact.ErrCorrupt):
		l.log.Warn("live state is damaged; starting over", "name", name)
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("live state %s: %w", name, err)
	}
	return path, true, nil
}

func (l *storeLive) load(ctx context.Context, name string) (string, error) {
	r, err := l.live.Load(ctx, name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	f, err := os.CreateTemp(l.scratch, "live-*")
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// localLive keeps the state next to the outputs, in DIR/.live/<key>/.
type localLive struct {
	dir, scratch string
	log          *slog.Logger
	kind         string // what is saved, for messages: "live state" or "part"
}

func (l *localLive) Save(_ context.Context, name string, write func(io.Writer) error) error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("%s %s: %w", l.kind, name, err)
	}
	path, err := seal(l.dir, write)
	if err != nil {
		return fmt.Errorf("%s %s: %w", l.kind, name, err)
	}
	if err := os.Rename(path, filepath.Join(l.dir, name)); err != nil {
		return fmt.Errorf("%s %s: %w", l.kind, name, err)
	}
	return nil
}

func (l *localLive) Load(_ context.Context, name string) (string, bool, error) {
	f, err := os.Open(filepath.Join(l.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("%s %s: %w", l.kind, name, err)
	}
	defer f.Close()
	path, ok, err := unseal(l.scratch, f)
	if err != nil {
		return "", false, fmt.Errorf("%s %s: %w", l.kind, name, err)
	}
	if !ok {
		l.log.Warn(l.kind+" is damaged; starting over", "name", name)
	}
	return path, ok, nil
}

// clear deletes the state of a finished action.
func (l *localLive) clear() {
	_ = os.RemoveAll(l.dir)            // state that remains only takes up disk space
	_ = os.Remove(filepath.Dir(l.dir)) // fails if another action has state there
}

package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"vapo/lib/failure"
)

// existing opens a lock file without creating it.
var existing = flock.SetFlag(os.O_RDONLY)

func (r *Runner) scratchDir(id string) string { return filepath.Join(r.Dir, "tmp", id) }

func (r *Runner) lockFile(id string) string { return r.scratchDir(id) + ".lock" }

// RunDir returns the directory for the local files of a run.
func (r *Runner) RunDir(id string) string { return filepath.Join(r.Dir, "runs", id) }

// claim creates the local directories of a run and locks its scratch directory until this process ends or calls
// release. It also removes the files of old runs, and the scratch directories of runs that were killed or could not
// remove them. It returns the IDs of those runs.
func (r *Runner) claim(ctx context.Context, id string) (ended []string, release func(), err error) {
	for _, dir := range []string{filepath.Dir(r.scratchDir(id)), r.RunDir(id)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			const hint = "choose another directory with --dir"
			return nil, nil, failure.New(failure.Resources, hint, "the local directory: %w", err)
		}
	}
	locks, err := filepath.Glob(r.lockFile("*"))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range locks {
		lock := flock.New(path, existing)
		if ok, err := lock.TryLock(); err != nil || !ok {
			continue
		}
		scratch := strings.TrimSuffix(path, ".lock")
		ended = append(ended, filepath.Base(scratch))
		removeScratch(scratch, lock)
	}
	lock, err := lockNew(ctx, r.lockFile(id))
	if err != nil {
		return nil, nil, failure.New(failure.Resources, "", "locking the scratch directory of run %s: %w", id, err)
	}
	r.trim()
	return ended, func() { removeScratch(r.scratchDir(id), lock) }, nil
}

// removeScratch removes a scratch directory and its lock, which it releases. If it cannot remove the directory, the
// lock file stays, so that the next run tries again.
func removeScratch(dir string, lock *flock.Flock) {
	if removeAll(dir) == nil {
		_ = os.Remove(lock.Path())
	}
	_ = lock.Unlock()
}

// removeAll is os.RemoveAll, but also removes the contents of read-only directories, which programs such as go leave.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) // WalkDir reads the directory afterwards
		}
		return nil
	})
	return os.RemoveAll(dir) // reports what could not be changed
}

// tidy removes the leases and live states of finished actions that an ended run left in the store. A run leaves them if
// it is killed after it has published a result but before the end of the step. Failures do not matter, because pipeline
// store gc removes the same objects later.
func (r *Runner) tidy(ctx context.Context, id string) {
	data, err := r.Store.Run(ctx, id)
	if err != nil {
		return
	}
	run, err := DecodeRun(id, data)
	if err != nil {
		return
	}
	for _, s := range run.Steps {
		if s.Shard != "" {
			continue // its lease expires
		}
		if _, err := r.Store.Record(ctx, s.Key); err == nil {
			_ = r.Store.Live(s.Key).DeleteAfter(ctx, id)
		}
	}
}

// lockNew creates a file and locks it. Before lockNew gets the lock, another runner may take it briefly to check
// whether the file is abandoned, and may even delete the file. lockNew then tries again.
func lockNew(ctx context.Context, path string) (*flock.Flock, error) {
	lock := flock.New(path)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
			return nil, err
		}
		locked, err := lock.Stat()
		if err != nil {
			return nil, err
		}
		if now, err := os.Stat(path); err == nil && os.SameFile(locked, now) {
			return lock, nil
		}
		if err := lock.Unlock(); err != nil {
			return nil, fmt.Errorf("unlocking a file that was deleted: %w", err)
		}
	}
}

// Alive reports whether the process of a run still exists. known is false if the run was not started from this
// directory.
func (r *Runner) Alive(id string) (alive, known bool) {
	lock := flock.New(r.lockFile(id), existing)
	ok, err := lock.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(r.RunDir(id))
		return false, err == nil
	}
	if err != nil {
		return false, false
	}
	_ = lock.Close()
	return !ok, true
}

// localRuns is the number of runs whose local files are kept.
const localRuns = 100

// trim removes the local files (logs and reports) of old runs. It keeps those of the newest runs, of runs that are
// still active, and of runs whose jobs still need the store's variables. If trim fails, the next run tries again.
func (r *Runner) trim() {
	dirs, err := os.ReadDir(r.RunDir("")) // sorted by name, which begins with the time
	if err != nil {
		return
	}
	for _, dir := range dirs[:max(0, len(dirs)-localRuns)] {
		_, err := os.Stat(filepath.Join(r.RunDir(dir.Name()), StoreEnvFile))
		if alive, _ := r.Alive(dir.Name()); !alive && err != nil {
			_ = os.RemoveAll(r.RunDir(dir.Name()))
		}
	}
}

package stage

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/cachekey"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/program"
)

// jobPaths holds the flags that say where results and state are stored; each may be "".
type jobPaths struct {
	out, manifest, live, lease string
	partsOnly                  bool // the job writes no outputs, so those of another run in the same place stay valid
}

// Job is one execution of a stage. Its methods may be called from several goroutines.
type Job struct {
	desc    contract.Description
	src     *source
	paths   jobPaths
	scratch string // temporary directory
	close   func() // closes src and removes scratch
	screen  *screen
	log     *slog.Logger
	inputs  map[string]*input
	earlier map[string]*input // outputs of a shorter run in the series
	series  string
	key     string
	live    Live
	sharded bool       // see Sharded
	tune    *tuneState // nil unless the command is tune

	mu       sync.Mutex
	manifest contract.Manifest
	summary  []string // lines of Summary
}

// newJob resolves every input and prepares the places for outputs, so that a wrong command fails before the computation
// starts.
func newJob(
	ctx context.Context, desc contract.Description, resolved map[string]any, given, earlier map[string]string,
	paths jobPaths, scr *screen,
) (_ *Job, err error) {
	if paths.out == "" && !configured() {
		return nil, failure.New(failure.Usage, "give --out DIR, or set VAPO_STORE",
			"there is no place for the outputs: neither --out nor VAPO_STORE is set")
	}
	j := &Job{desc: desc, paths: paths, screen: scr, log: scr.logger()}
	scratch, remove, err := program.Scratch()
	if err != nil {
		return nil, err
	}
	j.scratch, j.src = scratch, &source{scratch: scratch, log: j.log}
	j.close = func() {
		j.src.close()
		remove()
	}
	defer func() {
		if err != nil {
			j.close()
		}
	}()
	if paths.out != "" {
		if err := os.MkdirAll(paths.out, 0o755); err != nil {
			return nil, failure.New(failure.Usage, "", "--out: %w", err)
		}
	}
	// A manifest means that the outputs are complete. The manifest of an earlier run must not claim that for this run.
	for _, path := range j.manifestPaths() {
		if paths.partsOnly {
			break
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, failure.New(failure.Usage, "", "--manifest: %w", err)
		}
	}
	if configured() {
		if _, err := j.src.open(ctx); err != nil {
			return nil, err
		}
	}
	if j.inputs, err = j.src.locateAll(ctx, "input", desc.Inputs, given); err != nil {
		return nil, err
	}
	digests := map[string]string{}
	for name, in := range j.inputs {
		digests[name] = string(in.digest)
	}
	action := desc.Action(resolved, digests)
	if j.key, err = action.Key(); err != nil {
		return nil, failure.New(failure.Usage, "", "%w", err)
	}
	var ok bool
	if j.series, _, ok = desc.Series(resolved, digests); !ok && len(earlier) > 0 {
		return nil, failure.New(failure.Usage, "", "--earlier: stage %s cannot continue an earlier run", desc.Stage)
	}
	if len(earlier) > 0 {
		if j.earlier, err = j.src.locateAll(ctx, "output", optional(desc.Outputs), earlier); err != nil {
			return nil, fmt.Errorf("--earlier: %w", err)
		}
	}
	if paths.live != "" && paths.live != j.key {
		return nil, mismatch(action, paths.live, j.key)
	}
	if j.live, err = j.openLive(ctx); err != nil {
		return nil, err
	}
	j.manifest = contract.Manifest{
		Contract: desc.Contract, Stage: desc.Stage, Version: desc.Version,
		Params: resolved, Units: map[string]string{}, Inputs: digests,
		Outputs: map[string]contract.Output{}, Backend: action.Backend,
		Results: map[string]any{}, Versions: program.Versions(),
	}
	for _, p := range desc.Params {
		if p.Unit != "" {
			j.manifest.Units[p.Name] = p.Unit
		}
	}
	return j, nil
}

// mismatch is the error of a run whose key differs from the key that the runner computed. The runner would store the
// outputs under the wrong key.
func mismatch(a cachekey.Action, want, got string) error {
	preimage, _ := a.Preimage() // only for the message
	return failure.New(failure.Integrity,
		"the runner and the stage disagree about parameters or inputs; build both from the same source",
		"this run is action %s, but --live names action %s: %s", got, want, preimage)
}

// Input returns the path of a local, verified file with the content of the named input. Input fails for an optional
// input that was not given; see HasInput.
func (j *Job) Input(ctx context.Context, name string) (string, error) {
	in, ok := j.inputs[name]
	if !ok {
		return "", fmt.Errorf("input %s: %w", name, errNoInput)
	}
	path, err := in.file(ctx)
	if err != nil {
		return "", fmt.Errorf("input %s: %w", name, err)
	}
	return path, nil
}

// Earlier returns the path of a local, verified file with an output of a shorter run; ok is false if that output was
// not given. The stage must check that the output belongs to the same Series as this run.
func (j *Job) Earlier(ctx context.Context, output string) (path string, ok bool, err error) {
	in := j.earlier[output]
	if in == nil {
		return "", false, nil
	}
	if path, err = in.file(ctx); err != nil {
		return "", false, fmt.Errorf("--earlier %s: %w", output, err)
	}
	return path, true, nil
}

// Series returns the key that this run shares with all runs that differ only in their length, or "" if the stage has no
// length.
func (j *Job) Series() string { return j.series }

// HasInput reports whether the named input was given.
func (j *Job) HasInput(name string) bool { return j.inputs[name] != nil }

// Digest returns the digest of the named input, or "".
func (j *Job) Digest(name string) string {
	if in := j.inputs[name]; in != nil {
		return string(in.digest)
	}
	return ""
}

// OutDir returns the directory of --out, or "".
func (j *Job) OutDir() string { return j.paths.out }

// Scratch returns a temporary directory that is removed at exit.
func (j *Job) Scratch() string { return j.scratch }

// Log returns the logger, which writes to standard error: text on a terminal, JSON lines otherwise.
func (j *Job) Log() *slog.Logger { return j.log }

// Progress starts reporting progress towards total. unit is a plural noun, such as "steps".
func (j *Job) Progress(total int64, unit string) *Progress {
	return newProgress(j.screen, j.log, total, unit)
}

// Live returns the saved state from which a run of the same action can resume after it was killed.
func (j *Job) Live() Live { return j.live }

// Set records a result in the manifest. v must be encodable as JSON.
func (j *Job) Set(key string, v any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.manifest.Results[key] = v
}

// Cost records what the outputs cost, in the given unit, for comparisons of scores.
func (j *Job) Cost(unit string, v float64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.manifest.Costs == nil {
		j.manifest.Costs = map[string]float64{}
	}
	j.manifest.Costs[unit] = v
}

// SetBackend records the class of the engine that was used.
func (j *Job) SetBackend(class string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.manifest.Backend = class
}

// SetVersion records the version of a dependency that can change the outputs.
func (j *Job) SetVersion(name, version string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.manifest.Versions[name] = version
}

// Warn logs a warning and records it in the manifest.
func (j *Job) Warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.log.Warn(text)
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Contains(j.manifest.Warnings, text) {
		j.manifest.Warnings = append(j.manifest.Warnings, text)
	}
}

// Output writes the named output to --out (or a temporary directory) and, if a store is configured, puts it there. If
// write returns an error, Output discards what write has written.
func (j *Job) Output(ctx context.Context, name string, write func(io.Writer) error) error {
	p, ok := j.desc.Output(name)
	if !ok {
		return fmt.Errorf("output %s is not declared by stage %s", name, j.desc.Stage)
	}
	if j.discards(name) {
		return write(io.Discard)
	}
	out, err := j.output(ctx, p, write)
	if err != nil {
		return fmt.Errorf("output %s: %w", name, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, twice := j.manifest.Outputs[name]; twice {
		return fmt.Errorf("output %s is written twice", name)
	}
	j.manifest.Outputs[name] = out
	return nil
}

func (j *Job) output(
	ctx context.Context, p contract.Port, write func(io.Writer) error,
) (out contract.Output, err error) {
	path := filepath.Join(cmp.Or(j.paths.out, j.scratch), filename(p))
	sum := sha256.New()
	err = program.WriteFile(path, func(w io.Writer) error {
		buf := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
		return errors.Join(write(buf), buf.Flush())
	})
	if err != nil {
		return out, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return out, err
	}
	out = contract.Output{Digest: string(artifact.SumDigest(sum.Sum(nil))), Size: info.Size(), Media: p.Media}
	if !configured() {
		return out, nil
	}
	store, err := j.src.open(ctx)
	if err != nil {
		return out, err
	}
	digest, _, err := store.PutFile(ctx, path, nil)
	if err == nil && string(digest) != out.Digest {
		err = failure.New(failure.Integrity, "check the disk that the output was written to",
			"bytes changed on disk: wrote %s, read back %s", out.Digest, digest)
	}
	return out, err
}

// filename returns the name of an output in --out.
func filename(p contract.Port) string { return p.Name + contract.Extension(p.Media) }

func (j *Job) manifestPaths() []string {
	var paths []string
	if j.paths.manifest != "" {
		paths = append(paths, j.paths.manifest)
	}
	if j.paths.out != "" {
		paths = append(paths, filepath.Join(j.paths.out, "manifest.json"))
	}
	return paths
}

// finish checks that all required outputs have been written and writes the manifest.
func (j *Job) finish(started time.Time) (*contract.Manifest, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range j.desc.Outputs {
		if _, ok := j.manifest.Outputs[p.Name]; !ok && !p.Optional {
			return nil, fmt.Errorf("stage %s ended without writing output %s", j.desc.Stage, p.Name)
		}
	}
	j.manifest.Started = started.UTC().Truncate(time.Millisecond)
	j.manifest.WallSeconds = time.Since(started).Seconds()
	for _, path := range j.manifestPaths() {
		if err := program.WriteFile(path, func(w io.Writer) error { return writeJSON(w, j.manifest) }); err != nil {
			return nil, fmt.Errorf("manifest: %w", err)
		}
	}
	if local, ok := j.live.(*localLive); ok {
		local.clear()
	}
	return &j.manifest, nil
}

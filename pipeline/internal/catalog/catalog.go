// Package catalog finds stage programs and asks them what they are.
//
// The runner knows nothing about any stage: names, parameters, inputs and
// outputs all come from `STAGE describe`. Programs are looked for in one
// directory only, normally the runner's own, because a stage name such as
// `eval` or `sample` may well be something else on PATH.
package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/pipeline/internal/child"
)

// Catalog knows the stage programs of one directory. It is safe for
// concurrent use.
type Catalog struct {
	dir     string
	mu      sync.Mutex
	entries map[string]*Entry
}

// Entry is one stage program.
type Entry struct {
	Path string
	contract.Description

	once sync.Once
	err  error
}

// New gives the catalog of dir.
func New(dir string) *Catalog { return &Catalog{dir: dir, entries: map[string]*Entry{}} }

// Dir is where the programs are looked for.
func (c *Catalog) Dir() string { return c.dir }

// Names lists the programs in the directory that may be stages, for hints.
func (c *Catalog) Names() []string {
	files, _ := os.ReadDir(c.dir) // no directory, no names
	var names []string
	for _, f := range files {
		info, err := f.Info()
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && f.Name() != "pipeline" {
			names = append(names, f.Name())
		}
	}
	return names
}

// Stage describes a stage program, once. A program that is not there gives
// os.ErrNotExist.
func (c *Catalog) Stage(ctx context.Context, name string) (*Entry, error) {
	c.mu.Lock()
	e := c.entries[name]
	if e == nil {
		e = &Entry{Path: filepath.Join(c.dir, name)}
		c.entries[name] = e
	}
	c.mu.Unlock()
	e.once.Do(func() { e.Description, e.err = c.describe(ctx, e.Path, name) })
	return e, e.err
}

func (c *Catalog) describe(ctx context.Context, path, name string) (contract.Description, error) {
	if _, err := os.Stat(path); err != nil {
		return contract.Description{}, fmt.Errorf("no stage program %s: %w", path, os.ErrNotExist)
	}
	out, err := call(ctx, path, "describe")
	if err != nil {
		return contract.Description{}, fmt.Errorf("%s describe: %w", path, err)
	}
	d, err := contract.DecodeDescription(out)
	if err != nil {
		return d, fmt.Errorf("%s describe: %w", path, err)
	}
	if d.Stage != name {
		return d, fmt.Errorf("%s says it is stage %q", path, d.Stage)
	}
	return d, nil
}

// Check asks a stage to validate parameters and resolve those left out or set
// to auto. Its refusal comes in the stage's own words and with its exit code: a
// source that is not there is no mistake of the recipe.
func (c *Catalog) Check(ctx context.Context, e *Entry, params map[string]any) (map[string]any, error) {
	given, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	out, err := call(ctx, e.Path, "describe", "--check", string(given))
	if err != nil {
		var refusal struct{ Error, Hint string }
		if json.Unmarshal(out, &refusal) == nil && refusal.Error != "" {
			class := failure.Usage
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() > 0 {
				class = failure.Class(exit.ExitCode())
			}
			return nil, failure.New(class, refusal.Hint, "%s", refusal.Error)
		}
		return nil, fmt.Errorf("%s describe --check: %w", e.Path, err)
	}
	d, err := contract.DecodeDescription(out)
	if err != nil {
		return nil, err
	}
	if d.Resolved == nil {
		return nil, fmt.Errorf("%s describe --check resolved nothing", e.Path)
	}
	return d.Resolved, nil
}

// call runs a stage for a question, which takes it milliseconds.
func call(ctx context.Context, path string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := child.Run(ctx, cmd, time.Second)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && stderr.Len() > 0 {
		text := strings.TrimSpace(stderr.String())
		if i := strings.LastIndex(text, "\n"); i >= 0 && len(text) > 400 {
			text = text[i+1:]
		}
		err = fmt.Errorf("%w: %s", err, text)
	}
	return stdout.Bytes(), err
}

// Package catalog finds stage programs and reads their descriptions. The runner has no stages built in: names,
// parameters, inputs and outputs all come from `STAGE describe`. Programs are searched for in only one directory,
// normally the runner's own, because a name such as `eval` or `sample` on PATH may be a different program.
//
// The tests of package pipeline cover this package, with the real stages and with the toy stage in pipeline/testdata.
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

// Catalog provides the stage programs in one directory. It is safe for concurrent use.
type Catalog struct {
	dir     string
	answers *answers
	mu      sync.Mutex
	entries map[string]*Entry
}

// Entry is one stage program with its description.
type Entry struct {
	Path string
	contract.Description

	once sync.Once
	err  error
}

// New returns the catalog of the stage programs in dir. It reads earlier answers of the programs from the file answers.
func New(dir, answers string) *Catalog {
	return &Catalog{dir: dir, answers: recall(answers), entries: map[string]*Entry{}}
}

// Save saves the answers of the stage programs for later runs.
func (c *Catalog) Save() { c.answers.save() }

// Dir returns the directory with the stage programs.
func (c *Catalog) Dir() string { return c.dir }

// Names returns the names of all executable files in the directory, except pipeline itself. Hints list them as possible
// stages.
func (c *Catalog) Names() []string {
	files, _ := os.ReadDir(c.dir) // on an error there are no names
	var names []string
	for _, f := range files {
		info, err := f.Info()
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && f.Name() != "pipeline" {
			names = append(names, f.Name())
		}
	}
	return names
}

// Stage returns the stage program with the given name. Its description is read once. If the program does not exist, the
// error wraps os.ErrNotExist.
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
	d, _, err := c.ask(ctx, path, "describe")
	if err != nil {
		return d, fmt.Errorf("%s describe: %w", path, err)
	}
	if d.Stage != name {
		return d, fmt.Errorf("%s describes itself as stage %q", path, d.Stage)
	}
	return d, nil
}

// Check makes a stage validate its parameters and resolve those that are missing or auto, and returns all parameters.
// An error has the stage's own message and exit code, since not every error is a mistake in the recipe; a source file
// may be missing, for example.
func (c *Catalog) Check(ctx context.Context, e *Entry, params map[string]any) (map[string]any, error) {
	given, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	d, out, err := c.ask(ctx, e.Path, "describe", "--check", string(given))
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
	if d.Resolved == nil {
		return nil, fmt.Errorf("%s describe --check resolved nothing", e.Path)
	}
	return d.Resolved, nil
}

// ask returns the answer of a stage program, decoded and as bytes. It starts the program only if the answer is not
// cached.
func (c *Catalog) ask(ctx context.Context, path string, args ...string) (contract.Description, []byte, error) {
	key := c.answers.key(path, args)
	if out := c.answers.get(key); out != nil {
		if d, err := contract.DecodeDescription(out); err == nil {
			return d, out, nil
		}
	}
	out, err := call(ctx, path, args...)
	if err != nil {
		return contract.Description{}, out, err
	}
	d, err := contract.DecodeDescription(out)
	if err == nil && d.Pure {
		c.answers.put(key, out)
	}
	return d, out, err
}

// call runs a stage program that only describes itself, which should take milliseconds. It returns standard output even
// on an error.
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
	if code, bySignal, _ := child.ExitCode(err); bySignal {
		return nil, failure.New(failure.Class(code), "if nobody killed it, memory probably ran out (see dmesg)",
			"killed by signal %d while describing itself", code-128)
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

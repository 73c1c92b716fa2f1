package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"vapo/lib/artifact"
	"vapo/lib/contract"
	"vapo/lib/failure"
	"vapo/lib/program"
	"vapo/pipeline/internal/recipe"
)

// Job is one execution of a command in a directory of its own.
type Job struct {
	Step    *recipe.Step
	Program string            // absolute path
	Params  map[string]any    // from Resolve
	Inputs  map[string]string // digests by name
	Store   *artifact.Store
	Dir     string // an empty directory
}

func (j *Job) work() string { return filepath.Join(j.Dir, "work") }

// Start fetches the inputs and returns the process to run.
func (j *Job) Start(ctx context.Context) (*exec.Cmd, error) {
	temporary := filepath.Join(j.Dir, "tmp")
	if err := errors.Join(os.MkdirAll(j.work(), 0o755), os.MkdirAll(temporary, 0o755)); err != nil {
		return nil, err
	}
	lists := map[string][]recipe.Input{}
	for _, in := range j.Step.Inputs {
		file := in.Name
		if in.List != "" {
			lists[in.List] = append(lists[in.List], in)
			file = filepath.Join(in.List, recipe.Label(in.Bindings))
			if err := os.MkdirAll(filepath.Join(j.work(), in.List), 0o755); err != nil {
				return nil, err
			}
		}
		if err := j.Store.Fetch(ctx, artifact.Digest(j.Inputs[in.Name]), filepath.Join(j.work(), file)); err != nil {
			return nil, fmt.Errorf("input %s: %w", in.Name, err)
		}
	}
	for name, list := range lists {
		if err := os.WriteFile(filepath.Join(j.work(), name, indexName), index(list), 0o644); err != nil {
			return nil, err
		}
	}
	if err := j.unchanged(); err != nil {
		return nil, err
	}
	cmd := exec.Command(j.Program, j.Step.Command.Run[1:]...)
	cmd.Dir = j.work()
	cmd.Env = []string{"HOME=" + j.work(), "PATH=" + searchPath, "TMPDIR=" + temporary}
	for _, v := range j.Step.Command.Env {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	return cmd, nil
}

// NotStarted explains why the program at path could not be started, given the error of the operating system. what is
// the program as the recipe names it. Resolve has found that the program exists and is executable.
func NotStarted(what, path string, err error) error {
	line, script := interpreter(path)
	dos := strings.HasSuffix(line, "\r")
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return failure.New(failure.Input, "the first line of a script names its interpreter, for example #!/bin/sh",
			"%s is neither a script with an interpreter nor a program for this machine", what)
	case errors.Is(err, fs.ErrNotExist) && dos:
		return failure.New(failure.Input, `sed -i 's/\r$//' `+what+" converts it",
			"the lines of %s end with CR LF, as on Windows, so that its interpreter %q is not found", what, line)
	case errors.Is(err, fs.ErrNotExist) && script:
		return failure.New(failure.Input, "install it, or correct the first line",
			"the interpreter of %s, %s, does not exist", what, line)
	case errors.Is(err, fs.ErrNotExist):
		return failure.New(failure.Input, "was it built for another system? ldd "+what+" lists what it needs",
			"%s needs a loader that does not exist here", what)
	case errors.Is(err, fs.ErrPermission) && script:
		return failure.New(failure.Input, "check that "+line+" is executable, and that the file system allows programs",
			"%s may not be executed: %w", what, err)
	case errors.Is(err, syscall.E2BIG):
		return failure.New(failure.Usage, "give it a file as an input instead",
			"the arguments or variables of %s are too long", what)
	case errors.Is(err, syscall.EAGAIN):
		return failure.New(failure.Resources, "", "%s could not be started: %w", what, err)
	}
	return failure.New(failure.Input, "", "%s could not be started: %w", what, err)
}

// interpreter returns the program in the first line of a script. script is false if the file is no script.
func interpreter(path string) (program string, script bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	head := make([]byte, 256) // Linux reads as much
	n, _ := io.ReadFull(f, head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	line, script = strings.CutPrefix(line, "#!")
	line = strings.Trim(line, " \t")
	if at := strings.IndexAny(line, " \t"); at >= 0 {
		line = line[:at]
	}
	return line, script
}

// unchanged checks that the program is still the one in the key.
func (j *Job) unchanged() error {
	want, keyed := j.Params["program"]
	if !keyed {
		return nil
	}
	digest, _, err := artifact.FileDigest(j.Program)
	if err == nil && string(digest) != want {
		err = failure.New(failure.Integrity, "run the same command again", "%s changed during the run", j.Program)
	}
	return err
}

// Finish puts the outputs of a successful command into the store and returns its manifest. began is the time at which
// the command started.
func (j *Job) Finish(ctx context.Context, began time.Time) (*contract.Manifest, error) {
	m := &contract.Manifest{
		Contract: contract.Contract, Stage: recipe.CommandStage, Version: version, Params: j.Params, Inputs: j.Inputs,
		Outputs: map[string]contract.Output{}, Versions: program.Versions(),
		Started: began.UTC().Truncate(time.Millisecond), WallSeconds: time.Since(began).Seconds(),
	}
	if err := j.unchanged(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(j.work())
	if err != nil {
		return nil, failure.New(failure.Input, "the program must leave the directory in which it starts, with the outputs",
			"the program's directory cannot be read after its end: %w", err)
	}
	defer root.Close()
	for _, out := range j.Step.Command.Outputs {
		if err := check(root, out); err != nil {
			return nil, err
		}
		digest, size, err := j.Store.PutFile(ctx, filepath.Join(j.work(), out.Value), nil)
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", out.Name, err)
		}
		m.Outputs[out.Name] = contract.Output{Digest: string(digest), Size: size, Media: contract.MediaOf(out.Value)}
	}
	return m, nil
}

// check checks that an output is a regular file, and that no part of its path is a symbolic link.
func check(root *os.Root, out recipe.Named) error {
	parts := strings.Split(out.Value, "/")
	for i := range parts {
		file := strings.Join(parts[:i+1], "/")
		info, err := root.Lstat(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return failure.New(failure.Input, "the program must write it, in the directory in which it starts",
				"the program ended without writing output %s (%s)", out.Name, out.Value)
		case err != nil:
			return failure.New(failure.Input, "", "output %s: %w", out.Name, err)
		case info.Mode()&fs.ModeSymlink != 0:
			return failure.New(failure.Input, "the program must write the file itself", "output %s: %s is a symbolic link",
				out.Name, file)
		case file == out.Value && !info.Mode().IsRegular():
			return failure.New(failure.Input, "an output is one file; pack several with tar, for example",
				"output %s: %s is not a regular file", out.Name, file)
		}
	}
	return nil
}

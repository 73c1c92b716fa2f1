// Package program contains what every program, the runner or a stage, needs: command-line options and --version,
// shutdown on a signal or when the parent exits, error messages, temporary directories, files that appear only when
// they are complete, and the memory limit.
package program

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/term"

	"vapo/lib/failure"
)

// printError prints the error that ends a program: one line that starts with the program's name, then the hint.
func printError(w io.Writer, name string, err error) {
	fmt.Fprintf(w, "%s: error: %s\n", name, oneLine(err.Error()))
	if hint := failure.HintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", oneLine(hint))
	}
}

// oneLine joins the lines of a text and drops control characters, because parts of an error message may come from a
// file.
func oneLine(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// CheckTarget returns a usage error if path exists and is not a regular file. WriteFile writes a temporary file and
// renames it to path, which would replace a symbolic link, a pipe or a device such as /dev/null.
func CheckTarget(path string) error {
	switch info, err := os.Lstat(path); {
	case err != nil || info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return failure.New(failure.Usage, "name a file in that directory", "%s is a directory", path)
	}
	return failure.New(failure.Usage, "name another file", "%s is not a regular file and would be replaced", path)
}

// WriteFile writes a file that appears under its name only when it is complete.
func WriteFile(path string, write func(io.Writer) error) error {
	if err := CheckTarget(path); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // does nothing after the rename
	defer f.Close()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Head returns the first n bytes of a file, or fewer if it is shorter or cannot be read.
func Head(path string, n int) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, n)
	n, _ = io.ReadFull(f, head)
	return head[:n]
}

// ReadFile reads a file of at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", info.Size(), limit)
	}
	return os.ReadFile(path)
}

package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"vapo/lib/artifact"
	"vapo/lib/objectstore"
)

// Exit codes. They say who has to act: the caller, whoever made the input,
// whoever keeps the store, or nobody (terminated, run it again).
const (
	ExitOK         = 0
	ExitUsage      = 2
	ExitInput      = 3
	ExitStore      = 4
	ExitIntegrity  = 5
	ExitNumeric    = 6
	ExitResources  = 7
	ExitTerminated = 143
)

// exitTable is printed by every --help.
var exitTable = []struct {
	code int
	name string
	what string
}{
	{ExitOK, "ok", "success"},
	{ExitUsage, "usage", "wrong flags, parameters or recipe"},
	{ExitInput, "input", "an input is missing, truncated or not what it should be"},
	{ExitStore, "store", "the object store is unreachable, read-only or refuses the credentials"},
	{ExitIntegrity, "integrity", "bytes do not match their digest"},
	{ExitNumeric, "numeric", "the computation left the finite numbers"},
	{ExitResources, "resources", "disk or memory is exhausted"},
	{ExitTerminated, "terminated", "stopped by SIGTERM or Ctrl-C; the same command goes on from there"},
}

// WriteExitCodes prints the table of exit codes.
func WriteExitCodes(w io.Writer) error {
	if _, err := fmt.Fprintln(w, "Exit codes:"); err != nil {
		return err
	}
	for _, e := range exitTable {
		if _, err := fmt.Fprintf(w, "  %3d  %-11s %s\n", e.code, e.name, e.what); err != nil {
			return err
		}
	}
	return nil
}

// ExitName is the one-word meaning of an exit code, or "bug" for a code that
// is not in the table.
func ExitName(code int) string {
	for _, e := range exitTable {
		if e.code == code {
			return e.name
		}
	}
	return "bug"
}

// ErrTerminated is the cause of a context cancelled by SIGTERM or SIGINT.
var ErrTerminated = errors.New("terminated")

// ErrNoInput is returned by Job.Input for an optional input that was not given.
var ErrNoInput = errors.New("input not given")

// Error is an error that knows its exit code and what to do about it.
type Error struct {
	Code int
	Err  error
	Hint string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Fail makes an *Error; format may use %w.
func Fail(code int, hint, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...), Hint: hint}
}

// ExitCode maps an error to its exit code. An error nobody classified is a bug
// and gives 1.
func ExitCode(err error) int {
	var coded *Error
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrTerminated):
		return ExitTerminated
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT),
		errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, objectstore.ErrNoSpace):
		return ExitResources
	case errors.As(err, &coded):
		return coded.Code
	case errors.Is(err, objectstore.ErrConfig):
		return ExitUsage
	case errors.Is(err, artifact.ErrCorrupt), errors.Is(err, objectstore.ErrContent):
		return ExitIntegrity
	case errors.Is(err, objectstore.ErrDenied), errors.Is(err, objectstore.ErrUnreachable),
		errors.Is(err, objectstore.ErrReadOnly), errors.Is(err, objectstore.ErrExists):
		return ExitStore
	case errors.Is(err, objectstore.ErrNotFound):
		return ExitInput
	}
	var storeErr *objectstore.Error
	if errors.As(err, &storeErr) {
		return ExitStore
	}
	for _, path := range []error{fs.ErrPermission, fs.ErrNotExist, fs.ErrExist, syscall.EISDIR, syscall.ENOTDIR, syscall.EROFS} {
		if errors.Is(err, path) {
			return ExitUsage // a file or directory that was named cannot be used so
		}
	}
	return 1
}

// Hint is the advice an error carries, or "".
func Hint(err error) string {
	var coded *Error
	if errors.As(err, &coded) && coded.Hint != "" {
		return coded.Hint
	}
	var storeErr *objectstore.Error
	if errors.As(err, &storeErr) && storeErr.Hint != "" {
		return storeErr.Hint
	}
	var corrupt *artifact.CorruptError
	if errors.As(err, &corrupt) && corrupt.Hint != "" {
		return corrupt.Hint
	}
	switch ExitCode(err) {
	case ExitResources:
		return "free some disk space or memory and run the same command again"
	case ExitIntegrity:
		return "the stored bytes were damaged; delete that blob, then run again to rebuild it"
	case ExitTerminated:
		return "run the same command again to go on"
	case 1:
		return "this is a bug in the program; the log above may say more"
	}
	return ""
}

// terminated says whether ctx ended because the process was told to stop.
func terminated(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), ErrTerminated)
}

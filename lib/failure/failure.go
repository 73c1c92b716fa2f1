// Package failure classifies errors by who has to act on them. An error can also carry a hint about what to do.
//
// The package that detects a problem states the class and the hint once: with New, or by methods of its own error type
// (Carrier). Callers return the error unchanged or wrapped, and the programs use its class as their exit code. This
// package imports only the standard library, so any package can use it.
package failure

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// Class tells who has to act. Its value is also the exit code of a program that fails with this class.
type Class int

// The classes of failures.
const (
	OK         Class = 0 // no error
	Bug        Class = 1 // the error has no class
	Usage      Class = 2
	Input      Class = 3
	Store      Class = 4
	Integrity  Class = 5
	Numeric    Class = 6
	Resources  Class = 7
	Busy       Class = 8
	Command    Class = 9
	Changed    Class = 10  // a success; see the table
	Timeout    Class = 124 // as in timeout(1)
	Terminated Class = 143
)

// classes is the table of exit codes that every --help shows.
var classes = []struct {
	class         Class
	name, meaning string
}{
	{OK, "ok", "success"},
	{Usage, "usage", "wrong flags, parameters or recipe"},
	{Input, "input", "an input is missing, truncated or invalid"},
	{Store, "store", "the object store is unreachable, read-only or denies access"},
	{Integrity, "integrity", "bytes do not match their digest"},
	{Numeric, "numeric", "the computation produced infinities or NaNs"},
	{Resources, "resources", "disk or memory is exhausted"},
	{Busy, "busy", "another run works on the same step (only with --no-wait)"},
	{Command, "command", "a command of the recipe failed; the message has its own exit code"},
	{Changed, "changed", "success, and a step was computed (only with --detailed-exitcode)"},
	{Timeout, "timeout", "a step ran longer than the timeout that its recipe sets"},
	{Terminated, "terminated", "stopped by a signal; run the same command again to resume"},
}

// String returns the name of the class. A class that is not in the table is a "bug".
func (c Class) String() string {
	for _, e := range classes {
		if e.class == c {
			return e.name
		}
	}
	return "bug"
}

// WriteExitCodes prints the table of exit codes.
func WriteExitCodes(w io.Writer) error {
	if _, err := fmt.Fprintln(w, "Exit codes:"); err != nil {
		return err
	}
	for _, e := range classes {
		if _, err := fmt.Fprintf(w, "  %3d  %-11s %s\n", e.class, e.name, e.meaning); err != nil {
			return err
		}
	}
	return nil
}

// Carrier is an error that states its class and its hint, which may be "".
type Carrier interface {
	error
	FailureClass() Class
	FailureHint() string
}

// failure is the Carrier that New and Default return.
type failure struct {
	class Class
	hint  string
	err   error
}

func (f *failure) Error() string       { return f.err.Error() }
func (f *failure) Unwrap() error       { return f.err }
func (f *failure) FailureClass() Class { return f.class }
func (f *failure) FailureHint() string { return f.hint }

// New returns an error with a class and a hint, which may be "". format and args are as for fmt.Errorf, including %w.
func New(class Class, hint, format string, args ...any) error {
	return &failure{class, hint, fmt.Errorf(format, args...)}
}

// Default gives err a class and a hint, unless err already carries a class or has one that outranks it.
func Default(class Class, hint string, err error) error {
	var c Carrier
	if own := ClassOf(err); errors.As(err, &c) || own == OK || own == Terminated || own == Resources {
		return err
	}
	return &failure{class, hint, err}
}

// ErrTerminated is the cause of a context that a signal cancelled, such as SIGTERM or SIGINT.
var ErrTerminated = errors.New("terminated")

// ClassOf returns the class of an error, or OK for nil. A signal and a lack of disk or memory outrank the class that an
// error carries. A file system error without a class is Usage; any other error without one is a Bug.
func ClassOf(err error) Class {
	var carrier Carrier
	switch {
	case err == nil:
		return OK
	case errors.Is(err, ErrTerminated):
		return Terminated
	case NoSpace(err), noFiles(err), errors.Is(err, syscall.ENOMEM):
		return Resources
	case errors.As(err, &carrier):
		return carrier.FailureClass()
	case matches(err, fs.ErrPermission, fs.ErrNotExist, fs.ErrExist, syscall.EISDIR, syscall.ENOTDIR, syscall.EROFS):
		return Usage // a path in an argument that the program cannot use
	}
	return Bug
}

// NoSpace reports whether an error of the operating system says that a file cannot grow: because the disk is full, or
// because a quota or the limit of file sizes is reached.
func NoSpace(err error) bool { return matches(err, syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG) }

// noFiles reports whether an error of the operating system says that too many files are open.
func noFiles(err error) bool { return matches(err, syscall.EMFILE, syscall.ENFILE) }

func matches(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// HintOf returns the hint that an error carries, or else the general hint of its class. It may be "". If too many files
// are open, the hint is always to raise that limit.
func HintOf(err error) string {
	if noFiles(err) { // whatever failed, it was not to blame
		return "raise the limit of open files (ulimit -n) and run the same command again"
	}
	var carrier Carrier
	for next := err; errors.As(next, &carrier); next = errors.Unwrap(carrier) {
		if hint := carrier.FailureHint(); hint != "" {
			return hint
		}
	}
	switch ClassOf(err) {
	case Resources:
		return "free some disk space or memory and run the same command again"
	case Integrity:
		return "pipeline store check --deep --repair moves damaged objects aside; then run again to recreate them"
	case Terminated:
		return "run the same command again to resume"
	case Bug:
		return "this is a bug in the program; the log above may say more"
	}
	return ""
}

package failure

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestClassAndHint(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	for _, c := range []struct {
		err   error
		class Class
		hint  string
	}{
		{nil, OK, ""},
		{io.EOF, Bug, "this is a bug"},
		{New(Input, "look at it", "no data"), Input, "look at it"},
		{fmt.Errorf("step: %w", New(Numeric, "", "NaN")), Numeric, ""},
		{New(Input, "outer", "%w", New(Store, "inner", "down")), Input, "outer"},
		{New(Input, "", "%w", New(Store, "inner", "down")), Input, "inner"},
		{New(Usage, "", "--out: %w", full), Resources, "free some disk space"}, // a full disk overrides the stated class
		{Default(Usage, "see --help", io.EOF), Usage, "see --help"},
		{Default(Usage, "see --help", fmt.Errorf("x: %w", New(Input, "", "no data"))), Input, ""},
		{Default(Usage, "see --help", fmt.Errorf("x: %w", syscall.EMFILE)), Resources, "raise the limit of open files"},
		{New(Store, "see the log", "x: %w", syscall.EMFILE), Resources, "raise the limit of open files"},
		{Default(Usage, "see --help", syscall.ENFILE), Resources, "raise the limit of open files"},
		{Default(Usage, "see --help", syscall.ENOMEM), Resources, "free some disk space or memory"},
		{Default(Usage, "see --help", fmt.Errorf("x: %w", ErrTerminated)), Terminated, "run the same command again"},
		{New(Store, "", "put: %w", syscall.EFBIG), Resources, "free some disk space"},
		{fs.ErrNotExist, Usage, ""},
		{New(Input, "", "%w", fs.ErrNotExist), Input, ""},
		{fmt.Errorf("%w: %w", ErrTerminated, New(Store, "", "down")), Terminated, "run the same command again"},
		{New(Integrity, "", "damaged"), Integrity, "store check --deep --repair"},
	} {
		if got := ClassOf(c.err); got != c.class {
			t.Errorf("%v: class %v, want %v", c.err, got, c.class)
		}
		if got := HintOf(c.err); c.hint == "" && got != "" || !strings.Contains(got, c.hint) {
			t.Errorf("%v: hint %q, want one with %q, or none if that is empty", c.err, got, c.hint)
		}
	}
	if Default(Usage, "", nil) != nil {
		t.Error("Default turns nil into an error")
	}
	if err := New(Input, "", "x: %w", io.EOF); !errors.Is(err, io.EOF) || err.Error() != "x: EOF" {
		t.Errorf("New returns %v, want x: EOF, which wraps io.EOF", err)
	}
}

func TestExitCodes(t *testing.T) {
	var b strings.Builder
	if err := WriteExitCodes(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Exit codes:\n", "    0  ok          success\n",
		"  143  terminated  stopped by a signal"} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("the table lacks %q:\n%s", line, b.String())
		}
	}
	if Class(99).String() != "bug" || Numeric.String() != "numeric" {
		t.Errorf("String returns %v and %v, want bug and numeric", Class(99), Numeric)
	}
}

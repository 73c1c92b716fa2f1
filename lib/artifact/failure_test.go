package artifact_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"vapo/lib/artifact"
	"vapo/lib/failure"
	"vapo/lib/objectstore"
)

func TestClassOfStoreErrors(t *testing.T) {
	for _, test := range []struct {
		err  error
		want failure.Class
	}{
		{nil, 0},
		{fmt.Errorf("x: %w", artifact.ErrCorrupt), failure.Integrity},
		{fmt.Errorf("x: %w", &objectstore.Error{Kind: objectstore.ErrUnreachable}), failure.Store},
		{fmt.Errorf("x: %w", &objectstore.Error{Kind: objectstore.ErrDenied}), failure.Store},
		{fmt.Errorf("x: %w", &objectstore.Error{Kind: objectstore.ErrReadOnly}), failure.Store},
		{fmt.Errorf("x: %w", &objectstore.Error{Kind: objectstore.ErrNoBucket}), failure.Store},
		{fmt.Errorf("x: %w", &objectstore.Error{Kind: objectstore.ErrNoSpace}), failure.Resources},
		{fmt.Errorf("x: %w", &objectstore.Error{Kind: objectstore.ErrNotFound}), failure.Input},
		{fmt.Errorf("x: %w", objectstore.ErrConfig), failure.Usage},
		{fmt.Errorf("x: %w", syscall.EDQUOT), failure.Resources},
		{failure.New(failure.Input, "", "no room: %w", syscall.ENOSPC), failure.Resources},
		{errors.Join(failure.ErrTerminated, errors.New("and more")), failure.Terminated},
		{errors.New("?"), 1},
	} {
		if got := failure.ClassOf(test.err); got != test.want {
			t.Errorf("%v: exit code %d, want %d", test.err, got, test.want)
		}
	}
}

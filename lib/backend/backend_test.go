package backend_test

import (
	"errors"
	"fmt"
	"testing"

	"vapo/lib/backend"
	"vapo/lib/failure"
)

func TestMemoryError(t *testing.T) {
	for want, e := range map[string]*backend.MemoryError{
		"the computation needs 3.0 GiB of memory, but the machine has only 2.0 GiB": {Need: 3 << 30, Have: 2 << 30},
		"the computation needs about 3.0 GiB, more memory than the device has free": {Need: 3 << 30, Device: "the device"},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
		if class := failure.ClassOf(fmt.Errorf("step 7: %w", e)); class != failure.Resources {
			t.Errorf("%v has class %v, want resources", e, class)
		}
	}
}

func TestHints(t *testing.T) {
	noDriver := &backend.UnavailableError{Err: errors.New("no driver"), Hint: "install the driver"}
	for want, err := range map[string]error{
		"a batch of about 40 would fit":            &backend.MemoryError{Need: 3 << 30, Have: 2 << 30, Batch: 40},
		"use a smaller batch or a smaller network": &backend.MemoryError{Need: 3 << 30},
		"use a smaller network or a device with more memory": fmt.Errorf("%w",
			backend.FixedBatch(fmt.Errorf("block: %w", &backend.MemoryError{Need: 3 << 30, Have: 2 << 30, Batch: 1}))),
		"install the driver": noDriver,
	} {
		if got := failure.HintOf(fmt.Errorf("step 7: %w", err)); got != want {
			t.Errorf("the hint of %v is %q, want %q", err, got, want)
		}
	}
}

func TestBuffer(t *testing.T) {
	if n := backend.F32(make([]float32, 3)).Len(); n != 3 {
		t.Errorf("a buffer of 3 float32 values has length %d", n)
	}
	if n := (backend.Buffer{F64: make([]float64, 4)}).Len(); n != 4 {
		t.Errorf("a buffer of 4 float64 values has length %d", n)
	}
	if n := (backend.Buffer{}).Len(); n != 0 {
		t.Errorf("an empty buffer has length %d, want 0", n)
	}
}

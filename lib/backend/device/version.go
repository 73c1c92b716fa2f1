//go:build cgo && linux

package device

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// The version of XLA's plugin interface that go-xla v0.3.0 is written for.
const (
	pjrtMajor = 0
	pjrtMinor = 104
)

// pjrtNeeds is the smallest length in bytes of a plugin's function table that contains every function that this package
// calls. The last one is PJRT_Executable_GetCompiledMemoryStats, the 97th pointer after a header of 40 bytes. New
// versions add functions only at the end of the table.
const pjrtNeeds = 40 + 97*8

// versionError reports a plugin that is too old or has another major version.
type versionError struct{ major, minor int }

func (e *versionError) Error() string {
	return fmt.Sprintf("it has PJRT %d.%d, but this program needs a version close to %d.%d",
		e.major, e.minor, pjrtMajor, pjrtMinor)
}

// compatible opens the file as a library and checks its major version and the length of its function table. Without the
// second check, calling a function beyond the end of an old plugin's table would jump to an arbitrary address.
func compatible(path string) error {
	handle, err := purego.Dlopen(path, purego.RTLD_LAZY|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("it cannot be opened as a library: %w", err)
	}
	entry, err := purego.Dlsym(handle, "GetPjrtApi")
	if err != nil {
		return fmt.Errorf("it is not an XLA plugin: %w", err)
	}
	table, _, _ := purego.SyscallN(entry)
	if table == 0 {
		return fmt.Errorf("its GetPjrtApi returned no table of functions")
	}
	type header struct {
		size    uintptr
		_       uintptr // extension
		version struct {
			_, _         uintptr // size, extension
			major, minor int32
		}
	}
	h := *(**header)(unsafe.Pointer(&table)) // an address in C, which Go's collector does not move
	if v := h.version; h.size < pjrtNeeds || int(v.major) != pjrtMajor {
		return &versionError{int(v.major), int(v.minor)}
	}
	return nil
}

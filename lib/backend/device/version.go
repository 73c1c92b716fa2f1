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

// pjrtNeeds is how long the plugin's table of functions must be, in bytes, to hold the last one that is called:
// PJRT_Executable_GetCompiledMemoryStats, the 97th pointer after a header of 40 bytes. Tables only ever grow at the end.
const pjrtNeeds = 40 + 97*8

// versionError says that a plugin is too old.
type versionError struct{ major, minor int }

func (e *versionError) Error() string {
	return fmt.Sprintf("it speaks PJRT %d.%d, which lacks functions that are needed", e.major, e.minor)
}

// compatible opens the file as a library and looks at its table, because a function that an old plugin lacks would be a
// jump into nowhere.
func compatible(path string) error {
	handle, err := purego.Dlopen(path, purego.RTLD_LAZY|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("it is no library that can be opened: %w", err)
	}
	entry, err := purego.Dlsym(handle, "GetPjrtApi")
	if err != nil {
		return fmt.Errorf("it is no plugin of XLA: %w", err)
	}
	table, _, _ := purego.SyscallN(entry)
	if table == 0 {
		return fmt.Errorf("it has no table of functions")
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

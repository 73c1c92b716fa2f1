//go:build linux

package device

import (
	"bytes"
	"path/filepath"
	"slices"
	"sync"

	"github.com/ebitengine/purego"
)

// cards asks the driver's management library for the memory of each NVIDIA card, in bytes, and the driver's version.
// Both are empty if there is no driver. haveCard uses the memory to recognise that there is a card. Apart from this,
// both values are used only in messages and reports.
var cards = sync.OnceValues(func() (memory []uint64, driver string) {
	lib, err := purego.Dlopen("libnvidia-ml.so.1", purego.RTLD_LAZY|purego.RTLD_LOCAL)
	if err != nil {
		return nil, ""
	}
	var (
		start   func() int32
		version func(text *byte, length uint32) int32
		count   func(n *uint32) int32
		handle  func(index uint32, device *uintptr) int32
		info    func(device uintptr, totalFreeUsed *[3]uint64) int32
	)
	for symbol, f := range map[string]any{
		"nvmlInit_v2": &start, "nvmlSystemGetDriverVersion": &version, "nvmlDeviceGetCount_v2": &count,
		"nvmlDeviceGetHandleByIndex_v2": &handle, "nvmlDeviceGetMemoryInfo": &info,
	} {
		p, err := purego.Dlsym(lib, symbol)
		if err != nil {
			return nil, ""
		}
		purego.RegisterFunc(f, p)
	}
	var n uint32
	if start() != 0 || count(&n) != 0 {
		return nil, ""
	}
	var text [96]byte
	if version(&text[0], uint32(len(text))) == 0 {
		v, _, _ := bytes.Cut(text[:], []byte{0})
		driver = string(v)
	}
	for i := range n {
		var device uintptr
		var m [3]uint64
		if handle(i, &device) == 0 && info(device, &m) == 0 {
			memory = append(memory, m[0])
		}
	}
	return memory, driver
})

// smallestCard returns the memory of the smallest card in bytes, or 0 if it is not known. The plugin chooses the card,
// so this is a lower bound of the memory of the card in use.
func smallestCard() uint64 {
	memory, _ := cards()
	if len(memory) == 0 {
		return 0
	}
	return slices.Min(memory)
}

// haveCard reports whether the machine appears to have an NVIDIA card.
func haveCard() bool {
	if smallestCard() > 0 {
		return true
	}
	for _, p := range []string{"/dev/nvidia[0-9]*", "/dev/dxg"} { // dxg: Windows Subsystem for Linux
		if found, err := filepath.Glob(p); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

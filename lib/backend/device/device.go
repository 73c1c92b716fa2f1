// Package device runs expression graphs on accelerators, through XLA's plugins for CUDA cards and other devices, and on
// the Go backend of gomlx/compute.
//
// One lowering (lower.go and the files it uses) turns a graph of package graphop into operations that XLA and the Go
// backend both offer. The Go backend runs everywhere, so its conformance tests check the program that a card will run.
// State stays on the device between runs and is donated to each run: a step's new state takes the memory of the old
// one. Every run copies its inputs to the device, unless Upload has done so, and its outputs back.
//
// Calls to the plugin return only when their work is done: go-xla v0.3.0 waits for PJRT's event of every transfer and
// execution. So two calls overlap only if they come from two goroutines, which PJRT allows. Upload exists for this
// purpose.
//
// A plugin is a shared library built by the XLA project, JAX or a vendor. This package never downloads one. A program
// built without cgo, or not for Linux, cannot load a plugin; its OpenXLA returns an error that says so.
package device

import (
	"fmt"

	"vapo/lib/enginename"
)

// FindCUDA reports whether this program can use an NVIDIA card through a CUDA plugin, without loading the plugin. why
// explains the answer in a message for the user.
func FindCUDA() (found bool, why string) {
	path := enginename.FindPlugin("cuda")
	switch {
	case path == "":
		return false, "no CUDA plugin was found"
	case !haveXLA:
		return false, fmt.Sprintf("there is a CUDA plugin at %s, but this program was built without XLA, "+
			"which needs Linux and cgo", path)
	case !haveCard():
		return false, fmt.Sprintf("there is a CUDA plugin at %s, but no NVIDIA card", path)
	}
	return true, "there is a CUDA plugin at " + path
}

// factorBits maps each reduced precision to the number of mantissa bits that float32 factors keep; see
// backend.Promises.
var factorBits = map[enginename.Precision]int{enginename.TF32: 10, enginename.BFloat16: 7}

//go:build !linux

package device

// haveCard reports whether there is an NVIDIA card: XLA runs on Linux only.
func haveCard() bool { return false }

//go:build !linux

package device

// haveCard reports false, because XLA runs on Linux only.
func haveCard() bool { return false }

//go:build unix

package embedded

import "syscall"

// ownGroup puts a child into a process group that Ctrl-C does not reach.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

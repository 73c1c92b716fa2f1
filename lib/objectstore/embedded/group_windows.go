package embedded

import "syscall"

// ownGroup returns no attributes: programs refuse to run on Windows.
func ownGroup() *syscall.SysProcAttr { return nil }

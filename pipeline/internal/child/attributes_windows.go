package child

import "syscall"

// Programs refuse to run on Windows.

func attributes() *syscall.SysProcAttr { return nil }

func signalGroup(int, syscall.Signal) {}

//go:build unix

package child

import "syscall"

func signalGroup(pid int, sig syscall.Signal) {
	_ = syscall.Kill(-pid, sig) // the process may have ended already
}

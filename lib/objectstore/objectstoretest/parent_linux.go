package objectstoretest

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill a server when the test binary is killed. The kernel also kills the server if the
// thread that started it ends early; tests then fail visibly. The embedded gateway uses a pipe instead.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

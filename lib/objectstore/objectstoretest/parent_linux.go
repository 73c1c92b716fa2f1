package objectstoretest

import (
	"os/exec"
	"syscall"
)

// dieWithParent keeps a server from outliving a killed test binary. It may also end if the thread that started it ends
// early; tests then fail visibly. The embedded gateway uses a pipe instead.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

package objectstoretest

import (
	"os/exec"
	"syscall"
)

// dieWithParent keeps a server from outliving a test binary that was killed.
// Should the thread that started it end early, tests fail loudly, which is no
// harm here; the embedded gateway uses a pipe instead.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

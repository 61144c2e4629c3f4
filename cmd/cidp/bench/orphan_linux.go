package bench

import (
	"os/exec"
	"syscall"
)

// endWithUs lets the system kill a child when this program ends, however it does: a platform that goes on would disturb whatever is measured next. The signal is bound to the
// thread that starts the child (prctl(2), PR_SET_PDEATHSIG); Go keeps its threads.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

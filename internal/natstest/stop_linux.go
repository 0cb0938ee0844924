package natstest

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitStop returns when a child that was sent SIGSTOP is stopped: its threads may go on for a moment on a busy machine.
func awaitStop(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED, nil); !errors.Is(err, unix.EINTR) {
			return // it is stopped, or has ended
		}
	}
}

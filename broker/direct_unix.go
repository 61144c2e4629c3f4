//go:build unix

package broker

import (
	"fmt"
	"io"
	"syscall"
)

// writeAtOnce writes what a socket takes without waiting, and gives how much: 0 when it is full or broken.
func writeAtOnce(fd uintptr, p []byte) int {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0)
		}
	}
}

// readsAtOnce says whether readAtOnce can.
const readsAtOnce = true

// readAtOnce reads what has come, without waiting: -1 bytes when nothing has. At the end it is io.EOF.
func readAtOnce(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return -1, nil
		case err != nil:
			return 0, fmt.Errorf("read connection: %w", err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

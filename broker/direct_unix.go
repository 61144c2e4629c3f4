//go:build unix

package broker

import "syscall"

// writeAtOnce writes what a socket takes without waiting, and gives how much: 0 when it is full or broken.
func writeAtOnce(fd uintptr, p []byte) int {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0)
		}
	}
}

//go:build linux || darwin || freebsd

package store

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FileSystem gives the bytes that may still be written on the file system that holds path, and its size. known is false where the operating system
// does not tell.
func FileSystem(path string) (free, size int64, known bool, err error) {
	var st unix.Statfs_t
	for {
		if err = unix.Statfs(path, &st); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, false, fmt.Errorf("ask file system of %s: %w", path, err)
	}
	block := blockSize(&st)
	return int64(st.Bavail) * block, int64(st.Blocks) * block, true, nil
}

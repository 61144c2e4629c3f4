//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package store

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lockName is the file beside the database that one process at a time holds. The kernel lets go of it when the process ends, however it ends.
const lockName = "cidp.lock"

type lockFile struct{ f *os.File }

// takeLock takes the lock and writes this process's id into it, for whoever is refused. The file is never removed: removing it would let two processes lock two
// files of the same name.
func takeLock(path string) (*lockFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by %s", ErrLocked, path, holder(f))
		}
		return nil, fmt.Errorf("take lock %s: %w", path, err)
	}
	l := &lockFile{f}
	_, _ = f.WriteAt(fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0) // in place, so that a full disk has room for it; without it the lock holds as well
	return l, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// holder names the process that wrote the lock.
func holder(f *os.File) string {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0) // a short read is the normal case
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return "a process that has not written its id yet"
	}
	return "process " + strconv.Itoa(pid)
}

func (l *lockFile) release() error {
	if l == nil {
		return nil
	}
	return l.f.Close() // gives up the lock
}

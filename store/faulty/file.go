package faulty

import (
	"errors"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// file is an open file. Like every file of SQLite it belongs to one connection; the inode is shared.
type file struct {
	vfs.File
	disk       *Disk
	node       *inode
	path       string
	kind       Kind
	syncFolder bool // the next sync brings the name to disk too, as the operating system's VFS does for a log
}

var (
	_ vfs.FileSharedMemory = &file{}
	_ vfs.FileLockState    = &file{}
	_ vfs.FileHasMoved     = &file{}
	_ vfs.FileSizeHint     = &file{}
	_ vfs.FilePersistWAL   = &file{}
	_ vfs.FileUnwrap       = &file{}
)

func (f *file) Unwrap() vfs.File { return f.File }

func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	var end error // of the file, which is no failure
	err = f.disk.do(Read, f.kind, func() error {
		if n, end = f.File.ReadAt(p, off); n == len(p) {
			end = nil
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, end
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.disk.tell(Write, f.kind, f.path, false)
	err := f.disk.doPart(Write, f.kind, len(p), func(n int) error {
		if n == 0 {
			return nil
		}
		if _, err := f.File.WriteAt(p[:n], off); err != nil {
			return err
		}
		f.disk.mu.Lock()
		f.node.write(p[:n], off)
		f.disk.mu.Unlock()
		return nil
	})
	f.disk.tell(Write, f.kind, f.path, true)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *file) Truncate(size int64) error {
	return f.resize(size, f.File.Truncate)
}

// resize gives the file a size, unless do leaves it as it is.
func (f *file) resize(size int64, do func(size int64) error) error {
	f.disk.tell(Truncate, f.kind, f.path, false)
	err := f.disk.do(Truncate, f.kind, func() error {
		if err := do(size); err != nil {
			return err
		}
		f.disk.mu.Lock()
		f.node.resize(size)
		f.disk.mu.Unlock()
		return nil
	})
	f.disk.tell(Truncate, f.kind, f.path, true)
	return err
}

// SizeHint lets a file grow ahead of what is written to it.
func (f *file) SizeHint(size int64) error {
	now, err := f.File.Size()
	if err != nil || now >= size {
		return err
	}
	return f.resize(size, func(size int64) error { return vfsutil.WrapSizeHint(f.File, size) })
}

// Sync brings what is written to disk. Nothing is really synced: a power cut is what Crash makes of it.
func (f *file) Sync(vfs.SyncFlag) error {
	f.disk.tell(Sync, f.kind, f.path, false)
	err := f.disk.do(Sync, f.kind, func() error {
		f.disk.mu.Lock()
		f.node.sync()
		f.disk.mu.Unlock()
		if f.syncFolder {
			f.syncFolder = false
			f.disk.folderSynced(filepath.Dir(f.path))
		}
		return nil
	})
	var lost dropped
	if errors.As(err, &lost) {
		f.disk.mu.Lock()
		f.node.drop()
		f.disk.mu.Unlock()
		err = lost.error
	}
	f.disk.tell(Sync, f.kind, f.path, true)
	return err
}

func (f *file) Size() (n int64, err error) {
	err = f.disk.do(Size, f.kind, func() error { n, err = f.File.Size(); return err })
	return n, err
}

// Lock refuses before it is done in any case: SQLite would not give back a lock that it was told it has not got.
func (f *file) Lock(lock vfs.LockLevel) error {
	return f.disk.do(Lock, f.kind, func() error { return f.File.Lock(lock) })
}

// SectorSize and DeviceCharacteristics promise what the disk's options do.
func (f *file) SectorSize() int { return f.disk.o.Sector }

func (f *file) DeviceCharacteristics() vfs.DeviceCharacteristic {
	keep := vfs.IOCAP_SUBPAGE_READ
	if f.disk.o.Powersafe {
		keep |= vfs.IOCAP_POWERSAFE_OVERWRITE
	}
	return f.File.DeviceCharacteristics() & keep
}

func (f *file) LockState() vfs.LockLevel { return vfsutil.WrapLockState(f.File) }
func (f *file) HasMoved() (bool, error)  { return vfsutil.WrapHasMoved(f.File) }
func (f *file) PersistWAL() bool         { return vfsutil.WrapPersistWAL(f.File) }
func (f *file) SetPersistWAL(keep bool)  { vfsutil.WrapSetPersistWAL(f.File, keep) }

// noShm is shared memory that cannot be opened: mapping it fails with CANTOPEN and locking it with IOERR.
var noShm = vfs.NewSharedMemory("/nonexistent/shm", vfs.OPEN_MAIN_DB)

// SharedMemory is the operating system's, but for a call that is to fail. The interface has no method that could be wrapped from here: whether it is asked
// for a mapping or a lock is seen from who asks.
func (f *file) SharedMemory() vfs.SharedMemory {
	real := vfsutil.WrapSharedMemory(f.File)
	if real == nil || !f.disk.broken(Shm) {
		return real
	}
	op := ShmMap
	switch caller := asker(); {
	case strings.HasSuffix(caller, ".vfsShmMap"):
	case strings.HasSuffix(caller, ".vfsShmLock"):
		op = ShmLock
	default:
		return real
	}
	if f.disk.do(op, Shm, func() error { return nil }) != nil {
		return noShm
	}
	return real
}

// asker names the function of the VFS layer that asks for the shared memory.
func asker() string {
	var pcs [8]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, ".vfsShm") || !more {
			return frame.Function
		}
	}
}

// Sentinels for tests that only want a failure.
var (
	ErrFull = vfs.SystemError(errors.New("no space left on device"), sqlite3.FULL)
	ErrIO   = vfs.SystemError(errors.New("input/output error"), sqlite3.IOERR)
)

// Package faulty is a disk for tests: an SQLite VFS over real files that can lose its power and can fail.
//
// It promises to know, for each file, what is on disk for sure and what is only written, and the same of the names in a folder: Crash gives
// what a disk may hold after a power cut at this moment. And it promises that an operation chosen by the test fails, before or after it is
// done. The files themselves are the operating system's, so that locks, shared memory and other programs work as ever.
//
// It promises SQLite no more than its Options say: sectors of a size, and by default no sector that survives being overwritten.
// It is no production code, and nothing but tests may import it.
package faulty

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// Op is what is done to a file.
type Op uint8

// The operations.
const (
	Open Op = iota
	Read
	Write
	Truncate
	Sync
	Size
	Lock
	Delete
	Access
	ShmMap  // of the shared memory: mapping a part of it
	ShmLock // locking or unlocking a part of it
)

// Kind is which file it is.
type Kind uint8

// The kinds. Shared memory is the only one that no power cut is about: SQLite makes it anew.
const (
	Main Kind = 1 << iota
	WAL
	Journal
	Shm
	Other

	Any = Main | WAL | Journal | Shm | Other
)

// Event is one operation on a file, told before it is done and after it was done. Only what may change a disk is told: Open (that makes a
// file), Write, Truncate, Sync and Delete.
type Event struct {
	Op   Op
	Kind Kind
	Path string
	Done bool
}

// Options is what a disk promises.
type Options struct {
	Sector    int         // bytes; default 4096
	Powersafe bool        // a power cut during a write leaves the bytes beside it alone; most disks do, and none promises it
	Tell      func(Event) // called on the goroutine that uses the file; it may call Crash
}

// Disk is a registered VFS. It is safe for concurrent use.
type Disk struct {
	name string
	o    Options
	os   vfs.VFSFilename

	mu     sync.Mutex        // guards all below
	live   map[string]*inode // what the folders' names lead to, as programs see it
	kept   map[string]*inode // as it is on disk
	faults []*Fault
}

// New registers a disk under a name that no other test uses. Close it when nothing is open on it any more.
func New(name string, o Options) *Disk {
	if o.Sector <= 0 {
		o.Sector = 4096
	}
	d := &Disk{name: name, o: o, os: vfs.Find("os").(vfs.VFSFilename), live: map[string]*inode{}, kept: map[string]*inode{}}
	vfs.Register(name, d)
	return d
}

// Name is what store.Options.VFS takes.
func (d *Disk) Name() string { return d.name }

// Close takes the VFS away.
func (d *Disk) Close() { vfs.Unregister(d.name) }

func (d *Disk) tell(op Op, kind Kind, path string, done bool) {
	if d.o.Tell != nil {
		d.o.Tell(Event{op, kind, path, done})
	}
}

// FullPathname is the operating system's.
func (d *Disk) FullPathname(name string) (string, error) { return d.os.FullPathname(name) }

// Access asks whether a file is there.
func (d *Disk) Access(name string, flags vfs.AccessFlag) (ok bool, err error) {
	err = d.do(Access, kindOf(name), func() error { ok, err = d.os.Access(name, flags); return err })
	return ok, err
}

// Delete takes a name away. It is on disk when the folder is synced.
func (d *Disk) Delete(name string, syncDir bool) error {
	kind := kindOf(name)
	d.tell(Delete, kind, name, false)
	err := d.do(Delete, kind, func() error {
		if err := d.os.Delete(name, syncDir); err != nil {
			return err
		}
		d.mu.Lock()
		delete(d.live, name)
		d.mu.Unlock()
		if syncDir {
			d.folderSynced(filepath.Dir(name))
		}
		return nil
	})
	d.tell(Delete, kind, name, true)
	return err
}

// Open is never called: OpenFilename is.
func (d *Disk) Open(string, vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, 0, sqlite3.CANTOPEN
}

// OpenFilename opens a file. A file that has no name, and one that goes with its closing, is the operating system's alone.
func (d *Disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (_ vfs.File, _ vfs.OpenFlag, err error) {
	path, kind := name.String(), kindOfFlags(flags)
	if path == "" || flags&vfs.OPEN_DELETEONCLOSE != 0 {
		return d.os.OpenFilename(name, flags)
	}
	_, lookErr := os.Lstat(path)
	made := os.IsNotExist(lookErr) && flags&vfs.OPEN_CREATE != 0
	if made {
		d.tell(Open, kind, path, false)
	}
	var real vfs.File
	var got vfs.OpenFlag
	err = d.do(Open, kind, func() error { real, got, err = d.os.OpenFilename(name, flags); return err })
	if err != nil {
		if real != nil { // done, and reported as failed
			_ = real.Close()
		}
		return nil, flags, err
	}
	node, err := d.node(path, made)
	if err != nil {
		_ = real.Close()
		return nil, flags, err
	}
	if made {
		d.tell(Open, kind, path, true)
	}
	journal := flags&(vfs.OPEN_MAIN_JOURNAL|vfs.OPEN_SUPER_JOURNAL|vfs.OPEN_WAL) != 0
	return &file{File: real, disk: d, node: node, path: path, kind: kind, syncFolder: journal && flags&vfs.OPEN_CREATE != 0}, got, nil
}

// node gives what is known of a file. One that was there before the disk saw it is on disk as it lies.
func (d *Disk) node(path string, made bool) (*inode, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.live[path]
	if n != nil && !made {
		return n, nil
	}
	n = &inode{}
	if !made {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		n.stable = content
		d.kept[path] = n
	}
	d.live[path] = n
	return n, nil
}

// folderSynced brings a folder's names to disk.
func (d *Disk) folderSynced(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in := func(path string, _ *inode) bool { return filepath.Dir(path) == dir }
	for path, n := range d.kept {
		if in(path, n) && d.live[path] != n {
			delete(d.kept, path)
		}
	}
	for path, n := range d.live {
		if in(path, n) {
			d.kept[path] = n
		}
	}
}

// paths gives every name that is, or may be, in a folder, in order.
func (d *Disk) paths() []string {
	var out []string
	for path := range d.live {
		out = append(out, path)
	}
	for path := range d.kept {
		if d.live[path] == nil {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

func kindOf(path string) Kind {
	switch {
	case strings.HasSuffix(path, "-wal"):
		return WAL
	case strings.HasSuffix(path, "-journal"):
		return Journal
	case strings.HasSuffix(path, "-shm"):
		return Shm
	}
	return Main
}

func kindOfFlags(flags vfs.OpenFlag) Kind {
	switch {
	case flags&vfs.OPEN_MAIN_DB != 0:
		return Main
	case flags&vfs.OPEN_WAL != 0:
		return WAL
	case flags&vfs.OPEN_MAIN_JOURNAL != 0:
		return Journal
	}
	return Other
}

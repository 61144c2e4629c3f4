package platform

import (
	"errors"
	"fmt"
	"os"
)

// errMoved says that what is committed goes to a file that no name leads to any more.
var errMoved = errors.New("the database file was removed or replaced while cidp was running: nothing since is acknowledged; " +
	"put it back if you can, and start again")

// databaseFile remembers which files the warehouse is. SQLite goes on writing to one that was removed, and a commit there would
// succeed without being on disk for anybody.
type databaseFile struct{ parts []filePart }

type filePart struct {
	path string
	was  os.FileInfo
}

// newDatabaseFile looks at the database and at what lies beside it while it is open: the write-ahead log and its index.
func newDatabaseFile(path string) (*databaseFile, error) {
	f := &databaseFile{}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		was, err := os.Stat(path + suffix)
		if errors.Is(err, os.ErrNotExist) && suffix != "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at database: %w", err)
		}
		f.parts = append(f.parts, filePart{path + suffix, was})
	}
	return f, nil
}

// check gives errMoved when a path no longer leads to the file of before.
func (f *databaseFile) check() error {
	for _, p := range f.parts {
		now, err := os.Stat(p.path)
		switch {
		case errors.Is(err, os.ErrNotExist), err == nil && !os.SameFile(p.was, now):
			return fmt.Errorf("%s: %w", p.path, errMoved)
		case err != nil:
			return fmt.Errorf("look at database: %w", err)
		}
	}
	return nil
}

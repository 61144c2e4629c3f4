package platform

import (
	"errors"
	"fmt"
	"os"
)

// errMoved says that what is committed goes to a file that no name leads to any more.
var errMoved = errors.New("the database file was removed or replaced while cidp was running: nothing since is acknowledged; " +
	"put it back if you can, and start again")

// databaseFile remembers which file the warehouse is. SQLite goes on writing to one that was removed, and a commit there would
// succeed without being on disk for anybody.
type databaseFile struct {
	path string
	was  os.FileInfo
}

func newDatabaseFile(path string) (*databaseFile, error) {
	was, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("look at database: %w", err)
	}
	return &databaseFile{path, was}, nil
}

// check gives errMoved when the path no longer leads to the file of before.
func (f *databaseFile) check() error {
	now, err := os.Stat(f.path)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && !os.SameFile(f.was, now):
		return fmt.Errorf("%s: %w", f.path, errMoved)
	case err != nil:
		return fmt.Errorf("look at database: %w", err)
	}
	return nil
}

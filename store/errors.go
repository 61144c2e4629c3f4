package store

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
)

// What can be wrong with a database or a batch. Test with errors.Is.
var (
	// ErrFatal marks an error after which nothing more may be committed: the batch contradicts itself or the database, or the state is
	// unknown. Stop, and let the next start recover. An error of Commit without it concerns this batch alone: nothing of it happened, and the
	// same batch may be tried again.
	ErrFatal = errors.New("fatal")

	ErrMissing     = errors.New("database does not exist")
	ErrNotDatabase = errors.New("not an SQLite database")
	ErrDamaged     = errors.New("database file is damaged; cidp verify says where; restore a copy")
	ErrNotOurs     = errors.New("not a CIDP database")
	ErrNewer       = errors.New("database was written by a newer version of cidp")
	ErrOlder       = errors.New("database has an older schema; open it once with cidp run")
	ErrLocked      = errors.New("database is in use by another process")
	ErrPragma      = errors.New("database refused a setting")
	ErrReadOnly    = errors.New("database is open for reading only")
	ErrClosed      = errors.New("database is closed")
)

// errFound ends a walk over rows early; it never leaves the package.
var errFound = errors.New("found")

// fatal marks an error as ErrFatal.
func fatal(err error) error { return fmt.Errorf("%w: %w", ErrFatal, err) }

func fatalf(format string, args ...any) error { return fatal(fmt.Errorf(format, args...)) }

// damaged says of a page that SQLite cannot make sense of which file it is in and what to do.
func damaged(c *sqlite3.Conn, err error) error {
	if errors.Is(err, ErrDamaged) || !errors.Is(err, sqlite3.CORRUPT) && !errors.Is(err, sqlite3.NOTADB) {
		return err
	}
	return fmt.Errorf("read %s: %w (%w)", c.Filename("main"), ErrDamaged, err)
}

// fullBelow is how many free bytes a file system has that is called full.
const fullBelow = 1 << 20

// full tells a full disk from a broken one: the driver reports a write that finds no room as an I/O error like any other.
func (db *DB) full(err error) error {
	if !errors.Is(err, sqlite3.IOERR) {
		return err
	}
	free, _, known, lookErr := FileSystem(filepath.Dir(db.path))
	if lookErr != nil || !known || free >= fullBelow {
		return err
	}
	return fmt.Errorf("%w, %d bytes are free: %w", sqlite3.FULL, free, err)
}

// unsynced gives the operating system's word on a failed sync the code that SQLite gives its own: the machine may get over it.
func unsynced(err error) error { return fmt.Errorf("%w: %w", sqlite3.IOERR_FSYNC, err) }

// classify marks what a retry cannot mend as fatal. What the machine may get over (another writer, a full disk, a failed write or a lack
// of memory) is left as it is.
func classify(err error) error {
	if err == nil || errors.Is(err, ErrFatal) {
		return err
	}
	for _, code := range []sqlite3.ErrorCode{sqlite3.BUSY, sqlite3.LOCKED, sqlite3.FULL, sqlite3.IOERR, sqlite3.NOMEM,
		sqlite3.INTERRUPT, sqlite3.CANTOPEN, sqlite3.READONLY, sqlite3.PERM, sqlite3.PROTOCOL} {
		if errors.Is(err, code) {
			return err
		}
	}
	return fatal(err)
}

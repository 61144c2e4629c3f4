package store

import (
	"errors"
	"fmt"

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
	ErrDamaged     = errors.New("database file is damaged; restore a copy")
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

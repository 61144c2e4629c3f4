// Package store is the warehouse: the only SQL of the program.
//
// It promises that everything a batch means is on disk, in one transaction with synchronous=FULL, when Commit returns nil, and that none of it
// happened when Commit returns an error; that a retry of a commit that did happen changes nothing; that Recover gives back all that the
// line needs to go on; and that Verify proves the ledger law from the tables alone.
//
// It refuses to share a live database between two processes, to open a file that is not its own, and to commit a batch that
// contradicts itself. It decides nothing about readings: what is a duplicate, late or in dispute is settled before it.
//
// One struct is larger than the house allows: writer names each of its prepared statements, because a map of them would hide which exist.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/rs/zerolog"
)

// Options is what a database is opened with. The zero value is usable.
type Options struct {
	Window   time.Duration // kept in the database for the digest; 0: leave what it has (60 s and 10 s in a new one)
	Disorder time.Duration // kept with Window

	EvidencePerClientReason int           // refused messages kept for one client and reason; default 1000
	EvidencePerReason       int           // and for one reason in all; default 100,000
	EvidenceBytes           int           // bytes kept of a refused payload; default 4096
	BusyTimeout             time.Duration // how long a commit waits for another writer; default 5 s
	PackFrom                int           // a commit of so many readings or more packs them; default 2,000; below 0: none does
	ReadOnly                bool          // no lock, no migration; Commit and MoveModels fail with ErrReadOnly

	Reserved *Reservation // of the same path: Open takes it over, also when it fails; nil: Open takes the lock itself

	VFS  string            // name of the SQLite VFS for every connection; default the operating system's. Tests break disks with it.
	Step func(step string) // called at "migrate", "commit" and "expire", each within its transaction, right before it ends; tests kill the process there

	Clock func() time.Time // wall clock; default time.Now
	Log   zerolog.Logger
}

func (o Options) withDefaults() Options {
	if o.EvidencePerClientReason <= 0 {
		o.EvidencePerClientReason = 1000
	}
	if o.EvidencePerReason <= 0 {
		o.EvidencePerReason = 100_000
	}
	if o.EvidenceBytes <= 0 {
		o.EvidenceBytes = evidenceBytes
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 5 * time.Second
	}
	if o.PackFrom == 0 {
		o.PackFrom = packFrom
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

// DB is an open warehouse. Commit, MoveModels and Close may be called from any goroutine: mu makes them take turns on the one writing
// connection. Recover, Past and Console open connections of their own.
type DB struct {
	path string
	o    Options
	lock *lockFile
	last atomic.Int64 // id of the newest commit

	copying sync.Mutex // held while the log is copied beside the commits: commits may wait for it, who holds it waits for none

	mu       sync.Mutex // guards all below
	w        *writer    // nil when read-only or closed
	broken   error      // set when the writer's state is no longer known: it is replaced before it is used again
	evidence evidence
	models   map[string]bool
	nextFold int64 // wall clock, ms, at which commit_log is next folded
	backstop int   // pages of log at which a commit copies them itself; 0: what setPragmas sets
	expiry   progress
}

// Open opens the warehouse at path, and makes it and its folder when they do not exist. At most one process has a warehouse open for
// writing. Errors: ErrNotDatabase, ErrNotOurs, ErrNewer, ErrLocked, ErrPragma, each in one sentence that names the file.
func Open(path string, o Options) (*DB, error) {
	o = o.withDefaults()
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("resolve database path: %w", err)
	}
	db := &DB{path: abs, o: o}
	if o.ReadOnly {
		c, err := openReader(place{abs, o.VFS})
		if err != nil {
			return nil, err
		}
		last, err := queryInt(c, `SELECT COALESCE(max(commit_id), 0) FROM commit_log`)
		db.last.Store(last)
		return db, errors.Join(err, c.Close())
	}
	if err := prepareFolder(abs); err != nil {
		return nil, err
	}
	if db.lock = o.Reserved.take(); db.lock == nil {
		if db.lock, err = takeLock(filepath.Join(filepath.Dir(abs), lockName)); err != nil {
			return nil, err
		}
	}
	if err := db.openWriter(); err != nil {
		return nil, errors.Join(err, db.lock.release())
	}
	return db, nil
}

func (db *DB) openWriter() error {
	created, err := checkFile(db.path)
	if err != nil {
		return err
	}
	if err := checkLog(db.path); err != nil {
		return err
	}
	c, err := openConn(db.place(), sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		return err
	}
	if err := db.setUp(c); err != nil {
		return errors.Join(db.full(err), closeConn(c))
	}
	db.o.Log.Debug().Str("database", db.path).Bool("created", created).Int64("commit", db.last.Load()).Msg("warehouse open")
	return nil
}

// setUp brings a fresh connection to the present schema and reads what Commit keeps in memory.
func (db *DB) setUp(c *sqlite3.Conn) error {
	if err := c.BusyTimeout(db.o.BusyTimeout); err != nil {
		return fmt.Errorf("set busy timeout: %w", err)
	}
	if err := checkOurs(c, db.path, true); err != nil {
		return err
	}
	if err := setPragmas(c, db.o.BusyTimeout); err != nil {
		return err
	}
	if db.backstop > 0 { // the writer is opened anew
		if err := c.WALAutoCheckpoint(db.backstop); err != nil {
			return fmt.Errorf("set autocheckpoint: %w", err)
		}
	}
	if err := migrate(c, db.path, db.o); err != nil {
		return err
	}
	if err := db.settle(c); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(db.path)); err != nil {
		return err
	}
	last, err := queryInt(c, `SELECT COALESCE(max(commit_id), 0) FROM commit_log`)
	if err != nil {
		return fmt.Errorf("read last commit: %w", err)
	}
	db.last.Store(last)
	if db.evidence, err = loadEvidence(c, db.o); err != nil {
		return err
	}
	if db.models, err = loadModels(c); err != nil {
		return err
	}
	db.w, err = newWriter(c, db.o.PackFrom)
	return err
}

// LastCommit gives the id of the newest commit, 0 when there is none. The next batch's ID is one more.
func (db *DB) LastCommit() int64 { return db.last.Load() }

// place is where the database's connections are opened.
func (db *DB) place() place { return place{db.path, db.o.VFS} }

// Path gives the absolute path of the database file.
func (db *DB) Path() string { return db.path }

// Close empties the write-ahead log into the file, so that the file alone is whole, and gives up the lock. Close the readers first: an
// open read transaction keeps the log from being emptied. Where it is another program's, that is logged and no error: everything is committed, and
// the file with its -wal beside it is whole.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.w == nil && db.broken == nil {
		return nil
	}
	var errs []error
	if db.w != nil {
		errs = append(errs, db.closeWriter())
	}
	db.w, db.broken = nil, nil
	errs = append(errs, db.lock.release())
	return errors.Join(errs...)
}

func (db *DB) closeWriter() error {
	var errs []error
	_, _, err := db.w.c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	if errors.Is(err, sqlite3.BUSY) || errors.Is(err, sqlite3.LOCKED) {
		db.o.Log.Warn().Str("database", db.path).Msg("another program reads the database: keep the -wal file beside it until that has ended")
	} else if err != nil {
		errs = append(errs, fmt.Errorf("checkpoint database: %w", db.full(err)))
	}
	if err := closeConn(db.w.c); err != nil {
		errs = append(errs, fmt.Errorf("close database: %w", err))
	}
	return errors.Join(errs...)
}

// Remove deletes a database that no process has open, with the files that SQLite and the lock keep beside it. One that is in use gives ErrLocked.
func Remove(path string) error {
	lock, err := takeLock(filepath.Join(filepath.Dir(path), lockName))
	if err != nil {
		return err
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal", ""} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("remove database: %w", err), lock.release())
		}
	}
	return lock.release()
}

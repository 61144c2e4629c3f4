package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// settleWait is how long settling waits for another program that reads.
const settleWait = 100 * time.Millisecond

// settle copies what a stopped process left in the write-ahead log into the file, and begins the log anew, before anything is acknowledged.
//
// What recovery reads from the log need not be on its disk: after a failed sync Linux keeps the pages for readers and forgets that they are not
// written. A batch that comes again would be taken for committed, and a power cut would take it, and all commits behind it, away. Copied
// into the file it is written and synced anew. The second reason is a sector that a power cut tore: the log goes on right behind it, in the same sector.
//
// Another program that reads keeps the log; so does a full disk. That is logged, and the log is read as it lies, as SQLite does by itself.
func (db *DB) settle(c *sqlite3.Conn) error {
	if err := c.BusyTimeout(min(settleWait, db.o.BusyTimeout)); err != nil {
		return fmt.Errorf("set busy timeout: %w", err)
	}
	log, _, err := c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	if err == nil && log >= 0 {
		err = syncLog(c)
	}
	if back := c.BusyTimeout(db.o.BusyTimeout); back != nil {
		return fmt.Errorf("set busy timeout: %w", back)
	}
	switch err = db.full(err); {
	case errors.Is(err, sqlite3.BUSY), errors.Is(err, sqlite3.LOCKED), errors.Is(err, sqlite3.FULL):
		db.o.Log.Warn().Err(err).Str("database", db.path).Msg("the write-ahead log of before is left as it is")
		return nil
	case err != nil:
		return fmt.Errorf("settle write-ahead log: %w", explain(db.path, err))
	}
	return nil
}

// syncLog brings the log's new length to disk: its old content behind a newer file would undo what was copied.
func syncLog(c *sqlite3.Conn) error {
	tx, err := c.BeginImmediate() // within a transaction the journal is the log
	if err != nil {
		return err
	}
	f, err := c.FileControl("main", sqlite3.FCNTL_JOURNAL_POINTER)
	if log, ok := f.(vfs.File); ok && err == nil {
		if err = log.Sync(vfs.SYNC_NORMAL); err != nil {
			err = unsynced(err)
		}
	}
	return errors.Join(err, tx.Rollback())
}

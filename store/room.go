package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ncruces/go-sqlite3"
)

// Room is what the database takes, in bytes.
type Room struct {
	Database int64 // the file's pages
	Reusable int64 // those of them that are free to be used again
	WAL      int64 // the write-ahead log's file
}

// Room measures. Its cost does not grow with the database.
func (k *Checkpointer) Room() (r Room, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err = query(k.c, `SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count`, func(s *sqlite3.Stmt) error {
		r.Database, r.Reusable = s.ColumnInt64(0)*pageSize, s.ColumnInt64(1)*pageSize
		return nil
	})
	if err != nil {
		return Room{}, classify(fmt.Errorf("measure database: %w", err))
	}
	switch fi, err := os.Stat(k.db.path + "-wal"); {
	case err == nil:
		r.WAL = fi.Size()
	case !errors.Is(err, fs.ErrNotExist):
		return Room{}, fmt.Errorf("measure write-ahead log: %w", err)
	}
	return r, nil
}

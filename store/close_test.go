package store_test

import (
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/store"
)

// TestCloseBesideAReader: another program that reads while we stop is no failure of ours. All that was committed is there.
func TestCloseBesideAReader(t *testing.T) {
	path := filled(t)
	db := open(t, path, store.Options{BusyTimeout: 20 * time.Millisecond})
	reader, err := sqlite3.OpenFlags(path, sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := reader.Exec(`BEGIN; SELECT count(*) FROM reading`); err != nil {
		t.Fatal(err)
	}
	if err := putLive(db, "0123456789abcdef"); err != nil { // something for the log
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	holds(t, path)
}

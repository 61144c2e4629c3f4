package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// TestFullFileSystem fills a real one. The batch that finds no room is told apart from one that finds a broken disk, and is committed when there is room;
// the warehouse can be opened meanwhile.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path, filler := filepath.Join(dir, "x.sqlite"), filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	db := open(t, path, store.Options{})
	play(t, db, []op{newPlant(inOrder()).register}, 1)
	n := int64(0)
	next := func() *store.Batch {
		b := batch(db)
		for i := range int64(500) {
			b.Readings = append(b.Readings, stream.Stored{SensorID: 1, Reading: stream.Reading{TS: t0 + 1000*n + i, Temp: 1}})
		}
		if n == 0 {
			b.Opened = []stream.Open{{SensorID: 1, From: t0, To: stream.MaxTS}}
		}
		n++
		count(b, 0)
		return b
	}
	full := func(err error) bool {
		return errors.Is(err, sqlite3.FULL) && !errors.Is(err, store.ErrFatal) && strings.Contains(err.Error(), "disk is full")
	}
	b := next()
	err := db.Commit(b)
	for ; err == nil && n < 1000; err = db.Commit(b) {
		b = next()
	}
	if !full(err) {
		t.Fatalf("after %d commits: %v, want a full disk", n, err)
	}
	if err := db.Commit(b); !full(err) {
		t.Errorf("again: %v, want a full disk", err)
	}
	if err := db.Close(); err != nil && !full(err) {
		t.Errorf("close: %v", err)
	}
	db = open(t, path, store.Options{})
	if db.LastCommit() != b.ID-1 {
		t.Errorf("last commit %d, want %d", db.LastCommit(), b.ID-1)
	}
	if err := db.Commit(b); !full(err) {
		t.Errorf("after opening: %v, want a full disk", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	commit(t, db, b)
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	holds(t, path)
	if got := one(t, path, `SELECT count(*) FROM telemetry`); got != one(t, path, `SELECT sum(value) FROM ledger WHERE counter = 'stored'`) {
		t.Errorf("%s readings", got)
	}
}

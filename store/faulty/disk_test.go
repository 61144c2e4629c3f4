package faulty_test

import (
	"bytes"
	"errors"
	"hash/maphash"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/store/faulty"
)

// table makes a database on a disk: one table, and its rows in a log that nobody copies.
func table(t *testing.T, d *faulty.Disk) (*sqlite3.Conn, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.sqlite")
	c, err := sqlite3.Open("file:" + path + "?vfs=" + d.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)`); err != nil {
		t.Fatal(err)
	}
	return c, path
}

func put(c *sqlite3.Conn) error { return c.Exec(`INSERT INTO t (b) VALUES (randomblob(9000))`) }

// rowsIn opens an image as a machine does that comes back.
func rowsIn(t *testing.T, image faulty.Image) int64 {
	t.Helper()
	dir := t.TempDir()
	if err := image.WriteTo(dir); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite3.Open(filepath.Join(dir, "x.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, _, err := c.Prepare(`SELECT count(*) FROM t`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Step() {
		t.Fatal(s.Err())
	}
	return s.ColumnInt64(0)
}

func TestCrashTakesWhatWasNotSynced(t *testing.T) {
	d := faulty.New(t.Name(), faulty.Options{})
	t.Cleanup(d.Close)
	c, path := table(t, d)
	if err := put(c); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(`PRAGMA synchronous = OFF`); err != nil {
		t.Fatal(err)
	}
	if err := put(c); err != nil {
		t.Fatal(err)
	}
	if n := rowsIn(t, d.Crash(faulty.Everything, 1)); n != 1 {
		t.Errorf("%d rows after losing what was not synced, want 1", n)
	}
	if n := rowsIn(t, d.Crash(faulty.None, 1)); n != 2 {
		t.Errorf("%d rows after losing nothing, want 2", n)
	}
	seed, kinds := maphash.MakeSeed(), map[uint64]bool{}
	for n := range uint64(20) {
		a, b := d.Crash(faulty.Some, n), d.Crash(faulty.Some, n)
		if a.Sum(seed) != b.Sum(seed) || !bytes.Equal(a[path+"-wal"], b[path+"-wal"]) {
			t.Errorf("seed %d gives two images", n)
		}
		kinds[a.Sum(seed)] = true
	}
	if len(kinds) < 10 {
		t.Errorf("20 seeds give %d images", len(kinds))
	}
}

// TestCrashTakesNamesWithoutSync: a file whose folder was not synced is not there.
func TestCrashTakesNamesWithoutSync(t *testing.T) {
	var d *faulty.Disk
	seen := false
	d = faulty.New(t.Name(), faulty.Options{Tell: func(e faulty.Event) {
		if e.Op == faulty.Open && e.Kind == faulty.WAL && e.Done {
			_, lost := d.Crash(faulty.Everything, 1)[e.Path]
			_, kept := d.Crash(faulty.None, 1)[e.Path]
			seen = true
			if lost || !kept {
				t.Errorf("the log's name is on disk: %t; programs see it: %t", lost, kept)
			}
		}
	}})
	t.Cleanup(d.Close)
	table(t, d)
	if !seen {
		t.Error("no log was made")
	}
}

// TestDroppedSync: what a failed sync forgot is seen by readers, and never reaches the disk unless it is written again.
func TestDroppedSync(t *testing.T) {
	d := faulty.New(t.Name(), faulty.Options{Powersafe: true})
	t.Cleanup(d.Close)
	c, _ := table(t, d)
	mend := d.Break(faulty.Fault{Op: faulty.Sync, Kind: faulty.WAL, Times: 1, How: faulty.Dropped, Err: faulty.ErrIO})
	if err := put(c); !errors.Is(err, sqlite3.IOERR) {
		t.Fatalf("error %v", err)
	}
	if n := mend(); n != 1 {
		t.Errorf("%d syncs met the fault", n)
	}
	if n := rowsIn(t, d.Crash(faulty.None, 1)); n != 1 {
		t.Errorf("a kill leaves %d rows, want 1: the commit is whole in the file", n)
	}
	if n := rowsIn(t, d.Crash(faulty.Everything, 1)); n != 0 {
		t.Errorf("a power cut leaves %d rows, want none", n)
	}
	if err := put(c); err != nil {
		t.Fatal(err)
	}
	if n := rowsIn(t, d.Crash(faulty.Everything, 1)); n != 1 {
		t.Errorf("a power cut after the retry leaves %d rows, want 1", n)
	}
}

func TestSharedMemoryFails(t *testing.T) {
	d := faulty.New(t.Name(), faulty.Options{})
	t.Cleanup(d.Close)
	c, _ := table(t, d)
	for _, op := range []faulty.Op{faulty.ShmLock, faulty.Write} {
		mend := d.Break(faulty.Fault{Op: op, Kind: faulty.Any, Err: faulty.ErrIO})
		if err := put(c); !errors.Is(err, sqlite3.IOERR) {
			t.Errorf("operation %d: error %v", op, err)
		}
		if n := mend(); n == 0 {
			t.Errorf("operation %d was not met", op)
		}
		if err := put(c); err != nil {
			t.Errorf("operation %d, mended: %v", op, err)
		}
	}
}

package store_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/store/faulty"
	"github.com/ncruces/go-sqlite3"
)

const pageSize = 4096

// flip changes some bytes of a file.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 64)
	if _, err := f.ReadAt(p, at); err != nil {
		t.Fatal(err)
	}
	for i := range p {
		p[i] ^= 0x5a
	}
	if _, err := f.WriteAt(p, at); err != nil {
		t.Fatal(err)
	}
}

// pageOf gives where the first page of a table or index begins.
func pageOf(t *testing.T, path, name string) int64 {
	t.Helper()
	var n int64
	for _, c := range one(t, path, `SELECT rootpage FROM sqlite_schema WHERE name = '`+name+`'`) {
		n = 10*n + int64(c-'0')
	}
	return (n - 1) * pageSize
}

// TestDamageAtStart: a page that was damaged is found when the warehouse is opened and read for the first time, or by Verify. It is never taken for
// something that a retry mends, and the sentence names the file.
func TestDamageAtStart(t *testing.T) {
	for _, c := range []struct {
		name string
		at   func(t *testing.T, path string) int64
		want error // of Open and Recover; nil: they do not read the page
	}{
		{"magic", func(*testing.T, string) int64 { return 0 }, store.ErrNotDatabase},
		{"schema", func(*testing.T, string) int64 { return 100 }, store.ErrDamaged},
		{"registry", func(t *testing.T, path string) int64 { return pageOf(t, path, "sensor") }, store.ErrDamaged},
		{"commit log", func(t *testing.T, path string) int64 { return pageOf(t, path, "commit_log") }, store.ErrDamaged},
		{"readings", func(t *testing.T, path string) int64 { return pageOf(t, path, "reading") }, store.ErrDamaged},
		{"windows", func(t *testing.T, path string) int64 { return pageOf(t, path, "telemetry_window_sensor") }, store.ErrDamaged},
		{"transitions", func(t *testing.T, path string) int64 { return pageOf(t, path, "alert_event") }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filled(t)
			flip(t, path, c.at(t, path))
			err := openAndRecover(path)
			if !errors.Is(err, c.want) || c.want != nil && !strings.Contains(err.Error(), filepath.Base(path)) {
				t.Errorf("open: %v, want %v with the file's name", err, c.want)
			}
			r, err := store.Verify(t.Context(), path, nil)
			if err == nil && r.OK {
				t.Error("verify finds nothing")
			}
			if err != nil && !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrNotDatabase) {
				t.Errorf("verify: %v", err)
			}
		})
	}
}

// openAndRecover does what a start does.
func openAndRecover(path string) error {
	db, err := store.Open(path, store.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := db.Recover(backBy(0))
	if err != nil {
		return err
	}
	defer r.Close()
	for _, err := range r.Feed() {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestDamageWhileRunning: a commit that runs into a damaged page is fatal, and says what to do.
func TestDamageWhileRunning(t *testing.T) {
	singleRows(t)
	path := filled(t)
	db := open(t, path, store.Options{})
	if err := db.Writer().Exec(`PRAGMA wal_checkpoint(TRUNCATE); PRAGMA cache_size = 0; PRAGMA shrink_memory`); err != nil {
		t.Fatal(err)
	}
	flip(t, path, pageOf(t, path, "reading"))
	b := batch(db)
	newPlant(inOrder()).raw(minutes)[0](b)
	count(b, 0)
	if err := db.Commit(b); !errors.Is(err, store.ErrFatal) || !errors.Is(err, store.ErrDamaged) {
		t.Errorf("error %v, want a damaged database, which is fatal", err)
	}
}

// killed gives a database with a log beside it, as a kill leaves them.
func killed(t *testing.T) string {
	t.Helper()
	path := dbPath(t)
	db := open(t, path, store.Options{})
	play(t, db, newPlant(inOrder()).scenario(nil), 20)
	return copied(t, path)
}

// copied gives the path of what a kill at this moment would leave of a database.
func copied(t *testing.T, path string) string {
	t.Helper()
	to := dbPath(t)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// frame gives where a frame of a log begins.
func frame(n int64) int64 { return 32 + n*(24+pageSize) }

// commitEnds gives the frames of a log that end a commit, also behind what is read of it.
func commitEnds(t *testing.T, path string) (ends []int64) {
	t.Helper()
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(0); frame(n+1) <= int64(len(log)); n++ {
		if binary.BigEndian.Uint32(log[frame(n)+4:]) != 0 {
			ends = append(ends, n)
		}
	}
	return ends
}

// TestDamagedLog: commits in the log that cannot be read any more are not passed over in silence. What a power cut may have left is no damage.
func TestDamagedLog(t *testing.T) {
	whole := killed(t)
	ends := commitEnds(t, whole)
	if len(ends) < 5 {
		t.Fatalf("the log holds %d commits", len(ends))
	}
	for _, c := range []struct {
		name    string
		damage  func(t *testing.T, path string)
		damaged bool
	}{
		{"nothing", func(*testing.T, string) {}, false},
		{"a page in the middle", func(t *testing.T, path string) { flip(t, path+"-wal", frame(ends[len(ends)/2])+2000) }, true},
		{"the head of a frame", func(t *testing.T, path string) { flip(t, path+"-wal", frame(ends[0])) }, true},
		{"the last commit's page", func(t *testing.T, path string) { flip(t, path+"-wal", frame(ends[len(ends)-1])+2000) }, false},
		{"the end is cut off", func(t *testing.T, path string) {
			if err := os.Truncate(path+"-wal", frame(ends[len(ends)-1])+1000); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := killed(t)
			c.damage(t, path)
			err := openAndRecover(path)
			if errors.Is(err, store.ErrDamaged) != c.damaged || !c.damaged && err != nil {
				t.Errorf("open: %v", err)
			}
			if c.damaged && err != nil && (!strings.Contains(err.Error(), "-wal") || !strings.Contains(err.Error(), filepath.Base(path))) {
				t.Errorf("the sentence does not say which file: %v", err)
			}
			if !c.damaged {
				holds(t, path)
				return
			}
			if r := verify(t, path); r.OK || !strings.Contains(r.Breaches[0].Detail, "write-ahead log") {
				t.Errorf("verify does not find it: %v", r.Breaches)
			}
		})
	}
}

// TestFailedSyncsAreNoDamage: what commits whose sync failed leave in the log behind the next commit is nothing that went missing.
func TestFailedSyncsAreNoDamage(t *testing.T) {
	disk := faulty.New(t.Name(), faulty.Options{Powersafe: true})
	t.Cleanup(func() { disk.Close() })
	path := dbPath(t)
	db := open(t, path, store.Options{VFS: disk.Name()})
	plant := newPlant(inOrder())
	play(t, db, plant.scenario(nil), 20)
	before := len(commitEnds(t, path))
	raw := func(minutes, most int64) *store.Batch {
		b := batch(db)
		for m := range minutes {
			for _, o := range plant.raw(1000 + m) {
				if o(b); int64(len(b.Readings)) >= most {
					break
				}
			}
		}
		count(b, 0)
		return b
	}
	mend := disk.Break(faulty.Fault{Op: faulty.Sync, Kind: faulty.WAL, How: faulty.Dropped, Err: sqlite3.IOERR_FSYNC})
	for _, minutes := range []int64{400, 200, 100} {
		if err := db.Commit(raw(minutes, 1<<20)); !errors.Is(err, sqlite3.IOERR_FSYNC) {
			t.Fatalf("error %v, want a failed sync", err)
		}
	}
	mend()
	commit(t, db, raw(1, 1))
	killed := copied(t, path)
	if left := len(commitEnds(t, killed)) - before - 1; left < 3 {
		t.Fatalf("%d ends of commits lie behind the last one: the test is about several", left)
	}
	if err := openAndRecover(killed); err != nil {
		t.Errorf("open: %v", err)
	}
	holds(t, killed)
}

// TestRemovedLog: commits went to a log without a name. Closing saves them: the file alone is whole.
func TestRemovedLog(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm"} {
		path := dbPath(t)
		db := open(t, path, store.Options{})
		play(t, db, newPlant(inOrder()).scenario(nil), 20)
		last := db.LastCommit()
		if err := os.Remove(path + suffix); err != nil {
			t.Fatal(err)
		}
		b := batch(db)
		newPlant(inOrder()).raw(minutes)[0](b)
		count(b, 0)
		commit(t, db, b)
		if err := db.Close(); err != nil {
			t.Errorf("%s removed: close: %v", suffix, err)
		}
		for _, left := range []string{"-wal", "-shm"} {
			if _, err := os.Stat(path + left); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
		db = open(t, path, store.Options{})
		if db.LastCommit() != last+1 {
			t.Errorf("%s removed: last commit %d, want %d", suffix, db.LastCommit(), last+1)
		}
		if got := one(t, path, `PRAGMA integrity_check`); got != "ok" {
			t.Errorf("%s removed: %s", suffix, got)
		}
	}
}

// TestLockOnAFullDisk: who holds the lock is told where there is room for it; the lock does not need it.
func TestLockOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	dir := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(dir, "cidp.lock")); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(filepath.Join(dir, "x.sqlite"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := store.Open(filepath.Join(dir, "x.sqlite"), store.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a second time: %v", err)
	}
}

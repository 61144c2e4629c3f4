package store_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// digestOf makes up a digest.
func digestOf(c string) string { return strings.Repeat(c, 64) }

// TestConfigChangeIsCommittedWithWhatItChanges: the record, the sensor's row and the recovery after it are of one commit, and a repeat writes nothing twice.
func TestConfigChangeIsCommittedWithWhatItChanges(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	p := newPlant([]int{0, 1, 2, 3, 4, 5})
	b := batch(db)
	p.register(b)
	count(b, 0)
	commit(t, db, b)
	recovered := func() (digest string, periods map[int64]int64, s stream.Sensor) {
		t.Helper()
		r, err := db.Recover(backBy(0))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		return r.ConfigDigest, r.Periods, *r.Sensors[2]
	}
	if digest, periods, _ := recovered(); digest != "" || periods[3] != 0 {
		t.Errorf("before: digest %q, periods %v", digest, periods)
	}

	moved := *p.sensors[2]
	moved.Kind, moved.Position, moved.Axle, moved.Side = stream.Brake, "disc", 3, ""
	b = batch(db) // nothing but the change
	b.Config = &store.ConfigChange{At: 5, Who: "file", NewDigest: digestOf("a"), What: "all"}
	b.Changed = []stream.SensorChange{{Sensor: p.sensors[2], PeriodMs: 1}, {Sensor: &moved, PeriodMs: 10_000}}
	commit(t, db, b)
	commit(t, db, b) // as after an answer that was lost
	if digest, periods, s := recovered(); digest != digestOf("a") || periods[3] != 10_000 || s != moved || db.LastCommit() != 2 {
		t.Errorf("after: digest %q, periods %v, sensor %+v, commit %d", digest, periods, s, db.LastCommit())
	}
	b = batch(db)
	b.Config = &store.ConfigChange{At: 7, Who: "file", OldDigest: digestOf("a"), NewDigest: digestOf("b"), What: "more"}
	commit(t, db, b)

	k, err := db.Console()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := k.ConfigChanges(t.Context(), 0)
	want := []store.ConfigRow{{7, 3, "file", digestOf("a"), digestOf("b"), "more"}, {5, 2, "file", "", digestOf("a"), "all"}}
	if err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("%v: %+v", err, rows)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	known, err := store.Sensors(t.Context(), path)
	if err != nil || len(known) != 6 || known[2] != (store.KnownSensor{"douala", "loco-1", "motor1", "brake", "disc", 3, "", 10_000, t0}) {
		t.Errorf("%v: %+v", err, known)
	}

	stranger := moved
	stranger.ID = 99
	b = batch(db)
	b.Changed = []stream.SensorChange{{Sensor: &stranger}}
	if err := db.Commit(b); err == nil || !strings.Contains(err.Error(), "update sensor 99: it is not registered") {
		t.Errorf("a stranger: %v", err)
	}
}

// TestVerifyFindsBrokenConfigRecords that do not follow each other.
func TestVerifyFindsBrokenConfigRecords(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	for i, d := range []string{"a", "b", "c"} {
		b := batch(db)
		b.Config = &store.ConfigChange{At: int64(i), Who: "file", NewDigest: digestOf(d), What: "x"}
		if i > 0 {
			b.Config.OldDigest = digestOf(string("abc"[i-1]))
		}
		commit(t, db, b)
	}
	breaches := func() (found []string) {
		t.Helper()
		r, err := store.Verify(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range r.Breaches {
			found = append(found, b.Check+": "+b.Detail)
		}
		return found
	}
	if found := breaches(); len(found) > 0 {
		t.Fatalf("breaches %q", found)
	}
	c, err := sqlite3.Open(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec(`PRAGMA busy_timeout = 2000; DELETE FROM config_change WHERE change_id = 2; UPDATE config_change SET new_digest = 'x' WHERE change_id = 3`); err != nil {
		t.Fatal(err)
	}
	found := strings.Join(breaches(), "\n")
	for _, want := range []string{"configuration: change 3 begins at configuration " + digestOf("b") + ", the one before ended at " + digestOf("a"), "configuration: change 3: " + digestOf("b") + " and x are not two digests"} {
		if !strings.Contains(found, want) {
			t.Errorf("not found: %s in\n%s", want, found)
		}
	}
}

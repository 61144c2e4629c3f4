package store_test

import (
	"testing"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// TestOneWrongClockDoesNotStopFolding: a board that boots ten years ahead leaves one odd row, and the others are folded all the same.
func TestOneWrongClockDoesNotStopFolding(t *testing.T) {
	const day = 86_400_000
	path := dbPath(t)
	db := open(t, path, store.Options{})
	put := func(at int64) {
		b := batch(db)
		b.Committed = at
		b.Refusals = []stream.Refusal{{Reason: stream.Malformed, Client: "c", Element: -1}}
		count(b, 0)
		commit(t, db, b)
	}
	put(t0 + 3650*day)
	for i := range int64(6000) {
		put(t0 + i)
	}
	for i := range int64(30) {
		put(t0 + 40*day + i*3_700_000)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n := one(t, path, `SELECT count(*) FROM commit_log`); len(n) > 2 {
		t.Errorf("%s rows in commit_log", n)
	}
	holds(t, path)
}

// TestDigestOfADamagedDatabase answers, whatever it is worth: readings are gone that windows stand on.
func TestDigestOfADamagedDatabase(t *testing.T) {
	path := filled(t)
	sql(t, path, `CREATE TEMP TABLE e AS SELECT max(end_ms) AS e FROM telemetry_window;
		DELETE FROM context_reading; DELETE FROM reading; INSERT INTO reading (key, temp_m) SELECT (e + CASE sensor_id WHEN 1 THEN 20000 ELSE 1000 END) << 20 | sensor_id, 40000 FROM sensor, e`)
	if d := digest(t, path); len(d) != 64 {
		t.Errorf("digest %q", d)
	}
}

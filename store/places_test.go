package store_test

import (
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/store"
)

// TestPlacesKeepOlderAlerts gives the program a database of the schema before alerts of assets and sites, with an alert in it: the alert, its transitions and what refers to it
// are as before, and foreign keys hold.
func TestPlacesKeepOlderAlerts(t *testing.T) {
	path := dbPath(t)
	firstRelease(t, path)
	c, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Exec(`INSERT INTO asset VALUES (1, 'd', 'loco', 1, 1, 0);
		INSERT INTO sensor VALUES (1, 1, 'x', 'other', '', 0, '', 0, 1, 1, 0);
		INSERT INTO telemetry_window (window_id, revision, sensor_id, start_ms, end_ms, n, expected, completeness, verdict, closed_by, period_ms, last_ms, closed_ms, memory)
		VALUES (60000 << 20 | 1, 0, 1, 60000, 120000, 60, 60, 1, 'valid', 'watermark', 1000, 119000, 1, x'00');
		INSERT INTO alert VALUES ('old', 1, 'd', 'loco', 'x', 'active', 'alarm', 120000, 120000, 0.7, 99.5, 'forest', 'why', '[]', 60000 << 20 | 1, 60000, 120000, 'old', 'ngo', 5, 'seen');
		INSERT INTO alert_event VALUES (7, 'old', 1, 60000 << 20 | 1, 0, 120000, 'raised', 'normal', 'alarm', 'active', 'why', 'line', 1);`)
	if err != nil {
		t.Fatal(err)
	}
	const alerts, events = `SELECT * FROM alert`, `SELECT * FROM alert_event`
	before := append(rows(t, path, alerts), rows(t, path, events)...)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	db := open(t, path, store.Options{})
	r, err := db.Recover(backBy(0))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.Alerts) != 1 || r.Alerts[0].ID != "old" || r.Alerts[0].SensorID != 1 || r.Alerts[0].Ack == nil || len(r.Failsafes) != 0 {
		t.Errorf("alerts %+v, fail-safes %v", r.Alerts, r.Failsafes)
	}
	before[0] += "||" // the method of its explanation, of which it has none, and no score
	after := append(rows(t, path, alerts), rows(t, path, events)...)
	if len(after) != len(before) {
		t.Fatalf("%d rows, %d before", len(after), len(before))
	}
	for i := range after {
		if after[i] != before[i] {
			t.Errorf("row %q was %q", after[i], before[i])
		}
	}
	if bad := rows(t, path, `PRAGMA foreign_key_check`); len(bad) > 0 {
		t.Errorf("broken references: %q", bad)
	}
	if got := one(t, path, `SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('alert', 'alert_event') AND name NOT LIKE 'sqlite_%'`); got != "5" {
		t.Errorf("%s indexes", got)
	}
}

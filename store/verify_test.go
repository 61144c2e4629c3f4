package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/store"
)

func verify(t testing.TB, path string) *store.Report {
	t.Helper()
	r, err := store.Verify(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// holds fails the test when Verify finds anything.
func holds(t testing.TB, path string) {
	t.Helper()
	for _, b := range verify(t, path).Breaches {
		t.Errorf("%s: %s", b.Check, b.Detail)
	}
}

func TestVerifyWhole(t *testing.T) {
	path := filled(t)
	var steps []string
	r, err := store.Verify(context.Background(), path, func(s string) { steps = append(steps, s) }, store.Quick())
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.Breaches) > 0 {
		t.Fatalf("breaches: %v", r.Breaches)
	}
	want := store.Counts{Assets: 2, Sensors: 6, Readings: 180, Contexts: 10, Conflicted: 2, Windows: 24, Quarantined: 1, Predictions: 23, Messages: 4, Late: 2,
		Alerts: 1, Commits: r.Counts.Commits, Unsent: 23}
	if r.Counts != want {
		t.Errorf("counts %+v, want %+v", r.Counts, want)
	}
	if len(steps) < 5 {
		t.Errorf("steps told: %v", steps)
	}
	holds(t, path)
}

func TestVerifyLive(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	play(t, db, newPlant(inOrder()).scenario(nil), 30)
	holds(t, path)
	if _, err := store.Digest(context.Background(), path); err != nil {
		t.Fatal(err)
	}
}

// damages maps what someone did to a database to the breach that tells of it.
var damages = []struct{ name, sql, want string }{
	{"lost reading", `DELETE FROM reading WHERE key = (SELECT min(key) FROM reading)`, "the table holds 5 readings"},
	{"lost reading, law", `DELETE FROM reading WHERE key = (SELECT max(key) FROM reading)`, "180 stored telemetry by the ledger, 179 readings"},
	{"lost context", `DELETE FROM context_reading WHERE key = (SELECT min(key) FROM context_reading)`, "10 stored context by the ledger, 9 contexts"},
	{"newest context moved", `UPDATE asset SET context_ms = context_ms + 1 WHERE asset_id = 1`, "asset 1: context_ms is"},
	{"lost late reading", `DELETE FROM late_reading WHERE late_id = 1`, "2 late by commit_log, 1 rows in late_reading"},
	{"lost evidence", `DELETE FROM quarantine_message WHERE reason = 'malformed' AND element = 1`, "3 refused malformed by the ledger, 2 in quarantine_message"},
	{"ledger moved", `UPDATE ledger SET value = value + 1 WHERE counter = 'duplicate'`, "duplicate by the ledger"},
	{"commit breaks the law", `UPDATE commit_log SET received = received + 1 WHERE commit_id = 2`, "commit 2: received"},
	{"lost commit", `DELETE FROM commit_log WHERE commit_id = 3`, "commits are recorded"},
	{"lost prediction", `DELETE FROM ai_telemetry_predictions WHERE window_id = (SELECT min(window_id) FROM ai_telemetry_predictions)`, "is valid and has no prediction"},
	{"lost quarantine", `DELETE FROM quarantine_window`, "is quarantined and no reason is recorded"},
	{"no reasons", `UPDATE quarantine_window SET reasons = '[]'`, "is quarantined and no reason is recorded"},
	{"reasons torn", `UPDATE quarantine_window SET reasons = '["gap'`, "is quarantined and no reason is recorded"},
	{"quarantined turned valid", `UPDATE telemetry_window SET verdict = 'valid' WHERE verdict = 'quarantined'`, "is valid and is in quarantine"},
	{"valid turned quarantined", `UPDATE telemetry_window SET verdict = 'quarantined' WHERE window_id = (SELECT max(window_id) FROM telemetry_window)`, "is quarantined and has a prediction"},
	{"prediction of another span", `UPDATE ai_telemetry_predictions SET end_ms = end_ms + 1 WHERE window_id = (SELECT min(window_id) FROM ai_telemetry_predictions)`, "fits no window"},
	{"explanation of a publication", `UPDATE outbox SET revision = 2 WHERE outbox_id = 1`, "publication 1: the explanation of window"},
	{"publication cut beyond its end", `UPDATE outbox SET cut = 5000 WHERE outbox_id = 1`, "publication 1: the explanation of window"},
	{"scored_ms moved", `UPDATE sensor SET scored_ms = scored_ms - 1 WHERE sensor_id = 2`, "begins after scored_ms of its sensor"},
	{"lost window", `DELETE FROM telemetry_window WHERE window_id = (SELECT min(window_id) FROM telemetry_window)`, "is in no window, and window"},
	{"lost newest window", `DELETE FROM telemetry_window WHERE window_id = (SELECT max(window_id) FROM telemetry_window)`, "evaluated_ms is"},
	{"n moved", `UPDATE telemetry_window SET n = 7 WHERE window_id = (SELECT min(window_id) FROM telemetry_window)`, "n is 7, the table holds 6 readings"},
	{"overlap", `UPDATE telemetry_window SET end_ms = end_ms + 60000 WHERE window_id = (SELECT min(window_id) FROM telemetry_window)`, "before window"},
	{"window of another start", `UPDATE telemetry_window SET start_ms = start_ms - 1 WHERE window_id = (SELECT min(window_id) FROM telemetry_window)`, "its id is not its start and sensor"},
	{"revision out of the blue", `UPDATE telemetry_window SET revision = 1 WHERE 0; INSERT INTO telemetry_window SELECT * FROM telemetry_window WHERE 0;
		CREATE TEMP TABLE w AS SELECT * FROM telemetry_window ORDER BY window_id LIMIT 1; UPDATE w SET revision = 3; INSERT INTO telemetry_window SELECT * FROM w`, "revision 3 follows none"},
	{"evaluated_ms moved", `UPDATE sensor SET evaluated_ms = evaluated_ms - 1 WHERE sensor_id = 2`, "sensor 2: evaluated_ms is"},
	{"open window forgotten", `DELETE FROM open_window WHERE sensor_id = 3`, "sensor 3 has readings from"},
	{"open window moved", `UPDATE open_window SET from_ms = from_ms + 1 WHERE sensor_id = 3`, "its first reading in no closed window is at"},
	{"open window of nothing", `DELETE FROM reading WHERE key & 1048575 = 3 AND key >> 20 >= (SELECT evaluated_ms FROM sensor WHERE sensor_id = 3)`, "all its readings are in closed windows"},
	{"flag of nothing", `INSERT INTO reading_flag VALUES (77 << 20 | 1, 3)`, "flag of sensor 1 at 77 refers to a reading"},
	{"flag in an open window", `INSERT INTO reading_flag SELECT max(key), 4 FROM reading`, "the reading is in no closed window"},
	{"dispute of nothing", `INSERT INTO conflicted VALUES (77 << 20 | 1)`, "dispute of sensor 1 at 77 refers to a reading"},
	{"dispute of no context", `INSERT INTO context_conflicted VALUES (77 << 20 | 1)`, "dispute of asset 1 at 77 refers to a context"},
	{"lost sensor", `DELETE FROM sensor WHERE sensor_id = 5`, "refer to sensor 5, which does not exist"},
	{"lost asset", `DELETE FROM asset WHERE asset_id = 2`, "refers to asset 2, which does not exist"},
	{"lost model", `DELETE FROM model`, "names model 0123456789abcdef, which is not recorded"},
	{"lost alert", `DELETE FROM alert`, "refers to alert alert-1, which does not exist"},
	{"alert without transitions", `DELETE FROM alert_event`, "alert alert-1 has no transition"},
	{"lost transition", `DELETE FROM alert_event WHERE kind = 'severity'`, "goes from critical"},
	{"alert still active", `UPDATE alert SET state = 'active'`, "alert alert-1 is active, its transitions say cleared"},
	{"alert raised at another time", `UPDATE alert SET raised_at_ms = 1`, "raised at 1"},
	{"alert of another name", `UPDATE alert SET sensor = 'x'`, "names another site, asset or sensor"},
	{"alert of no asset", `UPDATE alert_event SET sensor_id = NULL; UPDATE alert SET sensor_id = NULL, sensor = '_asset', asset = 'x'`, "is no known asset or site"},
	{"transition of another sensor", `UPDATE alert_event SET sensor_id = NULL WHERE kind = 'raised'`, "is of another sensor than alert"},
	{"fail-safe without its alert", `UPDATE asset SET failsafe = 1 << 40 WHERE asset_id = 1`, "0 alerts say that its fail-safe is open, its state says 1"},
	{"alert raised twice", `UPDATE alert_event SET kind = 'raised' WHERE kind = 'severity'`, "is raised twice"},
	{"transition without a window", `UPDATE alert_event SET revision = 9 WHERE kind = 'raised'`, "refers to window"},
	{"late of nobody", `UPDATE late_reading SET sensor_id = 99 WHERE sensor_id IS NOT NULL`, "refers to sensor 99 or asset 1"},
	{"lost setting", `DELETE FROM meta WHERE name = 'disorder_ms'`, "setting disorder_ms is missing"},
	{"lost feature", `DROP VIEW kpi_data_quality; DROP VIEW kpi_asset_daily; DROP VIEW window_now; ALTER TABLE telemetry_window DROP COLUMN peer_z`, "telemetry_window has no column peer_z"},
	{"lost migration", `DELETE FROM migration`, "the newest recorded migration is 0"},
}

// damaged gives the path of a copy of a database to which something was done.
func damaged(t *testing.T, whole []byte, what string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "damaged.sqlite")
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	sql(t, path, what)
	return path
}

func TestVerifyDamage(t *testing.T) {
	singleRows(t)
	whole, err := os.ReadFile(filled(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			path := damaged(t, whole, d.sql)
			r := verify(t, path)
			if r.OK {
				t.Fatal("Verify found nothing")
			}
			for _, b := range r.Breaches {
				if strings.Contains(b.Detail, d.want) {
					return
				}
			}
			t.Errorf("no breach says %q: %v", d.want, r.Breaches)
		})
	}
}

func TestVerifyTornPages(t *testing.T) {
	whole, err := os.ReadFile(filled(t))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for at := 4096; at < len(whole); at += 4096 {
		data := slices.Clone(whole)
		clear(data[at : at+512])
		path := filepath.Join(t.TempDir(), "torn.sqlite")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := store.Verify(context.Background(), path, nil)
		switch {
		case err == nil && r.OK && !bytes.Equal(data, whole):
			t.Errorf("page %d is torn and Verify found nothing", at/4096+1)
		case err == nil && !r.OK:
			found++
		case err != nil && !errors.Is(err, store.ErrDamaged):
			t.Errorf("page %d: %v", at/4096+1, err)
		}
	}
	if found == 0 {
		t.Error("no torn page gave a report")
	}
}

func TestVerifyTellsALimitedNumber(t *testing.T) {
	path := filled(t)
	sql(t, path, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO conflicted SELECT i FROM n`)
	r := verify(t, path)
	if n := len(r.Breaches); n != 21 {
		t.Errorf("%d breaches told", n)
	}
	if last := r.Breaches[len(r.Breaches)-1].Detail; !strings.Contains(last, "more than 20") {
		t.Errorf("last breach: %s", last)
	}
}

func TestRefusesToOpen(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(dir, "foreign.sqlite")
	sql(t, foreign, `CREATE TABLE x (y)`)
	newer := filled(t)
	sql(t, newer, `PRAGMA user_version = 99`)
	for _, c := range []struct {
		name, path string
		verify     error
		open       error // nil: opens
	}{
		{"missing", filepath.Join(dir, "missing.sqlite"), store.ErrMissing, nil},
		{"empty", file("empty.sqlite", ""), store.ErrNotDatabase, nil},
		{"text", file("text.sqlite", strings.Repeat("not a database ", 100)), store.ErrNotDatabase, store.ErrNotDatabase},
		{"short", file("short.sqlite", "x"), store.ErrNotDatabase, store.ErrNotDatabase},
		{"header only", file("header.sqlite", "SQLite format 3\x00"+strings.Repeat("\xff", 200)), store.ErrNotDatabase, store.ErrNotDatabase},
		{"folder", dir, store.ErrNotDatabase, store.ErrNotDatabase},
		{"foreign", foreign, store.ErrNotOurs, store.ErrNotOurs},
		{"newer", newer, store.ErrNewer, store.ErrNewer},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := store.Verify(context.Background(), c.path, nil)
			sentence(t, "verify", err, c.verify)
			_, err = store.Digest(context.Background(), c.path)
			sentence(t, "digest", err, c.verify)
			db, err := store.Open(c.path, store.Options{})
			if c.open == nil {
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				return
			}
			sentence(t, "open", err, c.open)
		})
	}
}

func sentence(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
	if strings.Contains(fmt.Sprint(err), "\n") {
		t.Errorf("%s: more than one line: %v", what, err)
	}
}

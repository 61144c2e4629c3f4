package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// crashExpireSteps are where the program is killed while old readings go: within the first step of retention, after some, and between commits of the line.
var crashExpireSteps = []string{"expire:1", "expire:1", "expire:3", "commit:10", "expire:2", "recover:50", "expire:1", "acknowledged:12", "expire:2"}

// TestCrashWhileExpiring lets the readings of closed windows go while clients publish, kills the program within steps of retention, and proves that what went is counted, that
// nothing went which a window still needed, and that windows, predictions and alerts are those of a run that kept everything and never crashed.
func TestCrashWhileExpiring(t *testing.T) {
	noRace(t)
	run, p := killedAfter(t, 6000)
	p.args = append(p.args, "--keep-raw", "1h", "--keep-raw-min", "1h")
	for _, at := range crashExpireSteps {
		p.start(t, "CIDP_TEST_KILL="+at)
		p.died(t)
		proveExpired(t, p, run)
		if t.Failed() {
			t.Fatalf("after a kill at %s", at)
		}
	}
	p.start(t)
	run.assets[0].stop()
	run.finish(t, time.Minute)
	p.ready(t)
	db := crashOpen(t, p.database(), sqlite3.OPEN_READONLY)
	wait(t, "the last readings of closed windows to go", func() bool {
		return crashAsk(t, db, `SELECT count(*) FROM telemetry JOIN sensor USING (sensor_id) WHERE ts_ms < evaluated_ms - 600000`) == "0"
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	proveExpired(t, p, run)
	db = crashOpen(t, p.database(), sqlite3.OPEN_READWRITE)
	once(t, db)
	windows, story := windowStory(t, db), alertStory(t, db)
	expired, left := crashAsk(t, db, `SELECT sum(value) FROM ledger WHERE counter = 'expired'`), crashAsk(t, db, `SELECT count(*) FROM telemetry`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills, %s readings and contexts expired, %s readings left, %d windows", p.kills, expired, left, len(windows))
	keepsAll(t, run, windows, story)
}

// proveExpired proves what a killed program left: it verifies, and what was acknowledged and is in no closed window is there.
func proveExpired(t *testing.T, p *mortal, run *crashRun) {
	t.Helper()
	path := p.corpse(t)
	db := crashOpen(t, path, sqlite3.OPEN_READWRITE)
	evaluated := map[string]int64{}
	crashRows(t, db, `SELECT sensor, evaluated_ms FROM sensor`, func(s *sqlite3.Stmt) { evaluated[s.ColumnText(0)] = s.ColumnInt64(1) })
	for _, s := range run.sources {
		taken := s.taken()
		if s.name == "" {
			continue // contexts are judged by the windows that they feed
		}
		stored := storedSince(t, db, s, evaluated[s.name])
		for _, m := range taken {
			for _, r := range m.readings {
				if got, ok := stored[r.TS]; r.TS >= evaluated[s.name] && (!ok || got != r) {
					t.Errorf("%s: %+v was acknowledged and is in no closed window, and the database has %+v, %v", s.topic(), r, got, ok)
				}
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p.verified(t, path)
}

// windowStory gives every window with its prediction by content.
func windowStory(t *testing.T, db *sqlite3.Conn) (out []string) {
	t.Helper()
	crashRows(t, db, `SELECT asset, sensor, start_ms, end_ms, n, expected, completeness, verdict, reasons, period_ms, last_ms, mean_c, max_c, min_c, rise_baseline_c,
		over_ambient_c, peer_z, p_failure, level, source, rule_score, explanation FROM window_now ORDER BY start_ms, asset, sensor`, func(s *sqlite3.Stmt) {
		var line []string
		for col := range s.ColumnCount() {
			line = append(line, s.ColumnText(col))
		}
		out = append(out, strings.Join(line, "|"))
	})
	return out
}

// keepsAll publishes the same readings to a program that keeps everything, without a crash, and compares windows and alerts.
func keepsAll(t *testing.T, crashed *crashRun, windows, story []string) {
	t.Helper()
	p, run := again(t, "", crashed)
	story2, _, _ := proveEnd(t, p, run)
	db := crashOpen(t, p.database(), sqlite3.OPEN_READWRITE)
	defer db.Close()
	sameStory(t, windows, windowStory(t, db))
	sameStory(t, story, story2)
}

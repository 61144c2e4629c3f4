package store_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// learns is, in SQL, a window that learns, not one between of a sensor that hops.
const learns = `hex(substr(memory, 1, 1)) <> '68'`

// TestHoppingLineKeepsTheLaws: as TestLineKeepsTheLaws, with windows that overlap.
func TestHoppingLineKeepsTheLaws(t *testing.T) {
	for _, hop := range []time.Duration{30 * time.Second, 12 * time.Second} {
		lineKeepsTheLaws(t, hop)
	}
}

// TestHoppingRevisionsKeepTheLaws: as TestRevisionsKeepTheLaws.
func TestHoppingRevisionsKeepTheLaws(t *testing.T) { revisionsKeepTheLaws(t, 2, 20*time.Second) }

// TestRetentionOfHoppingWindows: as TestRetentionChangesNothingElse.
func TestRetentionOfHoppingWindows(t *testing.T) { retentionChangesNothingElse(t, 1, 20*time.Second) }

// TestVerifyCountsOverlappingWindows: a reading is in several windows, and each says how many it has.
func TestVerifyCountsOverlappingWindows(t *testing.T) {
	path := dbPath(t)
	l := newLine(t, path, 20*time.Second)
	for _, s := range traffic(0) {
		l.feed(s)
	}
	l.commit()
	l.crash()
	holds(t, path)
	all, between := one(t, path, `SELECT count(*) FROM telemetry_window`), one(t, path, `SELECT count(*) FROM telemetry_window WHERE NOT `+learns)
	if between == "0" || all == between {
		t.Fatalf("%s of %s windows are between", between, all)
	}
	if got := one(t, path, `SELECT count(*) FROM window_now WHERE hopping`); got != between {
		t.Errorf("window_now says that %s windows hop, of %s", got, between)
	}
	if one(t, path, `SELECT sum(windows) = (SELECT count(*) FROM telemetry_window WHERE `+learns+`) FROM kpi_data_quality`) != "1" {
		t.Error("the KPIs count windows that overlap")
	}
	db := open(t, path, store.Options{})
	r := recovered(t, db, time.Minute)
	for _, g := range r.Good {
		if last := r.Windows[g.SensorID]; g.End != last.End {
			t.Errorf("sensor %d: the newest good window ends at %d, the newest that learnt at %d", g.SensorID, g.End, last.End)
		}
	}
	if err := r.Close(); err != nil || len(r.Good) == 0 {
		t.Fatalf("%d good windows, %v", len(r.Good), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{
		`UPDATE telemetry_window SET n = n + 1 WHERE window_id = (SELECT window_id FROM telemetry_window WHERE NOT ` + learns + ` LIMIT 1 OFFSET 7)`,
		`UPDATE telemetry_window SET n = n - 1 WHERE window_id = (SELECT max(window_id) FROM telemetry_window WHERE NOT ` + learns + `)`,
	} {
		if r := verify(t, damaged(t, whole, damage)); len(r.Breaches) != 1 || !strings.Contains(r.Breaches[0].Detail, "the table holds") {
			t.Errorf("%s: %+v", damage, r.Breaches)
		}
	}
}

// TestRetentionKeepsTheHold: the window of a sensor's newest hold stays, also when windows between have newer predictions: those carry none.
func TestRetentionKeepsTheHold(t *testing.T) {
	l := newWorn(t, dbPath(t), 20*time.Second)
	topic := stream.TelemetryTopic("douala", "loco-0", "axle1-left")
	for s := int64(0); s < 131; s++ {
		if s >= 100 && s < 130 { // so that the window from 60 to 120 is out, and those between before it are not
			continue
		}
		l.feed(sent{topic: topic, reading: stream.Reading{TS: t0 + 1000*s, Temp: stream.Milli(40_000 + 30*(s%7))}, arrival: t0 + minute*3})
	}
	l.commit()
	before := memory(t, l.db)
	if n := one(t, l.path, `SELECT count(*) FROM ai_telemetry_predictions WHERE hold_last_end_ms < 0 AND start_ms > (SELECT max(start_ms) FROM ai_telemetry_predictions WHERE hold_last_end_ms >= 0)`); n == "0" {
		t.Fatal("no window between is newer than the one that learnt: the test shows nothing")
	}
	e := expire(t, l.db, store.Keep{Raw: time.Minute, Windows: time.Minute, ContextSpan: contextSpan()}, t0+60*minute, false)
	if after := memory(t, l.db); after != before || e.Windows == 0 {
		t.Errorf("%d windows expired, and a recovery gives\n%s\nnot\n%s", e.Windows, after, before)
	}
	holds(t, l.path)
}

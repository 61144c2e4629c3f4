package store_test

import (
	"os"
	"strings"
	"testing"
	"time"
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

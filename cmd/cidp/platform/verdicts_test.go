package platform

import (
	"fmt"
	"testing"
)

// TestVerdictsThroughTheLine: what a workshop found is on disk when it is acknowledged, once, over a restart, before its sensor has sent anything; it makes no asset and no sensor.
func TestVerdictsThroughTheLine(t *testing.T) {
	dir := t.TempDir()
	const topic = "cidp/v1/verdicts/douala/loco-1/axle1-left"
	ts := base()
	failed := fmt.Sprintf(`{"ts":%d,"finding":"failed","since":%d,"by":"A. Mbarga"}`, ts, ts-60_000)
	for start1 := range 2 {
		p, stop := start(t, dir, nil)
		c := client(t, p, "workshop")
		publish(t, c, topic, failed)
		if n := ask(t, dir, `SELECT count(*) FROM verdict WHERE finding = 'failed' AND found_by = 'A. Mbarga'`); n != 1 {
			t.Errorf("start %d: %d rows when it was acknowledged", start1, n)
		}
		publish(t, c, topic, fmt.Sprintf(`{"ts":%d,"finding":"sound"}`, ts))
		publish(t, c, topic, `{"finding":"sound"}`)
		publish(t, c, topic, fmt.Sprintf(`[{"ts":%d,"finding":"faulty","revision":%d},{"ts":%d,"finding":"sound"}]`, ts, start1+1, ts+int64(start1)+1))
		stop()
		verify(t, dir)
	}
	for sql, want := range map[string]int64{
		`SELECT count(*) FROM verdict`:                                                    5,
		`SELECT count(*) FROM verdict_now`:                                                3,
		`SELECT revision FROM verdict_now WHERE finding = 'faulty'`:                       2,
		`SELECT value FROM ledger WHERE counter = 'stored' AND reason = 'verdict'`:        5,
		`SELECT value FROM ledger WHERE counter = 'duplicate'`:                            1,
		`SELECT value FROM ledger WHERE counter = 'refused' AND reason = 'conflict'`:      2,
		`SELECT value FROM ledger WHERE counter = 'refused' AND reason = 'missing_field'`: 2,
		`SELECT count(*) FROM quarantine_message`:                                         4,
		`SELECT (SELECT count(*) FROM asset) + (SELECT count(*) FROM sensor)`:             0,
	} {
		if got := ask(t, dir, sql); got != want {
			t.Errorf("%s gives %d, want %d", sql, got, want)
		}
	}
}

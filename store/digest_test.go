package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

func digest(t testing.TB, path string) string {
	t.Helper()
	d, err := store.Digest(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if len(d) != 64 {
		t.Fatalf("digest %q is not 64 digits", d)
	}
	return d
}

// TestDigestIsOfTheContent: any batching, any order within a minute, any order of first sight gives the same digest.
func TestDigestIsOfTheContent(t *testing.T) {
	want := digest(t, filled(t))
	for seed, order := range [][]int{inOrder(), {5, 4, 3, 2, 1, 0}, {3, 0, 4, 1, 5, 2}} {
		for _, size := range []int{1, 7, 100_000} {
			path := dbPath(t)
			db := open(t, path, store.Options{})
			play(t, db, newPlant(order).scenario(rand.New(rand.NewPCG(1, uint64(seed)))), size)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			holds(t, path)
			if got := digest(t, path); got != want {
				t.Errorf("ids in the order %v, batches of %d: digest %s, want %s", order, size, got, want)
			}
		}
	}
}

const closedWindow, unclosedWindow = `window_id = (SELECT min(window_id) FROM telemetry_window)`, `window_id = (SELECT max(window_id) FROM telemetry_window)`

func TestDigestOfChanges(t *testing.T) {
	singleRows(t)
	path := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before := digest(t, path)
	for _, c := range []struct {
		name, sql string
		differs   bool
	}{
		{"a reading's last digit", `UPDATE reading SET temp_m = temp_m + 1 WHERE key = (SELECT min(key) FROM reading)`, true},
		{"a missing field turned zero", `UPDATE reading SET seq = 0 WHERE key = (SELECT min(key) FROM reading)`, true},
		{"a reading's time", `UPDATE reading SET key = key + 1048576 WHERE key = (SELECT max(key) FROM reading)`, true},
		{"a reading more", `INSERT INTO reading (key, temp_m) VALUES ((1700000339999 << 20) | 1, 0)`, true},
		{"a sensor's name", `UPDATE sensor SET sensor = 'axle9' WHERE sensor_id = 1`, true},
		{"a site's name", `UPDATE asset SET site = 'yaounde' WHERE asset_id = 1`, true},
		{"a context", `UPDATE context_reading SET speed_m = 6 WHERE key = (SELECT min(key) FROM context_reading)`, true},
		{"a dispute", `INSERT INTO conflicted SELECT min(key) FROM reading`, true},
		{"the value in dispute", `UPDATE reading SET temp_m = 1 WHERE key = (SELECT key FROM conflicted)`, false},
		{"the context in dispute", `UPDATE context_reading SET speed_m = 9 WHERE key = (SELECT key FROM context_conflicted)`, false},
		{"a feature's last bit", `UPDATE telemetry_window SET mean_c = mean_c * (1 + 2.5e-16) WHERE ` + closedWindow, true},
		{"a missing feature", `UPDATE telemetry_window SET mate_diff_c = NULL WHERE ` + closedWindow, true},
		{"n", `UPDATE telemetry_window SET n = 5 WHERE ` + closedWindow, true},
		{"a probability", `UPDATE ai_telemetry_predictions SET p_failure = 0.2500001 WHERE ` + closedWindow, true},
		{"an explanation", `UPDATE ai_telemetry_predictions SET explanation = '[]' WHERE ` + closedWindow, true},
		{"a quarantine's reasons", `UPDATE quarantine_window SET reasons = '["gap"]'`, true},
		{"a transition", `UPDATE alert_event SET to_severity = 'critical' WHERE kind = 'raised'`, true},
		{"what the fail-safe added", `UPDATE quarantine_window SET reasons = replace(reasons, ']', ',"failsafe_open"]')`, false},
		{"a silence", `INSERT INTO alert_event SELECT 98, alert_id, sensor_id, NULL, NULL, at_ms, 'raised', 'normal', 'watch', 'active', 'silent', 'line', 0 FROM alert_event LIMIT 1`, false},
		{"an operator's transition", `INSERT INTO alert_event SELECT 99, alert_id, sensor_id, window_id, revision, at_ms, 'ack', to_severity, to_severity, state, 'seen', 'ngo', 0 FROM alert_event LIMIT 1`, false},
		{"a window that event time has not closed", `UPDATE telemetry_window SET mean_c = 0 WHERE ` + unclosedWindow, false},
		{"and its absence", `DELETE FROM ai_telemetry_predictions WHERE ` + unclosedWindow + `; DELETE FROM telemetry_window WHERE ` + unclosedWindow, false},
		{"what closed it", `UPDATE telemetry_window SET closed_by = 'idle', closed_ms = 0, memory = x'00'`, false},
		{"wall clocks", `UPDATE ai_telemetry_predictions SET scored_ms = 0; UPDATE commit_log SET committed_ms = 0; UPDATE meta SET value = 0 WHERE name = 'created_ms'`, false},
		{"the model's id", `UPDATE ai_telemetry_predictions SET model_id = 'x'`, false},
		{"late, refused, sent", `DELETE FROM late_reading; DELETE FROM quarantine_message; DELETE FROM outbox; DELETE FROM ledger`, false},
		{"revision numbers", `UPDATE telemetry_window SET revision = revision + 1; UPDATE ai_telemetry_predictions SET revision = revision + 1; UPDATE quarantine_window SET revision = revision + 1`, false},
		{"a wider disorder", `UPDATE meta SET value = 100000 WHERE name = 'disorder_ms'`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "changed.sqlite")
			if err := os.WriteFile(path, whole, 0o644); err != nil {
				t.Fatal(err)
			}
			sql(t, path, c.sql)
			if after := digest(t, path); (after != before) != c.differs {
				t.Errorf("the digest differs: %t, want %t", after != before, c.differs)
			}
		})
	}
}

// TestDigestTakesTheNewestRevision: an older revision may say what it likes.
func TestDigestTakesTheNewestRevision(t *testing.T) {
	path := filled(t)
	sql(t, path, `CREATE TEMP TABLE w AS SELECT * FROM telemetry_window WHERE `+closedWindow+`; UPDATE w SET revision = 2; INSERT INTO telemetry_window SELECT * FROM w;
		CREATE TEMP TABLE p AS SELECT * FROM ai_telemetry_predictions WHERE `+closedWindow+`; UPDATE p SET revision = 2; INSERT INTO ai_telemetry_predictions SELECT * FROM p`)
	want := digest(t, path)
	sql(t, path, `UPDATE telemetry_window SET mean_c = -1 WHERE revision = 1 AND `+closedWindow)
	if got := digest(t, path); got != want {
		t.Error("an older revision is in the digest")
	}
	sql(t, path, `UPDATE telemetry_window SET mean_c = -1 WHERE revision = 2 AND `+closedWindow)
	if got := digest(t, path); got == want {
		t.Error("the newest revision is not in the digest")
	}
}

// TestClosedByEventTime holds the closing rule against sensors that read every 10 s from t0 for a time, with a disorder of 10 s: which windows
// of whom are in the digest.
func TestClosedByEventTime(t *testing.T) {
	for _, c := range []struct {
		name    string
		seconds []int64         // how long each sensor reads
		context int64           // when a context comes, s; 0: none
		closed  map[int][]int64 // by sensor: minutes that are in
		open    map[int][]int64 // and that are not
	}{
		{name: "all pass", seconds: []int64{360, 360}, closed: map[int][]int64{0: {0, 4}, 1: {4}}, open: map[int][]int64{0: {5}, 1: {5}}},
		{name: "one a little behind", seconds: []int64{360, 300}, closed: map[int][]int64{0: {3}, 1: {3}}, open: map[int][]int64{0: {4, 5}, 1: {4}}},
		{name: "one of two stopped: its last window waits, its mate goes on", seconds: []int64{360, 80}, closed: map[int][]int64{0: {1, 4}, 1: {0}}, open: map[int][]int64{1: {1}, 0: {5}}},
		{name: "one of three stopped: the median closes its mates' windows, its own waits", seconds: []int64{360, 360, 80}, closed: map[int][]int64{0: {1, 4}, 2: {0}}, open: map[int][]int64{2: {1}, 0: {5}}},
		{name: "a context behind holds", seconds: []int64{360, 360}, context: 245, closed: map[int][]int64{0: {3}}, open: map[int][]int64{0: {4}, 1: {4}}},
		{name: "a context of long ago does not", seconds: []int64{360, 360}, context: 100, closed: map[int][]int64{0: {4}}, open: map[int][]int64{0: {5}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := tails(t, c.seconds, c.context)
			check := func(sensor int, minutes []int64, in bool) {
				for _, m := range minutes {
					before := digest(t, path)
					where := fmt.Sprintf(`WHERE window_id = %d`, stream.Key(t0+m*minute, int64(sensor+1)))
					sql(t, path, `UPDATE telemetry_window SET mean_c = mean_c + 1 `+where)
					if got := digest(t, path) != before; got != in {
						t.Errorf("sensor %d minute %d is in the digest: %t, want %t", sensor, m, got, in)
					}
				}
			}
			for sensor, minutes := range c.closed {
				check(sensor, minutes, true)
			}
			for sensor, minutes := range c.open {
				check(sensor, minutes, false)
			}
		})
	}
}

// tails gives a database of one asset whose sensors read for some seconds each, every minute of them closed, and a context.
func tails(t *testing.T, seconds []int64, context int64) string {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	b := batch(db)
	b.Assets = append(b.Assets, &stream.Asset{ID: 1, Site: "s", Name: "a", FirstSeen: t0})
	p := &plant{}
	for i, seconds := range seconds {
		s := &stream.Sensor{ID: int64(i + 1), AssetID: 1, Site: "s", Asset: "a", Name: fmt.Sprint("x", i), FirstSeen: t0}
		p.sensors = append(p.sensors, s)
		b.Sensors = append(b.Sensors, s)
		for at := int64(0); at < seconds; at += 10 {
			b.Readings = append(b.Readings, stream.Stored{SensorID: s.ID, Reading: stream.Reading{TS: t0 + 1000*at}})
		}
		for m := int64(0); m*60 < seconds; m++ {
			w := p.windowOf(i, t0+m*minute, int(min(6, (seconds-60*m)/10)))
			b.Windows = append(b.Windows, w)
			b.Predictions = append(b.Predictions, predictionOf(w, 0.1, model.Normal))
		}
	}
	if context > 0 {
		b.Contexts = append(b.Contexts, stream.StoredContext{AssetID: 1, Context: stream.Context{TS: t0 + 1000*context}})
	}
	count(b, 0)
	commit(t, db, b)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, path)
	return path
}

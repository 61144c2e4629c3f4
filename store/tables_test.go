package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

func TestCommitFillsTheTables(t *testing.T) {
	path := filled(t)
	for _, c := range []struct{ sql, want string }{
		{`SELECT count(*) FROM telemetry`, "180"},
		{`SELECT temp_c, ambient_c, speed_kmh, load_t, brake, seq, flag FROM telemetry WHERE sensor_id = 1 AND ts_ms = 1700000050000`, "40.01|21.5|80.0|-0.001|1||1"},
		{`SELECT temp_c, ambient_c, brake, seq, flag FROM telemetry WHERE sensor_id = 2 AND ts_ms = 1700000050000`, "40.11|||1700000050|1"},
		{`SELECT count(*), sum(ambient_c), max(speed_kmh), max(load_t) FROM context`, "10|200.0|0.005|"},
		{`SELECT group_concat(flag || 'x' || n, ' ') FROM (SELECT flag, count(*) AS n FROM telemetry GROUP BY flag ORDER BY flag)`, "1x141 2x36 3x2 4x1"},
		{`SELECT site, asset, first_seen_ms, last_seen_ms - first_seen_ms, context_ms - first_seen_ms FROM asset WHERE asset_id = 2`, "douala|loco-2|1700000040000|230000|240000"},
		{`SELECT asset_id, sensor, kind, position, axle, side, period_ms, evaluated_ms - first_seen_ms FROM sensor WHERE sensor_id = 4`, "2|axle1-left|bearing|axle1|1|left|10000|240000"},
		{`SELECT count(*), count(peer_z), count(mean_c), sum(verdict = 'valid'), sum(n), sum(expected) FROM telemetry_window`, "24|0|24|23|143|144"},
		{`SELECT reasons, detail, released_ms FROM quarantine_window`, `["flatline","gap"]|one value did not change for a minute|`},
		{`SELECT explanation, source, model_id, level FROM ai_telemetry_predictions ORDER BY window_id LIMIT 1`,
			`[{"feature":"mean_c","value":40.125,"contribution":0.3333333333333333},{"feature":"peer_z","value":null,"contribution":-0.25}]|forest|0123456789abcdef|normal`},
		{`SELECT site, asset, sensor, state, severity, raised_at_ms, value, rule FROM alert`, "douala|loco-1|axle1-left|cleared|critical|1700000160000|99.5|forest"},
		{`SELECT explanation_method, raw_score FROM alert`, "tree_shap|0.5"},
		{`SELECT count(*), count(raw_score), max(raw_score) FROM ai_telemetry_predictions`, "23|3|0.5"},
		{`SELECT count(*), count(raw_score) FROM risk_now`, "6|1"},
		{`SELECT group_concat(kind || ' ' || from_severity || '-' || to_severity, ', ') FROM alert_event`, "raised normal-alarm, severity alarm-critical, cleared critical-normal"},
		{`SELECT count(*), sum(sensor_id IS NULL), sum(temp_c), sum(brake) FROM late_reading`, "2|1|41.001|1"},
		{`SELECT reason, client_id, element, CAST(payload AS TEXT) FROM quarantine_message ORDER BY message_id LIMIT 1`, `conflict|c1|-1|{"ts":1}`},
		{`SELECT count(*), min(from_ms), max(from_ms) FROM open_window`, "6|1700000280000|1700000280000"},
		{`SELECT group_concat(counter || ' ' || reason || ' ' || value, ', ') FROM ledger WHERE counter IN ('stored', 'refused', 'late', 'quarantine')`,
			"late late 2, quarantine flatline 1, quarantine gap 1, refused conflict 1, refused malformed 3, stored context 10, stored telemetry 180"},
		{`SELECT count(*), min(state) FROM model WHERE model_id <> 'rules'`, "1|active"},
	} {
		if got := one(t, path, c.sql); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
	holds(t, path)
}

func TestViews(t *testing.T) {
	path := filled(t)
	for _, c := range []struct{ sql, want string }{
		{`SELECT count(*), count(p_failure), count(reasons), max(sensor) FROM window_now`, "24|23|1|motor1"},
		{`SELECT count(*), min(window_start_ms), max(window_end_ms) FROM risk_now`, "6|1700000220000|1700000280000"},
		{`SELECT asset, day, windows, valid, quarantined FROM kpi_asset_daily ORDER BY asset LIMIT 1`, "loco-1|2023-11-14|12|12|0"},
		{`SELECT asset, sensor, windows, quarantined, late FROM kpi_data_quality WHERE quarantined > 0 OR late > 0`, ""},
	} {
		if c.want == "" {
			if got := rows(t, path, c.sql); !slices.Equal(got, []string{"loco-1|axle1-left|4|0|1", "loco-2|axle1-left|4|1|0"}) {
				t.Errorf("%s: %q", c.sql, got)
			}
		} else if got := one(t, path, c.sql); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
	// Counting telemetry must not look anything up a row.
	for _, row := range rows(t, path, `EXPLAIN QUERY PLAN SELECT count(*) FROM telemetry`) {
		if strings.Contains(row, "SEARCH") {
			t.Errorf("plan of count: %s", row)
		}
	}
	// What people ask goes by a key, an index or the newest of each sensor: nothing that grows is read from end to end.
	for _, sql := range []string{
		`SELECT ts_ms, temp_c, flag FROM telemetry WHERE near > (3000 - 2048) << 20 AND near < 4000 << 20 AND ts_ms >= 3000 AND sensor_id = 1`,
		`SELECT ts_ms, ambient_c FROM context WHERE key >= 1 << 20 AND key < 2 << 20 AND asset_id = 1`,
		`SELECT * FROM window_now WHERE site = 'd' AND asset = 'l' AND sensor = 's' AND start_ms >= 1`,
		`SELECT count(*), avg(completeness) FROM window_now WHERE window_id >= 1 << 20 GROUP BY site, asset`,
		`SELECT * FROM alert WHERE updated_at_ms >= 1 ORDER BY updated_at_ms DESC`,
	} {
		for _, row := range rows(t, path, `EXPLAIN QUERY PLAN `+sql) {
			if strings.Contains(row, "SCAN") && !strings.Contains(row, "SCAN v VIRTUAL TABLE") { // which is json_each
				t.Errorf("plan of %s: %s", sql, row)
			}
		}
	}
	for _, view := range []string{"kpi_data_quality", "kpi_asset_daily"} {
		for _, row := range rows(t, path, `EXPLAIN QUERY PLAN SELECT * FROM `+view) {
			if strings.Contains(row, "SCAN w USING") {
				t.Errorf("plan of %s: %s reads every window at a place of its own", view, row)
			}
		}
	}
	for _, row := range rows(t, path, `EXPLAIN QUERY PLAN SELECT * FROM risk_now`) {
		if strings.Contains(row, "SCAN p") || strings.Contains(row, "SCAN i") {
			t.Errorf("plan of risk_now: %s", row)
		}
	}
}

// TestPredictionsAreFoundByIndex: predictions have no index that leads with the sensor. They are found through the windows', from scored_ms on where the newest are asked for, and nothing is sorted.
func TestPredictionsAreFoundByIndex(t *testing.T) {
	path := filled(t)
	for _, text := range append(store.OfOneSensor(), `SELECT * FROM risk_now`) {
		ranges := 0
		for _, row := range rows(t, path, `EXPLAIN QUERY PLAN `+text) {
			if strings.Contains(row, "SCAN p") || strings.Contains(row, "SCAN i") || strings.Contains(row, "TEMP B-TREE") || strings.Contains(row, "SCAN n") {
				t.Errorf("%s\nplan: %s", text, row)
			}
			if strings.Contains(row, "INDEX telemetry_window_sensor (sensor_id=? AND start_ms<?)") {
				ranges++
			}
		}
		if ranges == 0 {
			t.Errorf("%s\nno range of telemetry_window_sensor:\n%s", text, strings.Join(rows(t, path, `EXPLAIN QUERY PLAN `+text), "\n"))
		}
	}
}

// TestScoredSinceOlderSchema: what a database of the schema before holds says where its newest predictions are.
func TestScoredSinceOlderSchema(t *testing.T) {
	singleRows(t)
	path := filled(t)
	want := rows(t, path, `SELECT sensor_id, scored_ms FROM sensor`)
	sql(t, path, `DROP VIEW risk_now; ALTER TABLE sensor DROP COLUMN scored_ms; ALTER TABLE outbox DROP COLUMN window_id; ALTER TABLE outbox DROP COLUMN revision; ALTER TABLE outbox DROP COLUMN cut; DELETE FROM outbox; DROP VIEW telemetry; DROP TABLE reading_packed; CREATE INDEX ai_telemetry_predictions_sensor ON ai_telemetry_predictions (sensor_id, start_ms, revision);
		DELETE FROM migration WHERE version > 11; PRAGMA user_version = 11; UPDATE meta SET value = 0 WHERE name = 'views'`)
	if err := open(t, path, store.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, path)
	if got := rows(t, path, `SELECT sensor_id, scored_ms FROM sensor`); !slices.Equal(got, want) || strings.HasSuffix(got[0], "|-1") {
		t.Errorf("scored_ms %q, want %q", got, want)
	}
}

func TestFeatureColumnsFollowTheList(t *testing.T) {
	path := filled(t)
	for i, f := range stream.FeatureList {
		want := "0"
		if i != stream.FPeerZ {
			want = "24"
		}
		if got := one(t, path, fmt.Sprintf(`SELECT count(%q) FROM telemetry_window`, f.Name)); got != want {
			t.Errorf("%s: %s values, want %s", f.Name, got, want)
		}
	}
	// A database from before a feature gets its column when it is opened.
	sql(t, path, `DROP VIEW kpi_data_quality; DROP VIEW kpi_asset_daily; DROP VIEW window_now; ALTER TABLE telemetry_window DROP COLUMN peer_z;
		UPDATE meta SET value = 0 WHERE name = 'views'`)
	if err := open(t, path, store.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, path)
	if got := one(t, path, `SELECT count(*), count(peer_z) FROM window_now`); got != "24|0" {
		t.Errorf("window_now after the column came back: %s", got)
	}
}

func TestEveryFieldOfAHoldIsStored(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	p := newPlant(inOrder())
	b := batch(db)
	for _, o := range append(append([]op{p.register}, p.raw(0)...), p.close(0)...) {
		o(b)
	}
	h := &b.Predictions[hotSensor].Hold
	v := reflect.ValueOf(h).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("alert-9")
		case reflect.Uint8:
			f.SetUint(uint64(i%3 + 1))
		case reflect.Int, reflect.Int64:
			f.SetInt(int64(100 + i))
		case reflect.Float64:
			f.SetFloat(float64(i) / 3)
		default:
			t.Fatalf("field %s has a kind that the store does not know", v.Type().Field(i).Name)
		}
	}
	count(b, 0)
	commit(t, db, b)
	r, err := db.Recover(backBy(0))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.Holds[p.sensors[hotSensor].ID]; got != *h {
		t.Errorf("hold %+v, want %+v", got, *h)
	}
}

// TestPragmaThatDoesNotTake: a database in memory has no write-ahead log, which must not pass unnoticed.
func TestPragmaThatDoesNotTake(t *testing.T) {
	c, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := store.SetPragmas(c); !errors.Is(err, store.ErrPragma) {
		t.Errorf("error %v, want %v", err, store.ErrPragma)
	}
}

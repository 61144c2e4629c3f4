package store_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// TestArchiveGivesWhatTheTablesHold reads a warehouse from end to end and holds it against the tables.
func TestArchiveGivesWhatTheTablesHold(t *testing.T) {
	path := filled(t)
	sql(t, path, `CREATE TEMP TABLE again AS SELECT * FROM telemetry_window ORDER BY window_id LIMIT 1 OFFSET 2;
		UPDATE again SET revision = revision + 1, n = 4; INSERT INTO telemetry_window SELECT * FROM again;
		INSERT INTO alert SELECT 'silent', sensor_id, site, asset, sensor, state, severity, 1, updated_at_ms, p_failure, value, 'silence', reason, explanation, window_id, window_start_ms, window_end_ms,
		model_id, ack_by, ack_at_ms, ack_note, explanation_method, raw_score FROM alert WHERE alert_id = 'alert-1'`)
	a, err := store.OpenArchive(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()

	var inputs []string
	for f, err := range a.Inputs() {
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, fmt.Sprintf("%d|%d|%d|%d", f.TS, f.SensorID, f.AssetID, map[bool]int{true: 1}[f.Conflicted]))
	}
	want := rows(t, path, `SELECT * FROM (SELECT key >> 20 AS ts, key & 1048575 AS s, 0 AS a, key IN (SELECT key FROM conflicted) FROM (`+everyRow+`)
		UNION ALL SELECT key >> 20, 0, key & 1048575, key IN (SELECT key FROM context_conflicted) FROM context_reading) ORDER BY ts, a = 0, s, a`)
	if n, err := a.CountInputs(); err != nil || int(n) != len(want) || !reflect.DeepEqual(inputs, want) {
		t.Errorf("%v, %d: inputs %v\nwant %v", err, n, inputs, want)
	}

	var windows []string
	for w, err := range a.Windows() {
		if err != nil {
			t.Fatal(err)
		}
		mean := ""
		if w.Valid() {
			mean = strconv.Itoa(int(math.Round(w.Features[stream.FMean] * 1000)))
		}
		windows = append(windows, fmt.Sprintf("%d|%s|%d|%d|%s", w.Start, w.Sensor.Name, w.Revision, w.N, mean))
	}
	want = rows(t, path, `SELECT start_ms, sensor, revision, n, CASE verdict WHEN 'valid' THEN CAST(round(mean_c * 1000) AS INTEGER) ELSE '' END FROM window_now ORDER BY start_ms, sensor_id`)
	if !reflect.DeepEqual(windows, want) {
		t.Errorf("windows %v\nwant %v", windows, want)
	}
	for range a.Windows() { // one who stops early is no error
		break
	}

	warnings, err := a.Warnings()
	s := a.Sensors[hotSensor]
	if expect := []model.Warning{{Site: s.Site, Asset: s.Asset, Sensor: s.Name, Kind: s.Kind, Raised: t0 + 2*minute, Cleared: t0 + 4*minute, Severity: model.Critical, Source: "forest"}}; err != nil || !reflect.DeepEqual(warnings, expect) {
		t.Errorf("%v: %+v, want %+v", err, warnings, expect)
	}
	if _, err := store.OpenArchive(t.Context(), filepath.Join(t.TempDir(), "none.sqlite")); !errors.Is(err, store.ErrMissing) {
		t.Errorf("%v", err)
	}
}

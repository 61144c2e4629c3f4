package store

import (
	"context"
	"fmt"
	"math"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// Training is what a warehouse remembers that a model can learn from, as of one moment: windows sensor by sensor, and what workshops found.
type Training struct{ c *sqlite3.Conn }

// TrainingWindow is the newest revision of a closed window. A quarantined one has its features too, as far as they could be made.
type TrainingWindow struct {
	Start, End int64 // event time, ms
	Valid      bool
	Features   stream.Features
}

// ReadTraining lends f a database, live or stopped, inside one read transaction. An error is f's, ErrMissing, ErrNotDatabase, ErrNotOurs, ErrOlder, ErrNewer, or one of the disk.
func ReadTraining(ctx context.Context, path string, f func(t *Training) error) error {
	return readOnce(ctx, path, func(c *sqlite3.Conn) error { return f(&Training{c}) })
}

// Findings gives what workshops found, in every revision, in the order of sites, assets, sensors, times and revisions.
func (t *Training) Findings() ([]stream.Finding, error) {
	return readFindings(t.c, math.MinInt64, math.MaxInt64)
}

// Sensors gives the sensors by id.
func (t *Training) Sensors() ([]*stream.Sensor, error) {
	r := Recovery{c: t.c, Periods: map[int64]int64{}}
	if err := r.readSensors(); err != nil {
		return nil, fmt.Errorf("read sensors: %w", err)
	}
	return r.Sensors, nil
}

// Windows calls f for each window of a sensor in the order of their times. Those of a sensor that hops which overlap others are left out: they would count a reading twice. f must not keep the window.
func (t *Training) Windows(sensorID int64, f func(w *TrainingWindow) error) error {
	var w TrainingWindow
	err := query(t.c, `SELECT start_ms, end_ms, verdict, completeness, `+featureColumns("", "")+` FROM telemetry_window w WHERE sensor_id = ? AND `+learnt+`
		AND NOT EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = w.window_id AND n.revision > w.revision) ORDER BY start_ms`, func(s *sqlite3.Stmt) error {
		w.Start, w.End, w.Valid = s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnText(2) == valid
		col := 4
		for i := range w.Features {
			if i == stream.FCompleteness {
				w.Features[i] = s.ColumnFloat(3)
				continue
			}
			w.Features[i] = floatAt(s, col)
			col++
		}
		return f(&w)
	}, sensorID)
	if err != nil {
		return fmt.Errorf("read windows of sensor %d: %w", sensorID, err)
	}
	return nil
}

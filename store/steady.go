package store

import (
	"fmt"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// steadyVersion is the migration that gave holds a steady speed and a rate.
const steadyVersion = 9

// Of a database from before, holds are made anew of the windows of the last steadyBack, after which nothing of an older rate is left but where the speed began to be steady; those of the
// last steadyKept are written, which the next window and late readings go on from.
const (
	steadyBack = 6 * time.Hour
	steadyKept = time.Hour
)

// foldSteady gives the newest holds of a database from before steadyVersion what an uninterrupted line would have there: else the rule on the rate would be silent for a while after every upgrade.
func foldSteady(c *sqlite3.Conn) error {
	type sensor struct {
		stream.Sensor
		newest int64
	}
	var all []sensor
	err := query(c, `SELECT sensor_id, kind, COALESCE((SELECT max(start_ms) FROM ai_telemetry_predictions p WHERE p.sensor_id = s.sensor_id), 0) FROM sensor s`, func(s *sqlite3.Stmt) error {
		kind, err := stream.ParseKind(s.ColumnText(1))
		all = append(all, sensor{stream.Sensor{ID: s.ColumnInt64(0), Kind: kind}, s.ColumnInt64(2)})
		return err
	})
	if err != nil {
		return fmt.Errorf("read sensors: %w", err)
	}
	write, err := prepare(c, `UPDATE ai_telemetry_predictions SET hold_last_end_ms = ?3, hold_steady_since_ms = ?4, hold_steady_kmh = ?5, hold_rate_k_per_min = ?6 WHERE window_id = ?1 AND revision = ?2`)
	if err != nil {
		return err
	}
	defer write.s.Close()
	for i := range all {
		if err := foldSteadyOf(c, write, &all[i].Sensor, all[i].newest); err != nil {
			return fmt.Errorf("fold steady speeds of sensor %d: %w", all[i].ID, err)
		}
	}
	return nil
}

// foldSteadyOf folds one sensor's. Of a window's revisions the newest that was scored counts, as in Recovery.
func foldSteadyOf(c *sqlite3.Conn, write *stmt, of *stream.Sensor, newest int64) error {
	type scored struct {
		id, revision int64
		w            stream.Window
	}
	var windows []scored
	err := query(c, `SELECT p.window_id, p.revision, w.start_ms, w.end_ms, w.speed_mean_kmh, w.slope_c_per_min, w.brake_share FROM ai_telemetry_predictions p
		JOIN telemetry_window w ON w.window_id = p.window_id AND w.revision = p.revision WHERE p.sensor_id = ? AND p.start_ms > ? AND `+hasHold+` ORDER BY p.start_ms, p.revision`, func(s *sqlite3.Stmt) error {
		v := scored{s.ColumnInt64(0), s.ColumnInt64(1), stream.Window{Sensor: of, Start: s.ColumnInt64(2), End: s.ColumnInt64(3)}}
		v.w.Features[stream.FSpeed], v.w.Features[stream.FSlope], v.w.Features[stream.FBrakeShare] = floatAt(s, 4), floatAt(s, 5), floatAt(s, 6)
		if n := len(windows); n > 0 && windows[n-1].id == v.id {
			windows = windows[:n-1]
		}
		windows = append(windows, v)
		return nil
	}, of.ID, newest-steadyBack.Milliseconds())
	if err != nil {
		return err
	}
	var h model.Hold
	for i := range windows {
		v := &windows[i]
		if h = h.Follow(&v.w); v.w.Start <= newest-steadyKept.Milliseconds() {
			continue
		}
		if err := write.int(v.id).int(v.revision).int(h.LastEnd).int(h.SteadySince).float(h.SteadyKmh).float(h.Rate).run(); err != nil {
			return err
		}
	}
	return nil
}

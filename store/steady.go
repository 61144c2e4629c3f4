package store

import (
	"math"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// steadySQL walks back over the windows that a sensor's hold is made of, from the one that starts at ts on.
const steadySQL = `SELECT w.start_ms, w.end_ms, w.speed_mean_kmh, w.slope_c_per_min FROM ` + predicted + ` AND w.start_ms <= ?2 AND ` + hasHold + `
	AND NOT EXISTS (SELECT 1 FROM ai_telemetry_predictions n WHERE n.window_id = p.window_id AND n.revision > p.revision) ORDER BY w.start_ms DESC`

// steadied fills what a hold from before its columns (0009_steady.sql) does not say: since when the speed is steady, and the rate since then. The windows tell: they are folded again from the
// last one after which nothing of the past counts, a stop or a gap.
func steadied(q *stmt, sensorID, ts int64, h *model.Hold) error {
	if h.SteadySince >= 0 {
		return nil
	}
	var back []stream.Window
	err := q.int(sensorID).int(ts).each(func(s *sqlite3.Stmt) error {
		w := stream.Window{Sensor: &stream.Sensor{}, Start: s.ColumnInt64(0), End: s.ColumnInt64(1)}
		for i := range w.Features {
			w.Features[i] = math.NaN()
		}
		w.Features[stream.FSpeed], w.Features[stream.FSlope] = floatAt(s, 2), floatAt(s, 3)
		if n := len(back); n > 0 && w.End != back[n-1].Start {
			return errFound
		}
		back = append(back, w)
		if (model.Hold{}).Follow(&w).SteadySince == 0 {
			return errFound
		}
		return nil
	})
	if err != nil && err != errFound {
		return err
	}
	var folded model.Hold
	for i := len(back) - 1; i >= 0; i-- {
		folded = folded.Follow(&back[i])
	}
	h.SteadySince, h.SteadyKmh, h.Rate, h.LastEnd = folded.SteadySince, folded.SteadyKmh, folded.Rate, folded.LastEnd
	return nil
}

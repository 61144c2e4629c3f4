package store

import (
	"cmp"
	"math"
	"slices"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// ClosedWindow is what a window that closes later is compared with.
type ClosedWindow struct {
	SensorID   int64
	Start, End int64   // ms
	MeanC      float64 // NaN when there is none
	Valid      bool
	Memory     []byte
}

// selfValid says whether a window w is valid by its own verdict: at most its asset's fail-safe is against it.
const selfValid = `(w.verdict = 'valid' OR EXISTS (SELECT 1 FROM quarantine_window q
	WHERE q.window_id = w.window_id AND q.revision = w.revision AND q.reasons = '["failsafe_open"]'))`

// readClosed finds, for the assets with open readings, the windows of the times of those: what lies between the readings of a slow sensor, or has come since a sensor was
// left behind, is not looked at.
func (r *Recovery) readClosed() error {
	spots := r.spots()
	q, err := prepare(r.c, `SELECT start_ms, end_ms, mean_c, `+selfValid+`, memory FROM telemetry_window w WHERE sensor_id = ? AND start_ms < ? AND `+learnt+`
		AND NOT EXISTS (SELECT 1 FROM telemetry_window m WHERE m.window_id = w.window_id AND m.revision > w.revision) ORDER BY start_ms DESC`)
	if err != nil {
		return err
	}
	defer q.s.Close()
	for _, s := range r.Sensors {
		before := int64(math.MaxInt64) // start of the last window found: windows of a sensor that learnt do not overlap
		for _, spot := range spots[s.AssetID] {
			if before <= spot.from {
				continue
			}
			err := q.int(s.ID).int(min(spot.to, before)).each(func(row *sqlite3.Stmt) error {
				start, end := row.ColumnInt64(0), row.ColumnInt64(1)
				if end <= spot.from {
					return errFound // all older ones end before
				}
				before = start
				r.Closed = append(r.Closed, ClosedWindow{SensorID: s.ID, Start: start, End: end,
					MeanC: floatAt(row, 2), Valid: row.ColumnBool(3), Memory: row.ColumnBlob(4, nil)})
				return nil
			})
			if err != nil && err != errFound {
				return err
			}
		}
	}
	return nil
}

// spots gives for each asset with open readings the ranges of event time, ms, in which those are, apart from each other, the newest first.
func (r *Recovery) spots() map[int64][]span {
	asset := make(map[int64]int64, len(r.Sensors))
	for _, s := range r.Sensors {
		asset[s.ID] = s.AssetID
	}
	spots := map[int64][]span{}
	add := func(o *stream.Open, s span) { spots[asset[o.SensorID]] = append(spots[asset[o.SensorID]], s) }
	for i := range r.Open {
		o := &r.Open[i]
		if o.Times == nil {
			add(o, span{o.From, o.To})
		}
		for _, ts := range o.Times {
			add(o, span{ts, ts + 1})
		}
	}
	for id := range spots {
		spots[id] = apart(spots[id])
		slices.Reverse(spots[id])
	}
	return spots
}

// apart sorts ranges and joins those that touch.
func apart(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out
}

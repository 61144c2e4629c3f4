package store

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// history are the statements of what revisions are made of. Past owns them.
type history struct{ window, hold, steady *stmt }

func (h *history) prepare(c *sqlite3.Conn) (err error) {
	h.window, err = prepare(c, `SELECT `+storedColumns()+` FROM telemetry_window w `+withReasons+`
		WHERE w.sensor_id = ? AND w.start_ms <= ? ORDER BY w.start_ms DESC, w.revision DESC LIMIT 1`)
	if err != nil {
		return err
	}
	h.hold, err = prepare(c, holdSQL)
	if err != nil {
		return err
	}
	h.steady, err = prepare(c, steadySQL)
	return err
}

// holdColumns are a prediction's hold, as holdAt reads them.
const holdColumns = `hold_level, hold_above, hold_below, hold_alert, hold_worst, hold_raised_at_ms, hold_free_since_ms, hold_last_end_ms,
	hold_steady_since_ms, hold_steady_kmh, hold_rate_k_per_min`

// The newest prediction of a sensor that has a hold, and the newest one up to a time.
const (
	newestHoldSQL = `SELECT p.sensor_id, ` + holdColumns + `, p.start_ms FROM ` + predicted + ` AND w.start_ms <= ` + scored + ` AND ` + hasHold + `
		ORDER BY w.start_ms DESC, w.revision DESC LIMIT 1`
	holdSQL = `SELECT p.start_ms, ` + holdColumns + ` FROM ` + predicted + ` AND w.start_ms <= min(?2, ` + scored + `) AND ` + hasHold + `
		ORDER BY w.start_ms DESC, w.revision DESC LIMIT 1`
)

func holdAt(s *sqlite3.Stmt, col int) (h model.Hold, err error) {
	if h.Level, err = model.ParseLevel(s.ColumnText(col)); err != nil {
		return h, err
	}
	h.Above, h.Below, h.AlertID = s.ColumnInt(col+1), s.ColumnInt(col+2), s.ColumnText(col+3)
	h.Worst, err = model.ParseLevel(s.ColumnText(col + 4))
	h.RaisedAt, h.FreeSince, h.LastEnd = s.ColumnInt64(col+5), s.ColumnInt64(col+6), s.ColumnInt64(col+7)
	h.SteadySince, h.SteadyKmh, h.Rate = s.ColumnInt64(col+8), s.ColumnFloat(col+9), s.ColumnFloat(col+10)
	return h, err
}

// storedColumns are a window with its verdict, as storedAt reads them.
func storedColumns() string {
	return `w.start_ms, w.end_ms, w.revision, w.n, w.expected, w.completeness, w.closed_by, w.period_ms, w.last_ms, w.memory, q.reasons, q.detail, ` + featureColumns("w.", "")
}

const withReasons = `LEFT JOIN quarantine_window q ON q.window_id = w.window_id AND q.revision = w.revision`

// storedAt reads storedColumns from column col on. The window has no Sensor and no Flagged.
func storedAt(s *sqlite3.Stmt, col int) (*stream.Window, error) {
	w := &stream.Window{Start: s.ColumnInt64(col), End: s.ColumnInt64(col + 1), Revision: s.ColumnInt(col + 2), N: s.ColumnInt(col + 3), Expected: s.ColumnInt(col + 4),
		Completeness: s.ColumnFloat(col + 5), ClosedBy: stream.ClosedBy(s.ColumnText(col + 6)), PeriodMs: s.ColumnInt64(col + 7), Last: s.ColumnInt64(col + 8), Memory: s.ColumnBlob(col+9, nil)}
	if !isNull(s, col+10) {
		if err := json.Unmarshal(s.ColumnRawText(col+10), &w.Reasons); err != nil {
			return nil, fatalf("read reasons of the window at %d ms: %w", w.Start, err)
		}
		w.Detail = s.ColumnText(col + 11)
	}
	col += 12
	for i := range w.Features {
		if i != stream.FCompleteness {
			w.Features[i] = floatAt(s, col)
			col++
		}
	}
	w.Features[stream.FCompleteness] = w.Completeness
	return w, nil
}

// Window gives the newest revision of a sensor's last window that starts at or before ts, nil when there is none. It has no Sensor and no Flagged.
func (p *Past) Window(sensorID, ts int64) (w *stream.Window, err error) {
	err = p.history.window.int(sensorID).int(ts).each(func(s *sqlite3.Stmt) (err error) {
		w, err = storedAt(s, 0)
		return err
	})
	if err != nil {
		return nil, classify(fmt.Errorf("look up window of sensor %d: %w", sensorID, err))
	}
	return w, nil
}

// Hold gives the hold of the newest prediction, in its newest revision, of a sensor's last window that has one and starts at or before ts; start is that window's.
func (p *Past) Hold(sensorID, ts int64) (h model.Hold, start int64, found bool, err error) {
	err = p.history.hold.int(sensorID).int(ts).each(func(s *sqlite3.Stmt) (err error) {
		start, found = s.ColumnInt64(0), true
		h, err = holdAt(s, 1)
		return err
	})
	if err == nil {
		err = steadied(p.history.steady, sensorID, start, &h)
	}
	if err != nil {
		return model.Hold{}, 0, false, classify(fmt.Errorf("look up hold: %w", err))
	}
	return h, start, found, nil
}

// Readings gives the stored readings of sensors in spans, in key order. The raw rows lead with time: spans that touch are scanned once for their keys, 0.12 µs for each row of the
// fleet in that time, and the rows that are wanted are read by key.
func (p *Past) Readings(spans []stream.Stretch) ([]stream.Kept, error) {
	kept, err := p.stretches(spans, openReadings)
	if err != nil {
		return nil, classify(fmt.Errorf("look up readings: %w", err))
	}
	return kept, nil
}

// Contexts does the same for assets.
func (p *Past) Contexts(spans []stream.Stretch) ([]stream.Kept, error) {
	kept, err := p.stretches(spans, openContexts)
	if err != nil {
		return nil, classify(fmt.Errorf("look up contexts: %w", err))
	}
	return kept, nil
}

func (p *Past) stretches(spans []stream.Stretch, over func() *search) (out []stream.Kept, err error) {
	if err := p.c.Exec(`BEGIN`); err != nil { // single and packed rows of one moment: retention makes the one of the other
		return nil, fmt.Errorf("begin reading: %w", damaged(p.c, err))
	}
	defer func() { err = errors.Join(err, p.c.Exec(`COMMIT`)) }()
	times := make([]span, len(spans))
	for i, s := range spans {
		times[i] = span{s.From, s.To}
	}
	for _, t := range apart(times) {
		widest := map[int64]span{} // a search asks for one range of each
		for _, s := range spans {
			if s.From < t.from || s.From >= t.to {
				continue
			}
			w, ok := widest[s.ID]
			if !ok {
				w = span{s.From, s.To}
			}
			widest[s.ID] = span{min(w.from, s.From), max(w.to, s.To)}
		}
		f := over()
		for id, w := range widest {
			f.between(id, w.from, w.to)
		}
		for r, err := range f.rows(p.c) {
			if err != nil {
				return nil, err
			}
			out = append(out, stream.Kept{ID: r.SensorID + r.AssetID, Reading: r.Reading, Conflicted: r.Conflicted})
		}
	}
	return out, nil
}

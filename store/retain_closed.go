package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/ncruces/go-sqlite3"
)

// oldWindow is a window that is old enough to go, and whether something besides an alert needs it.
type oldWindow struct {
	id, start, end, sensor, asset int64
	needed                        bool
}

// windowNeeds reads a window with what needs it: it is its sensor's newest, or has its newest prediction, or its readings are still there.
const windowNeeds = `SELECT w.window_id, w.start_ms, w.end_ms, w.sensor_id, s.asset_id,
	w.end_ms >= s.evaluated_ms
	OR w.window_id = (SELECT i.window_id FROM telemetry_window i CROSS JOIN ai_telemetry_predictions p ON p.window_id = i.window_id AND p.revision = i.revision
		WHERE i.sensor_id = w.sensor_id AND i.start_ms <= s.scored_ms AND ` + hasHold + ` ORDER BY i.start_ms DESC, i.revision DESC LIMIT 1)
	OR EXISTS (SELECT 1 FROM reading r WHERE r.key >= w.start_ms << 20 AND r.key < w.end_ms << 20 AND r.key & 1048575 = w.sensor_id)
	OR EXISTS (SELECT 1 FROM reading_packed r WHERE r.first > (w.start_ms - 2048) << 20 AND r.first < w.end_ms << 20 AND r.last >= w.start_ms << 20) -- perhaps of another sensor
	FROM telemetry_window w JOIN sensor s ON s.sensor_id = w.sensor_id`

func oldWindowAt(s *sqlite3.Stmt) oldWindow {
	return oldWindow{s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnInt64(2), s.ColumnInt64(3), s.ColumnInt64(4), s.ColumnBool(5)}
}

// windows plans the oldest windows, all revisions of each. Those that an alert refers to go with the alert.
func (e *expiry) windows() (func() error, error) {
	gone, err := e.gone()
	if err != nil {
		return nil, err
	}
	lowest, err := e.lowest()
	cut := min(e.cutoff(e.keep.Windows), gone, lowest) // behind that readings are there still, and so their windows stay
	if err != nil || cut <= 0 {
		return nil, err
	}
	old, err := e.oldWindows(e.at.window, cut)
	if err == nil && len(old) == 0 {
		if key, ok := e.at.whole.again(e.wall); ok {
			old, err = e.oldWindows(key, cut)
		}
	}
	if err != nil || len(old) == 0 {
		return nil, err
	}
	return func() error {
		first := 0 // of a run of windows that go, with none between them that stays
		for i, w := range old {
			if w.end > cut {
				e.at.whole.note(w.id)
			}
			stays, err := e.windowStays(w, cut, "")
			if err != nil {
				return err
			}
			if !stays {
				continue
			}
			if err := e.takeWindows(old[first:i]); err != nil {
				return err
			}
			first = i + 1
		}
		e.at.window = old[len(old)-1].id + 1
		return e.takeWindows(old[first:])
	}, nil
}

// oldWindows reads the newest revisions of the windows of the next step.
func (e *expiry) oldWindows(from, cut int64) (old []oldWindow, err error) {
	err = e.query(windowNeeds+` WHERE w.window_id >= ? AND w.window_id < ? AND w.revision = (SELECT max(m.revision) FROM telemetry_window m WHERE m.window_id = w.window_id)
		ORDER BY w.window_id LIMIT ?`, func(s *sqlite3.Stmt) error {
		old = append(old, oldWindowAt(s))
		return nil
	}, from, keyFloor(cut), int64(stepWindows))
	return old, err
}

// windowStays says whether a window must be kept. alert is one that goes with it.
func (e *expiry) windowStays(w oldWindow, cut int64, alert string) (bool, error) {
	if w.needed || w.end > cut {
		return true, nil
	}
	named, err := e.one(`SELECT EXISTS (SELECT 1 FROM alert_event WHERE window_id = ?1 AND alert_id <> ?2) OR EXISTS (SELECT 1 FROM alert WHERE window_id = ?1 AND alert_id <> ?2)`, w.id, alert)
	if err != nil || named != 0 {
		return true, err
	}
	lowest, err := e.compared(w.asset)
	return w.end > lowest, err
}

// compared tells from when on an asset's windows are still compared with open readings: the event time of its first open reading, far ahead when it has none.
func (e *expiry) compared(asset int64) (int64, error) {
	if at, ok := e.open[asset]; ok {
		return at, nil
	}
	at := int64(math.MaxInt64)
	err := e.query(`SELECT o.from_ms FROM sensor s JOIN open_window o ON o.sensor_id = s.sensor_id WHERE s.asset_id = ?`, func(s *sqlite3.Stmt) error {
		at = min(at, s.ColumnInt64(0))
		return nil
	}, asset)
	e.open[asset] = at
	return at, err
}

// takeWindows deletes all revisions of windows that follow each other, with what hangs on them.
func (e *expiry) takeWindows(run []oldWindow) error {
	if len(run) == 0 {
		return nil
	}
	from, to := run[0].id, run[len(run)-1].id
	err := e.query(`SELECT w.verdict, q.reasons FROM telemetry_window w LEFT JOIN quarantine_window q ON q.window_id = w.window_id AND q.revision = w.revision
		WHERE w.window_id BETWEEN ? AND ?`, func(s *sqlite3.Stmt) error {
		e.out.Windows++
		e.entries[entry{expiredOf(counterWindow), s.ColumnText(0)}]++
		if isNull(s, 1) {
			return nil
		}
		var reasons []string
		if err := json.Unmarshal(s.ColumnRawText(1), &reasons); err != nil {
			return fatalf("read reasons of a window between %d and %d: %w", from, to, err)
		}
		for _, r := range reasons {
			e.entries[entry{expiredOf(counterQuarantine), r}]++
		}
		return nil
	}, from, to)
	if err != nil {
		return err
	}
	err = e.query(`SELECT model_id, count(*) FROM shadow_prediction WHERE window_id BETWEEN ? AND ? GROUP BY model_id`, func(s *sqlite3.Stmt) error {
		e.entries[entry{expiredOf(counterShadow), s.ColumnText(0)}] += s.ColumnInt64(1)
		return nil
	}, from, to)
	if err != nil {
		return err
	}
	if err := e.exec(wholeAgain, from, to); err != nil {
		return fmt.Errorf("publications of windows %d to %d: %w", from, to, err)
	}
	for _, table := range []string{"shadow_prediction", "ai_telemetry_predictions", "quarantine_window", "telemetry_window"} {
		if err := e.exec(`DELETE FROM `+table+` WHERE window_id BETWEEN ? AND ?`, from, to); err != nil {
			return fmt.Errorf("windows %d to %d: %w", from, to, err)
		}
	}
	return nil
}

// closed plans windows and, once no more of them may go, alerts: the windows in which an alert stood go before it.
func (e *expiry) closed() (func() error, error) {
	if take, err := e.windows(); take != nil || err != nil {
		return take, err
	}
	return e.alerts()
}

// alerts plans the alerts that were cleared longest ago, each with its transitions and with the windows that only it still names.
func (e *expiry) alerts() (func() error, error) {
	cut := e.cutoff(e.keep.Alerts)
	if cut <= 0 || e.keep.Windows <= 0 {
		return nil, nil
	}
	type cleared struct {
		id string
		at int64
	}
	var old []cleared
	err := e.query(`SELECT alert_id, updated_at_ms FROM alert WHERE (updated_at_ms, alert_id) > (?, ?) AND updated_at_ms < ? AND state = 'cleared'
		ORDER BY updated_at_ms, alert_id LIMIT ?`, func(s *sqlite3.Stmt) error {
		old = append(old, cleared{s.ColumnText(0), s.ColumnInt64(1)})
		return nil
	}, e.at.alertAt, e.at.alertID, cut, int64(stepAlerts))
	if err != nil || len(old) == 0 {
		return nil, err
	}
	return func() error {
		for _, a := range old {
			if err := e.takeAlert(a.id); err != nil {
				return err
			}
		}
		last := old[len(old)-1]
		e.at.alertAt, e.at.alertID = last.at, last.id
		return nil
	}, nil
}

// takeAlert deletes an alert, unless a window stays that it was raised by, stood in or moved in: what is kept refers to nothing that is gone.
func (e *expiry) takeAlert(id string) error {
	const named = `(SELECT window_id FROM alert_event WHERE alert_id = ?1 AND window_id IS NOT NULL UNION SELECT window_id FROM alert WHERE alert_id = ?1)`
	held, err := e.one(`SELECT EXISTS (SELECT 1 FROM ai_telemetry_predictions p WHERE p.hold_alert = ?1 AND p.hold_alert <> '' AND p.window_id NOT IN `+named+`)`, id)
	if err != nil || held != 0 {
		return err
	}
	var gone []oldWindow
	cut := e.cutoff(e.keep.Windows)
	err = e.query(windowNeeds+` WHERE w.window_id IN `+named+` AND w.revision = (SELECT max(m.revision) FROM telemetry_window m WHERE m.window_id = w.window_id)`, func(s *sqlite3.Stmt) error {
		w := oldWindowAt(s)
		if stays, err := e.windowStays(w, cut, id); err != nil {
			return err
		} else if stays {
			return errFound
		}
		gone = append(gone, w)
		return nil
	}, id)
	if errors.Is(err, errFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = e.query(`SELECT kind, count(*) FROM alert_event WHERE alert_id = ? GROUP BY kind`, func(s *sqlite3.Stmt) error {
		e.entries[entry{expiredOf(counterAlert), s.ColumnText(0)}] += s.ColumnInt64(1)
		return nil
	}, id)
	if err != nil {
		return err
	}
	for _, table := range []string{"alert_event", "alert"} {
		if err := e.exec(`DELETE FROM `+table+` WHERE alert_id = ?`, id); err != nil {
			return fmt.Errorf("alert %s: %w", id, err)
		}
	}
	e.out.Alerts++
	for i := range gone { // others may lie between them
		if err := e.takeWindows(gone[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

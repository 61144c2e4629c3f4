package store

import (
	"github.com/camrail/cidp/model"
	"github.com/ncruces/go-sqlite3"
)

// folded is what an alert's transitions amount to.
type folded struct {
	id              string
	first           string
	raisedAt        int64
	last            int64 // event time of the last one
	state, severity string
	events          int
}

// alerts proves that every transition has its alert and window, that an alert's transitions follow from each other, and that its row is what
// they fold to.
func (v *verifier) alerts() error {
	err := v.find([]finding{
		{"alert", "transition %s refers to alert %s, which does not exist",
			`SELECT event_id, alert_id FROM alert_event e WHERE NOT EXISTS (SELECT 1 FROM alert a WHERE a.alert_id = e.alert_id)`},
		{"alert", "transition %s refers to window %s revision %s, which does not exist",
			`SELECT event_id, window_id, revision FROM alert_event e WHERE window_id IS NOT NULL AND NOT EXISTS
			(SELECT 1 FROM telemetry_window w WHERE w.window_id = e.window_id AND w.revision = e.revision AND w.sensor_id = e.sensor_id)`},
		{"alert", "alert %s has no transition",
			`SELECT alert_id FROM alert a WHERE NOT EXISTS (SELECT 1 FROM alert_event e WHERE e.alert_id = a.alert_id)`},
		{"alert", "alert %s names another site, asset or sensor than sensor %s has",
			`SELECT alert_id, sensor_id FROM alert t WHERE sensor_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sensor s JOIN asset a ON a.asset_id = s.asset_id
			WHERE s.sensor_id = t.sensor_id AND s.sensor = t.sensor AND a.asset = t.asset AND a.site = t.site)`},
		{"alert", "alert %s is of no sensor, and %s/%s/%s is no known asset or site",
			`SELECT alert_id, site, asset, sensor FROM alert t WHERE sensor_id IS NULL AND NOT (sensor = '_asset' AND EXISTS (SELECT 1 FROM asset a WHERE a.site = t.site AND a.asset = t.asset)
			OR sensor = '_site' AND asset = '_site' AND EXISTS (SELECT 1 FROM asset a WHERE a.site = t.site))`},
		{"alert", "transition %s is of another sensor than alert %s",
			`SELECT event_id, alert_id FROM alert_event e JOIN alert a USING (alert_id) WHERE e.sensor_id IS NOT a.sensor_id`},
		{"alert", "%s/%s: %s alerts say that its fail-safe is open, its state says %s",
			`SELECT site, asset, (SELECT count(*) FROM alert t WHERE t.rule = 'failsafe' AND t.state <> 'cleared' AND t.site = a.site AND t.asset = a.asset) AS said, failsafe >> 40 & 1 AS state
			FROM asset a WHERE said <> state`},
		{"alert", "hold after window %s revision %s refers to alert %s, which does not exist",
			`SELECT window_id, revision, hold_alert FROM ai_telemetry_predictions p WHERE hold_alert <> ''
			AND NOT EXISTS (SELECT 1 FROM alert a WHERE a.alert_id = p.hold_alert)`},
	})
	if err != nil {
		return err
	}
	compare, err := prepare(v.c, `SELECT state, severity, raised_at_ms, updated_at_ms FROM alert WHERE alert_id = ?`)
	if err != nil {
		return err
	}
	defer compare.s.Close()
	var f folded
	err = query(v.c, `SELECT alert_id, kind, at_ms, from_severity, to_severity, state FROM alert_event ORDER BY alert_id, event_id`, func(s *sqlite3.Stmt) error {
		if id := s.ColumnText(0); id != f.id {
			if err := v.compareAlert(compare, f); err != nil {
				return err
			}
			f = folded{id: id, first: s.ColumnText(1), raisedAt: s.ColumnInt64(2)}
		}
		kind, at := s.ColumnText(1), s.ColumnInt64(2)
		switch {
		case f.events > 0 && kind == model.KindRaised:
			v.breach("alert", "alert %s is raised twice", f.id)
		case f.events > 0 && f.state == string(model.Cleared):
			v.breach("alert", "alert %s has a transition %s at %d after it was cleared", f.id, kind, at)
		case f.events > 0 && at < f.last:
			v.breach("alert", "alert %s has a transition at %d after one at %d", f.id, at, f.last)
		case f.events > 0 && s.ColumnText(3) != f.severity:
			v.breach("alert", "alert %s goes from %s at %d, it stood at %s", f.id, s.ColumnText(3), at, f.severity)
		}
		f.events++
		f.last, f.severity, f.state = at, s.ColumnText(4), s.ColumnText(5)
		return nil
	})
	if err != nil {
		return err
	}
	return v.compareAlert(compare, f)
}

// compareAlert compares an alert's row with its transitions. The severity of a cleared alert is the one it had, or none.
func (v *verifier) compareAlert(compare *stmt, f folded) error {
	if f.events == 0 {
		return nil
	}
	if f.first != model.KindRaised {
		v.breach("alert", "alert %s begins with a transition %s", f.id, f.first)
	}
	return compare.text(f.id).each(func(s *sqlite3.Stmt) error {
		state, severity := s.ColumnText(0), s.ColumnText(1)
		if state != f.state {
			v.breach("alert", "alert %s is %s, its transitions say %s", f.id, state, f.state)
		}
		if state == string(model.Active) && severity != f.severity {
			v.breach("alert", "alert %s has severity %s, its transitions say %s", f.id, severity, f.severity)
		}
		if raised, updated := s.ColumnInt64(2), s.ColumnInt64(3); raised != f.raisedAt || updated < f.last {
			v.breach("alert", "alert %s: raised at %d and moved at %d, its transitions say %d and %d", f.id, raised, updated, f.raisedAt, f.last)
		}
		return nil
	})
}

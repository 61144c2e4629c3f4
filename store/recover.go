package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
	"github.com/rs/zerolog"
)

// Recovery is all that the line needs to go on where the last commit left it. It holds one read transaction: everything in it, and
// everything Feed gives, is of one moment. It belongs to one goroutine; Close it when it is fed.
type Recovery struct {
	Assets         []*stream.Asset  // by id
	Sensors        []*stream.Sensor // by id
	Windows        map[int64]LastWindow
	Holds          map[int64]model.Hold // of the newest prediction of each sensor that has one
	Alerts         []model.Alert        // not cleared, by id
	Failsafes      map[int64]int64      // state of the fail-safe of each asset that has one
	Withheld       bool                 // the fail-safe for all stood
	Good           []GoodWindow         // of each sensor that has one
	Open           []stream.Open        // by sensor id
	NewestContexts map[int64]int64      // event time of the newest context of each asset that has one, ms
	ContextsFrom   map[int64]int64      // event time from which on Feed gives the contexts of each asset that has one, ms
	Closed         []ClosedWindow       // windows that another sensor of the asset still has open readings in or before
	Unsent         []Publication        // in order
	Ledger         []LedgerRow
	LastCommit     int64
	ConfigDigest   string          // of the configuration that was recorded last, empty: none
	Periods        map[int64]int64 // stored of each sensor, by id, ms; 0 while not known

	c   *sqlite3.Conn
	log zerolog.Logger
}

// LastWindow is a sensor's newest closed window that learnt, in its newest revision.
type LastWindow struct {
	SensorID   int64
	Revision   int
	Start, End int64 // ms
	Last       int64 // event time of its last reading, ms
	PeriodMs   int64
	Memory     []byte
}

// Recover reads what the line had when it stopped. contextBack says how far before an asset's first open reading contexts may still matter, given the longest
// period of its sensors, 0 while none is known.
func (db *DB) Recover(contextBack func(period time.Duration) time.Duration) (*Recovery, error) {
	c, err := openReader(db.place())
	if err != nil {
		return nil, err
	}
	r := &Recovery{c: c, log: db.o.Log, Windows: map[int64]LastWindow{}, Holds: map[int64]model.Hold{}, Failsafes: map[int64]int64{}, NewestContexts: map[int64]int64{}, Periods: map[int64]int64{}}
	if err := c.Exec(`BEGIN`); err != nil {
		return nil, errors.Join(fmt.Errorf("begin recovery: %w", err), r.Close())
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"assets", r.readAssets}, {"sensors", r.readSensors}, {"windows", r.readWindows}, {"holds", r.readHolds}, {"alerts", r.readAlerts}, {"last temperatures", r.readGood},
		{"open windows", r.readOpen}, {"closed windows beside them", r.readClosed},
		{"outbox", r.readOutbox}, {"ledger", r.readLedger}, {"configuration", r.readConfig},
	} {
		if err := step.do(); err != nil {
			return nil, errors.Join(fmt.Errorf("recover %s: %w", step.what, err), r.Close())
		}
	}
	r.ContextsFrom = r.contextsFrom(contextBack)
	return r, nil
}

// Close ends the read transaction.
func (r *Recovery) Close() error { return closeConn(r.c) }

func (r *Recovery) readAssets() error {
	return query(r.c, `SELECT asset_id, site, asset, first_seen_ms, context_ms, failsafe FROM asset ORDER BY asset_id`, func(s *sqlite3.Stmt) error {
		a := &stream.Asset{ID: s.ColumnInt64(0), Site: s.ColumnText(1), Name: s.ColumnText(2), FirstSeen: s.ColumnInt64(3)}
		r.Assets = append(r.Assets, a)
		if ts := s.ColumnInt64(4); ts != 0 {
			r.NewestContexts[a.ID] = ts
		}
		if state := s.ColumnInt64(5); state != 0 {
			r.Failsafes[a.ID] = state
		}
		return nil
	})
}

func (r *Recovery) readSensors() error {
	return query(r.c, `SELECT s.sensor_id, s.asset_id, a.site, a.asset, s.sensor, s.kind, s.position, s.axle, s.side, s.first_seen_ms, s.period_ms
		FROM sensor s JOIN asset a ON a.asset_id = s.asset_id ORDER BY s.sensor_id`, func(s *sqlite3.Stmt) error {
		kind, err := stream.ParseKind(s.ColumnText(5))
		if err != nil {
			return err
		}
		r.Periods[s.ColumnInt64(0)] = s.ColumnInt64(10)
		r.Sensors = append(r.Sensors, &stream.Sensor{
			ID: s.ColumnInt64(0), AssetID: s.ColumnInt64(1), Site: s.ColumnText(2), Asset: s.ColumnText(3), Name: s.ColumnText(4), Kind: kind,
			Position: s.ColumnText(6), Axle: s.ColumnInt(7), Side: s.ColumnText(8), FirstSeen: s.ColumnInt64(9),
		})
		return nil
	})
}

// readWindows looks one row up per sensor, by the index.
func (r *Recovery) readWindows() error {
	return r.perSensor(`SELECT sensor_id, revision, start_ms, end_ms, last_ms, period_ms, memory FROM telemetry_window
		WHERE sensor_id = ? AND `+learnt+` ORDER BY start_ms DESC, revision DESC LIMIT 1`, func(s *sqlite3.Stmt) error {
		w := LastWindow{SensorID: s.ColumnInt64(0), Revision: s.ColumnInt(1), Start: s.ColumnInt64(2), End: s.ColumnInt64(3),
			Last: s.ColumnInt64(4), PeriodMs: s.ColumnInt64(5), Memory: s.ColumnBlob(6, nil)}
		r.Windows[w.SensorID] = w
		return nil
	})
}

func (r *Recovery) readHolds() error {
	steady, err := prepare(r.c, steadySQL)
	if err != nil {
		return err
	}
	defer steady.s.Close()
	return r.perSensor(newestHoldSQL, func(s *sqlite3.Stmt) error {
		h, err := holdAt(s, 1)
		if err == nil {
			err = steadied(steady, s.ColumnInt64(0), s.ColumnInt64(12), &h)
		}
		r.Holds[s.ColumnInt64(0)] = h
		return err
	})
}

// GoodWindow is a sensor's newest window that has a temperature of a physical rate.
type GoodWindow struct {
	SensorID, End int64   // ms
	LastC         float64 // degC
}

// readGood looks for it among the windows that begin up to a quarter of an hour, which is for how long it counts, before the sensor's newest one.
func (r *Recovery) readGood() error {
	q, err := prepare(r.c, `SELECT w.end_ms, w.last_c FROM telemetry_window w LEFT JOIN quarantine_window q ON q.window_id = w.window_id AND q.revision = w.revision
		WHERE w.sensor_id = ? AND w.end_ms >= ? AND w.start_ms >= ? AND w.last_c IS NOT NULL AND `+learnt+` AND COALESCE(q.reasons, '') NOT LIKE '%"rate_of_change"%'
		ORDER BY w.start_ms DESC, w.revision DESC LIMIT 1`)
	if err != nil {
		return err
	}
	defer q.s.Close()
	for _, s := range r.Sensors {
		last, ok := r.Windows[s.ID]
		if !ok {
			continue
		}
		from := last.Start - goodFor
		err := q.int(s.ID).int(from).int(from - longest).each(func(row *sqlite3.Stmt) error {
			r.Good = append(r.Good, GoodWindow{s.ID, row.ColumnInt64(0), row.ColumnFloat(1)})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// goodFor is for how long a window's last temperature counts, ms (model/hot.go).
const (
	goodFor = 15 * 60 * 1000
	longest = 24 * 60 * 60 * 1000 // a window that ends in that time hardly begins so long before
)

func (r *Recovery) perSensor(sql string, f func(s *sqlite3.Stmt) error) error {
	q, err := prepare(r.c, sql)
	if err != nil {
		return err
	}
	for _, s := range r.Sensors {
		if err := q.int(s.ID).each(f); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recovery) readAlerts() error {
	return query(r.c, `SELECT alert_id, sensor_id, state, severity, raised_at_ms, updated_at_ms, p_failure, value, rule, reason, explanation,
		window_id, window_start_ms, window_end_ms, model_id, ack_by, ack_at_ms, ack_note, site, asset, sensor, explanation_method, raw_score FROM alert WHERE state <> 'cleared' ORDER BY alert_id`, func(s *sqlite3.Stmt) error {
		a := model.Alert{
			ID: s.ColumnText(0), SensorID: s.ColumnInt64(1), State: model.AlertState(s.ColumnText(2)), RaisedAt: s.ColumnInt64(4),
			UpdatedAt: s.ColumnInt64(5), PFailure: floatAt(s, 6), Value: floatAt(s, 7), Rule: s.ColumnText(8), Reason: s.ColumnText(9),
			WindowID: s.ColumnInt64(11), Start: s.ColumnInt64(12), End: s.ColumnInt64(13), ModelID: s.ColumnText(14), Method: s.ColumnText(21), Score: optional(s, 22),
		}
		if a.SensorID == 0 {
			a.Place = model.Place{Site: s.ColumnText(18), Asset: s.ColumnText(19), Sensor: s.ColumnText(20)}
		}
		var err error
		if a.Severity, err = model.ParseLevel(s.ColumnText(3)); err != nil {
			return err
		}
		if err := json.Unmarshal(s.ColumnRawText(10), &a.Explanation); err != nil {
			return fmt.Errorf("decode explanation: %w", err)
		}
		if !isNull(s, 15) {
			a.Ack = &model.Ack{By: s.ColumnText(15), At: s.ColumnInt64(16), Note: s.ColumnText(17)}
		}
		r.Alerts = append(r.Alerts, a)
		return nil
	})
}

func (r *Recovery) readOpen() error {
	return query(r.c, `SELECT sensor_id, from_ms, to_ms, times FROM open_window ORDER BY sensor_id`, func(s *sqlite3.Stmt) error {
		o, exact := openAt(s)
		if !exact {
			r.log.Warn().Int64("sensor", o.SensorID).Msg("where its open readings lie cannot be read: all from the first of them on are looked at")
		}
		r.Open = append(r.Open, o)
		return nil
	})
}

func (r *Recovery) readOutbox() error {
	return query(r.c, outboxRows+`ORDER BY o.outbox_id`, func(s *sqlite3.Stmt) error {
		o, err := publicationAt(s)
		r.Unsent = append(r.Unsent, o)
		return err
	})
}

func (r *Recovery) readLedger() (err error) {
	if r.LastCommit, err = queryInt(r.c, `SELECT COALESCE(max(commit_id), 0) FROM commit_log`); err != nil {
		return err
	}
	withheld, err := queryInt(r.c, `SELECT value FROM meta WHERE name = ?`, metaWithheld)
	if err != nil {
		return err
	}
	r.Withheld = withheld == 1
	r.Ledger, err = readLedger(r.c)
	return err
}

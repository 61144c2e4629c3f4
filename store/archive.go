package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// Archive reads a warehouse, live or stopped, from end to end: what it accepted, the windows made of it, the alerts raised. It holds one read transaction, so that all of it is of one
// moment, and belongs to one goroutine. Close it.
type Archive struct {
	Assets  []*stream.Asset  // by id
	Sensors []*stream.Sensor // by id
	Closed  int64            // windows

	c *sqlite3.Conn
}

// OpenArchive opens a warehouse for reading. ctx ends whatever reads from it. Errors are those of Verify.
func OpenArchive(ctx context.Context, path string) (*Archive, error) {
	c, err := openReader(place{path: path})
	if err != nil {
		return nil, err
	}
	c.SetInterrupt(ctx)
	a := &Archive{c: c}
	r := Recovery{c: c, Failsafes: map[int64]int64{}, NewestContexts: map[int64]int64{}, Periods: map[int64]int64{}}
	if err := c.Exec(`BEGIN`); err != nil {
		return nil, errors.Join(fmt.Errorf("begin reading: %w", err), a.Close())
	}
	if err := errors.Join(r.readAssets(), r.readSensors()); err != nil {
		return nil, errors.Join(fmt.Errorf("read names: %w", err), a.Close())
	}
	a.Assets, a.Sensors = r.Assets, r.Sensors
	if a.Closed, err = queryInt(c, `SELECT COALESCE(sum(value), 0) FROM ledger WHERE counter = ?`, counterWindow); err != nil {
		return nil, errors.Join(fmt.Errorf("count windows: %w", err), a.Close())
	}
	return a, nil
}

// Close ends the read transaction.
func (a *Archive) Close() error { return closeConn(a.c) }

// CountInputs counts what Inputs gives. It scans the keys.
func (a *Archive) CountInputs() (int64, error) {
	n, err := queryInt(a.c, `SELECT (SELECT count(*) FROM reading) + (SELECT COALESCE(sum(n), 0) FROM reading_packed) + (SELECT count(*) FROM context_reading)`)
	if err != nil {
		return 0, fmt.Errorf("count readings: %w", err)
	}
	return n, nil
}

// Inputs gives all that was accepted and has not expired, in event-time order, contexts first. What is in dispute is marked; of its values the first is given.
func (a *Archive) Inputs() iter.Seq2[Fed, error] {
	contexts, readings := openContexts(), openReadings()
	for _, s := range a.Sensors {
		readings.between(s.ID, stream.MinTS, stream.MaxTS)
	}
	for _, s := range a.Assets {
		contexts.between(s.ID, stream.MinTS, stream.MaxTS)
	}
	return inOrder(a.c, contexts, readings)
}

// Windows gives the newest revision of every window by its start, then by sensor id. Those between (stream.Window.Between) are among them.
func (a *Archive) Windows() iter.Seq2[*stream.Window, error] {
	return func(yield func(*stream.Window, error) bool) {
		q, err := prepare(a.c, `SELECT w.sensor_id, `+storedColumns()+` FROM telemetry_window w `+withReasons+` ORDER BY w.window_id, w.revision`)
		if err != nil {
			yield(nil, fmt.Errorf("read windows: %w", err))
			return
		}
		defer q.s.Close()
		var before *stream.Window // given once it is known to be the newest revision
		err = q.each(func(s *sqlite3.Stmt) error {
			w, err := storedAt(s, 1)
			if err != nil {
				return err
			}
			id := s.ColumnInt64(0)
			if id < 1 || id > int64(len(a.Sensors)) {
				return fatalf("a window is of sensor %d, which is not there", id)
			}
			w.Sensor, w.Between = a.Sensors[id-1], stream.IsBetween(w.Memory)
			if before != nil && before.ID() != w.ID() && !yield(before, nil) {
				return errFound
			}
			before = w
			return nil
		})
		switch {
		case err == errFound:
		case err != nil:
			yield(nil, fmt.Errorf("read windows: %w", err))
		case before != nil:
			yield(before, nil)
		}
	}
}

// Findings gives what workshops found, in every revision.
func (a *Archive) Findings() ([]stream.Finding, error) {
	return readFindings(a.c, math.MinInt64, math.MaxInt64)
}

// Warnings gives the alerts that were raised by a score or by hot readings of quarantined windows, by the time they were raised, then by id. Those of silence and of a fail-safe speak of
// no component and are left out.
func (a *Archive) Warnings() (out []model.Warning, err error) {
	err = query(a.c, `SELECT sensor_id, raised_at_ms, CASE state WHEN 'cleared' THEN updated_at_ms ELSE 0 END, severity, rule FROM alert
		WHERE sensor_id > 0 AND rule NOT IN (?, ?) ORDER BY raised_at_ms, alert_id`, func(s *sqlite3.Stmt) error {
		id := s.ColumnInt64(0)
		if id > int64(len(a.Sensors)) {
			return fatalf("an alert is of sensor %d, which is not there", id)
		}
		of := a.Sensors[id-1]
		severity, err := model.ParseLevel(s.ColumnText(3))
		if err != nil {
			return err
		}
		out = append(out, model.Warning{Site: of.Site, Asset: of.Asset, Sensor: of.Name, Kind: of.Kind,
			Raised: s.ColumnInt64(1), Cleared: s.ColumnInt64(2), Severity: severity, Source: s.ColumnText(4)})
		return nil
	}, model.RuleSilence, model.RuleFailsafe)
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	return out, nil
}

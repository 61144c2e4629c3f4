package store

import (
	"context"
	"fmt"
	"math"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// DriftChange is what the windows of a batch change in how a model's windows are spread.
type DriftChange struct {
	ModelID string
	Buckets []model.StoredBucket // those that changed, as they are now
	Oldest  int64                // kept buckets before it go, and those of other models: it is one model's at a time, ms; 0: none go
}

// Anew is the Oldest of counts that begin anew: nothing of what was kept counts.
const Anew = math.MaxInt64

// drift keeps what changed. Older buckets go with the first of a new hour, so that most commits write one row.
func (w *writer) drift(p *pass) error {
	c := p.Drift
	if c == nil {
		return nil
	}
	if c.Oldest != 0 {
		if err := w.driftGone.text(c.ModelID).int(c.Oldest).run(); err != nil {
			return fmt.Errorf("forget drift: %w", err)
		}
	}
	for _, b := range c.Buckets {
		if err := w.driftBucket.text(c.ModelID).int(b.Start).blob(b.Counts).run(); err != nil {
			return fmt.Errorf("keep drift: %w", err)
		}
	}
	return nil
}

// Drift gives the buckets of a model.
func (r *Recovery) Drift(modelID string) (buckets []model.StoredBucket, err error) {
	err = query(r.c, `SELECT start_ms, counts FROM drift_bucket WHERE model_id = ? ORDER BY start_ms`, func(s *sqlite3.Stmt) error {
		buckets = append(buckets, model.StoredBucket{Start: s.ColumnInt64(0), Counts: s.ColumnBlob(1, nil)})
		return nil
	}, modelID)
	if err != nil {
		return nil, fmt.Errorf("read drift: %w", err)
	}
	return buckets, nil
}

// ToldWindow is a scored window of a sensor of which a workshop has told something.
type ToldWindow struct {
	Start, End int64   // event time, ms
	Speed      float64 // mean, km/h; NaN: not known
	PFailure   float64 // NaN: it was not scored, or by another model
}

// Told is a sensor with what workshops found of it and its windows since a time.
type Told struct {
	Findings []stream.Finding // in every revision
	Windows  []ToldWindow     // newest revisions, in order
}

// Told calls f for every sensor of which a workshop told something at or after from, with all that was ever found of it and its windows from then on, as a model scored them, live or in shadow. Findings of unknown sensors come without
// windows. A week of a sensor is 10,000 windows: each sensor's are read for themselves, and are f's while it runs.
func (k *Console) Told(ctx context.Context, modelID string, from int64, f func(t *Told) error) error {
	var all []Told
	err := k.read(ctx, "outcomes", func(c *sqlite3.Conn) error {
		return query(c, `SELECT `+findingColumns+` FROM verdict v WHERE EXISTS (SELECT 1 FROM verdict n WHERE n.ts_ms >= ? AND n.site = v.site AND n.asset = v.asset AND n.sensor = v.sensor)
			ORDER BY site, asset, sensor, ts_ms, revision`, func(s *sqlite3.Stmt) error {
			f := findingAt(s)
			if n := len(all); n == 0 || !sameSensor(&all[n-1].Findings[0], &f) {
				all = append(all, Told{})
			}
			t := &all[len(all)-1]
			t.Findings = append(t.Findings, f)
			return nil
		}, from)
	})
	if err != nil {
		return err
	}
	var windows []ToldWindow
	for i := range all {
		t := &all[i]
		t.Windows = windows[:0]
		if err := k.read(ctx, "outcomes", func(c *sqlite3.Conn) error { return t.readWindows(c, modelID, from) }); err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
		windows, t.Windows = t.Windows, nil
	}
	return nil
}

// Findings counts what workshops found, every revision.
func (k *Console) Findings(ctx context.Context) (n int64, err error) {
	err = k.read(ctx, "outcomes", func(c *sqlite3.Conn) (err error) {
		n, err = queryInt(c, `SELECT COALESCE(sum(value), 0) FROM ledger WHERE counter = ? AND reason = ?`, counterStored, ofVerdict)
		return err
	})
	return n, err
}

func sameSensor(a, b *stream.Finding) bool {
	return a.Site == b.Site && a.Asset == b.Asset && a.Sensor == b.Sensor
}

func (t *Told) readWindows(c *sqlite3.Conn, modelID string, from int64) error {
	f := &t.Findings[0]
	id, err := queryInt(c, `SELECT s.sensor_id FROM sensor s JOIN asset a ON a.asset_id = s.asset_id WHERE a.site = ? AND a.asset = ? AND s.sensor = ?`, f.Site, f.Asset, f.Sensor)
	if err != nil || id == 0 {
		return err
	}
	return query(c, `SELECT w.start_ms, w.end_ms, w.speed_mean_kmh, COALESCE(p.p_failure, s.p_failure) FROM telemetry_window w
		LEFT JOIN ai_telemetry_predictions p ON p.window_id = w.window_id AND p.revision = w.revision AND p.model_id = ?3
		LEFT JOIN shadow_prediction s ON s.window_id = w.window_id AND s.revision = w.revision AND s.model_id = ?3
		WHERE w.sensor_id = ?1 AND w.start_ms >= ?2 AND substr(w.memory, 1, 1) IS NOT x'68'
		AND NOT EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = w.window_id AND n.revision > w.revision) ORDER BY w.start_ms`, func(s *sqlite3.Stmt) error {
		t.Windows = append(t.Windows, ToldWindow{Start: s.ColumnInt64(0), End: s.ColumnInt64(1), Speed: floatAt(s, 2), PFailure: floatAt(s, 3)})
		return nil
	}, id, from, modelID)
}

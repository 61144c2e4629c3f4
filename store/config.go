package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// ConfigChange is one application of a configuration. It is committed with the first batch that follows it.
type ConfigChange struct {
	At                   int64  // wall clock, ms
	Who                  string // file
	OldDigest, NewDigest string // SHA-256 in hex digits; OldDigest is empty when none was recorded before
	What                 string // in words
}

// config records a change of the configuration, and what it makes of known sensors.
func (w *writer) config(p *pass) error {
	for i := range p.Changed {
		c := &p.Changed[i]
		if err := w.changed.int(c.ID).text(c.Kind.String()).text(c.Position).int(int64(c.Axle)).text(c.Side).int(c.PeriodMs).run(); err != nil {
			return fmt.Errorf("update sensor %d: %w", c.ID, err)
		}
		if w.c.Changes() != 1 {
			return fatalf("update sensor %d: it is not registered", c.ID)
		}
	}
	if c := p.Config; c != nil {
		if err := w.configured.int(p.ID).int(c.At).text(c.Who).text(c.OldDigest).text(c.NewDigest).text(c.What).run(); err != nil {
			return fmt.Errorf("insert configuration change: %w", err)
		}
	}
	return nil
}

// readConfig gives the digest of the configuration that was recorded last.
func (r *Recovery) readConfig() error {
	return query(r.c, `SELECT new_digest FROM config_change ORDER BY change_id DESC LIMIT 1`, func(s *sqlite3.Stmt) error {
		r.ConfigDigest = s.ColumnText(0)
		return nil
	})
}

// configs proves that the recorded configurations follow each other.
func (v *verifier) configs() error {
	return v.find([]finding{
		{"configuration", "change %s begins at configuration %s, the one before ended at %s",
			`SELECT c.change_id, c.old_digest, b.new_digest FROM config_change c JOIN config_change b ON b.change_id = (SELECT max(change_id) FROM config_change WHERE change_id < c.change_id)
			WHERE c.old_digest <> b.new_digest OR c.commit_id <= b.commit_id`},
		{"configuration", "change %s: %s and %s are not two digests",
			`SELECT change_id, old_digest, new_digest FROM config_change WHERE old_digest = new_digest OR length(new_digest) <> 64 OR length(old_digest) NOT IN (0, 64)`},
	})
}

// KnownSensor is a sensor as the warehouse has it.
type KnownSensor struct {
	Site, Asset, Sensor string
	Kind                string
	Position            string
	Axle                int
	Side                string
	PeriodMs            int64 // configured or learned, 0 while not known
	LastSeenMs          int64 // as of its last closed window
}

// Sensors reads every known sensor of a database, live or stopped, by site, asset and name. An error is ErrMissing, ErrNotDatabase, ErrNotOurs, ErrOlder, ErrNewer, or one of
// the disk.
func Sensors(ctx context.Context, path string) (rows []KnownSensor, err error) {
	c, err := openReader(place{path: path})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeConn(c)) }()
	c.SetInterrupt(ctx)
	rows = []KnownSensor{}
	err = query(c, `SELECT a.site, a.asset, s.sensor, s.kind, s.position, s.axle, s.side, s.period_ms, s.last_seen_ms
		FROM sensor s JOIN asset a ON a.asset_id = s.asset_id ORDER BY a.site, a.asset, s.sensor`, func(s *sqlite3.Stmt) error {
		rows = append(rows, KnownSensor{s.ColumnText(0), s.ColumnText(1), s.ColumnText(2), s.ColumnText(3), s.ColumnText(4), s.ColumnInt(5), s.ColumnText(6),
			s.ColumnInt64(7), s.ColumnInt64(8)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read sensors: %w", err)
	}
	return rows, nil
}

// ConfigRow is a recorded change of the configuration.
type ConfigRow struct {
	AtMs      int64  `json:"at_ms"`
	CommitID  int64  `json:"commit_id"`
	Who       string `json:"who"`
	OldDigest string `json:"old_digest"`
	NewDigest string `json:"new_digest"`
	What      string `json:"what"`
}

// ConfigChanges gives the newest changes of the configuration, the newest first. Limit 0 means 100.
func (k *Console) ConfigChanges(ctx context.Context, limit int) (rows []ConfigRow, err error) {
	rows = []ConfigRow{}
	err = k.read(ctx, "configuration changes", func(c *sqlite3.Conn) error {
		return query(c, `SELECT at_ms, commit_id, who, old_digest, new_digest, what FROM config_change ORDER BY change_id DESC LIMIT ?`, func(s *sqlite3.Stmt) error {
			rows = append(rows, ConfigRow{s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnText(2), s.ColumnText(3), s.ColumnText(4), s.ColumnText(5)})
			return nil
		}, orDefault(limit, 100))
	})
	return rows, err
}

// Neighbour is another sensor of an asset, as the registry has it now.
type Neighbour struct {
	Sensor, Kind, Position, Side string
}

// Neighbours gives the other sensors of a sensor's asset, by name.
func (k *Console) Neighbours(ctx context.Context, site, asset, sensor string) (rows []Neighbour, err error) {
	err = k.read(ctx, "neighbours", func(c *sqlite3.Conn) error {
		return query(c, `SELECT s.sensor, s.kind, s.position, s.side FROM sensor s JOIN asset a ON a.asset_id = s.asset_id
			WHERE a.site = ? AND a.asset = ? AND s.sensor <> ? ORDER BY s.sensor`, func(s *sqlite3.Stmt) error {
			rows = append(rows, Neighbour{s.ColumnText(0), s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)})
			return nil
		}, site, asset, sensor)
	})
	return rows, err
}

// Sound gives which sensors of an asset have a valid window from start to end, ms: those that a window of these times is compared with.
func (k *Console) Sound(ctx context.Context, site, asset string, spans [][2]int64) (sound []map[string]bool, err error) {
	sound = make([]map[string]bool, len(spans))
	err = k.read(ctx, "windows beside", func(c *sqlite3.Conn) (err error) {
		q, err := prepare(c, `SELECT s.sensor FROM sensor s JOIN asset a ON a.asset_id = s.asset_id
			JOIN telemetry_window w ON w.window_id = ?3 << 20 | s.sensor_id
			WHERE a.site = ?1 AND a.asset = ?2 AND w.end_ms = ?4 AND w.verdict = 'valid'
			AND NOT EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = w.window_id AND n.revision > w.revision)`)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, q.s.Close()) }()
		for i, span := range spans {
			sound[i] = map[string]bool{}
			err := q.text(site).text(asset).int(span[0]).int(span[1]).each(func(s *sqlite3.Stmt) error {
				sound[i][s.ColumnText(0)] = true
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return sound, err
}

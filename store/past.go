package store

import (
	"fmt"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// Past answers what is stored for one sensor, or asset, and time: what a reading behind its window's closing is compared with. It has its own
// connection, sees every commit that returned before the call, and belongs to one goroutine. An error without ErrFatal may pass: ask again. Close it
// before the DB.
type Past struct {
	c                                               *sqlite3.Conn
	reading, context, conflicted, contextConflicted *stmt
	finding                                         *stmt
	packed                                          *packedLookup
	history                                         history
}

// Past opens a connection for lookups.
func (db *DB) Past() (*Past, error) {
	c, err := openReader(db.place())
	if err != nil {
		return nil, err
	}
	p := &Past{c: c}
	for _, q := range []struct {
		dst **stmt
		sql string
	}{
		{&p.reading, `SELECT temp_m, ambient_m, speed_m, load_m, brake, seq FROM reading WHERE key = ?`},
		{&p.context, `SELECT ambient_m, speed_m, load_m, brake FROM context_reading WHERE key = ?`},
		{&p.finding, `SELECT ` + findingColumns + ` FROM verdict WHERE site = ? AND asset = ? AND sensor = ? AND ts_ms = ? AND revision = ?`},
		{&p.conflicted, `SELECT 1 FROM conflicted WHERE key = ?`},
		{&p.contextConflicted, `SELECT 1 FROM context_conflicted WHERE key = ?`},
	} {
		if *q.dst, err = prepare(c, q.sql); err != nil {
			_ = closeConn(c) // the first error is the one to tell
			return nil, err
		}
	}
	if p.packed, err = newPackedLookup(c); err != nil {
		_ = closeConn(c)
		return nil, err
	}
	if err := p.history.prepare(c); err != nil {
		_ = closeConn(c)
		return nil, err
	}
	return p, nil
}

// Close closes the connection.
func (p *Past) Close() error { return closeConn(p.c) }

// Reading gives the accepted reading of a sensor at a time.
func (p *Past) Reading(sensorID, ts int64) (r stream.Reading, found bool, err error) {
	single := func() {
		err = p.reading.int(stream.Key(ts, sensorID)).each(func(s *sqlite3.Stmt) error {
			r, found = readingAt(s, 0, ts), true
			return nil
		})
	}
	if single(); err == nil && !found {
		var packed packedReading
		packed, found, err = p.packed.find(stream.Key(ts, sensorID))
		if r = packed.Reading; err == nil && !found {
			single() // retention may have unpacked it between the two
		}
	}
	if err != nil {
		return stream.Reading{}, false, classify(fmt.Errorf("look up reading: %w", err))
	}
	return r, found, nil
}

// Context gives the accepted context of an asset at a time.
func (p *Past) Context(assetID, ts int64) (c stream.Context, found bool, err error) {
	err = p.context.int(stream.Key(ts, assetID)).each(func(s *sqlite3.Stmt) error {
		c, found = stream.Context{TS: ts, Conditions: conditionsAt(s, 0)}, true
		return nil
	})
	if err != nil {
		return stream.Context{}, false, classify(fmt.Errorf("look up context: %w", err))
	}
	return c, found, nil
}

// Conflicted says whether the reading of a sensor at a time is in dispute.
func (p *Past) Conflicted(sensorID, ts int64) (bool, error) { return has(p.conflicted, sensorID, ts) }

// ConflictedContext says whether the context of an asset at a time is in dispute.
func (p *Past) ConflictedContext(assetID, ts int64) (bool, error) {
	return has(p.contextConflicted, assetID, ts)
}

func has(q *stmt, id, ts int64) (found bool, err error) {
	err = q.int(stream.Key(ts, id)).each(func(*sqlite3.Stmt) error { found = true; return nil })
	if err != nil {
		return false, classify(fmt.Errorf("look up conflict: %w", err))
	}
	return found, nil
}

package store

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// track is what the scan knows of one sensor: its memory is that of the sensors, not of the readings.
type track struct {
	window          checkedWindow // the newest one that began
	has             bool
	clean, disputed int64 // readings in it
	loose, looseAny int64 // first reading behind it, 0: none; looseAny: in dispute or not
	evaluated       int64
	known           bool      // there is such a sensor
	hops            []counted // windows between that have begun and not ended
	openness
}

// checkedWindow is the newest revision of a window.
type checkedWindow struct{ id, revision, sensor, start, end, n int64 }

// cursor walks a query's rows beside another's.
type cursor struct {
	q    *stmt
	more bool
}

func (v *verifier) cursor(sql string) (*cursor, error) {
	q, err := prepare(v.c, sql)
	if err != nil {
		return nil, err
	}
	k := &cursor{q: q}
	return k, k.step()
}

func (k *cursor) step() error {
	k.more = k.q.s.Step()
	return k.q.s.Err()
}

// scanner walks readings, disputes and windows once, in time order.
type scanner struct {
	*verifier
	tracks    map[int64]*track
	windows   *cursor
	hops      *cursor // windows between
	conflicts *marks
	flags     *marks
	last      int64 // key of the reading before
	expired   int64 // event time before which readings may have expired, 0: none has
}

// scan proves in one ordered pass: every window counts the readings of its span, windows of a sensor do not overlap, every reading before a
// sensor's last window is in one, and open_window tells where the others begin.
func (v *verifier) scan() (err error) {
	s := &scanner{verifier: v, tracks: map[int64]*track{}}
	if s.expired, err = expiredBefore(v.c); err != nil {
		return err
	}
	if err := query(v.c, `SELECT sensor_id, evaluated_ms FROM sensor`, func(q *sqlite3.Stmt) error {
		s.tracks[q.ColumnInt64(0)] = &track{evaluated: q.ColumnInt64(1), known: true}
		return nil
	}); err != nil {
		return err
	}
	if err := s.readOpen(); err != nil {
		return err
	}
	const newest = `SELECT window_id, revision, sensor_id, start_ms, end_ms, n FROM telemetry_window w
		WHERE NOT EXISTS (SELECT 1 FROM telemetry_window m WHERE m.window_id = w.window_id AND m.revision > w.revision) AND %s ORDER BY window_id`
	if s.windows, err = v.cursor(fmt.Sprintf(newest, learnt)); err != nil {
		return err
	}
	defer s.windows.q.s.Close()
	if s.hops, err = v.cursor(fmt.Sprintf(newest, `NOT `+learnt)); err != nil {
		return err
	}
	defer s.hops.q.s.Close()
	if s.conflicts, err = newMarks(v.c, `SELECT key FROM conflicted ORDER BY key`); err != nil {
		return err
	}
	defer s.conflicts.close()
	if s.flags, err = newMarks(v.c, `SELECT key FROM reading_flag ORDER BY key`); err != nil {
		return err
	}
	defer s.flags.close()
	s.conflicts.lone, s.flags.lone = s.lone("dispute"), s.lone("flag")
	readings, err := scanPacked(v.c, math.MinInt64, math.MaxInt64)
	if err != nil {
		return err
	}
	defer readings.close()
	readings.judge = v.packed
	if err := readings.withRows(keysOnly, func(r *packedReading) error {
		v.report.Counts.Readings++
		return s.reading(r.key)
	}); err != nil {
		return err
	}
	if err := errors.Join(s.conflicts.end(), s.flags.end()); err != nil {
		return err
	}
	if err := s.begin(math.MaxInt64); err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	return v.scanContexts()
}

// packed judges a packed row. Of one that cannot be decoded what could be is counted.
func (v *verifier) packed(row packedRow, err error) error {
	switch n := int64(len(row.readings)); {
	case err != nil:
		v.breach("packed", "%v", err)
	case n != row.n || row.readings[n-1].key != row.last:
		v.breach("packed", "packed row %d: it holds %d readings up to key %d, and says %d up to %d", row.first, n, row.readings[n-1].key, row.n, row.last)
	}
	return nil
}

// lone tells of a mark on a reading that is not there.
func (s *scanner) lone(what string) func(key int64) {
	return func(key int64) {
		ts, id := stream.SplitKey(key)
		s.breach("reference", "%s of sensor %d at %d refers to a reading that does not exist", what, id, ts)
	}
}

func (s *scanner) track(sensor int64) *track {
	t := s.tracks[sensor]
	if t == nil {
		t = &track{}
		s.tracks[sensor] = t
	}
	return t
}

func (s *scanner) reading(key int64) error {
	ts, id := stream.SplitKey(key)
	if err := s.begin(ts); err != nil {
		return err
	}
	if key == s.last {
		s.breach("reading", "the reading of sensor %d at %d is there twice", id, ts)
	}
	s.last = key
	disputed, err := s.conflicts.has(key)
	if err != nil {
		return err
	}
	if _, err := s.flags.has(key); err != nil {
		return err
	}
	t := s.track(id)
	s.countHops(t, ts, disputed)
	switch inside := t.has && ts < t.window.end; {
	case inside && disputed:
		t.disputed++
	case inside:
		t.clean++
	default:
		if ts >= t.evaluated {
			t.look(ts)
		}
		if t.looseAny == 0 {
			t.looseAny = ts
		}
		if t.loose == 0 && !disputed {
			t.loose = ts
		}
	}
	return nil
}

// begin takes up the windows that start at or before a time.
func (s *scanner) begin(ts int64) error {
	if err := s.beginHops(ts); err != nil {
		return err
	}
	for s.windows.more {
		w := s.windows.window()
		if w.start > ts {
			return nil
		}
		t := s.track(w.sensor)
		s.finish(t)
		if t.has && w.start < t.window.end {
			s.breach("window", "window %d of sensor %d begins at %d, before window %d ends at %d", w.id, w.sensor, w.start, t.window.id, t.window.end)
		}
		if t.loose != 0 {
			s.breach("window", "reading of sensor %d at %d is in no window, and window %d after it has closed", w.sensor, t.loose, w.id)
		}
		*t = track{window: w, has: true, evaluated: t.evaluated, known: t.known, openness: t.openness, hops: t.hops}
		if err := s.windows.step(); err != nil {
			return err
		}
	}
	return nil
}

// finish compares a window's n with the readings that were counted. One in dispute may be in n or not: the dispute may have come after the closing. Of a window
// that begins before the time up to which readings have expired some or all are gone.
func (s *scanner) finish(t *track) {
	if t.has {
		s.compare(t.window, t.clean, t.disputed)
	}
}

// compare holds a window's n against the readings counted in it.
func (s *scanner) compare(w checkedWindow, clean, disputed int64) {
	if w.n >= clean && (w.n <= clean+disputed || w.start < s.expired) {
		return
	}
	s.breach("window", "window %d revision %d of sensor %d, %d to %d: n is %d, the table holds %d readings and %d in dispute",
		w.id, w.revision, w.sensor, w.start, w.end, w.n, clean, disputed)
}

// end judges each sensor once all was read.
func (s *scanner) end() error {
	ids := make([]int64, 0, len(s.tracks))
	for id := range s.tracks {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		t := s.tracks[id]
		s.finish(t)
		s.endHops(t, math.MaxInt64)
		if !t.known {
			s.breach("reference", "readings or windows refer to sensor %d, which does not exist", id)
			continue
		}
		if t.window.end != t.evaluated {
			s.breach("window", "sensor %d: evaluated_ms is %d, its last window ends at %d", id, t.evaluated, t.window.end)
		}
		s.open(id, t)
	}
	return nil
}

// scanContexts counts the contexts and compares each asset's newest.
func (v *verifier) scanContexts() error {
	newest := map[int64]int64{}
	err := query(v.c, `SELECT key FROM context_reading ORDER BY key`, func(q *sqlite3.Stmt) error {
		ts, id := stream.SplitKey(q.ColumnInt64(0))
		v.report.Counts.Contexts++
		newest[id] = ts
		return nil
	})
	if err != nil {
		return err
	}
	err = query(v.c, `SELECT asset_id, context_ms FROM asset`, func(q *sqlite3.Stmt) error {
		id, ts := q.ColumnInt64(0), q.ColumnInt64(1)
		if newest[id] != ts {
			v.breach("context", "asset %d: context_ms is %d, its newest context is at %d", id, ts, newest[id])
		}
		delete(newest, id)
		return nil
	})
	for id := range newest {
		v.breach("reference", "contexts refer to asset %d, which does not exist", id)
	}
	return err
}

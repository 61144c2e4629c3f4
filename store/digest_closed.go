package store

import (
	"slices"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// tail is what findClosed needs of a window.
type tail struct{ start, end, period int64 }

// findClosed finds for each sensor its newest window that is closed by event time (contract, section 5), recomputed from the readings. All
// before it are closed too: windows of a sensor close in order. So only the last few windows of a sensor are looked at.
func (d *digest) findClosed() error {
	base, err := meta(d.c, "window_ms")
	if err != nil {
		return err
	}
	disorder, err := meta(d.c, "disorder_ms")
	if err != nil {
		return err
	}
	q, err := prepare(d.c, `SELECT start_ms, end_ms, period_ms FROM telemetry_window w WHERE sensor_id = ?1
		AND NOT EXISTS (SELECT 1 FROM telemetry_window m WHERE m.window_id = w.window_id AND m.revision > w.revision) ORDER BY start_ms DESC`)
	if err != nil {
		return err
	}
	defer q.s.Close()
	r := &closeRule{digest: d, base: base, disorder: disorder, heard: map[span]*heard{}}
	ids := make([]int64, 0, len(d.sensors))
	for id := range d.sensors {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if err := r.find(q, id); err != nil {
			return err
		}
	}
	return nil
}

// closeRule is the closing rule over a whole database.
type closeRule struct {
	*digest
	base, disorder int64
	heard          map[span]*heard
	marks          []int64 // scratch
}

// heard is who has a reading, and which asset a context, in a span of event time.
type heard struct{ sensors, assets map[int64]bool }

// find walks a sensor's windows from the newest back until one is closed.
func (r *closeRule) find(q *stmt, sensor int64) error {
	var w tail
	found, have := false, false
	judge := func(periodBefore int64) (err error) {
		if found, err = r.isDue(sensor, w, periodBefore); found {
			r.closed[sensor] = w.start
		}
		return err
	}
	err := q.int(sensor).each(func(s *sqlite3.Stmt) error {
		before := tail{s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnInt64(2)}
		if have && !found {
			if err := judge(before.period); err != nil {
				return err
			}
		}
		w, have = before, true
		if found {
			return errFound
		}
		return nil
	})
	if err == errFound {
		return nil
	}
	if err == nil && have && !found {
		return judge(0)
	}
	return err
}

// isDue applies the rule to one window of a sensor. Members are its asset's sensors and context source with a reading in the
// window or one length before it. The length is the nominal one: where it grew, a window may be shorter. What its mates have passed closes
// the window of a sensor that has passed its end itself: one that is behind keeps its own open.
func (r *closeRule) isDue(sensor int64, w tail, periodBefore int64) (bool, error) {
	asset := r.sensors[sensor].asset
	length := max(w.end-w.start, r.nominal(periodBefore))
	all := span{w.end - 2*length, w.end}
	r.marks = r.marks[:0]
	behind := false // someone who may be a member
	for _, id := range r.members[asset] {
		newest := r.newest[id]
		behind = behind || newest >= all.from && newest-r.disorder < w.end
	}
	context, has := r.context[asset]
	behind = behind || has && context >= all.from && context-r.disorder < w.end
	if !behind {
		return true, nil // whoever is a member has passed the end
	}
	h, err := r.listen(all)
	if err != nil {
		return false, err
	}
	for _, id := range r.members[asset] {
		if h.sensors[id] {
			r.marks = append(r.marks, r.newest[id]-r.disorder)
		}
	}
	if h.assets[asset] {
		r.marks = append(r.marks, context-r.disorder)
	}
	slices.Sort(r.marks)
	return r.newest[sensor]-r.disorder >= w.end && len(r.marks) > 0 && (r.marks[0] >= w.end || r.marks[(len(r.marks)-1)/2] >= w.end+length), nil
}

// nominal is the length of a sensor's window whose period was known as period when it began: six periods at least, in multiples of the configured one.
func (r *closeRule) nominal(period int64) int64 {
	if r.base <= 0 || 6*period <= r.base {
		return r.base
	}
	return (6*period + r.base - 1) / r.base * r.base
}

// maxHeard bounds how many spans are remembered: assets that end together ask for the same few.
const maxHeard = 64

// listen reads who was heard in a span. Only the last windows before the data of an asset ends come to this.
func (r *closeRule) listen(s span) (*heard, error) {
	if h := r.heard[s]; h != nil {
		return h, nil
	}
	h := &heard{map[int64]bool{}, map[int64]bool{}}
	err := everyReading(r.c, keysOnly, keyFloor(s.from), keyFloor(s.to), func(p *packedReading) error {
		_, id := stream.SplitKey(p.key)
		h.sensors[id] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = query(r.c, `SELECT DISTINCT key & 1048575 FROM context_reading WHERE key >= ? AND key < ?`, func(q *sqlite3.Stmt) error {
		h.assets[q.ColumnInt64(0)] = true
		return nil
	}, keyFloor(s.from), keyFloor(s.to))
	if err != nil {
		return nil, err
	}
	if len(r.heard) >= maxHeard {
		clear(r.heard)
	}
	r.heard[s] = h
	return h, nil
}

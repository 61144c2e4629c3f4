package store

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// Fed is a stored reading or context that is in no closed window yet.
type Fed struct {
	SensorID       int64 // of a reading; 0: a context
	AssetID        int64 // of a context; 0: a reading
	stream.Reading       // of a context: Temp and Seq are zero
	Conflicted     bool
}

// Feed gives, in event-time order and contexts first, every reading of an open sensor from its first open one on, and every context
// that those readings, or the next ones of the asset, may need. It scans the raw tables from the lowest open position: a sensor that has been open for long
// makes it read all that came since.
func (r *Recovery) Feed() iter.Seq2[Fed, error] {
	return func(yield func(Fed, error) bool) {
		contexts, stop := iter.Pull2(r.contexts())
		defer stop()
		next, err, more := contexts()
		upTo := func(ts int64) bool { // gives the contexts up to a time
			for more && err == nil && next.TS <= ts {
				if !yield(next, nil) {
					return false
				}
				next, err, more = contexts()
			}
			if err != nil {
				yield(Fed{}, err)
			}
			return err == nil
		}
		for f, ferr := range r.readings() {
			if ferr != nil {
				yield(Fed{}, ferr)
				return
			}
			if !upTo(f.TS) || !yield(f, nil) {
				return
			}
		}
		upTo(math.MaxInt64)
	}
}

// readings gives the open sensors' readings in key order.
func (r *Recovery) readings() iter.Seq2[Fed, error] {
	from := map[int64]int64{}
	lowest := int64(math.MaxInt64)
	for _, o := range r.Open {
		from[o.SensorID] = o.From
		lowest = min(lowest, o.From)
	}
	if len(from) == 0 {
		return func(func(Fed, error) bool) {}
	}
	const sql = `SELECT r.key, r.temp_m, r.ambient_m, r.speed_m, r.load_m, r.brake, r.seq, EXISTS (SELECT 1 FROM conflicted x WHERE x.key = r.key)
		FROM reading r WHERE r.key >= ? AND r.key < ? ORDER BY r.key`
	return r.scan(sql, []span{{lowest, math.MaxInt64}}, func(s *sqlite3.Stmt) (Fed, bool) {
		ts, id := stream.SplitKey(s.ColumnInt64(0))
		start, open := from[id]
		if !open || ts < start {
			return Fed{}, false
		}
		return Fed{SensorID: id, Reading: readingAt(s, 1, ts), Conflicted: s.ColumnBool(7)}, true
	})
}

// span is a half-open range of event time, ms.
type span struct{ from, to int64 }

// contexts gives every asset's contexts that may still matter, in key order. An asset that has been still for a year costs a scan of
// its own last hours, not of the year.
func (r *Recovery) contexts() iter.Seq2[Fed, error] {
	from := r.ContextsFrom
	var spans []span
	for asset, start := range from {
		if newest := r.NewestContexts[asset]; newest >= start {
			spans = append(spans, span{start, newest + 1})
		}
	}
	const sql = `SELECT c.key, c.ambient_m, c.speed_m, c.load_m, c.brake, EXISTS (SELECT 1 FROM context_conflicted x WHERE x.key = c.key)
		FROM context_reading c WHERE c.key >= ? AND c.key < ? ORDER BY c.key`
	return r.scan(sql, merge(spans), func(s *sqlite3.Stmt) (Fed, bool) {
		ts, id := stream.SplitKey(s.ColumnInt64(0))
		if start, ok := from[id]; !ok || ts < start {
			return Fed{}, false
		}
		return Fed{AssetID: id, Reading: stream.Reading{TS: ts, Conditions: conditionsAt(s, 1)}, Conflicted: s.ColumnBool(5)}, true
	})
}

// contextsFrom says for each asset with a context from when on they matter: back before its first open reading; where none is open, before
// the end of its last window; where it has no window either, before its newest context.
func (r *Recovery) contextsFrom(back func(period time.Duration) time.Duration) map[int64]int64 {
	asset := make(map[int64]int64, len(r.Sensors))
	ended, open, period := map[int64]int64{}, map[int64]int64{}, map[int64]int64{}
	for _, s := range r.Sensors {
		asset[s.ID] = s.AssetID
		if w, ok := r.Windows[s.ID]; ok {
			ended[s.AssetID] = max(ended[s.AssetID], w.End)
			period[s.AssetID] = max(period[s.AssetID], w.PeriodMs)
		}
	}
	for _, o := range r.Open {
		id := asset[o.SensorID]
		if first, ok := open[id]; !ok || o.From < first {
			open[id] = o.From
		}
	}
	from := make(map[int64]int64, len(r.NewestContexts))
	for id, newest := range r.NewestContexts {
		at := newest
		if end, ok := ended[id]; ok {
			at = end
		}
		if first, ok := open[id]; ok {
			at = first
		}
		from[id] = max(0, at-back(time.Duration(period[id])*time.Millisecond).Milliseconds())
	}
	return from
}

// merge sorts ranges and joins those that touch.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// scan runs a query over ranges of a raw table's key.
func (r *Recovery) scan(sql string, spans []span, row func(s *sqlite3.Stmt) (Fed, bool)) iter.Seq2[Fed, error] {
	return func(yield func(Fed, error) bool) {
		q, err := prepare(r.c, sql)
		if err != nil {
			yield(Fed{}, err)
			return
		}
		defer q.s.Close()
		for _, span := range spans {
			err := q.int(keyFloor(span.from)).int(keyFloor(span.to)).each(func(s *sqlite3.Stmt) error {
				if f, ok := row(s); ok && !yield(f, nil) {
					return errFound
				}
				return nil
			})
			if err == errFound {
				return
			}
			if err != nil {
				yield(Fed{}, fmt.Errorf("read open readings: %w", err))
				return
			}
		}
	}
}

// keyFloor gives the lowest key of a time, clamped to what a key can hold.
func keyFloor(ts int64) int64 {
	switch {
	case ts < 0:
		return 0
	case ts >= stream.MaxTS:
		return math.MaxInt64
	}
	return stream.Key(ts, 0)
}

package store

import (
	"iter"
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

// Feed gives, in event-time order and contexts first, every open reading, and every context that those, or the next ones of the asset, may need. Of the raw tables
// it reads the keys in the ranges in which something is open, and the rows that are asked for.
func (r *Recovery) Feed() iter.Seq2[Fed, error] {
	return inOrder(r.c, r.contexts(), r.readings())
}

// inOrder gives what two searches find in event-time order, contexts first.
func inOrder(c *sqlite3.Conn, contexts, readings *search) iter.Seq2[Fed, error] {
	return merged(contexts.rows(c), readings.rows(c), func(context, reading Fed) bool { return context.TS <= reading.TS })
}

// merged gives what two ordered sequences give in one order: of the one what comes before the next of the other, as before says. It ends with the first error.
func merged(one, other iter.Seq2[Fed, error], before func(one, other Fed) bool) iter.Seq2[Fed, error] {
	return func(yield func(Fed, error) bool) {
		pull, stop := iter.Pull2(one)
		defer stop()
		next, err, more := pull()
		give := func(due func() bool) bool { // gives of the one what is due
			for more && err == nil && due() {
				if !yield(next, nil) {
					return false
				}
				next, err, more = pull()
			}
			if err != nil {
				yield(Fed{}, err)
			}
			return err == nil
		}
		for f, ferr := range other {
			if ferr != nil {
				yield(Fed{}, ferr)
				return
			}
			if !give(func() bool { return before(next, f) }) || !yield(f, nil) {
				return
			}
		}
		give(func() bool { return true })
	}
}

// readings asks for the open sensors' readings: all in a range, or the times that were told.
func (r *Recovery) readings() *search {
	f := openReadings()
	for _, o := range r.Open {
		if o.Times == nil {
			f.between(o.SensorID, o.From, o.To)
		}
		for _, ts := range o.Times {
			f.single = append(f.single, stream.Key(ts, o.SensorID))
		}
	}
	return f
}

// openReadings is a search of the readings that asks for none yet.
func openReadings() *search {
	return &search{
		keys: `SELECT key FROM reading WHERE key >= ? AND key < ? ORDER BY key`,
		values: `SELECT r.key, r.temp_m, r.ambient_m, r.speed_m, r.load_m, r.brake, r.seq, EXISTS (SELECT 1 FROM conflicted x WHERE x.key = r.key)
			FROM reading r WHERE r.key IN (%s) ORDER BY r.key`,
		row: func(s *sqlite3.Stmt) Fed {
			ts, id := stream.SplitKey(s.ColumnInt64(0))
			return Fed{SensorID: id, Reading: readingAt(s, 1, ts), Conflicted: s.ColumnBool(7)}
		},
		packs: true,
	}
}

// contexts asks for every asset's contexts that may still matter. An asset that has been still for a year costs a scan of its own last hours, not of the year.
func (r *Recovery) contexts() *search {
	f := openContexts()
	for asset, start := range r.ContextsFrom {
		if newest := r.NewestContexts[asset]; newest >= start {
			f.between(asset, start, newest+1)
		}
	}
	return f
}

// openContexts is a search of the contexts that asks for none yet.
func openContexts() *search {
	return &search{
		keys: `SELECT key FROM context_reading WHERE key >= ? AND key < ? ORDER BY key`,
		values: `SELECT c.key, c.ambient_m, c.speed_m, c.load_m, c.brake, EXISTS (SELECT 1 FROM context_conflicted x WHERE x.key = c.key)
			FROM context_reading c WHERE c.key IN (%s) ORDER BY c.key`,
		row: func(s *sqlite3.Stmt) Fed {
			ts, id := stream.SplitKey(s.ColumnInt64(0))
			return Fed{AssetID: id, Reading: stream.Reading{TS: ts, Conditions: conditionsAt(s, 1)}, Conflicted: s.ColumnBool(5)}
		},
	}
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

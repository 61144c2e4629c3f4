package store

import (
	"fmt"

	"github.com/camrail/cidp/stream"
)

func (w *writer) register(p *pass) error {
	for _, a := range p.Assets {
		if err := w.asset.int(a.ID).text(a.Site).text(a.Name).int(a.FirstSeen).run(); err != nil {
			return fmt.Errorf("insert asset %d: %w", a.ID, err)
		}
	}
	for _, s := range p.Sensors {
		err := w.sensor.int(s.ID).int(s.AssetID).text(s.Name).text(s.Kind.String()).text(s.Position).
			int(int64(s.Axle)).text(s.Side).int(s.FirstSeen).run()
		if err != nil {
			return fmt.Errorf("insert sensor %d: %w", s.ID, err)
		}
	}
	return nil
}

// key packs a time and an id and refuses what would not come out again.
func key(ts, id int64) (int64, error) {
	if id < 1 || id > maxID || ts < 0 || ts >= stream.MaxTS {
		return 0, fatalf("make key: time %d or id %d is out of range", ts, id)
	}
	return stream.Key(ts, id), nil
}

// readings writes the raw rows in key order: sorted, a commit touches the last few pages of the table and no other.
func (w *writer) readings(p *pass) error {
	order := w.order[:0]
	for i := range p.Readings {
		k, err := key(p.Readings[i].TS, p.Readings[i].SensorID)
		if err != nil {
			return err
		}
		order = append(order, rank{k, i})
	}
	order, w.ranks = sortRanks(order, w.ranks)
	w.order = order
	if w.packFrom >= 0 && len(order) >= w.packFrom {
		var err error
		if order, err = w.pack(order, p.Readings); err != nil {
			return err
		}
	}
	for ; len(order) >= chunk; order = order[chunk:] {
		if err := w.insertReadings(w.reading, order[:chunk], p.Readings); err != nil {
			return err
		}
	}
	for i := range order {
		if err := w.insertReadings(w.readingRow, order[i:i+1], p.Readings); err != nil {
			return err
		}
	}
	for i := range p.Conflicted {
		k, err := key(p.Conflicted[i].TS, p.Conflicted[i].SensorID)
		if err != nil {
			return err
		}
		if err := w.dispute(k); err != nil {
			return fmt.Errorf("insert conflict: %w", err)
		}
	}
	return nil
}

// pack writes what lies close together as packed rows, and gives what is left in the same order.
//
// A large commit is a flood, or a backlog: its readings lie among those of the commits before and after it, so that each row of its own would be searched for from the root and would
// split pages. That the key refuses a second reading of the same sensor and time is lost for them; Verify proves that there is none.
func (w *writer) pack(order []rank, readings []stream.Stored) (left []rank, err error) {
	left = order[:0]
	least := min(packedLeast, w.packFrom)
	for len(order) > 0 {
		n, end := 1, readings[order[0].at].TS+packedSpan
		for n < len(order) && n < packedMost && readings[order[n].at].TS < end {
			n++
		}
		if n < least {
			left = append(left, order[0])
			order = order[1:]
			continue
		}
		run := order[:n]
		for i := 1; i < n; i++ {
			if run[i].key == run[i-1].key {
				return nil, fatalf("insert reading: %d comes twice: one of %d rows were there already", run[i].key, n)
			}
		}
		w.text = appendPacked(w.text[:0], run, readings)
		if err := w.packed.int(run[0].key).int(run[n-1].key).int(int64(n)).raw(w.text).run(); err != nil {
			return nil, fmt.Errorf("insert packed readings: %w", err)
		}
		if err := w.inserted(1, "packed readings"); err != nil {
			return nil, err
		}
		order = order[n:]
	}
	return left, nil
}

// dispute marks a stored reading. It may have expired since it was looked up, and a third value for the same time is no news.
func (w *writer) dispute(key int64) error {
	if err := w.conflicted.int(key).run(); err != nil || w.c.Changes() > 0 {
		return err
	}
	if _, found, err := w.packedAt.find(key); err != nil || !found {
		return err
	}
	return w.conflictedPacked.int(key).run()
}

func (w *writer) insertReadings(q *stmt, order []rank, readings []stream.Stored) error {
	for _, o := range order {
		q.reading(o.key, &readings[o.at].Reading)
	}
	if err := q.run(); err != nil {
		return err
	}
	return w.inserted(len(order), "reading")
}

// inserted proves that OR IGNORE ignored nothing: the line settles duplicates before the store, so one found here means that the two disagree.
func (w *writer) inserted(rows int, what string) error {
	if n := w.c.Changes(); n != int64(rows) {
		return fatalf("insert %s: %d of %d rows were there already", what, int64(rows)-n, rows)
	}
	return nil
}

func (w *writer) contexts(p *pass) error {
	newest := map[int64]int64{}
	for i := range p.Contexts {
		c := &p.Contexts[i]
		k, err := key(c.TS, c.AssetID)
		if err != nil {
			return err
		}
		if err := w.context.int(k).conditions(&c.Conditions).run(); err != nil {
			return err
		}
		if err := w.inserted(1, "context"); err != nil {
			return err
		}
		newest[c.AssetID] = max(newest[c.AssetID], c.TS)
	}
	for asset, ts := range newest {
		if err := w.assetContext.int(asset).int(ts).run(); err != nil {
			return fmt.Errorf("update asset %d: %w", asset, err)
		}
		if w.c.Changes() != 1 {
			return fatalf("update asset %d: it is not registered", asset)
		}
	}
	for i := range p.ConflictedContexts {
		c := &p.ConflictedContexts[i]
		k, err := key(c.TS, c.AssetID)
		if err != nil {
			return err
		}
		if err := w.contextConflicted.int(k).run(); err != nil {
			return fmt.Errorf("insert conflict: %w", err)
		}
	}
	return nil
}

func (w *writer) lates(p *pass) error {
	for i := range p.Late {
		l := &p.Late[i]
		q := w.late.int(l.AssetID).when(l.SensorID != 0, l.SensorID).int(l.TS).int(l.Received)
		if l.SensorID != 0 {
			q.float(l.Temp.Float())
		} else {
			q.null()
		}
		for j, v := range []stream.Milli{l.Ambient, l.Speed, l.Load} {
			if l.Has&(stream.HasAmbient<<j) != 0 {
				q.float(v.Float())
			} else {
				q.null()
			}
		}
		q.when(l.Has&stream.HasBrake != 0, int64(l.Brake)).when(l.Has&stream.HasSeq != 0, l.Seq).text(string(l.Reason))
		if err := q.run(); err != nil {
			return err
		}
	}
	return nil
}

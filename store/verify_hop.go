package store

import "github.com/camrail/cidp/stream"

// counted is a window between with the readings that the scan has met in it. A reading lies in several.
type counted struct {
	checkedWindow
	clean, disputed int64
}

// window reads the row at which a cursor over windows stands.
func (k *cursor) window() checkedWindow {
	q := k.q.s
	return checkedWindow{q.ColumnInt64(0), q.ColumnInt64(1), q.ColumnInt64(2), q.ColumnInt64(3), q.ColumnInt64(4), q.ColumnInt64(5)}
}

// beginHops takes up the windows between that start at or before a time.
func (s *scanner) beginHops(ts int64) error {
	for s.hops.more {
		w := s.hops.window()
		if w.start > ts {
			return nil
		}
		t := s.track(w.sensor)
		s.endHops(t, w.start)
		t.hops = append(t.hops, counted{checkedWindow: w})
		if len(t.hops) > maxHops {
			s.breach("window", "window %d of sensor %d at %d overlaps more than %d others", w.id, w.sensor, w.start, maxHops)
		}
		if err := s.hops.step(); err != nil {
			return err
		}
	}
	return nil
}

// maxHops is how many windows between a reading lies in at most (stream/hop.go).
const maxHops = stream.MaxHops - 1

// countHops counts a reading in each window between that it lies in.
func (s *scanner) countHops(t *track, ts int64, disputed bool) {
	if len(t.hops) == 0 {
		return
	}
	s.endHops(t, ts)
	for i := range t.hops {
		if disputed {
			t.hops[i].disputed++
		} else {
			t.hops[i].clean++
		}
	}
}

// endHops compares the windows between that end at or before a time, and lets them go.
func (s *scanner) endHops(t *track, ts int64) {
	open := t.hops[:0]
	for _, w := range t.hops {
		if w.end <= ts {
			s.compare(w.checkedWindow, w.clean, w.disputed)
		} else {
			open = append(open, w)
		}
	}
	t.hops = open
}

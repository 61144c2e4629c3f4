package stream

import "slices"

// The pending readings of a sensor are a slice in event-time order with free room before it as well as behind: a logger that sends its newest reading first
// must not cost the square of what it sends.

// insert puts a reading among the pending ones by event time. When that time is taken, it gives the one that is there.
func (s *sensorState) insert(r Reading) (old *entry, fresh bool) {
	n := len(s.pending)
	if n == 0 || r.TS > s.pending[n-1].TS {
		s.put(n, entry{Reading: r})
		return nil, true
	}
	i, found := slices.BinarySearchFunc(s.pending, r.TS, func(e entry, ts int64) int { return compare(e.TS, ts) })
	if found {
		return &s.pending[i], false
	}
	s.put(i, entry{Reading: r})
	return nil, true
}

// put inserts an entry at a position and moves the shorter side. pending is whole[room : room+len(pending)] whenever whole is not nil.
func (s *sensorState) put(i int, e entry) {
	n := len(s.pending)
	if i >= n/2 {
		before := cap(s.pending)
		s.pending = slices.Insert(s.pending, i, e)
		if cap(s.pending) != before {
			s.whole, s.room = nil, 0
		}
		return
	}
	if s.room == 0 {
		s.room = n + minReadings
		s.whole = make([]entry, s.room+n, s.room+2*n)
		copy(s.whole[s.room:], s.pending)
	}
	s.room--
	s.pending = s.whole[s.room : s.room+n+1 : cap(s.whole)]
	copy(s.pending[:i], s.pending[1:i+1])
	s.pending[i] = e
}

// drop takes the first n pending entries away: few that are left move up, many stay where they are.
func (s *sensorState) drop(n int) {
	if rest := len(s.pending) - n; rest <= 4*n || s.whole == nil && rest <= 256 {
		s.pending = slices.Delete(s.pending, 0, n)
		return
	}
	s.pending = s.pending[n:]
	if s.whole != nil {
		s.room += n
	}
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

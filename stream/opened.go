package stream

// Take tells where the open readings of a sensor lie, so that a restart finds them without reading all that lies between those of one sensor and those of
// another. What was told covers every open reading that is committed, and it changes seldom: a row a sensor in every commit would double what a commit costs.

// told is what was last told of a sensor's open readings.
type told struct {
	from, to int64 // 0: none is open; to = 0 with from: not known, after a restart
	times    int   // how many were told one by one; 0: a range
}

// covers says whether a reading behind the first open one changes nothing of what was told.
func (t *told) covers(ts int64) bool { return t.times == 0 && t.from != 0 && ts < t.to }

// maxTimes is how many open readings are told one by one at most, some bytes each: more than a window of 60 and what comes until it closes. burst is how many of a sensor
// in one batch are worth a row of their own.
const (
	maxTimes = 256
	burst    = 32
)

// tellOpen puts what has changed about the open readings into the batch. A batch of nothing else would be none (Pending): it waits for the next.
func (w *Windower) tellOpen() {
	if w.batch.Messages == 0 && len(w.batch.Windows) == 0 {
		return
	}
	for _, s := range w.dirty {
		if o, changed := s.open(w.base); changed {
			w.batch.Opened = append(w.batch.Opened, o)
		}
		s.dirty, s.fresh = false, 0
	}
	w.dirty = w.dirty[:0]
}

// open says where the sensor's open readings lie, and whether that was not told yet. Of a range it is told anew when its first reading goes, which is once a
// window, or when a reading comes at its end: that lies a whole window of length base beyond the one with the newest reading, so that it is not once more a window.
//
// From and the number of readings tell one set from the next: as long as the first stays, readings are only added.
func (s *sensorState) open(base int64) (o Open, changed bool) {
	o.SensorID = s.id
	n := len(s.unmade) + s.pending.len()
	if n == 0 {
		changed = s.told.from != 0
		s.told = told{}
		return o, changed
	}
	last := s.last
	if len(s.unmade) > 0 {
		o.From = s.unmade[0]
	} else {
		o.From = s.pending.ts(0)
	}
	if k := s.pending.len(); k > 0 {
		last = s.pending.ts(k - 1)
	}
	now := told{from: o.From, to: last + 1}
	switch before := s.told; {
	case before.times == 0 && before.from == now.from && before.to >= now.to:
		return o, false
	case s.singly(n, last-o.From, base):
		if now.times = n; now == before {
			return o, false
		}
		o.Times = s.times(n)
	default:
		now.to = min(next(last, base)+base, MaxTS)
	}
	s.told, o.To = now, now.to
	return o, true
}

// singly says whether n open readings within span are told, and then looked up, one by one: because they are so far apart, one in a window of length base or fewer, or came
// together, as what a device kept does. Then no more than a row for each, or a row for many of them is written, and where they lie is read no more than they are. A sensor that
// sends every second is told by a range: the next reading would make anything else untrue. Of a lone reading the period tells when that comes.
func (s *sensorState) singly(n int, span, base int64) bool {
	switch {
	case n > maxTimes:
		return false
	case s.fresh >= burst || s.fresh >= n:
		return true
	case n == 1:
		return s.periodNow() >= base
	}
	return span >= int64(n-1)*base
}

// times gives the event times of the open readings, in order.
func (s *sensorState) times(n int) []int64 {
	out := append(make([]int64, 0, n), s.unmade...)
	for i := range s.pending.len() {
		out = append(out, s.pending.ts(i))
	}
	return out
}

// leave notes the first n pending readings as those of a closed window that was not made.
func (s *sensorState) leave(n int) {
	for i := 0; i < n && len(s.unmade) <= maxTimes; i++ {
		s.unmade = append(s.unmade, s.pending.ts(i))
	}
}

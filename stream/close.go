package stream

import (
	"slices"
	"strings"
	"time"
)

// minReadings is how many periods of its sensor a window holds at least.
const minReadings = 6

// length is the nominal length of a sensor's next window: the configured one, or the smallest multiple of it that holds six periods.
func (w *Windower) length(s *sensorState) int64 {
	need := minReadings * s.periodNow()
	if need <= w.base {
		return w.base
	}
	return (need + w.base - 1) / w.base * w.base
}

// periodNow is the configured period, or the learned one; 0 while neither is known.
func (s *sensorState) periodNow() int64 {
	if s.period > 0 {
		return s.period
	}
	return s.memory.period()
}

// candidate is the window that a sensor closes next. Windows of a sensor tile the time: where the length grew, the first longer one begins where
// the last shorter one ended.
type candidate struct{ start, end, length int64 }

func (w *Windower) candidate(s *sensorState) candidate {
	length := w.length(s)
	start := floor(s.pending[0].TS, length)
	return candidate{start: max(start, s.frontier), end: start + length, length: length}
}

// closeDue closes every window of an asset that is due. mono < 0: nothing is idle.
func (w *Windower) closeDue(a *assetState, mono time.Duration) {
	for again := true; again; {
		again = false
		var last candidate // sensors of an asset mostly share their window: judge it once
		var lastBy ClosedBy
		for _, s := range a.sensors {
			if len(s.pending) == 0 {
				continue
			}
			c := w.candidate(s)
			if a.jointEnd(c.length) >= c.end {
				if by := w.dueAlone(s, c, mono); by != "" {
					w.closeGroup(a, []*sensorState{s}, c, by)
					again = true
				}
				continue
			}
			if c.end != last.end || c.length != last.length {
				last, lastBy = c, w.due(a, c, mono)
			}
			by := lastBy
			if by == "" && w.overtaken(a, s, c) {
				by = ByWatermark
			}
			if by != "" {
				w.closeGroup(a, w.group(a, c), c, by)
				again, last = true, candidate{}
			}
		}
	}
}

// dueAlone judges a window whose like the asset has closed already, before this sensor had any reading in it: it waits for its own sensor only.
func (w *Windower) dueAlone(s *sensorState, c candidate, mono time.Duration) ClosedBy {
	switch {
	case s.newest-w.disorder >= c.end:
		return ByWatermark
	case mono >= 0 && mono-s.mono >= w.idleAfter(s.periodNow(), s.stride):
		return ByIdle
	}
	return ""
}

// due judges the window of an asset that ends at c.end (contract, section 5). Its members are the sensors and the context source with a
// reading in [end - 2 length, end).
func (w *Windower) due(a *assetState, c candidate, mono time.Duration) ClosedBy {
	from, to := c.end-2*c.length, c.end
	members := w.members[:0]
	waiting := false // a member is behind and not idle
	for _, s := range a.sensors {
		if !s.hasReading(from, to) {
			continue
		}
		mark := s.newest - w.disorder
		members = append(members, mark)
		if mark < c.end && (mono < 0 || mono-s.mono < w.idleAfter(s.periodNow(), s.stride)) {
			waiting = true
		}
	}
	if k := &a.context; k.has(from, to) {
		mark := k.newest - w.disorder
		members = append(members, mark)
		if mark < c.end && (mono < 0 || mono-k.mono < w.idleAfter(0, k.stride)) {
			waiting = true
		}
	}
	w.members = members
	slices.Sort(members)
	switch {
	case len(members) == 0:
		return ""
	case members[0] >= c.end:
		return ByWatermark
	case members[(len(members)-1)/2] >= c.end+c.length:
		return ByMedian
	case mono >= 0 && !waiting:
		return ByIdle
	}
	return ""
}

// idleAfter is how long a source may send nothing before it counts as idle: the configured time, at least three of its periods, at
// least three of the steps in which it sends.
func (w *Windower) idleAfter(period, stride int64) time.Duration {
	return max(w.cfg.Idle, 3*time.Duration(max(period, stride))*time.Millisecond)
}

// overtaken says whether a later window of the sensor is due already. It closes this one first: windows of a sensor close in order, and a
// member that stopped for good must not hold them.
func (w *Windower) overtaken(a *assetState, s *sensorState, c candidate) bool {
	mark := s.newest - w.disorder
	for mark >= c.end+c.length {
		i := s.from(c.end)
		if i == len(s.pending) {
			return false
		}
		c.end = floor(s.pending[i].TS, c.length) + c.length
		if mark < c.end {
			return false
		}
		if by := w.due(a, c, -1); by != "" {
			return true
		}
	}
	return false
}

// from is the position of the first pending reading at or after ts.
func (s *sensorState) from(ts int64) int {
	i, _ := slices.BinarySearchFunc(s.pending, ts, func(e entry, ts int64) int { return compare(e.TS, ts) })
	return i
}

// hasReading says whether the sensor has an accepted reading in [from, to). Of readings already windowed it knows the last and the first.
func (s *sensorState) hasReading(from, to int64) bool {
	if !s.known {
		return false
	}
	if s.newest >= from && s.newest < to {
		return true
	}
	if i := s.from(from); i < len(s.pending) && s.pending[i].TS < to {
		return true
	}
	last := s.memory.Last
	return last >= from && (last < to || s.FirstSeen < to)
}

func (k *contextState) has(from, to int64) bool {
	i, _ := slices.BinarySearchFunc(k.kept, from, func(e contextEntry, ts int64) int { return compare(e.TS, ts) })
	return i < len(k.kept) && k.kept[i].TS < to
}

// jointEnd is how far the asset's windows of a length have closed together.
func (a *assetState) jointEnd(length int64) int64 {
	for _, f := range a.joint {
		if f.length == length {
			return f.end
		}
	}
	return 0
}

func (a *assetState) setJointEnd(length, end int64) {
	for i := range a.joint {
		if a.joint[i].length == length {
			a.joint[i].end = max(a.joint[i].end, end)
			return
		}
	}
	a.joint = append(a.joint, frontier{length, end})
}

// group gives the sensors whose next window ends with c, by name: the order of closing does not depend on who came first.
func (w *Windower) group(a *assetState, c candidate) []*sensorState {
	var out []*sensorState
	for _, s := range a.sensors {
		if len(s.pending) == 0 {
			continue
		}
		if o := w.candidate(s); o.end == c.end && o.length == c.length {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(x, y *sensorState) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// closeGroup closes the windows of some sensors of an asset that end together: figures of each, then figures against each other, then verdict, score
// and memory one by one.
func (w *Windower) closeGroup(a *assetState, group []*sensorState, c candidate, by ClosedBy) {
	closed := make([]*closing, 0, len(group))
	for _, s := range group {
		cand := w.candidate(s)
		n := s.from(cand.end)
		if m := w.measure(s, s.pending[:n], cand, by); m != nil {
			closed = append(closed, m)
		}
		s.pending = slices.Delete(s.pending, 0, n)
		s.frontier = cand.end
		w.touch(s)
	}
	for _, m := range closed {
		comparison{closed}.fill(m)
	}
	for _, m := range closed {
		frozen := w.score(m.window)
		m.learn(frozen)
		m.window.Memory = m.sensor.memory.encode()
		m.window.PeriodMs = m.sensor.periodNow()
		w.batch.Windows = append(w.batch.Windows, m.window)
	}
	if len(group) > 1 || a.jointEnd(c.length) < c.end {
		a.setJointEnd(c.length, c.end)
	}
	w.prune(a)
}

// Tick lets the monotonic time pass: windows close whose members behind have been silent for too long. wall is the present wall clock in milliseconds; it
// decides only whether a window is live.
func (w *Windower) Tick(mono time.Duration, wall int64) {
	w.received = wall
	for _, a := range w.assets {
		if w.stalled(a, mono) {
			w.closeDue(a, mono)
		}
	}
}

// stalled says whether an asset has open readings and a source that fell silent.
func (w *Windower) stalled(a *assetState, mono time.Duration) bool {
	open, silent := false, a.context.known && mono-a.context.mono >= w.cfg.Idle
	for _, s := range a.sensors {
		open = open || len(s.pending) > 0
		silent = silent || mono-s.mono >= w.cfg.Idle
	}
	return open && silent
}

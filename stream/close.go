package stream

import (
	"math"
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
	return s.past.period
}

// candidate is the window that a sensor closes next. Windows of a sensor tile the time: where the length grew, the first longer one begins where
// the last shorter one ended.
type candidate struct {
	start, end, length int64
	cut                bool // it ends early, where the sensor woke up
	left               bool // the asset has closed windows this far already, and the sensor's readings came after
	between            bool // it overlaps those that learn
}

// busy is how many readings within the configured length say that a slow sensor woke up. Its long window ends there: one that sends every second now must
// not be unseen for hours.
const busy = 2 * minReadings

func (w *Windower) candidate(s *sensorState) candidate {
	first, length := s.pending.ts(0), w.length(s)
	c := candidate{start: floor(first, length), length: length}
	c.end = c.start + length
	if length > w.base && s.period == 0 {
		switch woke := w.woke(s, c.end); {
		case woke <= first:
			c = candidate{start: woke, end: woke + w.base, length: w.base}
		case woke < c.end:
			c.end, c.cut = woke, true
		}
	}
	c.start, c.left = max(c.start, s.frontier), s.left(c.end, c.length)
	return c
}

// woke is the start of the first busy stretch of the configured length before end, end when there is none.
func (w *Windower) woke(s *sensorState, end int64) int64 {
	for i := 0; i < s.pending.len() && s.pending.ts(i) < end; {
		start := floor(s.pending.ts(i), w.base)
		next := s.from(start + w.base)
		if next-i >= busy {
			return start
		}
		i = next
	}
	return end
}

// from is the position of the first pending reading at or after ts.
func (s *sensorState) from(ts int64) int {
	return s.pending.from(ts)
}

// left says whether a window of the sensor comes after the asset closed windows that far. Without a reading that came behind it does not: it was only
// not due.
func (s *sensorState) left(end, length int64) bool {
	return s.behind && s.asset.jointEnd(length) >= end
}

// closeDue closes every window of an asset that is due, in the order of their ends. mono < 0: nothing is idle.
func (w *Windower) closeDue(a *assetState, mono time.Duration) {
	horizon := int64(math.MinInt64)
	for again := true; again; {
		again = false
		w.judged = w.judged[:0]
		for horizon = max(horizon, w.horizon(a, mono)); w.closeNext(a, horizon, mono); {
			again = true
			w.judged = w.judged[:0]
		}
	}
	w.wait(a)
}

// closeNext closes the earliest window of an asset that may close, together with its like. It says whether there was one.
func (w *Windower) closeNext(a *assetState, horizon int64, mono time.Duration) bool {
	first := candidate{end: math.MaxInt64}
	var by ClosedBy
	for _, s := range a.sensors {
		c, ok := w.upcoming(s)
		if !ok {
			continue
		}
		if c.end > first.end || c.end == first.end && c.length >= first.length {
			continue
		}
		j, passed := w.judge(a, c, mono), w.passed(s, c.end)
		switch {
		case j.by != "" && passed:
			first, by = c, j.by
		case j.idle && passed || (j.idle || j.by != "") && w.silent(s, mono):
			first, by = c, ByIdle
		case passed && !c.left && (!c.between && a.jointEnd(c.length) >= c.end || s.overtaken(c, horizon) && !j.held):
			first, by = c, ByWatermark // its like has closed without it, or it holds up its own next one
		}
	}
	if by == "" {
		return false
	}
	w.closeGroup(a, first, by, mono)
	return true
}

// passed says whether a sensor has gone on beyond the end of a window. Its mates do not close its window before, however far ahead they are: what it
// still sends would be late. One that is known to send late must have gone on by the disorder too.
func (w *Windower) passed(s *sensorState, end int64) bool {
	return s.newest >= end && (!s.behind || s.newest-w.disorder >= end)
}

// silent says whether a sensor has sent nothing for so long that it counts as idle.
func (w *Windower) silent(s *sensorState, mono time.Duration) bool {
	return w.idle(mono, s.mono, s.periodNow(), s.pace.stride)
}

// dueSensor is a sensor with the window that it closes next.
type dueSensor struct {
	*sensorState
	candidate
	early bool // another window of the sensor closes before it: it is only compared with
}

// together gives the sensors whose next window ends with c, by name: the order of closing does not depend on who came first.
func (w *Windower) together(a *assetState, c candidate) []dueSensor {
	out := w.group[:0]
	for _, s := range a.sensors {
		if o, early, ok := w.alike(s, c); ok {
			out = append(out, dueSensor{s, o, early})
		}
	}
	slices.SortFunc(out, func(x, y dueSensor) int { return strings.Compare(x.Name, y.Name) })
	w.group = out
	return out
}

// closeGroup closes the windows of an asset that end together: figures of each, then figures against each other, then verdict, score and memory
// one by one. A sensor that is behind, and not idle where that is why they close, keeps its own window open and is only compared with.
func (w *Windower) closeGroup(a *assetState, c candidate, by ClosedBy, mono time.Duration) {
	closed, behind := w.closed[:0], w.lagging[:0]
	for _, g := range w.together(a, c) {
		s := g.sensorState
		n, m := 0, (*closing)(nil)
		if g.between {
			m = w.measureBetween(s, g.candidate, by)
		} else {
			n = s.from(c.end)
			w.open = s.pending.entries(w.open[:0], 0, n)
			m = w.measure(s, w.open, g.candidate, by)
		}
		if g.early || !w.passed(s, c.end) && !(by == ByIdle && w.silent(s, mono)) {
			if m != nil {
				behind = append(behind, m)
			}
			continue
		}
		if g.between {
			if m != nil {
				closed = append(closed, m)
			}
			s.hop.closed(g.candidate, s.frontier, m != nil)
			continue
		}
		if s.hop != nil {
			s.hop.keep(g.candidate, w.open, s.past)
		}
		if m != nil {
			closed = append(closed, m)
			s.unmade, s.made = nil, c.end
		} else {
			s.leave(n)
		}
		s.last = s.pending.ts(n - 1)
		w.open = s.pending.drop(n, w.open)
		s.frontier = c.end
		w.touch(s)
	}
	mates := a.mates(w.mates, closed, behind)
	for _, m := range closed {
		m.compare(mates)
	}
	w.guardClosed(a, c, closed)
	for _, m := range closed {
		if m.window.Between {
			m.window.Memory = m.encodeBetween()
			w.score(m.window)
		} else {
			m.learn(w.score(m.window))
			m.window.Memory = m.sensor.past.packed
		}
		m.window.PeriodMs = m.sensor.periodNow()
		w.batch.Windows = append(w.batch.Windows, m.window)
	}
	a.remember(mates)
	w.mates = mates
	if !c.between {
		a.setJointEnd(c.length, c.end)
	}
	w.prune(a)
	for _, done := range [...][]*closing{closed, behind} {
		for _, m := range done {
			w.reuse(m)
		}
	}
	w.closed, w.lagging = closed, behind
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
	w.listen(mono)
}

// stalled says whether an asset has open readings and a source that fell silent.
func (w *Windower) stalled(a *assetState, mono time.Duration) bool {
	open, silent := false, a.context.known && mono-a.context.mono >= w.cfg.Idle
	for _, s := range a.sensors {
		open = open || w.unclosed(s)
		silent = silent || mono-s.mono >= w.cfg.Idle
	}
	return open && silent
}

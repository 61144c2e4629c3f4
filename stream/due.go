package stream

import (
	"math"
	"slices"
	"time"
)

// judged is what the closing rules say of the windows of an asset that end at end and are length long.
type judged struct {
	end, length int64
	left        bool
	by          ClosedBy // closed by event time; empty: not yet
	idle        bool     // whoever is behind has been silent for too long
	held        bool     // somebody behind is known to send late: nobody overtakes it
}

// judge answers rule once for all sensors that share a window.
func (w *Windower) judge(a *assetState, c candidate, mono time.Duration) judged {
	for _, j := range w.judged {
		if j.end == c.end && j.length == c.length && j.left == c.left {
			return j
		}
	}
	j := w.rule(a, c, mono)
	w.judged = append(w.judged, j)
	return j
}

// rule applies the closing rules to a window of an asset (contract, section 5). Its members are the asset's sensors and its context source with a
// reading in [end - 2 length, end).
//
// Where the asset has closed windows that far already, because a clock is ahead or because some sensors' past comes after the others', the
// members are those who are left: those ahead would otherwise outvote them, and close their windows at the first reading.
func (w *Windower) rule(a *assetState, c candidate, mono time.Duration) judged {
	j := judged{end: c.end, length: c.length, left: c.left}
	from, to := c.end-2*c.length, c.end
	w.members = w.members[:0]
	waiting := false // a member is behind and not idle
	for _, s := range a.sensors {
		mark, ok := s.member(from, to, w.disorder)
		if !ok || j.left && s.frontier >= c.end {
			continue
		}
		w.members = append(w.members, mark)
		if mark < c.end {
			j.held = j.held || s.behind
			waiting = waiting || !w.idle(mono, s.mono, s.periodNow(), 0) // its steps are its own window's affair
		}
	}
	if k := &a.context; !j.left && k.has(from, to) {
		mark := k.newest - w.disorder
		w.members = append(w.members, mark)
		if mark < c.end {
			j.held = j.held || k.behind
			waiting = waiting || !w.idle(mono, k.mono, 0, k.pace.stride)
		}
	}
	if n := len(w.members); n > 0 {
		slices.Sort(w.members)
		switch {
		case w.members[0] >= c.end:
			j.by = ByWatermark
		case w.members[(n-1)/2] >= c.end+c.length:
			j.by = ByMedian
		default:
			j.idle = !waiting
		}
	}
	return j
}

// idle says whether a source that was last heard at heard has sent nothing for so long that it is not waited for: the configured time, at least three of
// its periods, at least three of the steps in which it sends. mono < 0: nothing is idle.
func (w *Windower) idle(mono, heard time.Duration, period, stride int64) bool {
	return mono >= 0 && mono-heard >= max(w.cfg.Idle, 3*time.Duration(max(period, stride))*time.Millisecond)
}

// horizon is the end of the latest window of an asset that is due by event time: all that comes in order comes after it. Whether a window is
// that far ahead of its sensor's open one is asked of windows of the configured length: how long the sensor's own will be is not known before the
// earlier ones close. MinInt64 when none is.
func (w *Windower) horizon(a *assetState, mono time.Duration) int64 {
	h, next, top := int64(math.MinInt64), int64(math.MaxInt64), floor(a.newest-w.disorder, a.step)
	for _, s := range a.sensors {
		c, ok := w.upcoming(s)
		if !ok {
			continue
		}
		if c.end > h && !c.left && w.judge(a, c, mono).by != "" {
			h = c.end
		}
		if !c.left && c.end < min(top, next) {
			if i := s.from(c.end); i < s.pending.len() && s.hop != nil {
				next = min(next, c.end)
			} else if i < s.pending.len() {
				next = min(next, s.pending.ts(i))
			}
		}
	}
	for end := top; next < end && h < end; {
		if w.rule(a, candidate{end: end, length: w.base}, mono).by != "" {
			return end
		}
		if end -= a.step; len(w.members) == 0 { // nobody was heard: on to the last window that somebody was heard for
			end = min(end, floor(a.heardBefore(end-w.base), a.step)+2*w.base)
		}
	}
	return h
}

// heardBefore gives the newest event time known of an asset before ts, far in the past when there is none.
func (a *assetState) heardBefore(ts int64) int64 {
	at := int64(math.MinInt64 / 2)
	for _, s := range a.sensors {
		for _, v := range [...]int64{s.newest, s.last} {
			if s.known && v < ts {
				at = max(at, v)
			}
		}
		if i := s.from(ts); i > 0 {
			at = max(at, s.pending.ts(i-1))
		}
	}
	k := &a.context
	if i, _ := k.from(ts); i > 0 {
		at = max(at, k.kept[i-1].TS)
	}
	return at
}

// overtaken says whether a sensor has gone on to readings before the horizon. Then its earlier window closes first: windows of a sensor close in order, those of
// an asset that end together close together whoever came first, and a member that stopped for good holds nobody.
func (s *sensorState) overtaken(c candidate, horizon int64) bool {
	if c.end >= horizon {
		return false
	}
	i := s.from(c.end)
	return i < s.pending.len() && (s.hop != nil || s.pending.ts(i) < horizon) // what hops has later windows with the same readings
}

// hold marks, after a restart, whose fault it was that a window did not close before. One that nobody held was put off.
func (w *Windower) hold(a *assetState) {
	w.judged = w.judged[:0]
	horizon := w.horizon(a, -1)
	for _, s := range a.sensors {
		switch c, by := w.heldBy(a, s, horizon); by {
		case itself:
			s.behind = true
		case itsMates:
			for _, o := range a.sensors {
				mark, ok := o.member(c.end-2*c.length, c.end, w.disorder)
				o.behind = o.behind || ok && mark < c.end
			}
			k := &a.context
			k.behind = k.behind || k.newest-w.disorder < c.end && k.has(c.end-2*c.length, c.end)
		}
	}
	w.judged = w.judged[:0]
}

// holder is who held a window back.
type holder uint8

const (
	nobody holder = iota
	itself
	itsMates // those of them that are behind
)

// heldBy says who must have held a sensor's next window back, seen from what is stored: one that sends late.
func (w *Windower) heldBy(a *assetState, s *sensorState, horizon int64) (candidate, holder) {
	if s.pending.len() == 0 {
		return candidate{}, nobody
	}
	c := w.candidate(s)
	by := w.judge(a, c, -1).by
	switch {
	case !w.passed(s, c.end): // it keeps its window open itself
	case s.disputed(c.end): // it did close, and left no window
	case a.jointEnd(c.length) >= c.end, by == ByMedian && s.newest-w.disorder < c.end:
		return c, itself
	case by == "" && s.overtaken(c, horizon):
		return c, itsMates
	}
	return c, nobody
}

// disputed says whether all open readings before end are in dispute.
func (s *sensorState) disputed(end int64) bool {
	for i := range s.from(end) {
		if !s.pending.disputed(i) {
			return false
		}
	}
	return true
}

// member says whether a sensor has an accepted reading in [from, to), and gives its watermark. Of one that has closed a window beyond to it is
// not known any more; it counts as a member that has passed: nothing before to can still come in order.
func (s *sensorState) member(from, to, disorder int64) (mark int64, ok bool) {
	mark = s.newest - disorder
	switch last := s.last; {
	case !s.known || s.newest < from:
		return 0, false
	case s.newest < to || last >= from && last < to:
		return mark, true
	case last >= to && s.past.first < to:
		return max(mark, to), true
	}
	i := s.from(from)
	return mark, i < s.pending.len() && s.pending.ts(i) < to
}

func (k *contextState) has(from, to int64) bool {
	i, _ := k.from(from)
	return i < len(k.kept) && k.kept[i].TS < to
}

// jointEnd is how far the asset's windows of a length have closed together; MinInt64 when none has.
func (a *assetState) jointEnd(length int64) int64 {
	for _, f := range a.joint {
		if f.length == length {
			return f.end
		}
	}
	return math.MinInt64
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

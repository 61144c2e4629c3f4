package stream

import (
	"fmt"
	"math"
	"slices"
)

// A sensor whose kind hops has, beside its tumbling windows, windows between them: [k × hop, k × hop + length) for every k that is no multiple of the length. A reading lies in
// length/hop windows.
//
// The tumbling ones are the sensor's windows as ever: they learn, they count, they say which readings are open, and their code does not know of the others. One between is judged
// by the memory of the last window that learnt and ended at or before the multiple of the length below its start, moved over the readings from there to its start; it teaches
// nothing. Nothing is folded twice.
//
// Only sensors whose windows have the configured length hop. A longer window, one that was cut and one that a change of lengths cut short have none that overlap them.

// MaxHops is how many windows a reading lies in at most.
const MaxHops = 12

// hopping is what a sensor keeps that hops. It belongs to its sensor.
type hopping struct {
	every  int64   // the hop, ms
	length int64   // the configured window length, ms, a multiple of it
	next   int64   // start of the first window between that has not closed, ms
	end    int64   // end of the last one that has, ms; MinInt64: none
	made   int64   // and of the last one that was made: another has nothing but readings in dispute
	held   bool    // the readings of the last window that learnt are held
	start  int64   // its start, ms
	kept   pending // and its readings, in dispute or not
	before past    // the sensor's before that window
	stale  bool    // the hop is new: what lies behind is not known yet
}

// hopOf gives the hop of a sensor with limits, ms; 0: it tumbles.
func (c *Config) hopOf(l *Limits) int64 {
	hop := c.Hop.Milliseconds()
	if l.HopS > 0 {
		hop = int64(math.Round(l.HopS * 1000))
	}
	if hop == c.Window.Milliseconds() {
		return 0
	}
	return hop
}

// Begins says whether a sensor with these limits has windows that begin at a time, ms. Those of slow sensors are longer, and begin more seldom.
func (c *Config) Begins(l *Limits, start int64) bool {
	hop := c.hopOf(l)
	if hop == 0 {
		hop = c.Window.Milliseconds()
	}
	return start%hop == 0
}

// hopFault says what is wrong with the hop of limits; nil: nothing.
func (c *Config) hopFault(l *Limits) error {
	hop, length := c.hopOf(l), c.Window.Milliseconds()
	given := fmt.Sprint(c.Hop)
	if l.HopS != 0 {
		given = fmt.Sprintf("%gs", l.HopS)
	}
	switch tumbles := hop == 0 && (l.HopS == 0 || l.HopS*1000 >= 1); {
	case tumbles || hop > 0 && hop <= length && length%hop == 0 && length/hop <= MaxHops && l.HopS >= 0:
		return nil
	}
	return fmt.Errorf("must be the window's length %s divided by a whole number up to %d, not %s", c.Window, MaxHops, given)
}

// setHop puts a hop into force, 0: none. What has begun and is not closed by then goes by it: reopen finds that.
func (s *sensorState) setHop(hop, length int64) {
	switch {
	case hop == 0:
		s.hop = nil
	case s.hop == nil:
		s.hop = &hopping{every: hop, length: length, next: math.MinInt64, end: math.MinInt64, made: math.MinInt64, stale: true}
	case s.hop.every != hop:
		s.hop.every, s.hop.stale = hop, true
	}
}

// setStep finds how far apart the asset's windows may end: the largest time that all lengths and hops are multiples of.
func (w *Windower) setStep(a *assetState) {
	step := w.base
	for _, s := range a.sensors {
		if s.hop != nil {
			step = gcd(step, s.hop.every)
		}
	}
	if step == a.step {
		return
	}
	a.step = step
	for _, s := range a.sensors {
		if s.known {
			s.lookNext(w)
		}
	}
	if k := &a.context; k.known {
		k.mark = next(k.newest-w.disorder, step)
	}
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// first is the start of the first window between at or after ts.
func (h *hopping) first(ts int64) int64 {
	k := next(ts-1, h.every)
	if k%h.length == 0 {
		k += h.every
	}
	return k
}

// openFrom is the start of the first window between that has not closed, 0 where there is none.
func (s *sensorState) openFrom() int64 {
	if s.hop == nil {
		return 0
	}
	return s.hop.next
}

// unclosed says whether the sensor has readings in a window that has not closed.
func (w *Windower) unclosed(s *sensorState) bool {
	if s.pending.len() > 0 {
		return true
	}
	if s.hop == nil {
		return false
	}
	_, ok := w.between(s)
	return ok
}

// upcoming is the window that a sensor closes next. Its windows close in the order of their ends.
func (w *Windower) upcoming(s *sensorState) (c candidate, ok bool) {
	if ok = s.pending.len() > 0; ok {
		c = w.candidate(s)
	}
	if s.hop == nil {
		return c, ok
	}
	if b, there := w.between(s); there && (!ok || b.end < c.end) {
		return b, true
	}
	return c, ok
}

// between is the first window between of a sensor that has not closed and has a reading.
func (w *Windower) between(s *sensorState) (candidate, bool) {
	h := s.hop
	if w.length(s) != h.length {
		return candidate{}, false
	}
	var ts int64
	if i := h.kept.from(h.next); i < h.kept.len() {
		ts = h.kept.ts(i)
	} else if i := s.from(h.next); i < s.pending.len() {
		ts = s.pending.ts(i)
	} else {
		return candidate{}, false
	}
	start := max(h.next, h.first(ts-h.length+1))
	return candidate{start: start, end: start + h.length, length: h.length, between: true}, true
}

// alike gives the window of a sensor that ends with c and is as long, if it has one with a reading that has not closed, and whether another of the sensor's closes before it.
func (w *Windower) alike(s *sensorState, c candidate) (o candidate, early, ok bool) {
	if !c.between {
		if s.pending.len() == 0 {
			return o, false, false
		}
		o = w.candidate(s)
		if o.end != c.end || o.length != c.length || o.left != c.left {
			return o, false, false
		}
		if s.hop != nil {
			b, there := w.between(s)
			early = there && b.end < o.end
		}
		return o, early, true
	}
	start := c.end - c.length
	if s.hop == nil || w.length(s) != c.length || !s.hasOpenBetween(start, c.end) {
		return o, false, false
	}
	n, _ := w.upcoming(s)
	return candidate{start: start, end: c.end, length: c.length, between: true}, n.end < c.end, true
}

// hasOpenBetween says whether the sensor has a window between of this time that has not closed, with a reading.
func (s *sensorState) hasOpenBetween(start, end int64) bool {
	h := s.hop
	if start < h.next || start%h.every != 0 || start%h.length == 0 || end-start != h.length {
		return false
	}
	if i := h.kept.from(start); i < h.kept.len() && h.kept.ts(i) < end {
		return true
	}
	i := s.from(start)
	return i < s.pending.len() && s.pending.ts(i) < end
}

// hasOpen says whether the sensor has a window of the time of a mate's that has not closed, with a reading.
func (s *sensorState) hasOpen(m *mate) bool {
	if m.between {
		return s.hop != nil && s.hasOpenBetween(m.start, m.end)
	}
	i := s.from(m.start)
	return i < s.pending.len() && s.pending.ts(i) < m.end
}

// hasClosed says whether a window of the sensor has closed.
func (s *sensorState) hasClosed(m *mate) bool {
	if m.between {
		return s.hop != nil && m.start < s.hop.next
	}
	return s.frontier >= m.end
}

// whole says whether windows between overlap one that learnt: it has the configured length, at a multiple of that.
func (h *hopping) whole(start, end, nominal int64, cut bool) bool {
	return nominal == h.length && !cut && end-start == h.length && start%h.length == 0
}

// keep takes a window that learns as it closes, with its readings and the memory before it: windows between go on from them.
func (h *hopping) keep(c candidate, entries []entry, before past) {
	if !h.whole(c.start, c.end, c.length, c.cut) {
		h.held, h.kept, h.next = false, pending{}, max(h.next, h.first(c.end))
		return
	}
	h.held, h.start, h.before, h.next = true, c.start, before, max(h.next, h.first(c.start+1))
	h.fill(entries)
	h.release(c.end)
}

func (h *hopping) fill(entries []entry) {
	h.kept = pending{}
	for i := range entries {
		if at, _ := h.kept.insert(entries[i].Reading); entries[i].conflicted {
			h.kept.dispute(at)
		}
	}
}

// release lets the held readings go once no window that has not closed reaches back to them.
func (h *hopping) release(frontier int64) {
	if h.held && h.next >= frontier {
		h.held, h.kept = false, pending{}
	}
}

// closed notes that a window between has closed, and whether it was made.
func (h *hopping) closed(c candidate, frontier int64, made bool) {
	if h.end, h.next = c.end, h.first(c.start+1); made {
		h.made = c.end
	}
	h.release(frontier)
}

// late takes a reading behind the frontier that was stored after all; disputed marks one.
func (h *hopping) late(r Reading, frontier int64) {
	if h.held && r.TS >= h.start && r.TS < frontier {
		h.kept.insert(r)
	}
}

func (h *hopping) disputed(ts int64) {
	if i := h.kept.from(ts); i < h.kept.len() && h.kept.ts(i) == ts {
		h.kept.dispute(i)
	}
}

// measureBetween gathers the own figures of a window between; nil when it has no reading that is not in dispute.
func (w *Windower) measureBetween(s *sensorState, c candidate, by ClosedBy) *closing {
	h, head := s.hop, floor(c.start, c.length)
	w.open = h.kept.entries(w.open[:0], h.kept.from(head), h.kept.from(c.end))
	w.open = s.pending.entries(w.open, s.from(head), s.from(c.end))
	g := &sensorState{Sensor: s.Sensor, source: s.source, limits: s.limits, mate: s.mate, period: s.period, asset: s.asset, past: s.past}
	if h.held && h.start == head {
		g.past = h.before
	}
	m := w.measureFrom(g, w.open, c, by)
	if m != nil {
		m.sensor = s
	}
	return m
}

// measureFrom measures a window between from the readings of the multiple of its length below its start on. g is its sensor as it was there.
func (w *Windower) measureFrom(g *sensorState, entries []entry, c candidate, by ClosedBy) *closing {
	n, _ := slices.BinarySearchFunc(entries, c.start, func(e entry, ts int64) int { return compare(e.TS, ts) })
	if n == len(entries) {
		return nil
	}
	if n > 0 {
		if m := w.measure(g, entries[:n], candidate{start: floor(c.start, c.length), end: c.start, length: c.length}, by); m != nil {
			g.past = m.memory.pack() // how its readings ended: a value that stands still, a fault code that goes on
		}
	}
	m := w.measure(g, entries[n:], c, by)
	if m != nil {
		m.window.Between = true
	}
	return m
}

// betweenVersion is the first byte of what is stored as the memory of a window between: only what its mates' windows are compared with after a restart.
const betweenVersion = 'h'

// encodeBetween writes what is stored of a window between in the place of a memory.
func (m *closing) encodeBetween() []byte {
	return []byte{betweenVersion, byte(m.memory.Gauge.Verdict)}
}

// IsBetween says whether a stored memory is that of a window between: of one that overlaps those that learn.
func IsBetween(memory []byte) bool { return len(memory) > 0 && memory[0] == betweenVersion }

// mateBetween gives a closed window between as others compare with it.
func mateBetween(s *sensorState, w *Window) mate {
	slope := orZero(w.Features[FSlope])
	verdict := int64(gaugeBroken)
	if len(w.Memory) > 1 {
		verdict = int64(w.Memory[1])
	}
	return mate{sensor: s, start: w.Start, end: w.End, length: w.End - w.Start, mean: w.Features[FMean], slope: slope, verdict: verdict, between: true, move: math.NaN(), over: orZero(w.Features[FRiseBaseline])}
}

package stream

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// lateAt is a time of a sensor behind its last closed window at which something changed.
type lateAt struct {
	sensor *sensorState
	ts     int64
	why    cause
	open   bool  // of a sensor that hops: only windows between have closed there
	next   int64 // and the first of those that had not closed when it came; 0: it does not matter
	till   int64 // of follows with open: those that begin before it
}

type cause uint8

const (
	stands   cause = iota // a stored reading came to be in dispute
	arrived               // a reading was stored
	follows               // the window before it was made anew, and ends otherwise
	released              // ReleaseWindow was called
)

// acceptLate takes a reading that comes behind its sensor's last closed window, no later than Config.Lateness. It is stored as any other; its window is made anew once, when the
// batch is taken, however many came for it.
func (w *Windower) acceptLate(s *sensorState, r Reading, mono time.Duration) {
	w.batch.Count.Stored++
	w.batch.Readings = append(w.batch.Readings, Stored{SensorID: s.ID, Reading: r})
	w.late = append(w.late, lateAt{sensor: s, ts: r.TS, why: arrived, next: s.openFrom()})
	if s.hop != nil {
		s.hop.late(r, s.frontier)
	}
	if !w.releasing {
		s.mono = mono
	}
	s.last, s.asset.waits = max(s.last, r.TS), waits{}
	s.behind = s.asset.advance(r.TS, w.disorder) && !w.releasing || s.behind
	if r.TS > s.newest { // silence had closed its window
		s.advance(r.TS)
		s.lookNext(w)
		w.closeDue(s.asset, -1)
	}
}

// inTime says whether a reading behind its sensor's last closed window may still revise one.
func (w *Windower) inTime(s *sensorState, ts int64) bool {
	return w.history != nil && (w.releasing || s.newest-ts <= w.cfg.Lateness.Milliseconds())
}

// MakeRevisions makes the windows anew that late readings, late disputes and ReleaseWindow ask for, in the filling batch. It goes before Take, after the batch last taken was
// committed; Take does it otherwise, and cannot say what went wrong.
//
// A late reading where its sensor has no window makes the one that it belongs to, with revision 0: of the length that the sensor's windows had before it, aligned to that length,
// cut where a neighbour begins or ends. An error is fatal, as Feed's. Windows that were put off and must not wait close before.
func (w *Windower) MakeRevisions() error {
	w.closeDoubtful()
	if w.failed != nil || len(w.late) == 0 {
		return w.failed
	}
	clear(w.expired)
	err := w.makeRevisions()
	w.late, w.failed = w.late[:0], err
	return err
}

func (w *Windower) makeRevisions() error {
	slices.SortStableFunc(w.late, func(a, b lateAt) int { return cmp.Or(compare(a.sensor.ID, b.sensor.ID), compare(a.ts, b.ts)) })
	r := w.newRevising(nil)
	for late := w.late; len(late) > 0; {
		r.plans, r.next = r.plans[:0], nil
		for rest := late; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].sensor == rest[0].sensor {
				n++
			}
			if rest[0].sensor.hop != nil {
				r.hops = append(r.hops, rest[:n]...)
			}
			if err := r.plan(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if len(r.plans) == 0 {
			break
		}
		var err error
		if r.stored, err = w.gather(r.plans); err != nil {
			return err
		}
		for _, p := range r.plans {
			if err := r.make(p); err != nil {
				return err
			}
		}
		late = r.next // sorted, as the plans were
	}
	return r.makeBetween()
}

// revising is one making of revisions.
type revising struct {
	*Windower
	windows map[int64][]*Window // by sensor: those that are in no commit yet, in the order of their making
	plans   []revisionPlan
	stored  *stored
	next    []lateAt // windows that the made ones end otherwise for
	hops    []lateAt // what came for sensors that hop: windows between are made last
}

// revisionPlan is one window to be made.
type revisionPlan struct {
	sensor     *sensorState
	start, end int64
	old        *Window // its newest revision; nil: there is none yet
	fresh      int     // readings stored for it since
	follows    bool    // nothing of its own has changed
	released   bool    // a person asks whether it may be scored by now
	between    bool
}

// newRevising begins with the windows that are in no commit: of one sensor, or of all that something late came for.
func (w *Windower) newRevising(only *sensorState) *revising {
	r := &revising{Windower: w, windows: map[int64][]*Window{}}
	if only != nil {
		r.windows[only.ID] = nil
	}
	for _, l := range w.late {
		r.windows[l.sensor.ID] = nil
	}
	r.uncommitted()
	return r
}

// uncommitted gathers the windows that are in no commit, of the sensors in windows.
func (r *revising) uncommitted() {
	for id := range r.windows {
		r.windows[id] = nil
	}
	for _, b := range []*Batch{r.taken, r.batch} {
		if b == nil {
			continue
		}
		for _, win := range b.Windows {
			if of, wanted := r.windows[win.Sensor.ID]; wanted {
				r.windows[win.Sensor.ID] = append(of, win)
			}
		}
	}
}

// window gives the newest revision of a sensor's last window that learnt and starts at or before ts, nil when there is none.
func (r *revising) window(s *sensorState, ts int64) (*Window, error) {
	w, err := r.any(s, ts)
	for w != nil && err == nil && IsBetween(w.Memory) {
		w, err = r.any(s, w.Start-1)
	}
	return w, err
}

// any does the same for windows between, too.
func (r *revising) any(s *sensorState, ts int64) (*Window, error) {
	found, err := r.history.Window(s.ID, ts)
	if err != nil {
		return nil, fmt.Errorf("look up window: %w", err)
	}
	for _, win := range r.windows[s.ID] {
		if win.Start <= ts && (found == nil || win.Start > found.Start || win.Start == found.Start && win.Revision > found.Revision) {
			found = win
		}
	}
	return found, nil
}

// plan finds the windows of one sensor that are to be made, by the times of what came, in order.
func (r *revising) plan(late []lateAt) error {
	s := late[0].sensor
	var p *revisionPlan
	for _, l := range late {
		if l.open {
			continue
		}
		if p == nil || l.ts >= p.end {
			next, err := r.planned(s, l)
			if err != nil {
				return err
			}
			if next == nil {
				continue
			}
			next.follows = l.why == follows
			r.plans = append(r.plans, *next)
			p = &r.plans[len(r.plans)-1]
		}
		p.released, p.follows = p.released || l.why == released, p.follows && l.why == follows
		if l.why == arrived {
			p.fresh++
		}
	}
	return nil
}

// planned finds the window that a time belongs to. A dispute where no window was made leaves none.
func (r *revising) planned(s *sensorState, l lateAt) (*revisionPlan, error) {
	old, err := r.window(s, l.ts)
	if err != nil {
		return nil, err
	}
	if old != nil && l.ts < old.End {
		return &revisionPlan{sensor: s, start: old.Start, end: old.End, old: old}, nil
	}
	if l.why != arrived {
		return nil, nil
	}
	before, err := ghost(s, old)
	if err != nil {
		return nil, err
	}
	length := r.length(before)
	p := &revisionPlan{sensor: s, start: floor(l.ts, length)}
	p.end = min(p.start+length, s.frontier)
	for {
		o, err := r.window(s, p.end-1)
		switch {
		case err != nil:
			return nil, err
		case o == nil:
			return p, nil
		case o.Start <= l.ts:
			p.start = max(p.start, o.End)
			return p, nil
		}
		p.end = o.Start
	}
}

// ghost is a sensor as it was when a window of it had closed: what its next one was measured with. nil: it had none yet.
func ghost(s *sensorState, last *Window) (*sensorState, error) {
	g := &sensorState{Sensor: s.Sensor, source: s.source, limits: s.limits, mate: s.mate, period: s.period, asset: s.asset}
	if last == nil {
		return g, nil
	}
	if _, err := g.recall(last.Memory); err != nil {
		return nil, fmt.Errorf("look up window of %s/%s/%s: %w", s.Site, s.Asset, s.Name, err)
	}
	return g, nil
}

// make makes one window and puts it into the filling batch.
func (r *revising) make(p revisionPlan) error {
	s := p.sensor
	entries := within(r.stored.readings[s.ID], p.start, p.end)
	if p.old != nil && len(entries)-p.fresh < p.old.N { // some of its readings have expired: it stands
		if p.released {
			r.stand(Key(p.start, p.sensor.ID))
		}
		return nil
	}
	r.revised.hold(s.ID, p.start, p.end, entries, r.stored.contexts[s.AssetID])
	before, err := r.window(s, p.start-1)
	if err != nil {
		return err
	}
	c := candidate{start: p.start, end: p.end}
	by := ByLate
	if p.old != nil {
		old, err := ghost(s, p.old)
		if err != nil {
			return err
		}
		was := old.past.memory()
		c.length, c.cut, by = was.Nominal, was.Cut != 0, p.old.ClosedBy
		if before == nil && was.Windows > 1 { // what was before it has expired
			before = p.old
		}
	}
	g, err := ghost(s, before)
	if err != nil {
		return err
	}
	if p.old == nil {
		if c.length = r.length(g); len(s.unmade) > 0 && len(entries) > 0 && s.unmade[0] < entries[0].TS {
			g.unmade = s.unmade // the sensor was heard before
		}
	}
	g.asset = &assetState{Asset: s.asset.Asset, context: contextState{kept: r.stored.contexts[s.AssetID]}}
	var m *closing
	if len(entries) > 0 {
		m = r.measure(g, entries, c, by)
	}
	if m == nil {
		r.leaveBehind(p, entries) // a window whose readings are all in dispute by now stands: it cannot be unmade
		return nil
	}
	if p.old != nil && p.fresh == 0 && !p.released && !p.follows && m.window.N == p.old.N {
		return nil // the dispute is not new
	}
	m.window.Sensor, m.window.Behind = s.Sensor, p.end < s.made
	if p.old != nil {
		err = r.replace(p, m)
	} else {
		err = r.fill(p, before, m)
	}
	if err == nil && s.hop != nil {
		err = r.refresh(s)
	}
	return err
}

// carry is what a window's own figures take over from the one before it: a value that stands still, a fault code that goes on, the good reading before a leap, and the sensor's
// quantum, by which a value that stands still is judged.
type carry struct {
	value, good, code     Milli
	since, goodAt, codeOn int64
	quantum               Milli
}

func (m *memory) carry() carry {
	g := &m.Gauge
	return carry{m.Value, g.Good, g.Code, m.Since, g.GoodAt, g.CodeOn, m.Quantum}
}

// takeOver makes a memory end as another does, and judge as it did: nothing else of it changes, since later windows rest on it.
func (m *memory) takeOver(c carry, w *Window) {
	g := &m.Gauge
	m.Value, g.Good, g.Code, m.Since, g.GoodAt, g.CodeOn, m.Quantum = c.value, c.good, c.code, c.since, c.goodAt, c.codeOn, c.quantum
	g.Slope = orZero(w.Features[FSlope])
}

// follow has the window after one made anew, if that one ends otherwise than it did. A pause may lie between them.
func (r *revising) follow(p revisionPlan, was, is carry) error {
	s := p.sensor
	if was == is || p.end >= s.made {
		return nil
	}
	next, err := r.after(s, p.end)
	if err != nil || next == nil {
		return err
	}
	if s.hop != nil && next.Start > p.end { // what lies between them goes on from it too
		r.next = append(r.next, lateAt{sensor: s, ts: p.end, why: follows, open: true, till: next.Start})
	}
	r.next = append(r.next, lateAt{sensor: s, ts: next.Start, why: follows})
	return nil
}

// after gives the newest revision of a sensor's first window that starts at or after ts, nil when there is none.
func (r *revising) after(s *sensorState, ts int64) (*Window, error) {
	first, err := r.window(s, ts)
	if err != nil || first != nil && first.Start == ts {
		return first, err
	}
	if first, err = r.window(s, s.made-1); err != nil || first == nil || first.Start < ts {
		return nil, err
	}
	for none := ts; first.Start-none > 1; { // no window starts in [ts, none]
		mid := none + (first.Start-none)/2
		w, err := r.window(s, mid)
		switch {
		case err != nil:
			return nil, err
		case w != nil && w.Start >= ts:
			first = w
		default:
			none = mid
		}
	}
	return first, nil
}

// othersFigures are the features that a window's own readings do not give. They, and what its sensor remembers, stand as they were when it closed: later windows rest on them.
var othersFigures = [...]int{FRiseBaseline, FPeerDiff, FPeerZ, FMateDiff}

// othersReasons are the verdicts that a window's own readings do not give. They stand too, in their words.
var othersReasons = [...]Reason{PeerDisagreement, SensorDrift, Fouling, Swapped, FailsafeOpen}

// keepOthers takes over what others said of the window when it closed; trusted leaves out that the asset was not to be trusted then.
func (m *closing) keepOthers(old *Window, trusted bool) {
	for _, reason := range othersReasons {
		if reason == FailsafeOpen && trusted || !slices.Contains(old.Reasons, reason) {
			continue
		}
		m.window.Reasons = append(m.window.Reasons, reason)
		for sentence := range strings.SplitSeq(old.Detail, "; ") {
			if strings.HasPrefix(sentence, string(reason)+":") {
				m.why = append(m.why, sentence)
			}
		}
	}
	m.window.Detail = strings.Join(m.why, "; ")
}

// replace puts a window in the place of its newest revision.
func (r *revising) replace(p revisionPlan, m *closing) error {
	old, s, w := p.old, p.sensor, m.window
	var k memory
	if err := k.decode(old.Memory); err != nil {
		return fmt.Errorf("look up window of %s/%s/%s: %w", s.Site, s.Asset, s.Name, err)
	}
	w.Revision, w.PeriodMs = old.Revision+1, old.PeriodMs
	for _, f := range othersFigures {
		w.Features[f] = old.Features[f]
	}
	m.judge()
	was, is := k.carry(), m.memory.carry()
	alone := p.released && p.fresh == 0
	if alone && w.Behind {
		is = was // later windows stand as they are: nobody asked for them
	}
	k.takeOver(is, w)
	k.Gauge.note(w.Reasons)
	m.keepOthers(old, p.released && !s.asset.guard.open)
	if (p.follows && was == is || alone) && sameFigures(w, old) {
		return nil
	}
	k.Last = max(k.Last, m.last) // the watermark must be the same after a restart
	remade := k.pack()
	if !w.Behind {
		s.past = remade
	}
	w.Memory = remade.packed
	r.score(w)
	for i := range s.asset.closed {
		if c := &s.asset.closed[i]; c.sensor == s && c.start == w.Start {
			*c = mateWindow(s, w.Start, w.End, w.Features[FMean], w.Features[FSlope], k.Gauge.Verdict, &k)
		}
	}
	r.put(m)
	return r.follow(p, was, is)
}

// sameFigures says whether a window is as its last revision was.
func sameFigures(w, old *Window) bool {
	for i, v := range w.Features {
		if math.Float64bits(v) != math.Float64bits(old.Features[i]) {
			return false
		}
	}
	return w.N == old.N && w.Expected == old.Expected && w.Detail == old.Detail && slices.Equal(w.Reasons, old.Reasons)
}

// fill makes a window where there was none. It remembers what the one before it did and itself; the sensor goes on from there only when no later one has closed.
func (r *revising) fill(p revisionPlan, before *Window, m *closing) error {
	s, g, w := p.sensor, m.sensor, m.window
	old, err := ghost(s, before)
	if err != nil {
		return err
	}
	m.judge()
	m.learn(r.score(w))
	w.Memory, w.PeriodMs = g.past.packed, g.periodNow()
	if !w.Behind {
		s.past, s.made = g.past, w.End
		s.unmade = slices.DeleteFunc(s.unmade, func(ts int64) bool { return ts < w.End })
		r.touch(s)
	}
	a := s.asset
	a.waits = waits{}
	a.setJointEnd(m.length, w.End)
	if !m.cut {
		a.remember(append(a.closed, mateWindow(s, w.Start, w.End, w.Features[FMean], w.Features[FSlope], m.memory.Gauge.Verdict, &m.memory)))
	}
	r.put(m)
	was, is := old.past.memory(), g.past.memory()
	return r.follow(p, was.carry(), is.carry())
}

func (r *revising) put(m *closing) {
	w := m.window
	for i := range m.usable {
		w.Times = append(w.Times, m.usable[i].TS)
	}
	r.batch.Windows = append(r.batch.Windows, w)
	r.windows[w.Sensor.ID] = append(r.windows[w.Sensor.ID], w)
}

// leaveBehind notes readings of which no window can be made, because all are in dispute: those behind the last window that was made stay open for the store.
func (r *revising) leaveBehind(p revisionPlan, entries []entry) {
	s := p.sensor
	for i := range entries {
		ts := entries[i].TS
		if at, found := slices.BinarySearch(s.unmade, ts); !found && ts >= s.made {
			s.unmade = slices.Insert(s.unmade, at, ts)
			r.touch(s)
		}
	}
}

package stream

import (
	"fmt"
	"math"
	"slices"
)

// reopen finds, for the sensors whose hop is new to the windower, after a restart or a change of the registry, what lies behind their open readings: the readings of the last window that
// learnt, the memory before it, and how far windows between have closed. The next one begins after the last window that has closed. All is in what is stored already, so that
// nothing more is told or kept for a restart. An error is told by the next Feed.
func (w *Windower) reopen() {
	var fresh []*sensorState
	for _, s := range w.sensors {
		if s.hop != nil && s.hop.stale {
			s.hop.stale = false
			fresh = append(fresh, s)
		}
	}
	if len(fresh) == 0 {
		return
	}
	if err := w.reopenAll(fresh); err != nil && w.failed == nil {
		w.failed = fmt.Errorf("open windows that hop: %w", err)
	}
}

func (w *Windower) reopenAll(fresh []*sensorState) error {
	r := w.newRevising(nil)
	for _, s := range w.sensors {
		if s.hop != nil {
			r.windows[s.ID] = nil
		}
	}
	r.uncommitted()
	for _, s := range fresh {
		if err := r.reopenOne(s); err != nil {
			return err
		}
	}
	if len(r.plans) > 0 {
		stored, err := w.gather(r.plans)
		if err != nil {
			return err
		}
		for _, p := range r.plans {
			p.sensor.hop.fill(within(stored.readings[p.sensor.ID], p.start, p.end))
		}
	}
	seen := map[*assetState]bool{}
	for _, s := range fresh {
		if a := s.asset; !seen[a] {
			seen[a] = true
			if err := r.reopenAsset(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// reopenOne finds where a sensor's windows between go on, and plans to read what is held for them.
func (r *revising) reopenOne(s *sensorState) error {
	h := s.hop
	h.held, h.kept, h.next, h.end, h.made = false, pending{}, math.MinInt64, math.MinInt64, math.MinInt64
	if s.frontier != math.MinInt64 {
		h.next = h.first(s.frontier)
	}
	if r.history == nil {
		return nil
	}
	newest, err := r.any(s, MaxTS)
	if err != nil || newest == nil {
		return err
	}
	if IsBetween(newest.Memory) {
		h.end, h.made = newest.End, newest.End
	}
	last, err := r.window(s, newest.Start)
	if err != nil {
		return err
	}
	var k memory
	if last != nil {
		if err := k.decode(last.Memory); err != nil {
			return fmt.Errorf("look up window of %s/%s/%s: %w", s.Site, s.Asset, s.Name, err)
		}
	}
	if last == nil || last.End != s.frontier || !h.whole(last.Start, last.End, k.Nominal, k.Cut != 0) {
		h.next = max(h.next, h.first(newest.Start+1))
		return nil
	}
	h.next = h.first(newest.Start + 1)
	h.held, h.start = true, last.Start
	if err := r.refresh(s); err != nil {
		return err
	}
	if h.release(s.frontier); h.held {
		r.plans = append(r.plans, revisionPlan{sensor: s, start: last.Start, end: last.End, between: true})
	}
	return nil
}

// reopenAsset finds the contexts that held readings may need, and the closed windows between that those of other sensors are compared with.
func (r *revising) reopenAsset(a *assetState) error {
	if r.history == nil {
		return nil
	}
	held, open := int64(math.MaxInt64), int64(math.MaxInt64)
	for _, s := range a.sensors {
		if s.hop == nil {
			continue
		}
		if s.hop.held {
			held = min(held, s.hop.start)
		}
		if c, ok := r.between(s); ok {
			open = min(open, c.start)
		}
	}
	if held != math.MaxInt64 {
		if err := r.reopenContexts(a, held-max(contextAge, 2*r.base)); err != nil {
			return err
		}
	}
	for _, s := range a.sensors {
		if s.hop == nil || open == math.MaxInt64 {
			continue
		}
		for k := s.hop.first(open); k < s.hop.next; k = s.hop.first(k + 1) {
			if err := r.reopenMate(a, s, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// reopenContexts reads the contexts from a time on that are no longer held.
func (r *revising) reopenContexts(a *assetState, from int64) error {
	k := &a.context
	if from >= k.cut {
		return nil
	}
	stored, err := r.history.Contexts([]Stretch{{a.ID, from, k.cut}})
	if err != nil {
		return fmt.Errorf("read stored contexts: %w", err)
	}
	var older []contextEntry
	for i := range stored {
		if c := &stored[i]; c.ID == a.ID && c.TS >= from && c.TS < k.cut {
			older = append(older, contextEntry{Context{c.TS, c.Conditions}, c.Conflicted})
		}
	}
	older = inOrder(older, func(e *contextEntry) (int64, *bool) { return e.TS, &e.conflicted })
	k.kept, k.cut = append(older, k.kept...), from
	return nil
}

// reopenMate gives back a closed window between of a sensor that another one still has an open one beside.
func (r *revising) reopenMate(a *assetState, s *sensorState, start int64) error {
	m := mate{sensor: s, start: start, end: start + s.hop.length, between: true}
	known := slices.ContainsFunc(a.closed, func(o mate) bool { return o.sensor == s && o.between && o.start == start })
	if known || !slices.ContainsFunc(a.sensors, func(o *sensorState) bool { return o != s && o.hop != nil && o.hasOpen(&m) }) {
		return nil
	}
	w, err := r.any(s, start)
	if err == nil && w != nil && w.Start == start && IsBetween(w.Memory) {
		a.closed = append(a.closed, mateBetween(s, w))
	}
	return err
}

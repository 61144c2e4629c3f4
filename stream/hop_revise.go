package stream

import "slices"

// reachBack notes that a reading of the open windows, new or now in dispute, lies in windows between that have closed. They are made anew whatever the lateness: the reading is
// stored, and so belongs to them. Without a history they stand.
func (w *Windower) reachBack(s *sensorState, ts int64, why cause) {
	if ts < s.hop.end && w.history != nil {
		w.late = append(w.late, lateAt{sensor: s, ts: ts, why: why, open: true, next: s.hop.next})
	}
}

// refresh finds the memory before the held readings anew: the window that it is of may have been made anew.
func (r *revising) refresh(s *sensorState) error {
	h := s.hop
	if !h.held {
		return nil
	}
	w, err := r.window(s, h.start-1)
	if err != nil {
		return err
	}
	g, err := ghost(s, w)
	if err == nil {
		h.before = g.past
	}
	return err
}

// makeBetween makes the windows between anew that have closed and that what came lies in, and those that begin after it before the next multiple of the length: their own
// figures go on from it.
func (r *revising) makeBetween() error {
	if len(r.hops) == 0 {
		return nil
	}
	r.plans = r.plans[:0]
	planned := map[int64]int{}
	for _, l := range r.hops {
		if err := r.planBetween(l, planned); err != nil {
			return err
		}
	}
	if len(r.plans) == 0 {
		return nil
	}
	slices.SortStableFunc(r.plans, func(a, b revisionPlan) int {
		if a.sensor != b.sensor {
			return compare(a.sensor.ID, b.sensor.ID)
		}
		return compare(a.end, b.end)
	})
	wide := slices.Clone(r.plans)
	for i := range wide {
		wide[i].start = floor(wide[i].start, wide[i].sensor.hop.length)
	}
	var err error
	if r.stored, err = r.gather(wide); err != nil {
		return err
	}
	for _, p := range r.plans {
		if err := r.remake(p); err != nil {
			return err
		}
	}
	return nil
}

// planBetween finds the windows between that are to be made for what came at a time. planned says where in plans one is, by Key.
func (r *revising) planBetween(l lateAt, planned map[int64]int) error {
	h := l.sensor.hop
	if h == nil || l.why == released && !l.open {
		return nil
	}
	from, to := h.first(l.ts-h.length+1), floor(l.ts, h.length)+h.length
	switch l.why {
	case released:
		from, to = l.ts, l.ts+1
	case follows:
		from, to = h.first(l.ts), max(to, l.till)
	}
	if l.next != 0 {
		to = min(to, l.next) // what closed since has it already
	}
	for k := from; k < min(to, h.next); k = h.first(k + 1) {
		inside := k <= l.ts && l.why != follows
		i, there := planned[Key(k, l.sensor.ID)]
		if !there {
			old, err := r.any(l.sensor, k)
			if err != nil {
				return err
			}
			if old != nil && old.Start != k {
				old = nil
			}
			i = len(r.plans)
			planned[Key(k, l.sensor.ID)] = i
			r.plans = append(r.plans, revisionPlan{sensor: l.sensor, start: k, end: k + h.length, old: old, follows: true, between: true})
		}
		p := &r.plans[i]
		p.follows, p.released = p.follows && !inside && l.why != released, p.released || l.why == released
		if inside && l.why == arrived {
			p.fresh++
		}
	}
	return nil
}

// remake makes one window between anew, or for the first time where a reading came for it.
func (r *revising) remake(p revisionPlan) error {
	s, length := p.sensor, p.sensor.hop.length
	head := floor(p.start, length)
	entries := within(r.stored.readings[s.ID], head, p.end)
	body := within(entries, p.start, p.end)
	if p.old == nil && p.fresh == 0 || p.old != nil && len(body)-p.fresh < p.old.N { // none to make; or some of its readings have expired: it stands
		if p.released {
			r.stand(Key(p.start, s.ID))
		}
		return nil
	}
	before, err := r.window(s, head-1)
	if err != nil {
		return err
	}
	if before == nil && p.old != nil && s.past.first != 0 && s.past.first < head { // what was before it has expired
		if p.released {
			r.stand(Key(p.start, s.ID))
		}
		return nil
	}
	if p.old == nil {
		if hops, err := r.hopped(p); err != nil || !hops {
			return err
		}
	}
	g, err := ghost(s, before)
	if err != nil {
		return err
	}
	g.asset = &assetState{Asset: s.asset.Asset, context: contextState{kept: r.stored.contexts[s.AssetID]}}
	by := ByLate
	if p.old != nil {
		by = p.old.ClosedBy
	}
	m := r.measureFrom(g, entries, candidate{start: p.start, end: p.end, length: length, between: true}, by)
	if m == nil || p.old != nil && p.fresh == 0 && !p.released && !p.follows && m.window.N == p.old.N { // all in dispute by now; or the dispute is not new
		return nil
	}
	m.sensor = s
	return r.putBetween(p, m)
}

// hopped says whether windows between were made at a time: the windows that learn were of the configured length there.
func (r *revising) hopped(p revisionPlan) (bool, error) {
	h := p.sensor.hop
	last, err := r.window(p.sensor, p.start) // the last that has ended by the end of this one
	if err != nil {
		return false, err
	}
	g, err := ghost(p.sensor, last)
	if err != nil || r.length(g) != h.length {
		return false, err
	}
	k := g.past.memory()
	return last == nil || last.End <= p.start || h.whole(last.Start, last.End, k.Nominal, k.Cut != 0), nil
}

// putBetween judges a window between and puts it into the batch, with what others said of its last revision.
func (r *revising) putBetween(p revisionPlan, m *closing) error {
	s, w := p.sensor, m.window
	w.Sensor, w.Behind, w.PeriodMs = s.Sensor, p.end < max(s.made, s.hop.made), s.periodNow()
	s.hop.made = max(s.hop.made, p.end)
	m.judge()
	if old := p.old; old != nil {
		w.Revision, w.PeriodMs = old.Revision+1, old.PeriodMs
		for _, f := range othersFigures {
			w.Features[f] = old.Features[f]
		}
		m.keepOthers(old, p.released && !s.asset.guard.open)
		if (p.follows || p.released && p.fresh == 0) && sameFigures(w, old) {
			return nil
		}
	}
	w.Memory = m.encodeBetween()
	r.score(w)
	a := s.asset
	a.closed = slices.DeleteFunc(a.closed, func(o mate) bool { return o.sensor == s && o.between && o.start == w.Start })
	a.remember(append(a.closed, mateBetween(s, w)))
	r.put(m)
	return nil
}

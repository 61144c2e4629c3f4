package stream

import "slices"

// A fleet's windows close together, and whoever commits them may want them in portions: what else is in a batch need not wait for all of them. So a batch may be given a bound (CloseDue): once it
// holds as many windows, assets whose windows are due by event time are put off to the next one. That decides only when a window closes: its readings stay open meanwhile, and are told of as such.

// putOff are the assets whose windows wait for the next batch.
type putOff struct {
	most   int           // windows of a batch, beyond which assets are put off; 0: none is
	assets []*assetState // the one that waits longest first
	looks  int           // PutOff
}

// waitsForBatch is an asset's place among them.
type waitsForBatch struct {
	looks    int   // about as many windows as are due: its sensors, and one for each that found something due since; 0: it does not wait
	received int64 // receipt time of what made them due, ms: their age goes by it
}

// CloseDue closes the windows that former batches put off, those that wait longest first, and has the filling batch put off further ones once it holds so many; an asset's windows that are due close
// together, and what a person puts back, falls silent or comes late is never put off, nor what a sensor that hops lags behind. With 0 nothing is put off: so it is until the first call. Call it between Take and Feed.
func (w *Windower) CloseDue(most int) {
	p, n := &w.later, 0
	p.most = most
	for ; n < len(p.assets) && !w.holdsMost(); n++ {
		w.closeWaiting(p.assets[n])
	}
	p.assets = slices.Delete(p.assets, 0, n)
}

// PutOff is about how many windows are put off: one for each time that a sensor's came due. An asset that was held back may have more of them.
func (w *Windower) PutOff() int { return w.later.looks }

// holdsMost says whether the filling batch holds as many windows as it is to.
func (w *Windower) holdsMost() bool { return w.later.most > 0 && len(w.batch.Windows) >= w.later.most }

// closeDoubtful closes what is put off where a restart, which does not know that it was, would take it for held back by somebody who sends late (hold). Of windows that all members have passed,
// as nearly all are, there is no doubt.
func (w *Windower) closeDoubtful() {
	p := &w.later
	p.assets = slices.DeleteFunc(p.assets, func(a *assetState) bool {
		doubtful := w.doubtful(a)
		if doubtful {
			w.closeWaiting(a)
		}
		return doubtful
	})
}

func (w *Windower) doubtful(a *assetState) bool {
	w.judged = w.judged[:0]
	horizon, out := w.horizon(a, -1), a.context.behind
	for _, s := range a.sensors {
		_, by := w.heldBy(a, s, horizon)
		out = out || s.behind || by != nobody
	}
	w.judged = w.judged[:0]
	return out
}

// late says whether somebody of an asset was ever behind its window's closing: a restart takes its windows for held back (doubtful).
func (a *assetState) late() bool {
	return a.context.behind || slices.ContainsFunc(a.sensors, func(s *sensorState) bool { return s.behind })
}

// lags says whether a window is due that a sensor with an earlier one open has not passed, and that hops: it would go on, and close its own first, if the window waited. That may make its next ones
// longer, and what overlaps them is then no window any more, though the one that waited is to be compared with it. Of a sensor that tumbles nothing is in the window but what is in its open one.
func (w *Windower) lags(a *assetState) bool {
	hops := func(s *sensorState) bool { return s.hop != nil }
	if !slices.ContainsFunc(a.sensors, hops) {
		return false
	}
	w.judged = w.judged[:0]
	horizon := w.horizon(a, -1)
	out := slices.ContainsFunc(a.sensors, func(s *sensorState) bool {
		c, ok := w.upcoming(s)
		return ok && hops(s) && c.end < horizon && s.newest < horizon
	})
	w.judged = w.judged[:0]
	return out
}

// closeWaiting closes the windows of an asset that has waited, as of when it began to.
func (w *Windower) closeWaiting(a *assetState) {
	received := w.received
	w.received = a.later.received
	w.later.looks -= a.later.looks
	a.later = waitsForBatch{}
	w.closeDue(a, -1)
	w.received = received
}

// mayWait says whether an asset's windows can be put off: the filling batch holds as many as it is to. Those of whoever was late would all close before their batch is taken, beyond any bound.
func (w *Windower) mayWait(a *assetState) bool { return w.holdsMost() && !a.late() && !w.lags(a) }

// putOff has an asset wait for the next batch, or counts one more that is due of an asset that waits.
func (w *Windower) putOff(a *assetState) {
	p, l, looks := &w.later, &a.later, 1
	if l.looks == 0 {
		looks, l.received = len(a.sensors), w.received
		p.assets = append(p.assets, a)
	}
	l.looks += looks
	p.looks += looks
}

// waitNoLonger closes in the filling batch what waits for the next one.
func (w *Windower) waitNoLonger(a *assetState) {
	w.later.assets = slices.DeleteFunc(w.later.assets, func(o *assetState) bool { return o == a })
	w.closeWaiting(a)
}

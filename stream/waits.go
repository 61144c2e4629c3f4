package stream

import "math"

// waits says why no window of an asset can close by event time: on is behind end, at which the earliest of the asset's next windows end, and nobody has gone on to until. It
// spares the asset's other sensors a look at each other whenever one of them passes a boundary, which costs the square of their number a window.
//
// What closes by event time needs a window that ends at end or later and whose members have all passed it, or in the lower median by one length more (rule, horizon, overtaken). A
// window that ends before until has on as a member: its first open reading lies at most a length before end. So all must have passed, and on has not; nor is the median
// that far ahead. It holds until a reading comes before those that are open (their earliest end may move), until a sensor joins in, and until a window closes.
type waits struct {
	on         *sensorState // nil: not known, look
	end, until int64
}

// look closes what is due by event time, unless it is known that nothing is, or it is put off.
func (w *Windower) look(a *assetState) {
	if by := a.waits.on; by != nil && by.newest-w.disorder < a.waits.end && a.newest-w.disorder < a.waits.until && !w.restless {
		return
	}
	switch waiting := a.later.looks > 0; {
	case w.releasing, !waiting && !w.mayWait(a):
		w.closeDue(a, -1)
	case waiting && w.lags(a):
		w.waitNoLonger(a)
	default:
		w.putOff(a)
	}
}

// wait finds whom the asset's windows wait for, once nothing more of it is due: of those behind the one that was heard last, who will be the last to pass where all send at one pace. Only
// the plain case is known: windows of the configured length that tumble, none of them left behind by their like.
func (w *Windower) wait(a *assetState) {
	a.waits = waits{}
	end, by := int64(math.MaxInt64), (*sensorState)(nil)
	for _, s := range a.sensors {
		if s.hop != nil {
			return
		}
		if s.pending.len() == 0 {
			continue
		}
		c := w.candidate(s)
		if c.length != w.base || c.cut || a.jointEnd(c.length) >= c.end {
			return
		}
		if c.end < end {
			end, by = c.end, nil
		}
		if c.end == end && s.newest-w.disorder < end && (by == nil || s.newest > by.newest) {
			by = s
		}
	}
	if by != nil {
		a.waits = waits{on: by, end: end, until: end + w.base}
	}
}

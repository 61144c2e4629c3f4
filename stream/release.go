package stream

import (
	"fmt"
	"time"
)

// A person may put what was refused back through the line, under the rules of now. What is decided then is decided as for anything else, but for two things: lateness does not bound it,
// since a person asked; and it says nothing of whether its device lives or of its clock.

// Released is what became of a message that was put back.
type Released struct {
	Stored, Context, Finding, Duplicate, Late, Refused int64

	Reason Reason // why it, or the first of its elements that was, is refused; empty: none is
	Detail string
}

// Taken says whether the message went through the line. One that did not is counted nowhere.
func (r *Released) Taken() bool { return r.Stored+r.Context+r.Finding+r.Duplicate+r.Late+r.Refused > 0 }

// Recheck says why nothing of a message would be taken as of its receipt; empty: something would. What is stored already is not looked at.
func Recheck(m Message, cfg *Config) (Reason, string) {
	_, what, reason, detail := parseTopic(m.Topic)
	if reason != "" {
		return reason, detail
	}
	for _, e := range decode(nil, m.Payload, what) {
		r, d := e.Reason, e.Detail
		if r == "" {
			if r, d = cfg.untimely(what, e.TS, m.Received); r == "" {
				return "", ""
			}
		}
		if reason == "" {
			reason, detail = r, d
		}
	}
	return reason, detail
}

// untimely says why a time cannot be taken at its receipt. A workshop may tell what it found long after.
func (c *Config) untimely(what input, ts, received int64) (Reason, string) {
	if ahead := ts - received; ahead > c.FutureAfter.Milliseconds() {
		return Future, fmt.Sprintf("ts is %d ms ahead of its receipt, more than %s", ahead, c.FutureAfter)
	}
	if behind := received - ts; what != findings && c.TooOld > 0 && behind > c.TooOld.Milliseconds() {
		return TooOld, fmt.Sprintf("ts is %d ms behind its receipt, more than %s", behind, c.TooOld)
	}
	return "", ""
}

// ReleaseMessage feeds a message that was refused before. One of which nothing would be taken changes nothing. Received is the time of its release. An error is fatal, as Feed's.
func (w *Windower) ReleaseMessage(m Message, mono time.Duration) (r Released, err error) {
	if w.failed != nil {
		return r, w.failed
	}
	if r.Reason, r.Detail = Recheck(m, &w.cfg); r.Reason != "" {
		return r, nil
	}
	if w.tooLateContext(m) {
		r.Reason, r.Detail = Late, "the windows that it would describe have closed, and a context revises none"
		return r, nil
	}
	b := w.batch
	before, refused := b.Count, len(b.Refusals)
	w.releasing = true
	r.Reason, err = w.Feed(m, mono)
	w.releasing = false
	if err != nil {
		return r, err
	}
	now := &b.Count
	r.Stored, r.Context, r.Duplicate = now.Stored-before.Stored, now.StoredContext-before.StoredContext, now.Duplicate-before.Duplicate
	r.Finding = now.StoredFinding - before.StoredFinding
	r.Late, r.Refused = now.Late-before.Late, now.Refused-before.Refused
	if r.Refused > 0 {
		r.Detail = b.Refusals[refused].Detail
	}
	return r, nil
}

// tooLateContext says whether a message holds nothing but contexts whose windows have closed.
func (w *Windower) tooLateContext(m Message) bool {
	src := w.source(m.Topic)
	if src.what != contexts || src.asset == nil {
		return false
	}
	for _, e := range Decode(nil, m.Payload, true) {
		if e.Reason == "" && e.TS >= max(src.asset.closedTo(), src.asset.context.cut) {
			return false
		}
	}
	return true
}

// ReleaseWindow has a quarantined window made anew from its readings under the limits of now, with the next MakeRevisions. It gives the window's newest revision, nil when there is none that begins at start;
// one that is valid stands as it is. The new revision supersedes it, valid or not; where it would say the same there is none. A verdict that others than the window's own readings gave
// stands (PeerDisagreement, SensorDrift, Fouling, Swapped: later windows rest on it); FailsafeOpen only as long as the asset's fail-safe is open. An error is fatal, as Feed's.
func (w *Windower) ReleaseWindow(sensorID, start int64) (*Window, error) {
	if w.failed != nil {
		return nil, w.failed
	}
	s, old, err := w.closedWindow(sensorID, start)
	if err != nil || old == nil || old.Valid() {
		return old, err
	}
	w.late = append(w.late, lateAt{sensor: s, ts: start, why: released, open: IsBetween(old.Memory)})
	return old, nil
}

// closedWindow finds the newest revision of a sensor's closed window that begins at start.
func (w *Windower) closedWindow(sensorID, start int64) (*sensorState, *Window, error) {
	if w.history == nil || sensorID < 1 || sensorID > int64(len(w.sensors)) {
		return nil, nil, nil
	}
	s := w.sensors[sensorID-1]
	old, err := w.newRevising(s).any(s, start)
	if err != nil || old == nil || old.Start != start {
		return s, nil, err
	}
	return s, old, nil
}

// Expired says whether the last MakeRevisions left a window as it is because readings of it have expired.
func (w *Windower) Expired(windowID int64) bool { return w.expired[windowID] }

// stand notes that a window which was to be released stands as it is.
func (w *Windower) stand(windowID int64) {
	if w.expired == nil {
		w.expired = map[int64]bool{}
	}
	w.expired[windowID] = true
}

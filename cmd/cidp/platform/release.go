package platform

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// A person's release goes through feed as messages do: what comes of it is committed in one pass with the mark on the evidence and the entry of the audit, and answered after that. A
// release that was answered is on disk; one that was not may be asked for again, since evidence goes back once.

// release is evidence that a person wants to have put back, all in one pass.
type release struct {
	actor, note string
	at          int64 // wall clock, ms
	evidence    []store.Evidence
	became      []became      // one for each, feed's until done is closed
	done        chan struct{} // closed when it is on disk
}

// became is what became of one piece of evidence.
type became struct {
	outcome  store.Outcome
	detail   string
	already  bool // it went back before
	taken    stream.Released
	revision int             // of the window, the newest
	reasons  []stream.Reason // it is still quarantined for
	row      int             // of the pass's releases; -1: none
}

// putBack feeds what a release asks for into the filling pass. The error is fatal.
func (l *line) putBack(r *release) error {
	l.filling.releases = append(l.filling.releases, r)
	r.became = make([]became, len(r.evidence))
	for i := range r.evidence {
		e, b := &r.evidence[i], &r.became[i]
		b.row = -1
		var err error
		if e.Message != nil {
			err = l.putBackMessage(r, e, b)
		} else {
			err = l.putBackWindow(r, e, b)
		}
		if err != nil {
			return fmt.Errorf("release %s: %w", e.ID, err)
		}
	}
	return nil
}

// enter adds an entry of the audit to the filling pass.
func (l *line) enter(r *release, b *became, row store.Release) {
	row.At, row.Actor, row.Note, row.Outcome, row.Detail = r.at, r.actor, r.note, b.outcome, b.detail
	b.row = len(l.filling.batch.Releases)
	l.filling.batch.Releases = append(l.filling.batch.Releases, row)
}

// putBackMessage feeds a message once more. An element of an array goes back alone: its evidence is its own bytes.
func (l *line) putBackMessage(r *release, e *store.Evidence, b *became) error {
	id := e.Message.MessageID
	if went, before := l.released[id]; before || e.State == store.StateReleased {
		if !before {
			went = wentBack(e)
		}
		b.outcome, b.already, b.detail = went, true, "nothing was done"
		return nil
	}
	if why := unreadable(e); why != "" {
		b.outcome, b.detail = store.OutcomeKept, why
		b.taken.Reason = stream.Reason(e.Message.Reason)
		l.enter(r, b, store.Release{Message: id})
		return nil
	}
	var err error
	m := stream.Message{Topic: e.Message.Topic, Client: e.Message.ClientID, Payload: e.Raw, Received: r.at}
	if b.taken, err = l.windower.ReleaseMessage(m, time.Since(l.began)); err != nil {
		return err
	}
	t := &b.taken
	switch {
	case !t.Taken():
		b.outcome, b.detail = store.OutcomeKept, stillRefused(t.Reason, t.Detail)
	case t.Stored+t.Context+t.Finding+t.Duplicate+t.Late == 0:
		b.outcome, b.detail = store.OutcomeRefused, fmt.Sprintf("refused again as %s, and kept as new evidence: %s", t.Reason, t.Detail)
	default:
		b.outcome, b.detail = store.OutcomeReleased, countsText(t)
	}
	if b.outcome != store.OutcomeKept {
		l.released[id] = b.outcome
	}
	l.enter(r, b, store.Release{Message: id})
	return nil
}

// wentBack gives what became of a message that was put back, by the audit.
func wentBack(e *store.Evidence) store.Outcome {
	for _, a := range e.Audit {
		if a.Outcome != store.OutcomeKept {
			return a.Outcome
		}
	}
	return store.OutcomeReleased
}

// unreadable says why evidence cannot be what was sent: it is cut, or it was no object within its array, and would be another message by itself.
func unreadable(e *store.Evidence) string {
	switch {
	case e.Cut:
		return "the evidence is cut to its limit: what was behind it is not kept"
	case e.Message.Element >= 0 && !bytes.HasPrefix(bytes.TrimLeft(e.Raw, " \t\r\n"), []byte("{")):
		return fmt.Sprintf("%s: not a JSON object", stream.Malformed)
	}
	return ""
}

func stillRefused(reason stream.Reason, detail string) string {
	return fmt.Sprintf("%s: %s", reason, detail)
}

// countsText says what became of the readings of a message.
func countsText(t *stream.Released) string {
	var parts []string
	for _, c := range []struct {
		n    int64
		what string
	}{{t.Stored, "readings stored"}, {t.Context, "contexts stored"}, {t.Finding, "verdicts stored"}, {t.Duplicate, "duplicate"}, {t.Late, "late"}, {t.Refused, "refused again as new evidence"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

// putBackWindow has a window made anew; what comes of it is known when the pass is sealed.
func (l *line) putBackWindow(r *release, e *store.Evidence, b *became) error {
	newest := &e.Revisions[0]
	old, err := l.windower.ReleaseWindow(newest.SensorID, newest.StartMs)
	switch {
	case err != nil:
		return err
	case old == nil:
		b.outcome, b.detail = store.OutcomeKept, "the window has expired"
		return nil
	case old.Valid():
		b.outcome, b.already, b.revision, b.detail = store.OutcomeReleased, true, old.Revision, fmt.Sprintf("revision %d is valid; nothing was done", old.Revision)
		return nil
	}
	id := stream.Key(newest.StartMs, newest.SensorID)
	for i := range l.filling.batch.Releases {
		if l.filling.batch.Releases[i].Window == id {
			b.outcome, b.already, b.revision, b.detail = store.OutcomeKept, true, old.Revision, "it is being released"
			return nil
		}
	}
	b.revision, b.reasons = old.Revision, old.Reasons
	b.outcome = store.OutcomeKept
	l.enter(r, b, store.Release{Window: id, Revision: old.Revision})
	return nil
}

// settleReleases says of a sealed pass what became of the windows that were to be made anew.
func (l *line) settleReleases(p *pass) {
	if len(p.releases) == 0 {
		return
	}
	for _, r := range p.releases {
		for i := range r.became {
			b := &r.became[i]
			if b.row < 0 {
				continue
			}
			if row := &p.batch.Releases[b.row]; row.Window != 0 {
				l.settleWindow(p, row, b)
			}
		}
	}
}

func (l *line) settleWindow(p *pass, row *store.Release, b *became) {
	var w *stream.Window
	for _, v := range p.batch.Windows {
		if v.ID() == row.Window && v.Revision == row.Revision+1 {
			w = v
		}
	}
	switch {
	case w == nil && l.windower.Expired(row.Window):
		b.detail = "readings of it have expired: it stands as it is"
	case w == nil:
		b.detail = "judged anew it says the same, or nothing of it can be judged any more: " + reasonsText(b.reasons)
	case w.Valid():
		b.outcome, b.revision, b.reasons = store.OutcomeReleased, w.Revision, nil
		b.detail = fmt.Sprintf("revision %d is valid and scored", w.Revision)
	default:
		b.outcome, b.revision, b.reasons = store.OutcomeQuarantined, w.Revision, w.Reasons
		b.detail = fmt.Sprintf("revision %d is quarantined: %s", w.Revision, w.Detail)
	}
	row.Outcome, row.Detail = b.outcome, b.detail
}

func reasonsText(reasons []stream.Reason) string {
	out := make([]string, len(reasons))
	for i, r := range reasons {
		out[i] = string(r)
	}
	return strings.Join(out, ", ")
}

// putBack has evidence put back and waits until that is on disk.
func (p *Platform) putBack(ctx context.Context, r *release) error {
	r.done = make(chan struct{})
	return handOver(ctx, p, p.line.releases, r, r.done)
}

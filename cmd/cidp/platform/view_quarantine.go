package platform

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// Quarantine gives the newest of what was refused.
func (v *view) Quarantine(ctx context.Context, f console.QuarantineFilter) (console.QuarantinePage, error) {
	pages, err := v.pages()
	if err != nil {
		return console.QuarantinePage{}, err
	}
	q, err := pages.Quarantine(ctx, store.QuarantineFilter{State: store.State(f.State), Reason: f.Reason, Place: f.Place, Since: int64(f.Since), Windows: f.Windows, Messages: f.Messages, Limit: f.Limit})
	if err != nil {
		return console.QuarantinePage{}, err
	}
	out := console.QuarantinePage{Quarantine: quarantine(store.Sum(append(q.WindowsByReason, q.MessagesByReason...)))}
	out.Matching = console.Matching{Windows: q.Matching.Windows, Messages: q.Matching.Messages,
		Quarantine: console.Quarantine{WindowsByReason: q.Matching.WindowsByReason, MessagesByReason: q.Matching.MessagesByReason}}
	for i := range q.Windows {
		out.Windows = append(out.Windows, windowOf(&q.Windows[i]))
	}
	for i := range q.Messages {
		out.Messages = append(out.Messages, messageOf(&q.Messages[i]))
	}
	return out, nil
}

func windowOf(w *store.QuarantinedWindow) console.QuarantinedWindow {
	return console.QuarantinedWindow{
		ID: w.ID, WindowID: w.WindowID, Revision: w.Revision, Site: w.Site, Asset: w.Asset, Sensor: w.Sensor, State: string(w.State), ReleasedAt: console.Time(w.ReleasedMs),
		WindowStart: console.Time(w.StartMs), WindowEnd: console.Time(w.EndMs), Reasons: texts(w.Reasons), Detail: w.Detail,
	}
}

func messageOf(m *store.QuarantinedMessage) console.QuarantinedMessage {
	return console.QuarantinedMessage{
		ID: m.ID, MessageID: m.MessageID, ReceivedAt: console.Time(m.ReceivedMs), Topic: m.Topic, Client: m.ClientID, State: string(m.State), ReleasedAt: console.Time(m.ReleasedMs),
		Payload: console.Payload(m.Payload), Element: m.Element, Reason: m.Reason, Detail: m.Detail,
	}
}

// Evidence gives one piece of evidence, and whether it would be taken by now.
func (v *view) Evidence(ctx context.Context, id string) (console.Evidence, error) {
	e, err := v.evidence(ctx, id)
	if err != nil {
		return console.Evidence{}, err
	}
	out := console.Evidence{ID: e.ID, State: string(e.State), Cut: e.Cut}
	if e.Message != nil {
		m := messageOf(e.Message)
		m.Payload = e.Raw
		out.Message = &m
		in := v.p.config.Load()
		if why := unreadable(&e); why != "" && e.State == store.StateOpen {
			out.Refused = why
		} else if reason, detail := stream.Recheck(stream.Message{Topic: m.Topic, Client: m.Client, Payload: e.Raw, Received: time.Now().UnixMilli()}, &in.stream); reason != "" && e.State == store.StateOpen {
			out.Refused = stillRefused(reason, detail)
		}
	}
	for i := range e.Revisions {
		r := &e.Revisions[i]
		out.Revisions = append(out.Revisions, console.WindowRevision{QuarantinedWindow: windowOf(&r.QuarantinedWindow), Verdict: r.Verdict, ClosedBy: r.ClosedBy, N: r.N, Expected: r.Expected,
			Completeness: console.Figure(r.Completeness), PFailure: figure(r.PFailure), Level: r.Level})
	}
	for _, a := range e.Audit {
		out.Audit = append(out.Audit, console.AuditEntry{At: console.Time(a.AtMs), Actor: a.Actor, Action: a.Action, Revision: a.Revision, Outcome: string(a.Outcome), Detail: a.Detail, Note: a.Note})
	}
	return out, nil
}

func (v *view) evidence(ctx context.Context, text string) (store.Evidence, error) {
	pages, err := v.pages()
	if err != nil {
		return store.Evidence{}, err
	}
	id, err := store.ParseEvidenceID(text)
	if err != nil {
		return store.Evidence{}, errors.Join(console.ErrNotFound, err)
	}
	e, err := pages.Evidence(ctx, id)
	if errors.Is(err, store.ErrNoEvidence) {
		err = errors.Join(console.ErrNotFound, err)
	}
	return e, err
}

// windowsAtOnce is how many windows are judged anew in one pass: each reads what the fleet sent in its time, and the line waits meanwhile.
const windowsAtOnce = 8

// Release has evidence put back through the line, in as many passes as it takes. What is no longer there is kept, with a word.
func (v *view) Release(ctx context.Context, ask console.ReleaseRequest) ([]console.ReleaseResult, error) {
	out := make([]console.ReleaseResult, len(ask.IDs))
	var messages, windows []int
	found := make([]store.Evidence, len(ask.IDs))
	for i, id := range ask.IDs {
		e, err := v.evidence(ctx, id)
		switch {
		case errors.Is(err, store.ErrNoEvidence) && len(ask.IDs) > 1:
			out[i] = console.ReleaseResult{ID: id, Outcome: string(store.OutcomeKept), Detail: store.ErrNoEvidence.Error()}
			continue
		case err != nil:
			return nil, err
		case e.Message != nil:
			messages = append(messages, i)
		default:
			windows = append(windows, i)
		}
		found[i] = e
	}
	if len(messages)+len(windows) == 0 {
		return nil, errors.Join(console.ErrNotFound, store.ErrNoEvidence)
	}
	if ready, _ := v.p.status.Ready(); !ready {
		return nil, console.ErrNotReady
	}
	for _, some := range append([][]int{messages}, slices.Collect(slices.Chunk(windows, windowsAtOnce))...) {
		if len(some) == 0 {
			continue
		}
		r := &release{actor: ask.Actor, note: ask.Note, at: time.Now().UnixMilli()}
		for _, i := range some {
			r.evidence = append(r.evidence, found[i])
		}
		if err := v.p.putBack(ctx, r); err != nil {
			return nil, err
		}
		for k, i := range some {
			out[i] = r.result(k)
		}
	}
	return out, nil
}

// result tells what became of one piece of evidence.
func (r *release) result(i int) console.ReleaseResult {
	e, b := &r.evidence[i], &r.became[i]
	out := console.ReleaseResult{ID: e.ID, Outcome: string(b.outcome), Already: b.already, Detail: b.detail, Stored: b.taken.Stored + b.taken.Context,
		Duplicate: b.taken.Duplicate, Late: b.taken.Late, Refused: b.taken.Refused, Revision: b.revision}
	for _, reason := range b.reasons {
		out.Reasons = append(out.Reasons, string(reason))
	}
	if b.taken.Reason != "" {
		out.Reasons = []string{string(b.taken.Reason)}
	}
	for _, a := range e.Audit {
		if b.already && a.Outcome != store.OutcomeKept {
			out.By, out.At = a.Actor, console.Time(a.AtMs)
			break
		}
	}
	return out
}

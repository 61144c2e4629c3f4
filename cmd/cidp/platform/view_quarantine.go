package platform

import (
	"context"
	"errors"
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
		if reason, detail := stream.Recheck(stream.Message{Topic: m.Topic, Client: m.Client, Payload: e.Raw, Received: time.Now().UnixMilli()}, &in.stream); reason != "" && e.State == store.StateOpen {
			out.Refused = stillRefused(reason, detail, e.Cut)
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

// Release has evidence put back through the line.
func (v *view) Release(ctx context.Context, ask console.ReleaseRequest) ([]console.ReleaseResult, error) {
	r := &release{actor: ask.Actor, note: ask.Note, at: time.Now().UnixMilli()}
	for _, id := range ask.IDs {
		e, err := v.evidence(ctx, id)
		if err != nil {
			return nil, err
		}
		r.evidence = append(r.evidence, e)
	}
	if ready, _ := v.p.status.Ready(); !ready {
		return nil, console.ErrNotReady
	}
	if err := v.p.putBack(ctx, r); err != nil {
		return nil, err
	}
	out := make([]console.ReleaseResult, len(r.became))
	for i := range r.became {
		b := &r.became[i]
		out[i] = console.ReleaseResult{ID: r.evidence[i].ID, Outcome: string(b.outcome), Already: b.already, Detail: b.detail, Stored: b.taken.Stored + b.taken.Context,
			Duplicate: b.taken.Duplicate, Late: b.taken.Late, Refused: b.taken.Refused, Revision: b.revision}
		for _, reason := range b.reasons {
			out[i].Reasons = append(out[i].Reasons, string(reason))
		}
		if b.taken.Reason != "" {
			out[i].Reasons = []string{string(b.taken.Reason)}
		}
		if a := r.evidence[i].Audit; b.already && len(a) > 0 && a[0].Outcome != store.OutcomeKept {
			out[i].By, out[i].At = a[0].Actor, console.Time(a[0].AtMs)
		}
	}
	return out, nil
}

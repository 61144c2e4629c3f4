package broker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// restore gives clients their sessions back, before the port accepts: mochi knows the clients and their filters, and what they are owed waits for
// them in its order. Time goes on for absent ones as if we had been there; those that were there when we went are away from now on. What
// cannot be given back (no room any more, not readable, over) is counted and noted as ended or settled.
func (b *Broker) restore(from *Sessions) {
	if from == nil {
		return
	}
	now := b.cfg.Clock().UnixMilli()
	for i := range from.Sessions {
		saved := &from.Sessions[i]
		s, err := b.revive(saved, now)
		if err != nil {
			b.counters.sessionsLost.Add(1)
			b.cfg.Log.Warn().Err(err).Str("client", saved.Client).Msg("session is not restored")
		}
		if s == nil {
			gone := newSession(saved.Client, &b.shared)
			gone.onDisk = true
			b.changes.end(gone)
		}
	}
	b.owe(from)
	b.routing.changed()
}

// revive gives one session back; nil without an error when its time is over.
func (b *Broker) revive(from *Session, now int64) (*session, error) {
	var saved savedSession
	if err := json.Unmarshal(from.State, &saved); err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	if saved.Version < 3 || saved.Version > protocol5 || saved.Expiry < 0 || from.Client == "" {
		return nil, fmt.Errorf("read session: version %d, expiry %d s", saved.Version, saved.Expiry)
	}
	if b.registry.len() >= b.cfg.MaxSessions {
		return nil, fmt.Errorf("restore session: there are %d already", b.cfg.MaxSessions)
	}
	expiry := b.cfg.SessionExpiry
	if limit := int64(expiry / time.Second); saved.Expiry < limit {
		expiry = time.Duration(saved.Expiry) * time.Second
	}
	s := newSession(from.Client, &b.shared)
	s.onDisk = true
	s.terms = terms{version: saved.Version, lasting: true, expiry: expiry}
	s.left = saved.Left
	if s.left == 0 || s.left > now { // it was there, or the clock was wrong
		s.left = now
		s.keep()
	}
	left := expiry - time.Duration(now-s.left)*time.Millisecond
	if left <= 0 {
		return nil, nil
	}
	for _, f := range saved.Filters {
		b.resubscribe(s, f)
	}
	b.registry.restore(s)
	b.server.Clients.Add(b.absentee(s, left))
	return s, nil
}

// resubscribe gives a session one of its filters back, within the bounds of any SUBSCRIBE.
func (b *Broker) resubscribe(s *session, f savedFilter) {
	sub := packets.Subscription{Filter: f.Filter, Qos: min(f.QoS, 2), NoLocal: f.NoLocal, RetainAsPublished: f.RetainAsPublished,
		RetainHandling: f.RetainHandling, Identifier: f.Identifier}
	if !validFilter(f.Filter) || !b.admits(s, f.Filter, 0) {
		b.counters.subscriptionsRefused.Add(1)
		s.keep()
		return
	}
	s.place(sub, f.RetainedDue)
	b.routing.expect(sub.Filter)
	b.server.Topics.Subscribe(s.id, sub)
	atomic.AddInt64(&b.server.Info.Subscriptions, 1)
}

// absentee is what mochi knows of a client that is away: its subscriptions, and for how long it may stay away. It takes a fraction of the memory of the
// client that was there. To mochi all are MQTT 5 clients: only these have an expiry of their own.
func (b *Broker) absentee(s *session, left time.Duration) *mqtt.Client {
	cl := b.server.NewClient(nil, listenerID, s.id, false)
	cl.Properties.ProtocolVersion = protocol5
	cl.Properties.Props.SessionExpiryIntervalFlag = true
	cl.Properties.Props.SessionExpiryInterval = uint32(max(1, (left+time.Second-1)/time.Second))
	for _, g := range s.subscriptions(false) {
		cl.State.Subscriptions.Add(g.Filter, g.Subscription)
	}
	cl.Stop(packets.ErrServerShuttingDown) // its absence begins now
	return cl
}

// owe gives sessions the messages back that their clients have not acknowledged.
func (b *Broker) owe(from *Sessions) {
	messages := make(map[int64]*outgoing, len(from.Messages))
	for i := range from.Messages {
		m := &from.Messages[i]
		messages[m.ID] = &outgoing{topic: m.Topic, payload: m.Payload, qos: 1, retain: m.Retain, message: m.ID}
		b.routing.lastMessage = max(b.routing.lastMessage, m.ID)
	}
	owed := slices.Clone(from.Owed)
	slices.SortFunc(owed, func(a, b Owed) int { return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Message, b.Message)) })
	b.routing.mu.Lock()
	defer b.routing.mu.Unlock()
	for _, claim := range owed {
		b.routing.lastMessage = max(b.routing.lastMessage, claim.Message)
		s := b.registry.get(claim.Client)
		if s == nil {
			continue // its claims went with it
		}
		o := messages[claim.Message]
		if o == nil || !validTopic(o.topic) || claim.QoS < 1 || claim.QoS > 2 {
			b.counters.deliveriesDropped.Add(1)
			b.changes.settle(claim.Client, claim.Message)
			continue
		}
		p := &parcel{outgoing: o, qos: claim.QoS, owed: true, restored: true}
		if subs := b.subscribers(o.topic); subs != nil {
			if sub, still := subs.Subscriptions[claim.Client]; still {
				p.retain, p.ids = o.retain && sub.RetainAsPublished, identifiers(&sub)
			}
		}
		b.count(s.restore(p))
		if b.held.exceeded() {
			b.shed()
		}
		if b.claims.Load() > maxClaims {
			b.forgo()
		}
	}
}

// stand sets what new subscribers get of what stood before a restart. Restored sessions are told nothing: they have had it, or are owed it.
func (b *Broker) stand(standing []Retained) error {
	b.routing.mu.Lock()
	defer b.routing.mu.Unlock()
	for _, r := range standing {
		if !validTopic(r.Topic) {
			return fmt.Errorf("retain on %q: topic name is empty, too long, not UTF-8 or has a wildcard", r.Topic)
		}
		b.routing.retained.set(r.Topic, r.Payload, nil)
	}
	return nil
}

// restore puts a parcel from before the restart into the session.
func (s *session) restore(p *parcel) delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastOwed = p.message
	if s.full(p.outgoing) && !s.makeRoom(p.outgoing) {
		s.shared.changes.settle(s.id, p.message)
		return dropped
	}
	s.book(p)
	s.waiting = append(s.waiting, p)
	return sent
}

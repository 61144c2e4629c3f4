package broker

import (
	"encoding/json"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// terms say how long a session lasts, as CONNECT and DISCONNECT ask for.
type terms struct {
	version byte          // MQTT protocol version
	lasting bool          // it outlives its connection
	expiry  time.Duration // by how much
}

// termsOf reads them from mochi's client.
func (b *Broker) termsOf(cl *mqtt.Client) terms {
	t := terms{version: cl.Properties.ProtocolVersion, lasting: !cl.Properties.Clean, expiry: b.cfg.SessionExpiry}
	if t.version == protocol5 {
		seconds := cl.Properties.Props.SessionExpiryInterval
		t.lasting = seconds > 0
		t.expiry = min(t.expiry, time.Duration(seconds)*time.Second)
	}
	return t
}

// subscription is one of a session's filters, with its options as the client gave them.
type subscription struct {
	packets.Subscription
	cost           int
	incomplete     bool // the retained messages that it is to begin with are not all in the session yet, or newer ones were lost
	losses         int  // how often newer ones were lost
	unacknowledged int  // how many of those in the session are not acknowledged
}

// due says whether the client has not had all retained messages yet: after a restart it gets them again.
func (g *subscription) due() bool { return g.incomplete || g.unacknowledged > 0 }

// keep notes that the session changed, and gives the number of the change, 0 when it is none to the disk. The lock is held.
func (s *session) keep() uint64 {
	if !s.terms.lasting || s.over {
		return 0
	}
	return s.shared.changes.keep(s)
}

// renew sets how long the session lasts. One that is to end with its connection is not found again after a restart.
func (s *session) renew(t terms) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.terms.lasting
	s.terms = t
	if before && !t.lasting {
		s.shared.changes.end(s)
	}
	s.keep()
}

// finish ends the session: it keeps nothing any more. The registry's lock is held.
func (s *session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	if s.terms.lasting {
		s.shared.changes.end(s)
		s.terms.lasting = false // what is given up now is nobody's claim any more
	}
	s.forgetReceived()
	_, _ = s.lose(func(*parcel) bool { return true })
	s.shared.filters.Add(-int64(s.filterCost))
	clear(s.filters)
	s.filterCost = 0
}

// lose takes the parcels that it picks away, whatever their state, and says how many and what bytes of the budget that frees. The lock is held.
func (s *session) lose(pick func(*parcel) bool) (n, freed int) {
	kept := s.waiting[:0]
	for _, p := range s.waiting {
		switch {
		case !pick(p):
			kept = append(kept, p)
		case p.id == 0: // the others are among the parcels as well
			freed += s.settle(p)
			n++
		}
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
	s.outstanding = 0
	for id, p := range s.parcels {
		if pick(p) {
			delete(s.parcels, id)
			freed += s.settle(p)
			n++
		} else if s.conn != nil && p.sentOn == s.conn {
			s.outstanding++
		}
	}
	return n, freed
}

// empty loses all that the session keeps, but what the QoS 2 exchange with the client needs and, unless clears is set, what clears a state. It says how
// many messages and what bytes that frees. Its subscriptions stay. A client that is there is cut first: it comes back and begins anew.
func (s *session) empty(clears bool) (n, freed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cut := 0
	if s.conn != nil {
		cut = s.conn.giveWay()
	}
	cut += receivedCost * len(s.received)
	s.forgetReceived()
	n, freed = s.lose(func(p *parcel) bool { return !p.freed && (clears || !p.clears()) })
	if n > 0 {
		s.missed()
	}
	return n, cut + freed
}

// missed notes that the client misses retained states: it is told the newest when it comes back. The lock is held.
func (s *session) missed() {
	if !s.terms.lasting {
		return
	}
	news := false
	for _, g := range s.filters {
		if g.RetainHandling != 2 && !mqtt.IsSharedFilter(g.Filter) {
			news = news || !g.due()
			g.incomplete = true
			g.losses++
		}
	}
	if news {
		s.keep()
	}
}

// begin notes a subscription that mochi granted, and gives the number of the change that must be on disk before the client may rely on it: its own, or
// an earlier one when it changes nothing; 0 is none.
func (s *session) begin(sub packets.Subscription, incomplete bool) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return 0
	}
	g := s.filters[sub.Filter]
	if g == nil {
		s.place(sub, incomplete)
		s.news = s.keep()
		return s.news
	}
	changed, due := options(&g.Subscription) != options(&sub), g.due()
	g.Subscription, g.incomplete = sub, g.incomplete || incomplete
	if changed {
		s.news = s.keep()
	} else if due != g.due() {
		s.keep()
	}
	return s.news
}

// place adds a subscription. The lock is held.
func (s *session) place(sub packets.Subscription, incomplete bool) {
	cost := filterCost(sub.Filter)
	s.filters[sub.Filter] = &subscription{Subscription: sub, cost: cost, incomplete: incomplete}
	s.filterCost += cost
	s.shared.filters.Add(int64(cost))
}

// options are what makes one subscription to a filter differ from another.
func options(sub *packets.Subscription) [5]int {
	bit := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return [5]int{int(sub.Qos), int(sub.RetainHandling), bit(sub.NoLocal), bit(sub.RetainAsPublished), sub.Identifier}
}

// cease notes that the client gave a subscription up, and gives the number of the change that must be on disk before the client may rely on it, 0 when
// there is none.
func (s *session) cease(filter string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.filters[filter]
	if g == nil {
		return 0
	}
	delete(s.filters, filter)
	s.filterCost -= g.cost
	s.shared.filters.Add(-int64(g.cost))
	return s.keep()
}

// subscriptions gives the filters for which retained messages are still to be found, or all.
func (s *session) subscriptions(onlyIncomplete bool) []*subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*subscription
	for _, g := range s.filters {
		if g.incomplete || !onlyIncomplete {
			out = append(out, g)
		}
	}
	return out
}

// filter gives a subscription by its filter, nil when there is none.
func (s *session) filter(filter string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.filters[filter]
}

// losses says how often retained states were lost that a subscription is to tell.
func (s *session) losses(g *subscription) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.losses
}

// complete notes that all retained messages for a subscription are in the session, unless some were lost since it had this many losses.
func (s *session) complete(g *subscription, losses int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.losses != losses {
		return
	}
	g.incomplete = false
	s.told(g)
}

// told keeps the session once the client has had all retained messages for a subscription. The lock is held.
func (s *session) told(g *subscription) {
	if g != nil && !g.due() && s.filters[g.Filter] == g {
		s.keep()
	}
}

// weight is what is held for the session's client, and its connection while it is there. That has a weight of its own.
func (s *session) weight() (int, *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.held + receivedCost*len(s.received)
	if s.will != nil {
		w += s.will.cost
	}
	return w, s.conn
}

// savedSession is a session's state on disk.
type savedSession struct {
	Version byte          `json:"version"`
	Expiry  int64         `json:"expiry_s"`
	Left    int64         `json:"left_ms,omitempty"` // absent: the client was there
	Filters []savedFilter `json:"filters,omitempty"`
}

type savedFilter struct {
	Filter            string `json:"filter"`
	QoS               byte   `json:"qos"`
	NoLocal           bool   `json:"no_local,omitempty"`
	RetainAsPublished bool   `json:"retain_as_published,omitempty"`
	RetainHandling    byte   `json:"retain_handling,omitempty"`
	Identifier        int    `json:"identifier,omitempty"`
	RetainedDue       bool   `json:"retained_due,omitempty"` // the client has not acknowledged all retained messages
}

// state is the session as it is to be found again.
func (s *session) state() []byte {
	s.mu.Lock()
	saved := savedSession{Version: s.terms.version, Expiry: int64(s.terms.expiry / time.Second), Left: s.left}
	for _, g := range s.filters {
		saved.Filters = append(saved.Filters, savedFilter{
			Filter: g.Filter, QoS: g.Qos, NoLocal: g.NoLocal, RetainAsPublished: g.RetainAsPublished,
			RetainHandling: g.RetainHandling, Identifier: g.Identifier, RetainedDue: g.due(),
		})
	}
	s.mu.Unlock()
	out, err := json.Marshal(&saved)
	if err != nil { // there is nothing in it that could not be written
		return []byte("{}")
	}
	return out
}

package broker

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Bounds of what a session holds for its client: messages at QoS 1 and 2 not yet acknowledged by it. Routed telemetry may take half.
// Retained messages given to new subscriptions are counted apart: they share their bytes with what is retained, and must not push out live ones.
const (
	maxPending      = 16384
	maxPendingBytes = 4 << 20
	maxStored       = 1 << 17
	maxOutstanding  = 32768 // unacknowledged at a time to a client that names no Receive Maximum
)

// shared is what all sessions write to.
type shared struct {
	changes  changeLog
	held     budget
	filters  atomic.Int64 // cost of all subscriptions
	claims   atomic.Int64 // of all sessions, to be found again after a restart
	counters counters
}

// session is what outlives the connection of a client that asked for it: its subscriptions, the QoS 2 messages it sent and has not released, and the
// QoS 1 and 2 messages it has not acknowledged. Its lock is taken before a connection's.
type session struct {
	id     string
	shared *shared
	onDisk bool // guarded by the change log's lock

	mu          sync.Mutex
	terms       terms
	left        int64 // when the client left, epoch milliseconds; 0 while it is there
	over        bool  // it ended: nothing is kept for it any more
	conn        *conn // live connection after its CONNACK, nil while the client is away
	filters     map[string]*subscription
	filterCost  int    // of all filters
	news        uint64 // change that the newest subscription is in
	received    map[uint16]received
	parcels     map[uint16]*parcel // those with a packet id
	waiting     []*parcel          // not sent on this connection yet, in order
	outstanding int                // sent on this connection and not acknowledged
	stored      int                // retained messages given to new subscriptions, among all parcels
	pending     int                // the other parcels
	bytes       int                // of these others
	held        int                // bytes counted for it in the budget, messages that others hold too included
	claims      int                // how many of all parcels are noted as owed
	tired       int                // messages to be refused before room is looked for again
	lastID      uint16
	lastSeq     uint64
	lastOwed    int64       // newest message noted as owed: a client that is to get it twice is owed it once
	willTimer   *time.Timer // delayed will of a client that is away
	will        *will
}

// received is where a QoS 2 message from the client stands (MQTT 5, section 4.3.3).
type received struct {
	from *conn // the connection it came on
	done bool  // PUBREC was sent: PUBREL is awaited
}

func newSession(id string, sh *shared) *session {
	return &session{id: id, shared: sh, filters: map[string]*subscription{}, received: map[uint16]received{}, parcels: map[uint16]*parcel{}}
}

// delivery says what became of a parcel, the better the higher.
type delivery uint8

const (
	skipped delivery = iota // not for this client
	dropped                 // no room
	sent                    // written, or kept to be written
)

// deliver sends a message to the client or keeps it, within the bounds above. Given is the subscription that a retained message is for.
func (s *session) deliver(o *outgoing, sub *packets.Subscription, given *subscription) delivery {
	if (sub.NoLocal && o.origin == s.id) || o.expired() {
		return skipped
	}
	p := &parcel{
		outgoing: o,
		given:    given,
		qos:      min(o.qos, sub.Qos),
		retain:   o.stored || (o.retain && sub.RetainAsPublished),
		ids:      identifiers(sub),
	}
	limit := outputBacklog
	if o.telemetry {
		limit = viewerBacklog
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conn
	if s.over || (c == nil && (p.qos == 0 || o.telemetry)) {
		return skipped
	}
	if share := o.share(); share > 0 && !s.shared.held.room(o.size()+parcelCost, share) {
		return dropped
	}
	if p.qos == 0 {
		if c.tooLong(p) || !c.publish(p, false, limit) {
			return dropped
		}
		return sent
	}
	if s.full(o) && !s.makeRoom(o) {
		return dropped
	}
	if o.telemetry && c.waiting() > limit {
		return dropped
	}
	s.book(p)
	s.waiting = append(s.waiting, p)
	s.pump()
	return sent
}

// full says whether a message finds no room. The lock is held.
func (s *session) full(o *outgoing) bool {
	if o.stored {
		return s.stored >= maxStored
	}
	part := 1
	if o.telemetry {
		part = 2
	}
	return s.pending >= maxPending/part || s.bytes+o.size() > maxPendingBytes/part
}

// book puts a parcel on the books: of the session, of the budget and, when it is to survive a restart, of the disk. The lock is held.
func (s *session) book(p *parcel) {
	if p.stored {
		s.stored++
		if p.given != nil {
			p.given.unacknowledged++
		}
	} else {
		s.pending++
		s.bytes += p.size()
	}
	s.held += parcelCost + p.size()
	s.shared.held.add(parcelCost)
	if p.holders.Add(1) == 1 {
		s.shared.held.add(p.size())
	}
	if p.message > s.lastOwed && s.terms.lasting {
		s.lastOwed, p.owed = p.message, true
		s.shared.changes.owe(s.id, p.outgoing, p.qos)
	}
	if p.owed {
		s.claims++
		s.shared.claims.Add(1)
	}
}

// settle takes a parcel off the books: it is acknowledged, or lost. It gives the bytes of the budget that are free by that. The lock is held.
func (s *session) settle(p *parcel) (freed int) {
	if p.stored {
		s.stored--
		if p.given != nil {
			p.given.unacknowledged--
			s.told(p.given)
		}
	} else {
		s.pending--
		s.bytes -= p.size()
	}
	s.held -= parcelCost + p.size()
	freed = parcelCost
	if p.holders.Add(-1) == 0 {
		freed += p.size()
	}
	s.shared.held.add(-freed)
	s.disclaim(p)
	return freed
}

// disclaim notes that the client is owed a message no more. The lock is held.
func (s *session) disclaim(p *parcel) {
	if !p.owed {
		return
	}
	p.owed = false
	s.claims--
	s.shared.claims.Add(-1)
	if s.terms.lasting {
		s.shared.changes.settle(s.id, p.message)
	}
}

// live says whether the client is there.
func (s *session) live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil
}

// pump sends what waits, as far as the client's Receive Maximum and the connection allow. Whenever something keeps waiting, an acknowledgement
// is due that pumps again. The lock is held.
func (s *session) pump() {
	c := s.conn
	if c == nil {
		return
	}
	n := 0
	for _, p := range s.waiting {
		if s.outstanding > 0 && (s.outstanding >= c.sendMax || c.waiting() > resendBacklog) {
			break
		}
		s.send(c, p)
		n++
	}
	clear(s.waiting[:n])
	if s.waiting = s.waiting[n:]; len(s.waiting) == 0 {
		s.waiting = nil
	}
}

// send writes one parcel with a packet id of its own. The lock is held.
func (s *session) send(c *conn, p *parcel) {
	again := p.restored || p.id != 0
	if p.id == 0 {
		p.id = s.freeID()
		s.lastSeq++
		p.seq = s.lastSeq
		s.parcels[p.id] = p
	}
	if c.tooLong(p) || (!again && p.expired()) {
		delete(s.parcels, p.id)
		s.settle(p)
		c.counters.deliveriesDropped.Add(1)
		return
	}
	p.sentOn = c
	s.outstanding++
	if p.freed {
		_, _ = c.Write(appendAck(nil, packets.Pubrel, c.version, p.id, 0)) // on a closed connection it is sent again on the next
		return
	}
	c.publish(p, again, maxBacklog) // likewise
}

// freeID finds an unused packet id. There is one: maxOutstanding is far below 65,535. The lock is held.
func (s *session) freeID() uint16 {
	for {
		s.lastID++
		if s.lastID == 0 {
			continue
		}
		if _, used := s.parcels[s.lastID]; !used {
			return s.lastID
		}
	}
}

// acknowledged takes PUBACK, PUBREC or PUBCOMP from the client and sends what waits.
func (s *session) acknowledged(c *conn, kind byte, id uint16, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.parcels[id]
	switch {
	case kind == packets.Pubrec && !failed:
		reason := byte(0)
		if !known {
			reason = reasonUnknownPacket
		} else if p.qos == 2 {
			p.freed = true
		}
		_, _ = c.Write(appendAck(nil, packets.Pubrel, c.version, id, reason)) // on a closed connection it is sent again on the next
		return
	case !known:
		return
	}
	delete(s.parcels, id)
	s.settle(p)
	if p.sentOn != c { // it waits to be sent again, which is no longer needed
		s.waiting = slices.DeleteFunc(s.waiting, func(w *parcel) bool { return w == p })
	} else if s.conn == c {
		s.outstanding--
	}
	s.pump()
}

// attach makes c the live connection and sends again what the client has not acknowledged, oldest first.
func (s *session) attach(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = c
	s.outstanding = 0
	s.left = 0
	s.keep()
	fresh := slices.DeleteFunc(s.waiting, func(p *parcel) bool { return p.id != 0 })
	again := make([]*parcel, 0, len(s.parcels)+len(fresh))
	for _, p := range s.parcels {
		again = append(again, p)
	}
	slices.SortFunc(again, func(a, b *parcel) int { return cmp.Compare(a.seq, b.seq) })
	s.waiting = append(again, fresh...)
	s.pump()
}

// detach forgets c as the live connection; now is in epoch milliseconds.
func (s *session) detach(c *conn, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == c {
		s.conn = nil
		s.left = now
		s.keep()
	}
}

// identifiers gives the subscription identifiers of a subscription or of several merged ones.
func identifiers(sub *packets.Subscription) []int {
	var ids []int
	for _, id := range sub.Identifiers {
		if id > 0 {
			ids = append(ids, id)
		}
	}
	if sub.Identifiers == nil && sub.Identifier > 0 {
		ids = append(ids, sub.Identifier)
	}
	slices.Sort(ids)
	return ids
}

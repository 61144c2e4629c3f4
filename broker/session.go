package broker

import (
	"cmp"
	"slices"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
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

// session is what outlives the connection of a client that asked for it: the QoS 2 messages it sent and has not released, and the QoS 1 and 2
// messages it has not acknowledged. Its lock is taken before a connection's.
type session struct {
	id string

	mu          sync.Mutex
	conn        *conn // live connection after its CONNACK, nil while the client is away
	received    map[uint16]received
	parcels     map[uint16]*parcel // those with a packet id
	waiting     []*parcel          // not sent on this connection yet, in order
	outstanding int                // sent on this connection and not acknowledged
	stored      int                // retained messages given to new subscriptions, among all parcels
	pending     int                // the other parcels
	bytes       int                // of these others
	lastID      uint16
	lastSeq     uint64
	willTimer   *time.Timer // delayed will of a client that is away
	will        *will
}

// received is where a QoS 2 message from the client stands (MQTT 5, section 4.3.3).
type received struct {
	from *conn // the connection it came on
	done bool  // PUBREC was sent: PUBREL is awaited
}

func newSession(id string) *session {
	return &session{id: id, received: map[uint16]received{}, parcels: map[uint16]*parcel{}}
}

// delivery says what became of a parcel, the better the higher.
type delivery uint8

const (
	skipped delivery = iota // not for this client
	dropped                 // no room
	sent                    // written, or kept to be written
)

// deliver sends a message to the client or keeps it, within the bounds above.
func (s *session) deliver(o *outgoing, sub *packets.Subscription) delivery {
	if (sub.NoLocal && o.origin == s.id) || o.expired() {
		return skipped
	}
	p := &parcel{
		outgoing: o,
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
	if c == nil && (p.qos == 0 || o.telemetry) {
		return skipped
	}
	if p.qos == 0 {
		if c.tooLong(p) || !c.publish(p, false, limit) {
			return dropped
		}
		return sent
	}
	if s.full(o) {
		return dropped
	}
	if o.telemetry && c.waiting() > limit {
		return dropped
	}
	s.count(p, 1)
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

// count puts a parcel on the books, or takes it off when by is -1. The lock is held.
func (s *session) count(p *parcel, by int) {
	if p.stored {
		s.stored += by
		return
	}
	s.pending += by
	s.bytes += by * p.size()
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
	again := p.id != 0
	if !again {
		p.id = s.freeID()
		s.lastSeq++
		p.seq = s.lastSeq
		s.parcels[p.id] = p
	}
	if c.tooLong(p) || (!again && p.expired()) {
		delete(s.parcels, p.id)
		s.count(p, -1)
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
	s.count(p, -1)
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
	fresh := slices.DeleteFunc(s.waiting, func(p *parcel) bool { return p.id != 0 })
	again := make([]*parcel, 0, len(s.parcels)+len(fresh))
	for _, p := range s.parcels {
		again = append(again, p)
	}
	slices.SortFunc(again, func(a, b *parcel) int { return cmp.Compare(a.seq, b.seq) })
	s.waiting = append(again, fresh...)
	s.pump()
}

// detach forgets c as the live connection.
func (s *session) detach(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == c {
		s.conn = nil
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

// registry knows the session of every client and which connection, if any, may use it.
type registry struct {
	mu       sync.Mutex
	holders  map[string]*conn // from CONNECT until nothing works for the connection any more
	sessions map[string]*session
	stopping bool // no delayed will is armed any more
}

func newRegistry() *registry {
	return &registry{holders: map[string]*conn{}, sessions: map[string]*session{}}
}

// hold makes c the only connection of its client, or gives the one that is in its way.
func (r *registry) hold(c *conn) (inTheWay *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.holders[c.clientID]; other != nil && other != c {
		return other
	}
	r.holders[c.clientID] = c
	return nil
}

// release undoes hold.
func (r *registry) release(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holders[c.clientID] == c {
		delete(r.holders, c.clientID)
	}
}

// open gives the client's session, a new one unless it is resumed, and the one that ended thereby.
func (r *registry) open(id string, resume bool) (s, ended *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.sessions[id]
	if resume && old != nil {
		return old, nil
	}
	s = newSession(id)
	r.sessions[id] = s
	return s, old
}

// get gives the session of a client, nil when it has none.
func (r *registry) get(id string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[id]
}

// end forgets a session.
func (r *registry) end(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.id] == s {
		delete(r.sessions, s.id)
	}
}

// expire forgets the session of a client that stays away, and gives it; nil when the client is back.
func (r *registry) expire(cl *mqtt.Client) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sessions[cl.ID]
	if s == nil || r.holders[cl.ID] != nil {
		return nil
	}
	delete(r.sessions, cl.ID)
	return s
}

// len gives the number of sessions.
func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}

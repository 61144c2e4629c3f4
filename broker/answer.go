package broker

import (
	"sync"
	"sync/atomic"

	"github.com/mochi-mqtt/server/v2/packets"
)

// ackBatch is what one Acknowledge handed over, or a mark to be passed on.
type ackBatch struct {
	acks    []Ack
	flushed chan struct{} // closed when everything before it is done
}

// Acknowledge answers messages whose outcome is final, in their order, and then gives the accepted ones to live subscribers. It hands the slice,
// which must not be used afterwards, nor its capacity (Room may give it again), to another goroutine and returns; it waits only when four batches are unfinished. After Close it does nothing.
// It also says that what SessionChanges gave last is on disk.
func (b *Broker) Acknowledge(acks []Ack) {
	b.changes.confirm()
	select {
	case <-b.stopped: // a send on b.acks could be chosen as well
		return
	default:
	}
	select {
	case b.acks <- ackBatch{acks: acks}:
	case <-b.stopped:
	}
}

// answer writes acknowledgements until the broker stops, and passes each batch on to route.
func (b *Broker) answer() {
	var touched []*conn
	for {
		select {
		case batch := <-b.acks:
			touched = b.answerBatch(batch.acks, touched[:0])
			select {
			case b.routes <- batch:
			case <-b.stopped:
				return
			}
		case <-b.stopped:
			return
		}
	}
}

// answerBatch collects the answers of a batch and writes them, one write a connection.
func (b *Broker) answerBatch(acks []Ack, touched []*conn) []*conn {
	for i := range acks {
		m := &acks[i].Message
		c := m.conn
		if c == nil {
			continue
		}
		if acks[i].Outcome == Withheld {
			b.withhold(m)
			continue
		}
		if m.QoS == 2 && !m.settle(acks[i].Outcome) {
			b.counters.acksDropped.Add(1)
			continue
		}
		if !c.dirty {
			c.dirty = true
			touched = append(touched, c)
		}
		c.collect(m, acks[i].Outcome)
	}
	for _, c := range touched {
		if !c.writeAcks() {
			b.counters.acksDropped.Add(int64(c.nacks))
		}
		c.nacks, c.dirty = 0, false
	}
	clear(touched)
	return touched
}

// withhold closes the connection of a message that is not acknowledged, and forgets that it was seen.
func (b *Broker) withhold(m *Message) {
	c := m.conn
	b.counters.acksWithheld.Add(1)
	if m.QoS == 2 {
		s := c.session
		s.mu.Lock()
		if r, known := s.received[m.id]; known && !r.done && r.from == c {
			s.forget(m.id)
		}
		s.mu.Unlock()
	}
	c.disconnect(reasonImplementation)
}

// settle moves the state of a QoS 2 message whose outcome is known. It is false when the message came again on another connection since, and is to be
// answered there. When the connection is gone and it did not come again, it will get its PUBREC when it does.
func (m *Message) settle(o Outcome) bool {
	c, s := m.conn, m.conn.session
	s.mu.Lock()
	defer s.mu.Unlock()
	r, known := s.received[m.id]
	switch {
	case !known || r.done || r.from != c:
		return false
	case m.final(o):
		s.forget(m.id)
	default:
		s.note(m.id, received{from: c, done: true})
	}
	return true
}

// final says whether the answer to a message is the last one, after which its packet id is free: a PUBACK, or a PUBREC that refuses.
func (m *Message) final(o Outcome) bool {
	return m.QoS == 1 || (m.conn.version == protocol5 && o.reason() >= firstFailure)
}

// answers are what a connection is told of its messages. The first five are owned by the answering goroutine.
type answers struct {
	acks  []byte   // to be written after this batch
	nacks int      // how many
	last  uint64   // newest seq in acks
	freed []uint16 // packet ids that are free with acks
	dirty bool     // in this batch

	order   order
	hasLate atomic.Bool // there are late answers: what collect looks at without the lock
}

// order is how far a connection is answered. The lock is held while an answer is written, so that none overtakes another.
type order struct {
	sync.Mutex
	answered uint64 // every message up to this seq is answered
	late     []lateAck
}

// lateAck is an answer that was ready before those of earlier messages, and waits for them.
type lateAck struct {
	after uint64 // seq of the last message before it
	bytes [5]byte
	n     int
}

// collect appends the answer of a message, after those that were held back for earlier ones.
func (c *conn) collect(m *Message, o Outcome) {
	if c.hasLate.Load() {
		c.order.Lock()
		c.collectLate(m.seq - 1)
		c.order.Unlock()
	}
	kind := packets.Puback
	if m.QoS == 2 {
		kind = packets.Pubrec
	}
	if m.final(o) {
		c.freed = append(c.freed, m.id)
	}
	c.acks = appendAck(c.acks, kind, c.version, m.id, o.reason())
	c.nacks++
	c.last = max(c.last, m.seq)
}

// collectLate appends the held back answers that come after the message numbered upTo. The order's lock is held.
func (c *conn) collectLate(upTo uint64) {
	n := 0
	for _, late := range c.order.late {
		if late.after > upTo {
			break
		}
		c.acks = append(c.acks, late.bytes[:late.n]...)
		n++
	}
	if c.order.late = c.order.late[n:]; len(c.order.late) == 0 {
		c.order.late = nil
	}
	c.hasLate.Store(len(c.order.late) > 0)
}

// writeAcks writes what was collected and counts it, and is false when the connection is closed.
func (c *conn) writeAcks() bool {
	c.unanswered.remove(c.freed...)
	c.order.Lock()
	defer c.order.Unlock()
	c.collectLate(c.last)
	c.order.answered = c.last
	err := c.writeAtOnce(c.acks, c.nacks)
	c.acks, c.freed = c.acks[:0], c.freed[:0]
	if cap(c.acks) > keepBuffer {
		c.acks, c.freed = nil, nil
	}
	return err == nil
}

// maxLate bounds the answers held back for a connection: there are no more packet ids.
const maxLate = 1<<16 - 1

// reply answers a message that needs no outcome, but not before those that came earlier on the connection (MQTT 5, section 4.6). It is called by the
// reading goroutine. A client that goes on although nothing is answered is closed.
func (c *conn) reply(kind byte, id uint16, reason byte) {
	c.order.Lock()
	defer c.order.Unlock()
	var late lateAck
	answer := appendAck(late.bytes[:0], kind, c.version, id, reason)
	if c.order.answered == c.seq {
		_, _ = c.Write(answer) // it fails only on a connection that has closed meanwhile
		return
	}
	if c.isClosing() {
		return // nobody waits for it
	}
	if len(c.order.late) >= maxLate {
		c.counters.protocolErrors.Add(1)
		c.disconnect(reasonReceiveMaximum)
		return
	}
	late.after, late.n = c.seq, len(answer)
	c.order.late = append(c.order.late, late)
	c.hasLate.Store(true)
}

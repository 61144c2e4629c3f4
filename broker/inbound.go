package broker

import (
	"bytes"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// maxAliases is the Topic Alias Maximum announced to MQTT 5 clients.
const maxAliases = 256

// takePublish queues a PUBLISH, or answers it at once when that does not depend on what becomes of it. It waits while the queue is full. What it
// leaves to mochi is malformed, and mochi closes the connection with the reason.
func (b *Broker) takePublish(cl *mqtt.Client, c *conn, pk packets.Packet) (packets.Packet, error) {
	if pk.PublishValidate(maxAliases) != packets.CodeSuccess {
		return pk, nil
	}
	qos := pk.FixedHeader.Qos
	topic, ok := c.resolve(pk.TopicName, pk.Properties.TopicAlias)
	if !ok {
		return b.refuse(c, pk, packets.ErrProtocolViolation)
	}
	if reserved(topic) {
		b.counters.denied.Add(1)
		b.deny(c, qos, pk.PacketID)
		return nothing(pk), nil
	}
	if qos > 0 {
		if first, code := b.firstTime(c, &pk); code != packets.CodeSuccess {
			return b.refuse(c, pk, code)
		} else if !first {
			b.counters.redelivered.Add(1)
			return nothing(pk), nil
		}
	}
	m := Message{
		Topic: topic, Payload: pk.Payload, Client: cl.ID, Size: len(pk.Payload),
		QoS: qos, Retain: pk.FixedHeader.Retain, Received: b.cfg.Clock().UnixMilli(), held: pk.FixedHeader.Remaining,
	}
	if c.version == protocol5 {
		m.props = forwarded(&pk.Properties)
		m.expires = expiry(m.props)
	}
	if qos > 0 {
		c.seq++
		m.conn, m.seq, m.id = c, c.seq, pk.PacketID
	}
	b.clip(&m)
	if !b.queue.put([]Message{m}, &c.turn, c.closed) {
		<-c.closed // draining: read no more, but let what is under way be answered
		return pk, packets.ErrRejectPacket
	}
	return nothing(pk), nil
}

// clip cuts a payload above the limit down to the evidence, and lets go of the packet it came in.
func (b *Broker) clip(m *Message) {
	if len(m.Payload) > b.cfg.MaxPayload {
		m.TooLarge = true
		m.Payload = bytes.Clone(m.Payload[:min(EvidenceBytes, len(m.Payload))])
		m.Topic, m.props, m.held = strings.Clone(m.Topic), nil, 0
	}
}

// refuse closes a connection whose client broke the protocol.
func (b *Broker) refuse(c *conn, pk packets.Packet, code packets.Code) (packets.Packet, error) {
	b.breach(c, code)
	c.disconnect(code.Code)
	return pk, packets.ErrRejectPacket
}

// resolve gives the topic behind an alias (MQTT 5, section 3.3.2.3.4), and remembers a new one. It is false when the alias is unknown.
func (c *conn) resolve(topic string, alias uint16) (string, bool) {
	if alias == 0 {
		return topic, true
	}
	if topic == "" {
		topic, known := c.aliases[alias]
		return topic, known
	}
	if c.aliases == nil {
		c.aliases = map[uint16]string{}
	}
	if old, known := c.aliases[alias]; old != topic {
		if !known {
			c.charge(aliasCost)
		}
		c.charge(len(topic) - len(old))
		c.aliases[alias] = strings.Clone(topic) // the packet it lies in may be large
	}
	return topic, true
}

// deny answers a PUBLISH that nobody from outside may send: 0x87 on MQTT 5, a plain acknowledgement on 3.1.1, which knows no other answer.
func (b *Broker) deny(c *conn, qos byte, id uint16) {
	switch qos {
	case 1:
		c.reply(packets.Puback, id, reasonNotAuthorized)
	case 2:
		c.reply(packets.Pubrec, id, reasonNotAuthorized)
	}
}

// firstTime says whether a QoS 1 or 2 message has to be queued, or with what code its connection is to be closed. One that is under way on this
// connection and comes again (old clients do that when they are tired of waiting) gets one answer: the client would take a second one for that of the
// next message with the same packet id. Another message with the packet id of one under way is a breach (MQTT 5, section 2.2.1).
func (b *Broker) firstTime(c *conn, pk *packets.Packet) (bool, packets.Code) {
	id, qos, again := pk.PacketID, pk.FixedHeader.Qos, pk.FixedHeader.Dup
	if qos == 2 && again && b.receivedBefore(c, id) {
		return false, packets.CodeSuccess
	}
	n, other, taken := c.unanswered.add(id, qos)
	switch {
	case taken && again && other == qos:
		return false, packets.CodeSuccess
	case taken:
		return false, packets.ErrProtocolViolation
	case n > int(b.cfg.ReceiveMaximum) && c.version == protocol5:
		return false, packets.ErrReceiveMaximum
	}
	if qos == 2 {
		s := c.session
		s.mu.Lock()
		s.note(id, received{from: c})
		s.mu.Unlock()
	}
	return true, packets.CodeSuccess
}

// receivedBefore answers a QoS 2 message that comes again after its PUBREC: with another (MQTT 5, section 4.3.3; mochi would answer 0x91). One that was
// under way on an earlier connection is queued again: its answer could not be told from that of the first, and the line knows duplicates. So is one
// that a client which forgot what it sent begins to send with an old packet id: it does not come as a duplicate.
func (b *Broker) receivedBefore(c *conn, id uint16) bool {
	s := c.session
	s.mu.Lock()
	done := s.received[id].done
	s.mu.Unlock()
	if done {
		c.reply(packets.Pubrec, id, 0)
	}
	return done
}

// releaseReceived answers PUBREL.
func (s *session) releaseReceived(c *conn, id uint16) {
	s.mu.Lock()
	r, known := s.received[id]
	reason := byte(reasonUnknownPacket)
	if known && r.done {
		s.forget(id)
		reason = 0
	}
	s.mu.Unlock()
	if reason == 0 && r.from == c {
		c.unanswered.remove(id)
	}
	_, _ = c.Write(appendAck(nil, packets.Pubcomp, c.version, id, reason)) // on a closed connection PUBREL comes again on the next
}

// note says where a QoS 2 message from the client stands. The lock is held.
func (s *session) note(id uint16, r received) {
	if _, known := s.received[id]; !known {
		s.shared.held.add(receivedCost)
	}
	s.received[id] = r
}

// forget ends the exchange of a QoS 2 message. The lock is held.
func (s *session) forget(id uint16) {
	delete(s.received, id)
	s.shared.held.add(-receivedCost)
}

// forgetReceived ends all of them. The lock is held.
func (s *session) forgetReceived() {
	s.shared.held.add(-receivedCost * len(s.received))
	clear(s.received)
}

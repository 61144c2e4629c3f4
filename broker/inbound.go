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
	if qos == 2 && !b.firstTime(c, pk.PacketID) {
		return nothing(pk), nil
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
		if c.unacked.Add(1) > int32(b.cfg.ReceiveMaximum) && c.version == protocol5 {
			return b.refuse(c, pk, packets.ErrReceiveMaximum)
		}
		c.seq++
		m.conn, m.seq, m.id = c, c.seq, pk.PacketID
	}
	b.clip(&m)
	if !b.queue.put(&m, c.closed) {
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
	if c.aliases[alias] != topic {
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

// firstTime says whether a QoS 2 message has to be queued. One that had its PUBREC gets it again (MQTT 5, section 4.3.3; mochi would answer
// 0x91), one that is under way on this connection has to wait for it. One that was under way on an earlier connection is queued again: its answer
// could not be told from that of the first, and the line knows duplicates.
func (b *Broker) firstTime(c *conn, id uint16) bool {
	s := c.session
	s.mu.Lock()
	r, known := s.received[id]
	if !known || (!r.done && r.from != c) {
		s.received[id] = received{from: c}
		s.mu.Unlock()
		return true
	}
	s.mu.Unlock()
	b.counters.redelivered.Add(1)
	if r.done {
		c.reply(packets.Pubrec, id, 0)
	}
	return false
}

// releaseReceived answers PUBREL.
func (s *session) releaseReceived(c *conn, id uint16) {
	s.mu.Lock()
	r, known := s.received[id]
	reason := byte(reasonUnknownPacket)
	if known && r.done {
		delete(s.received, id)
		reason = 0
	}
	s.mu.Unlock()
	if reason == 0 && r.from == c {
		c.unacked.Add(-1)
	}
	_, _ = c.Write(appendAck(nil, packets.Pubcomp, c.version, id, reason)) // on a closed connection PUBREL comes again on the next
}

package broker

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// First bytes of a plain PUBLISH.
const (
	plainQoS0 = packets.Publish << 4
	plainQoS1 = packets.Publish<<4 | 1<<1
)

// maybePlain says whether a packet that begins like this may be a plain PUBLISH.
func maybePlain(first byte) bool { return first == plainQoS0 || first == plainQoS1 }

// plain is a PUBLISH as nearly all are: QoS 0 or 1, not sent again, not retained, without MQTT 5 properties, no longer than the read buffer. Its topic is
// still to be looked at, and whether its packet id is free.
type plain struct {
	qos     byte
	id      uint16
	topic   []byte
	payload int // length of the payload, which ends the packet
	size    int // length of the packet
}

// found is what a buffer begins with.
type found uint8

const (
	unfinished found = iota // nothing, or a part of what may be a plain PUBLISH
	whole                   // a plain PUBLISH
	foreign                 // a packet for mochi, or a part of it
)

// parse looks at what p begins with. Packets longer than most bytes are for mochi, and so are those that are malformed.
func (f *plain) parse(p []byte, version byte, most int) found {
	if len(p) == 0 {
		return unfinished
	}
	if !maybePlain(p[0]) {
		return foreign
	}
	length, n := binary.Uvarint(p[1:min(len(p), 5)]) // the same encoding as MQTT's variable byte integer
	if n == 0 && len(p) < 5 {
		return unfinished
	}
	f.size = 1 + n + int(length)
	if n == 0 || f.size > most {
		return foreign
	}
	if len(p) < f.size {
		return unfinished
	}
	return f.split(p[1+n:f.size], p[0] == plainQoS1, version)
}

// split takes apart what follows the fixed header.
func (f *plain) split(p []byte, acknowledged bool, version byte) found {
	if len(p) < 2 {
		return foreign
	}
	end := 2 + int(binary.BigEndian.Uint16(p))
	if end > len(p) {
		return foreign
	}
	f.topic, p = p[2:end], p[end:]
	f.qos, f.id = 0, 0
	if acknowledged {
		if len(p) < 2 {
			return foreign
		}
		f.qos, f.id, p = 1, binary.BigEndian.Uint16(p), p[2:]
		if f.id == 0 {
			return foreign
		}
	}
	if version == protocol5 {
		if len(p) == 0 || p[0] != 0 { // it has properties
			return foreign
		}
		p = p[1:]
	}
	f.payload = len(p)
	return whole
}

// run are plain PUBLISHes that followed one another, on their way to the queue: as many as a turn has at most.
type run [turnLength]Message

var runs = sync.Pool{New: func() any { return new(run) }}

// takePlain queues the plain PUBLISHes at the head of what was read, and says what comes next. Mochi's path leads to the same. Whatever takePublish would not
// just queue is left to it, so that it is answered, refused or cut down in one place. It waits while the queue is full.
func (b *Broker) takePlain(c *conn) (next found, err error) {
	r := runs.Get().(*run)
	defer runs.Put(r)
	for {
		var n int
		if n, next = b.gather(c, r); n == 0 {
			return next, nil
		}
		queued := b.queue.put(r[:n], &c.turn, c.closed)
		clear(r[:n])
		if !queued {
			<-c.closed // draining: read no more, but let what is under way be answered
			return next, net.ErrClosed
		}
		if c.keepalive > 0 {
			_ = c.SetDeadline(time.Now().Add(c.keepalive)) // the next read of a closed connection fails anyway
		}
	}
}

// gather makes messages of the plain PUBLISHes that come next, at most a run, and takes them off what was read.
func (b *Broker) gather(c *conn, r *run) (n int, next found) {
	var f plain
	most := min(readBuffer, b.cfg.MaxPacket)
	end := 0
	for next = whole; n < len(r); n++ {
		if next = f.parse(c.unread[end:], c.version, most); next != whole {
			break
		}
		topic, ok := b.plainTopic(c, f.topic)
		if !ok || f.payload > b.cfg.MaxPayload {
			next = foreign
			break
		}
		end += f.size
		r[n] = Message{Topic: topic, Client: c.clientID, Size: f.payload, QoS: f.qos, id: f.id, held: f.size, crowded: true}
	}
	most = 1 << 16
	if c.version == protocol5 {
		most = int(b.cfg.ReceiveMaximum)
	}
	if free := c.unanswered.addAll(r[:n], most); free < n {
		clear(r[free:n])
		n, next = free, foreign
	}
	if n > 0 {
		b.fill(c, r[:n])
	}
	return n, next
}

// fill completes messages and takes them off what was read. Their payloads lie in one copy, without what is between them: that would be a third of it.
func (b *Broker) fill(c *conn, messages []Message) {
	kept := 0
	for i := range messages {
		kept += messages[i].Size
	}
	payloads := make([]byte, 0, kept)
	received, size := b.cfg.Clock().UnixMilli(), 0
	for i := range messages {
		m := &messages[i]
		size += m.held
		payloads = append(payloads, c.unread[size-m.Size:size]...)
		m.Payload = payloads[len(payloads)-m.Size : len(payloads) : len(payloads)]
		m.Received = received
		if m.QoS > 0 {
			c.seq++
			m.conn, m.seq = c, c.seq
		}
	}
	c.unread = c.unread[size:]
	c.topic = messages[len(messages)-1].Topic
	atomic.AddInt64(&b.server.Info.BytesReceived, int64(size))
	atomic.AddInt64(&b.server.Info.PacketsReceived, int64(len(messages)))
	atomic.AddInt64(&b.server.Info.MessagesReceived, int64(len(messages)))
}

// plainTopic gives the topic of a plain PUBLISH, and false when it is none or nobody from outside may publish on it.
func (b *Broker) plainTopic(c *conn, topic []byte) (string, bool) {
	if len(topic) > 0 && string(topic) == c.topic {
		return c.topic, true
	}
	return b.names.get(topic)
}

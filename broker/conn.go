package broker

import (
	"net"
	"sync/atomic"
)

// conn is one TCP connection: what its client is, what it sent, what it is answered and what is written to it, each part with its owner.
type conn struct {
	outbox
	reading
	client
	answers
	unanswered unanswered

	connected atomic.Bool   // CONNACK was written
	lavish    atomic.Int64  // bytes counted for its topic aliases and its packets under way
	served    chan struct{} // closed when nothing of the broker works for this connection any more

	gaveWay bool // it was cut because too much was held; guarded by mu
	leaving int  // bytes that go when it ends after that; guarded by mu

	// Owned by the reading goroutine until it ends, then by the goroutine that serves the connection: they are one.
	goodbye bool // the client said DISCONNECT and wants no will
	ended   bool // its session ended with it
}

// client is set while CONNECT is processed, and constant once connected is true or a message carries the connection.
type client struct {
	clientID  string
	version   byte // MQTT protocol version: 3, 4 or 5
	maxPacket int  // longest packet the client takes, 0 = any
	sendMax   int  // unacknowledged messages the client takes
	session   *session
	will      *will
}

func newConn(inner net.Conn, b *Broker) *conn {
	c := &conn{served: make(chan struct{})}
	c.broker, c.longest, c.attempt = b, b.cfg.MaxPacket, c.tryRead
	c.outbox.init(inner, b.cfg.WriteTimeout, &b.shared)
	return c
}

// publish queues a parcel unless more than limit bytes are waiting already, and says whether it did.
func (c *conn) publish(p *parcel, dup bool, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.broken || c.backlog+publishSize(p) > limit {
		return false
	}
	before := len(c.buf)
	c.buf = appendPublish(c.buf, c.version, p, dup)
	c.counters.delivered.Add(1)
	c.startLocked(len(c.buf) - before)
	return true
}

// weight is what is held for the connection, what its session keeps not included.
func (c *conn) weight() int {
	w := c.waiting() + int(c.lavish.Load())
	if c.connected.Load() && c.will != nil {
		w += c.will.cost
	}
	return w
}

// charge counts n more bytes held for the connection, until it ends.
func (c *conn) charge(n int) {
	c.lavish.Add(int64(n))
	c.held.add(n)
}

// holdPacket charges the packet under way, from its header until it is queued, or nothing when n is 0. Many clients that send long packets slowly, or
// wait with them before a full queue, are many bytes.
func (c *conn) holdPacket(n int) {
	if n != c.packet {
		c.charge(n - c.packet)
		c.packet = n
	}
}

// tooLong says whether the client refuses packets of a parcel's length. Such a message counts as delivered (MQTT 5, section 3.1.2.11.4).
func (c *conn) tooLong(p *parcel) bool {
	return c.maxPacket > 0 && len(appendPublish(nil, c.version, p, false)) > c.maxPacket
}

// disconnect says why to an MQTT 5 client that is connected, and closes.
func (c *conn) disconnect(reason byte) {
	if c.connected.Load() && c.version == protocol5 {
		_, _ = c.Write(appendDisconnect(nil, reason)) // it is closed either way
	}
	_ = c.Close()
}

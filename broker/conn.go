package broker

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// maxConnect bounds the first packet of a connection, in bytes: a CONNECT with the longest name, will and password a device has.
const maxConnect = 128 << 10

// conn is one TCP connection: what its client is, what it sent, what it is answered and what is written to it, each part with its owner.
type conn struct {
	outbox
	reading
	client
	answers

	connected atomic.Bool   // CONNACK was written
	unacked   atomic.Int32  // messages taken and not yet answered for good
	served    chan struct{} // closed when nothing of the broker works for this connection any more

	// Owned by the reading goroutine until it ends, then by the goroutine that serves the connection: they are one.
	goodbye bool // the client said DISCONNECT and wants no will
	ended   bool // its session ended with it
}

// reading is owned by the reading goroutine.
type reading struct {
	first    firstHeader
	deadline time.Time
	slack    time.Duration // how much too early a deadline may be: a small part of the keepalive
	aliases  map[uint16]string
	asked    []asked // filters of the SUBSCRIBE being processed
	seq      uint64  // messages queued that get an answer

	emptyWill bool // the will has no payload
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

func newConn(inner net.Conn, cfg *Config, counters *counters) *conn {
	c := &conn{served: make(chan struct{})}
	c.outbox.init(inner, cfg.WriteTimeout, counters)
	return c
}

// Read reads from the client, and refuses an oversized first packet before anything is allocated for it.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.first.done {
		if tooLong := c.first.feed(p[:n]); tooLong {
			return 0, packets.ErrPacketTooLarge
		}
	}
	return n, err
}

// SetDeadline moves the read deadline alone, and only by steps of slack: it is called before every packet.
func (c *conn) SetDeadline(t time.Time) error {
	if !t.IsZero() && !c.deadline.IsZero() && t.After(c.deadline) && t.Sub(c.deadline) < c.slack {
		return nil
	}
	c.deadline = t
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	return c.SetReadDeadline(t)
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

// firstHeader watches the fixed header of the first packet of a connection go by.
type firstHeader struct {
	n         int // bytes seen
	remaining int
	done      bool
}

// feed is true when the first packet is longer than maxConnect, or its length is no length.
func (f *firstHeader) feed(p []byte) bool {
	for _, b := range p {
		f.n++
		if f.n == 1 {
			continue
		}
		f.remaining |= int(b&0x7f) << (7 * (f.n - 2))
		if b&0x80 == 0 {
			f.done = true
			return f.remaining > maxConnect
		}
		if f.n == 5 {
			return true
		}
	}
	return false
}

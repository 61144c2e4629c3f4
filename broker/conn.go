package broker

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// maxConnect bounds the first packet of a connection, in bytes: a CONNECT with the longest name, will and password a device has.
const maxConnect = 128 << 10

// shortPacket is a packet that is not charged: an idle connection costs more.
const shortPacket = 8 << 10

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

// reading is owned by the reading goroutine.
type reading struct {
	frames   framing
	deadline time.Time
	slack    time.Duration // how much too early a deadline may be: a small part of the keepalive
	aliases  map[uint16]string
	asked    []asked // filters of the SUBSCRIBE being processed
	seq      uint64  // messages queued that get an answer
	turn     int     // messages it may queue before those that wait
	lastByte byte    // the newest one read
	packet   int     // bytes charged for the packet under way
	longest  int     // packets beyond are refused

	emptyWill bool  // the will has no payload
	malformed error // why nothing more is read
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

func newConn(inner net.Conn, cfg *Config, sh *shared) *conn {
	c := &conn{served: make(chan struct{})}
	c.longest = cfg.MaxPacket
	c.outbox.init(inner, cfg.WriteTimeout, sh)
	return c
}

// Read reads from the client up to a fixed header that is none, and refuses an oversized first packet before anything is allocated for it.
func (c *conn) Read(p []byte) (int, error) {
	if c.malformed != nil {
		return 0, c.malformed
	}
	if c.frames.body == 0 {
		c.holdPacket(0) // it was taken
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.lastByte = p[n-1]
	}
	good, malformed := c.frames.feed(p[:n])
	if size := c.frames.size; c.frames.body > 0 && size > shortPacket && size <= c.longest {
		c.holdPacket(size) // mochi makes room for all of it now
	}
	if malformed == nil {
		return n, err
	}
	c.malformed = malformed
	if good == 0 {
		return 0, malformed
	}
	return good, nil // what came before it counts
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

// framing watches the fixed headers of a connection go by. Mochi takes a length of more than four bytes when the rest are zero, and does not tell a
// packet of type 0 from a network that failed.
type framing struct {
	began  bool // the first header is through
	n      int  // bytes of the header under way
	length int  // as far as it was read
	body   int  // bytes of the packet still to come
	size   int  // its length
}

// feed gives an error when a packet's type or length is none (MQTT 5, sections 2.1.2 and 1.5.5) or the first one is longer than maxConnect, and how many
// bytes came before that packet.
func (f *framing) feed(p []byte) (good int, malformed error) {
	for i := 0; i < len(p); {
		if f.body > 0 {
			n := min(f.body, len(p)-i)
			f.body -= n
			i += n
			continue
		}
		b := p[i]
		i++
		if f.n++; f.n == 1 {
			good = i - 1
			if b>>4 == 0 {
				return good, packets.ErrMalformedPacket
			}
			continue
		}
		f.length |= int(b&0x7f) << (7 * (f.n - 2))
		switch {
		case b&0x80 == 0:
			if !f.began && f.length > maxConnect {
				return good, packets.ErrPacketTooLarge
			}
			*f = framing{began: true, body: f.length, size: f.length}
		case f.n == 5:
			return good, packets.ErrMalformedVariableByteInteger
		}
	}
	return len(p), nil
}

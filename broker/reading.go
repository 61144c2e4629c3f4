package broker

import (
	"net"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// maxConnect bounds the first packet of a connection, in bytes: a CONNECT with the longest name, will and password a device has.
const maxConnect = 128 << 10

// readBuffer is what a connection is read into, in bytes. A PUBLISH that does not fit goes to mochi, and is charged while it is under way.
const readBuffer = 8 << 10

// readSpace is lent to a connection from when something has come until it has looked and nothing more has. Of two thousand that send now and then, few have one, and what comes is read to where a processor has just been.
type readSpace [readBuffer]byte

var readSpaces = sync.Pool{New: func() any { return new(readSpace) }}

// reading is owned by the reading goroutine.
type reading struct {
	broker    *Broker
	unread    []byte                // read, and not yet taken or handed to mochi
	space     *readSpace            // where it lies
	attempt   func(fd uintptr) bool // tryRead, made once, for the socket to call
	readErr   error                 // of the newest one
	frames    framing
	deadline  time.Time
	keepalive time.Duration // from one packet to the end of the next; 0 = any
	slack     time.Duration // how much too early a deadline may be: a small part of the keepalive
	topic     string        // of the newest plain PUBLISH
	aliases   map[uint16]string
	asked     []asked // filters of the SUBSCRIBE being processed
	seq       uint64  // messages queued that get an answer
	turn      int     // messages it may queue before those that wait
	lastByte  byte    // the newest one that mochi has
	packet    int     // bytes charged for the packet under way
	longest   int     // packets beyond are refused

	emptyWill bool  // the will has no payload
	malformed error // why nothing more is read
}

// Read takes plain PUBLISHes out of what the client sends, and hands everything else to mochi, packet by packet and in order: mochi asks for more only when it
// is done with what it has. It ends at a fixed header that is none, and refuses an oversized first packet before anything is allocated for it.
func (c *conn) Read(p []byte) (int, error) {
	if c.malformed != nil {
		return 0, c.malformed
	}
	if c.frames.body == 0 {
		c.holdPacket(0) // it was taken
	}
	for {
		next := foreign
		if c.frames.between() && c.connected.Load() && !c.broker.cfg.allToMochi {
			var err error
			if next, err = c.broker.takePlain(c); err != nil {
				return 0, err
			}
		}
		if next == foreign && len(c.unread) > 0 {
			return c.handOver(p)
		}
		if len(c.unread) == 0 && c.frames.body > 0 && len(p) >= readBuffer {
			c.giveBack()
			n, err := c.Conn.Read(p[:min(len(p), c.frames.body)])
			return c.handed(p[:n], err)
		}
		if err := c.readMore(); err != nil {
			return 0, err
		}
	}
}

// readMore reads behind what is left. There is room: a longer packet goes to mochi in parts.
func (c *conn) readMore() error {
	if !readsAtOnce || c.direct.raw == nil {
		c.borrow()
		n, err := c.Conn.Read(c.space[len(c.unread):])
		return c.took(n, err)
	}
	if err := c.direct.raw.Read(c.attempt); err != nil { // closed, or its deadline has passed
		c.giveBack()
		return err
	}
	return c.readErr
}

// tryRead is called whenever there may be something to read, and says whether that is over: there was, or will never be.
func (c *conn) tryRead(fd uintptr) bool {
	c.borrow()
	n, err := readAtOnce(fd, c.space[len(c.unread):])
	if n < 0 {
		c.giveBack()
		return false
	}
	c.readErr = c.took(n, err)
	return true
}

// borrow sees that there is room, and what is left at its beginning.
func (c *conn) borrow() {
	if c.space == nil {
		c.space = readSpaces.Get().(*readSpace)
	}
	c.unread = c.space[:copy(c.space[:], c.unread)]
}

// giveBack ends the loan if nothing is left.
func (c *conn) giveBack() {
	if len(c.unread) == 0 && c.space != nil {
		readSpaces.Put(c.space)
		c.space, c.unread = nil, nil
	}
}

// took counts n bytes more as read.
func (c *conn) took(n int, err error) error {
	c.unread = c.space[:len(c.unread)+n]
	if n > 0 {
		return nil // an error comes again
	}
	c.giveBack()
	return err
}

// handOver gives mochi what comes next, at most up to a packet that may be a plain PUBLISH.
func (c *conn) handOver(p []byte) (int, error) {
	n, err := c.handed(p[:copy(p, c.unread)], nil)
	c.unread = c.unread[n:]
	return n, err
}

// handed watches what mochi is given, and gives how much of it is right.
func (c *conn) handed(p []byte, err error) (int, error) {
	good, malformed := c.frames.feed(p)
	if good > 0 {
		c.lastByte = p[good-1]
	}
	if size := c.frames.size; c.frames.body > 0 && size > readBuffer && size <= c.longest {
		c.holdPacket(size) // mochi makes room for all of it now
	}
	c.malformed = malformed
	if malformed != nil && good == 0 {
		return 0, malformed
	}
	return good, err // what came before it counts
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

// framing watches the fixed headers of a connection go by. Mochi takes a length of more than four bytes when the rest are zero, and does not tell a
// packet of type 0 from a network that failed.
type framing struct {
	began  bool // the first header is through
	n      int  // bytes of the header under way
	length int  // as far as it was read
	body   int  // bytes of the packet still to come
	size   int  // its length
}

// between says whether the next byte begins a packet.
func (f *framing) between() bool { return f.n == 0 && f.body == 0 }

// feed gives how many bytes come before the next packet but the first that may be a plain PUBLISH, and an error when a packet's type or length is none (MQTT 5,
// sections 2.1.2 and 1.5.5) or the first one is longer than maxConnect: then the bytes are those before that packet.
func (f *framing) feed(p []byte) (good int, malformed error) {
	for i := 0; i < len(p); {
		if f.body > 0 {
			n := min(f.body, len(p)-i)
			f.body -= n
			i += n
			continue
		}
		b := p[i]
		if f.n == 0 && i > 0 && maybePlain(b) {
			return i, nil
		}
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

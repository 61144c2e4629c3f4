package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection. Whoever publishes on it (a goroutine of its own when flat out, the pacer when paced) owns buf and alone moves sent; a goroutine of its own
// reads acknowledgements. They must come in the order of the messages (MQTT 3.1.1, section 4.6), so that what is acknowledged is one number.
type conn struct {
	load   *Load
	id     string
	index  int
	sock   net.Conn
	heads  [][]byte // by sensor
	buf    []byte   // what is written next
	writer stall

	mu      sync.Mutex
	room    sync.Cond // on mu: something was acknowledged, or the connection is over
	sent    uint64    // messages written
	acked   uint64    // of them acknowledged (PUBACK, PUBREC), from the first on
	done    uint64    // of them whose packet id is free again (PUBACK, PUBCOMP)
	wrote   []wrote   // flat out: what is not acknowledged yet, oldest first
	latency Latencies // since last asked
	err     error     // why it ended before it was told to
	over    bool

	answered time.Duration // when something was acknowledged last, after the load's start: what was not sent by then waited longer
}

// wrote is when messages up to a number were written.
type wrote struct {
	upTo uint64
	at   time.Duration // after the load's start
}

const (
	chunk     = 16 << 10 // bytes a write
	keepalive = 60       // seconds
)

func dial(l *Load, addr string, k int) (*conn, error) {
	c := &conn{load: l, index: k, id: "load-" + strconv.Itoa(k)}
	c.room.L = &c.mu
	var err error
	if c.sock, _, err = Connect(addr, c.id, true, keepalive); err != nil {
		return nil, fmt.Errorf("connection %s: %w", c.id, err)
	}
	// What waits on this side is the generator's affair: a client that sees back-pressure early.
	if err := c.sock.(*net.TCPConn).SetWriteBuffer(chunk); err != nil {
		return nil, errors.Join(err, c.sock.Close())
	}
	for s := range l.Plan.Sensors {
		c.heads = append(c.heads, encodeHead(&l.Plan, l.Plan.Topic(k, s), len(l.body.bytes)))
	}
	return c, nil
}

// stall counts the time in which a writer had something to send and could not.
type stall struct {
	all   atomic.Int64 // ns, the present time not included
	since atomic.Int64 // since when it cannot now, ns after the load's start; 0: it can
}

// begin and end enclose what the writer may have to wait in.
func (s *stall) begin(now time.Duration) { s.since.Store(max(1, int64(now))) }

func (s *stall) end(now time.Duration) { s.all.Add(int64(now) - s.since.Swap(0)) }

// waited gives the time the writer has been blocked in all.
func (s *stall) waited(now time.Duration) time.Duration {
	d := time.Duration(s.all.Load())
	if since := time.Duration(s.since.Load()); since > 0 {
		d += now - since
	}
	return d
}

// publish sends until told to stop: flat out.
func (c *conn) publish() {
	for {
		n, ok := c.next()
		if ok {
			n, ok = c.abreast(n)
		}
		if !ok || !c.send(n) {
			return
		}
	}
}

// next waits until there is room, and says for how many messages. It is false when nothing more is to be sent.
func (c *conn) next() (n uint64, ok bool) {
	l := c.load
	if l.stopped() {
		return 0, false
	}
	if l.Plan.QoS == 0 {
		return math.MaxUint32, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent-c.done >= uint64(l.Plan.Window) && !c.over {
		c.writer.begin(time.Since(l.start))
		for c.sent-c.done > uint64(l.Plan.Window)*7/8 && !c.over && !l.stopped() { // one that wakes for each acknowledgement measures itself
			c.room.Wait()
		}
		c.writer.end(time.Since(l.start))
	}
	if c.over || l.stopped() {
		return 0, false
	}
	return uint64(l.Plan.Window) - (c.sent - c.done), true
}

// abreast waits until the slowest connection is near enough, and says how many messages of n keep it so. It is false when nothing more is to be sent.
func (c *conn) abreast(n uint64) (uint64, bool) {
	most := c.load.Plan.Abreast
	if most == 0 {
		return n, true
	}
	for !c.load.stopped() {
		sent, over := c.progress()
		if over {
			break
		}
		if ahead := sent - min(sent, c.load.fewest()); ahead < most {
			return min(n, most-ahead), true
		}
		time.Sleep(time.Millisecond)
	}
	return 0, false
}

// progress is how many messages were sent, and whether that is all.
func (c *conn) progress() (sent uint64, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent, c.over
}

// fewest is how many messages the connection has sent that has sent least, of those that are not over.
func (l *Load) fewest() uint64 {
	least := uint64(math.MaxUint64)
	for _, c := range l.conns {
		if sent, over := c.progress(); !over {
			least = min(least, sent)
		}
	}
	return least
}

// send writes the next messages, n at most and not much more than a chunk. It is false when the connection is over.
func (c *conn) send(n uint64) bool {
	l := c.load
	c.mu.Lock()
	first, over := c.sent, c.over
	c.mu.Unlock()
	if over {
		return false
	}
	c.buf = c.buf[:0]
	m := first
	for ; m < first+n && len(c.buf) < chunk; m++ {
		c.buf = l.Plan.appendMessage(c.buf, c.heads, &l.body, m)
	}
	if ahead := time.Until(time.UnixMilli(l.Plan.lastTS(m - 1))); ahead > time.Minute {
		c.end(errors.New("the readings' event time has come to the present: take more sensors, or less time"))
		return false
	}
	now := time.Since(l.start)
	c.mu.Lock()
	c.sent = m
	if l.Plan.QoS > 0 && !l.Plan.paced() {
		c.wrote = append(c.wrote, wrote{m, now})
	}
	c.mu.Unlock()
	c.writer.begin(now)
	_, err := c.sock.Write(c.buf)
	c.writer.end(time.Since(l.start))
	if err != nil {
		c.end(fmt.Errorf("write: %w", err))
	}
	return err == nil
}

// read takes acknowledgements until the connection ends.
func (c *conn) read() {
	buf, have := make([]byte, chunk), 0
	var answers []byte
	for {
		n, err := c.sock.Read(buf[have:])
		if err != nil {
			c.end(fmt.Errorf("read: %w", err))
			return
		}
		have += n
		whole := have / 4 * 4
		if answers, err = c.settle(buf[:whole], answers[:0]); err != nil {
			c.end(err)
			return
		}
		if len(answers) > 0 {
			if _, err := c.sock.Write(answers); err != nil {
				c.end(fmt.Errorf("write PUBREL: %w", err))
				return
			}
		}
		have = copy(buf, buf[whole:have])
	}
}

// What the server sends, by its first byte. All are four bytes long: type, length 2, packet id.
const (
	puback  = 0x40
	pubrec  = 0x50
	pubrel  = 0x62
	pubcomp = 0x70
)

// settle takes acknowledgements, and appends what they must be answered with.
func (c *conn) settle(acks, answers []byte) ([]byte, error) {
	now := time.Since(c.load.start)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.room.Signal()
	want := [...]byte{0, puback, pubrec}[c.load.Plan.QoS]
	before := c.acked
	for ; len(acks) > 0; acks = acks[4:] {
		id := binary.BigEndian.Uint16(acks[2:])
		switch {
		case acks[1] != 2 || acks[0] != want && (acks[0] != pubcomp || want != pubrec):
			return answers, fmt.Errorf("read % x, which is no acknowledgement", acks[:4])
		case acks[0] == pubcomp:
			if c.done >= c.acked || id != packetID(c.done) {
				return answers, fmt.Errorf("packet %d was completed, %d is the next in order", id, packetID(c.done))
			}
			c.done++
			continue
		case c.acked >= c.sent || id != packetID(c.acked):
			return answers, fmt.Errorf("packet %d was acknowledged, %d is the next in order", id, packetID(c.acked))
		}
		c.acked++
		if want == pubrec {
			answers = append(answers, pubrel, 2, acks[2], acks[3])
		}
	}
	if want == puback {
		c.done = c.acked
	}
	c.answered = now
	c.time(before, now)
	return answers, nil
}

// wait adds how long the messages that were due and are not sent have waited by a time. c.mu is held.
func (c *conn) wait(to *Latencies, due uint64, by time.Duration) {
	t := &c.load.table
	for m := c.sent; m < due; {
		upTo := min(due, (m/t.group+1)*t.group)
		to.Add(by-t.due(c.index, m), uint32(upTo-m))
		m = upTo
	}
}

// time notes the latencies of the messages from one number on that are acknowledged now. Those written, or due, together have the same.
func (c *conn) time(from uint64, now time.Duration) {
	l := c.load
	for from < c.acked {
		upTo, at := c.acked, time.Duration(0)
		if l.Plan.paced() {
			upTo = min(upTo, (from/l.table.group+1)*l.table.group)
			at = l.table.due(c.index, from)
		} else {
			for c.wrote[0].upTo <= from {
				c.wrote = c.wrote[1:]
			}
			upTo, at = min(upTo, c.wrote[0].upTo), c.wrote[0].at
		}
		c.latency.Add(now-at, uint32(upTo-from))
		from = upTo
	}
}

// end notes why the connection ended, unless it was closed from here.
func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over, c.err = true, err
	}
	c.room.Broadcast()
}

// goodbye ends the connection from here. What is on its way to the server still arrives.
func (c *conn) goodbye() {
	c.mu.Lock()
	over := c.over
	c.over = true
	c.room.Broadcast()
	c.mu.Unlock()
	if !over {
		_ = c.sock.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.sock.Write([]byte{0xe0, 0}) // the server may be gone: then there is nobody to take leave of
	}
	_ = c.sock.Close()
}

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// loadConn is one connection: a goroutine that writes and one that reads acknowledgements. They must come in the order of the messages (MQTT 3.1.1,
// section 4.6), so that what is acknowledged is one number.
type loadConn struct {
	plan    *loadPlan
	id      string
	index   int
	sock    net.Conn
	frames  []loadFrame // by sensor
	buf     []byte      // what is written next
	offset  time.Duration
	blocked atomic.Int64 // ns in which the writer had something to send and could not, the present time not included
	since   atomic.Int64 // since when it cannot now, ns after the load's start; 0: it can
	start   time.Time    // the load's

	mu      sync.Mutex
	room    sync.Cond // on mu: something was acknowledged, or the connection is over
	sent    uint64    // messages written
	acked   uint64    // of them acknowledged, from the first on
	wrote   []wrote   // what is not acknowledged yet, oldest first
	latency latencies // since last asked
	lag     time.Duration
	err     error // why it ended before it was told to
	over    bool
}

// wrote is when messages up to a number were written.
type wrote struct {
	upTo uint64
	at   time.Time
}

// loadFrame is the PUBLISH of a sensor, encoded but for packet id and event times.
type loadFrame struct {
	bytes []byte
	id    int   // where the packet id is; 0: QoS 0 has none
	times []int // where the event times are
	temps []int // where the last two digits of the temperatures are
}

// rawConnect opens an MQTT 3.1.1 session on a bare socket, and says whether the program had one of this client already.
func rawConnect(addr, client string, clean bool, keepalive uint16) (sock net.Conn, present bool, err error) {
	if sock, err = net.DialTimeout("tcp", addr, 30*time.Second); err != nil {
		return nil, false, fmt.Errorf("dial: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, sock.Close())
		}
	}()
	flags := byte(0)
	if clean {
		flags = 2
	}
	p := []byte{0x10, byte(12 + len(client)), 0, 4, 'M', 'Q', 'T', 'T', 4, flags, byte(keepalive >> 8), byte(keepalive), 0, byte(len(client))}
	if err := sock.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, false, err
	}
	if _, err := sock.Write(append(p, client...)); err != nil {
		return sock, false, fmt.Errorf("write CONNECT: %w", err)
	}
	var ack [4]byte
	if _, err := io.ReadFull(sock, ack[:]); err != nil {
		return sock, false, fmt.Errorf("read CONNACK: %w", err)
	}
	if ack[0] != 0x20 || ack[3] != 0 {
		return sock, false, fmt.Errorf("CONNACK is % x", ack)
	}
	return sock, ack[2] == 1, sock.SetDeadline(time.Time{})
}

// rawSubscribe asks for one filter at QoS 1 and waits for the SUBACK.
func rawSubscribe(sock net.Conn, filter string) error {
	p := []byte{0x82, byte(5 + len(filter)), 0, 1, 0, byte(len(filter))}
	if _, err := sock.Write(append(append(p, filter...), 1)); err != nil {
		return fmt.Errorf("write SUBSCRIBE: %w", err)
	}
	var ack [5]byte
	if _, err := io.ReadFull(sock, ack[:]); err != nil {
		return fmt.Errorf("read SUBACK: %w", err)
	}
	if ack[0] != 0x90 || ack[4] != 1 {
		return fmt.Errorf("SUBACK is % x", ack)
	}
	return nil
}

func dialLoad(addr string, plan *loadPlan, k int) (*loadConn, error) {
	c := &loadConn{plan: plan, index: k, id: "load-" + strconv.Itoa(k)}
	c.room.L = &c.mu
	var err error
	if c.sock, _, err = rawConnect(addr, c.id, true, 30); err != nil {
		return nil, err
	}
	// What waits on this side is the generator's affair: a client that sees back-pressure early.
	if err := c.sock.(*net.TCPConn).SetWriteBuffer(loadChunk); err != nil {
		return nil, errors.Join(err, c.sock.Close())
	}
	for s := range plan.sensors {
		c.frames = append(c.frames, encodeFrame(plan, c.asset(), c.sensor(s)))
	}
	// Connections do not all send at the same instant.
	c.offset = paceStep * time.Duration(k) / time.Duration(plan.conns)
	return c, nil
}

func (c *loadConn) asset() string { return "loco-" + strconv.Itoa(c.index/c.plan.perAsset) }

func (c *loadConn) sensor(s int) string {
	side := [...]string{"left", "right"}[c.index%c.plan.perAsset%2]
	return fmt.Sprintf("axle%d-%s", 1+c.index%c.plan.perAsset/2*c.plan.sensors+s, side)
}

const (
	zeroTime   = "0000000000000" // thirteen digits: epoch ms between 2001 and 2286
	loadFields = `{"ts":` + zeroTime + `,"temp_c":45.00,"ambient_c":25.5,"speed_kmh":60}`
	paceStep   = 20 * time.Millisecond
	loadChunk  = 16 << 10 // bytes a write
)

// encodeFrame makes the template of a sensor's messages.
func encodeFrame(plan *loadPlan, asset, sensor string) loadFrame {
	topic := "cidp/v1/telemetry/douala/" + asset + "/" + sensor
	payload := loadFields
	if plan.batch > 1 {
		payload = "[" + strings.Repeat(loadFields+",", plan.batch-1) + loadFields + "]"
	}
	f := loadFrame{bytes: []byte{0x30 | plan.qos<<1}}
	remaining := 2 + len(topic) + len(payload)
	if plan.qos > 0 {
		remaining += 2
	}
	f.bytes = binary.AppendUvarint(f.bytes, uint64(remaining)) // the encoding of MQTT's variable byte integer
	f.bytes = binary.BigEndian.AppendUint16(f.bytes, uint16(len(topic)))
	f.bytes = append(f.bytes, topic...)
	if plan.qos > 0 {
		f.id = len(f.bytes)
		f.bytes = append(f.bytes, 0, 0)
	}
	at := len(f.bytes)
	f.bytes = append(f.bytes, payload...)
	for i := at; i+len(zeroTime) <= len(f.bytes); i++ {
		if string(f.bytes[i:i+len(zeroTime)]) == zeroTime {
			f.times = append(f.times, i)
			f.temps = append(f.temps, i+len(zeroTime)+len(`,"temp_c":45.`))
			i += len(zeroTime)
		}
	}
	return f
}

// place says which readings message m is: a sensor's, from an event second on, plan.batch of them.
func (p *loadPlan) place(m uint64) (sensor int, second uint64) {
	return int(m % uint64(p.sensors)), m / uint64(p.sensors) * uint64(p.batch)
}

// appendMessage appends message m.
func (c *loadConn) appendMessage(dst []byte, m uint64) []byte {
	s, second := c.plan.place(m)
	f := &c.frames[s]
	at := len(dst)
	dst = append(dst, f.bytes...)
	b := dst[at:]
	if f.id > 0 {
		binary.BigEndian.PutUint16(b[f.id:], packetID(m))
	}
	for i, p := range f.times {
		ts := c.plan.begin + int64(second+uint64(i))*1000
		for d := p + len(zeroTime) - 1; d >= p; d-- {
			b[d] = byte('0' + ts%10)
			ts /= 10
		}
		v := (second + uint64(i)) * 7 % 13 * 7 // a healthy sensor is never quite still
		b[f.temps[i]], b[f.temps[i]+1] = byte('0'+v/10), byte('0'+v%10)
	}
	return dst
}

// Packet ids go round from 1 to 65,535.
func packetID(m uint64) uint16 { return uint16(m%math.MaxUint16) + 1 }

// publish sends until told to stop.
func (c *loadConn) publish(stop <-chan struct{}) {
	for {
		n, due, ok := c.next(stop)
		if !ok {
			return
		}
		c.buf = c.buf[:0]
		c.mu.Lock()
		first := c.sent
		c.mu.Unlock()
		m := first
		for ; m < first+n && len(c.buf) < loadChunk; m++ {
			c.buf = c.appendMessage(c.buf, m)
		}
		if due.IsZero() || c.plan.overload {
			due = time.Now()
		}
		c.mu.Lock()
		c.sent = m
		if c.plan.qos > 0 {
			c.wrote = append(c.wrote, wrote{m, due})
		}
		c.mu.Unlock()
		c.block()
		_, err := c.sock.Write(c.buf)
		c.unblock()
		if err != nil {
			c.end(fmt.Errorf("write: %w", err))
			return
		}
	}
}

// next waits until there is something to send and room for it, and says how much, and since when the first of it is due (zero: since now). It is
// false when nothing more is to be sent.
func (c *loadConn) next(stop <-chan struct{}) (n uint64, due time.Time, ok bool) {
	n = math.MaxUint32
	if c.plan.rate > 0 {
		if n, due, ok = c.pace(stop); !ok {
			return 0, due, false
		}
	}
	select {
	case <-stop:
		return 0, due, false
	default:
	}
	if c.plan.qos == 0 {
		return n, due, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(c.sent-c.acked) >= c.plan.window && !c.over {
		c.block()
		for int(c.sent-c.acked) > c.plan.window*7/8 && !c.over && !isClosed(stop) { // one that wakes for each acknowledgement measures itself
			c.room.Wait()
		}
		c.unblock()
	}
	if c.over || isClosed(stop) {
		return 0, due, false
	}
	return min(n, uint64(c.plan.window)-(c.sent-c.acked)), due, true
}

// block and unblock enclose what the writer may have to wait in.
func (c *loadConn) block() { c.since.Store(max(1, int64(time.Since(c.start)))) }

func (c *loadConn) unblock() {
	c.blocked.Add(int64(time.Since(c.start)) - c.since.Swap(0))
}

// waited gives the time the writer has been blocked in all.
func (c *loadConn) waited() time.Duration {
	d := time.Duration(c.blocked.Load())
	if since := time.Duration(c.since.Load()); since > 0 {
		d += time.Since(c.start) - since
	}
	return d
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// pace waits until a message is due, and notes how late it woke: that is the machine's doing, not the program's.
func (c *loadConn) pace(stop <-chan struct{}) (n uint64, due time.Time, ok bool) {
	every := float64(c.plan.conns) / c.plan.rate * float64(time.Second) // between two messages of this connection
	for {
		now := time.Since(c.start) - c.offset
		if should := uint64(max(0, float64(now)/every)); should > c.sent { // only this goroutine moves sent
			return should - c.sent, c.start.Add(c.offset + time.Duration(float64(c.sent+1)*every)), true
		}
		wake := now/paceStep*paceStep + paceStep
		select {
		case <-stop:
			return 0, due, false
		case <-time.After(wake - now):
		}
		late := time.Since(c.start) - c.offset - wake
		c.mu.Lock()
		c.lag = max(c.lag, late)
		c.mu.Unlock()
	}
}

// read takes acknowledgements until the connection ends.
func (c *loadConn) read() {
	buf, have := make([]byte, 16<<10), 0
	for {
		n, err := c.sock.Read(buf[have:])
		if err != nil {
			c.end(fmt.Errorf("read: %w", err))
			return
		}
		have += n
		whole := have / 4 * 4
		if err := c.settle(buf[:whole]); err != nil {
			c.end(err)
			return
		}
		have = copy(buf, buf[whole:have])
	}
}

// settle takes PUBACKs, four bytes each.
func (c *loadConn) settle(acks []byte) error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.room.Signal()
	for ; len(acks) > 0; acks = acks[4:] {
		id := binary.BigEndian.Uint16(acks[2:])
		if acks[0] != 0x40 || acks[1] != 2 {
			return fmt.Errorf("read % x, not a PUBACK", acks[:4])
		}
		if c.acked >= c.sent || id != packetID(c.acked) {
			return fmt.Errorf("packet %d was acknowledged, %d is the next in order", id, packetID(c.acked))
		}
		c.acked++
		for len(c.wrote) > 0 && c.wrote[0].upTo < c.acked {
			c.wrote = c.wrote[1:]
		}
		c.latency.add(now.Sub(c.wrote[0].at))
	}
	return nil
}

// end notes why the connection ended, unless it was closed from here.
func (c *loadConn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over, c.err = true, err
	}
	c.room.Broadcast()
}

// goodbye ends the connection from here. What is on its way to the program still arrives.
func (c *loadConn) goodbye() {
	c.mu.Lock()
	over := c.over
	c.over = true
	c.room.Broadcast()
	c.mu.Unlock()
	if !over {
		_ = c.sock.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.sock.Write([]byte{0xe0, 0}) // the program may be gone: then there is nobody to take leave of
	}
	_ = c.sock.Close()
}

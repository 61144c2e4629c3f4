package broker_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
	"github.com/rs/zerolog"
)

const patience = 10 * time.Second

// mustStart runs a broker on a free port of loopback until the test ends.
func mustStart(tb testing.TB, cfg broker.Config) *broker.Broker {
	tb.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	cfg.Log = zerolog.New(zerolog.NewTestWriter(tb)).Level(zerolog.ErrorLevel)
	b, err := broker.Start(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { mustClose(tb, b) })
	return b
}

func mustClose(tb testing.TB, b *broker.Broker) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		tb.Errorf("close broker: %v", err)
	}
	if n := b.Stats().Panics; n != 0 {
		tb.Errorf("%d connections ended by a panic", n)
	}
}

// mustReceive waits for n messages.
func mustReceive(tb testing.TB, b *broker.Broker, n int) []broker.Message {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var got []broker.Message
	for len(got) < n {
		var err error
		if got, err = b.Receive(ctx, got, n-len(got)); err != nil {
			tb.Fatalf("receive %d messages: got %d: %v", n, len(got), err)
		}
	}
	return got
}

// acknowledge gives all messages one outcome.
func acknowledge(b *broker.Broker, outcome broker.Outcome, messages ...broker.Message) {
	acks := make([]broker.Ack, len(messages))
	for i := range messages {
		acks[i] = broker.Ack{Message: messages[i], Outcome: outcome}
	}
	b.Acknowledge(acks)
}

// acceptAll accepts everything until the broker is drained.
func acceptAll(tb testing.TB, b *broker.Broker) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var batch []broker.Message
		for {
			var err error
			batch, err = b.Receive(context.Background(), batch[:0], 0)
			if errors.Is(err, broker.ErrDrained) {
				return
			}
			if err != nil {
				tb.Errorf("receive: %v", err)
				return
			}
			acknowledge(b, broker.Accepted, batch...)
		}
	}()
	tb.Cleanup(func() {
		b.Drain()
		<-done
	})
}

// eventually waits until a condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			tb.Fatalf("not in time: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// Packet types.
const (
	tConnect    = 1
	tConnack    = 2
	tPublish    = 3
	tPuback     = 4
	tPubrec     = 5
	tPubrel     = 6
	tPubcomp    = 7
	tSubscribe  = 8
	tSuback     = 9
	tPingreq    = 12
	tPingresp   = 13
	tDisconnect = 14
)

// packet is one MQTT packet off the wire.
type packet struct {
	kind, flags byte
	body        []byte
}

func (p packet) id() uint16 { return binary.BigEndian.Uint16(p.body) }

// reason is the reason code of an acknowledgement, 0 when it has none.
func (p packet) reason() byte {
	if len(p.body) > 2 {
		return p.body[2]
	}
	return 0
}

// delivered takes a PUBLISH to a subscriber apart.
func (p packet) delivered(version byte) (topic string, id uint16, payload []byte) {
	n := int(binary.BigEndian.Uint16(p.body))
	topic, rest := string(p.body[2:2+n]), p.body[2+n:]
	if p.flags&6 != 0 {
		id, rest = binary.BigEndian.Uint16(rest), rest[2:]
	}
	if version == 5 {
		rest = rest[1+int(rest[0]):]
	}
	return topic, id, rest
}

// rawClient speaks MQTT packet by packet.
type rawClient struct {
	tb      testing.TB
	conn    net.Conn
	r       *bufio.Reader
	version byte
}

// session is how a rawClient connects.
type session struct {
	id         string
	version    byte // default 4
	keep       bool // not a clean session; MQTT 5: kept for 60 s
	receiveMax uint16
	will       string // topic
	willDelay  uint32
	willRetain bool
}

func dial(tb testing.TB, b *broker.Broker) *rawClient {
	tb.Helper()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	c := newRawClient(conn, 4)
	c.tb = tb
	tb.Cleanup(func() { conn.Close() })
	return c
}

// newRawClient is a client for read only: it has no test to fail.
func newRawClient(conn net.Conn, version byte) *rawClient {
	return &rawClient{conn: conn, r: bufio.NewReader(conn), version: version}
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func frame(first byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func connectFrame(s session) []byte {
	flags := byte(0)
	if !s.keep {
		flags |= 2
	}
	var props, last []byte
	if s.version == 5 {
		if s.keep {
			props = append(props, 0x11, 0, 0, 0, 60)
		}
		if s.receiveMax > 0 {
			props = binary.BigEndian.AppendUint16(append(props, 0x21), s.receiveMax)
		}
		props = append([]byte{byte(len(props))}, props...)
	}
	if s.will != "" {
		flags |= 4 | 1<<3
		if s.willRetain {
			flags |= 1 << 5
		}
		if s.version == 5 {
			last = binary.BigEndian.AppendUint32(append(last, 5, 0x18), s.willDelay)
		}
		last = append(append(last, text(s.will)...), text("gone")...)
	}
	return frame(tConnect<<4, text("MQTT"), []byte{s.version, flags, 0, 30}, props, text(s.id), last)
}

// connect dials and waits for CONNACK. It gives whether the session was resumed.
func connect(tb testing.TB, b *broker.Broker, s session) (*rawClient, bool) {
	tb.Helper()
	if s.version == 0 {
		s.version = 4
	}
	c := dial(tb, b)
	c.version = s.version
	c.write(connectFrame(s))
	ack := c.expect(tConnack)
	if ack.body[1] != 0 {
		tb.Fatalf("CONNACK refuses with 0x%02x", ack.body[1])
	}
	return c, ack.body[0]&1 == 1
}

func (c *rawClient) write(p []byte) {
	c.tb.Helper()
	if _, err := c.conn.Write(p); err != nil {
		c.tb.Fatalf("write: %v", err)
	}
}

// read gives the next packet.
func (c *rawClient) read(wait time.Duration) (packet, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return packet{}, err
	}
	first, err := c.r.ReadByte()
	if err != nil {
		return packet{}, err
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil {
		return packet{}, err
	}
	p := packet{kind: first >> 4, flags: first & 15, body: make([]byte, n)}
	_, err = io.ReadFull(c.r, p.body)
	return p, err
}

func (c *rawClient) expect(kind byte) packet {
	c.tb.Helper()
	p, err := c.read(patience)
	if err != nil {
		c.tb.Fatalf("waiting for packet type %d: %v", kind, err)
	}
	if p.kind != kind {
		c.tb.Fatalf("got packet type %d %x, want %d", p.kind, p.body, kind)
	}
	return p
}

// peek gives the type of the next packet.
func (c *rawClient) peek() byte {
	c.tb.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.tb.Fatal(err)
	}
	first, err := c.r.Peek(1)
	if err != nil {
		c.tb.Fatalf("waiting for a packet: %v", err)
	}
	return first[0] >> 4
}

// expectAck waits for an acknowledgement of a packet id with a reason.
func (c *rawClient) expectAck(kind byte, id uint16, reason byte) {
	c.tb.Helper()
	if p := c.expect(kind); p.id() != id || p.reason() != reason {
		c.tb.Fatalf("got ack %d 0x%02x, want %d 0x%02x", p.id(), p.reason(), id, reason)
	}
}

// expectClosed waits for the end of the connection, skipping packets before it. It gives the last one.
func (c *rawClient) expectClosed() packet {
	c.tb.Helper()
	var last packet
	for {
		p, err := c.read(patience)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.tb.Fatal("connection stays open")
		}
		if err != nil {
			return last
		}
		last = p
	}
}

// expectQuiet sees that the broker has nothing more to say: the answer to PINGREQ is the next packet.
func (c *rawClient) expectQuiet() {
	c.tb.Helper()
	c.write([]byte{tPingreq << 4, 0})
	c.expect(tPingresp)
}

// publish sends a PUBLISH; flags may hold DUP (8) and RETAIN (1).
func (c *rawClient) publish(flags, qos byte, id uint16, topic, payload string) {
	c.tb.Helper()
	c.write(publishFrame(c.version, flags, qos, id, topic, 0, payload))
}

func publishFrame(version, flags, qos byte, id uint16, topic string, alias uint16, payload string) []byte {
	var ident, props []byte
	if qos > 0 {
		ident = binary.BigEndian.AppendUint16(nil, id)
	}
	if version == 5 {
		props = []byte{0}
		if alias > 0 {
			props = binary.BigEndian.AppendUint16([]byte{3, 0x23}, alias)
		}
	}
	return frame(tPublish<<4|flags|qos<<1, text(topic), ident, props, []byte(payload))
}

// ack sends PUBACK, PUBREC, PUBREL or PUBCOMP.
func (c *rawClient) ack(kind byte, id uint16) {
	c.tb.Helper()
	first := kind << 4
	if kind == tPubrel {
		first |= 2
	}
	c.write([]byte{first, 2, byte(id >> 8), byte(id)})
}

// subscribe sends SUBSCRIBE for one filter and waits for it to be granted. Retained messages come after.
func (c *rawClient) subscribe(filter string, options byte) {
	c.tb.Helper()
	c.write(subscribeFrame(c.version, 9, filter, options, 0))
	ack := c.expect(tSuback)
	if code := ack.body[len(ack.body)-1]; code > 2 {
		c.tb.Fatalf("subscription refused with 0x%02x", code)
	}
}

func subscribeFrame(version byte, id uint16, filter string, options, identifier byte) []byte {
	var props []byte
	if version == 5 {
		props = []byte{0}
		if identifier > 0 {
			props = []byte{2, 0x0b, identifier}
		}
	}
	return frame(tSubscribe<<4|2, binary.BigEndian.AppendUint16(nil, id), props, text(filter), []byte{options})
}

// expectMessage waits for a message to a subscriber.
func (c *rawClient) expectMessage(topic, payload string) packet {
	c.tb.Helper()
	p := c.expect(tPublish)
	gotTopic, _, gotPayload := p.delivered(c.version)
	if gotTopic != topic || string(gotPayload) != payload {
		c.tb.Fatalf("got %s %q, want %s %q", gotTopic, gotPayload, topic, payload)
	}
	return p
}

func topicOf(i int) string {
	return fmt.Sprintf("cidp/v1/telemetry/dla/loco%d/axle%d-left", i/12, i%12)
}

const (
	topicA  = "cidp/v1/telemetry/dla/loco1/axle1-left"
	topicB  = "cidp/v1/telemetry/dla/loco1/axle1-right"
	reading = `{"ts":1700000000000,"temp_c":41.5}`
)

package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/camrail/cidp/broker"
)

// scripted is a connection on which bytes arrive in given pieces, one a Read at most.
type scripted struct {
	pieces  chan []byte
	asked   chan struct{} // one token for every Read that finds nothing
	expired chan struct{} // closed when nothing more is read
	closed  chan struct{}

	rest    []byte
	mu      sync.Mutex
	written []byte
	end     sync.Once
	expire  sync.Once
}

func newScripted() *scripted {
	return &scripted{pieces: make(chan []byte), asked: make(chan struct{}, 1), expired: make(chan struct{}), closed: make(chan struct{})}
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		select {
		case <-s.expired:
			return 0, os.ErrDeadlineExceeded
		default:
		}
		select {
		case s.asked <- struct{}{}:
		case <-s.expired:
			return 0, os.ErrDeadlineExceeded
		}
		select {
		case piece, more := <-s.pieces:
			if !more {
				return 0, io.EOF
			}
			s.rest = piece
		case <-s.expired:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *scripted) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = append(s.written, p...)
	return len(p), nil
}

func (s *scripted) Close() error {
	s.end.Do(func() { close(s.closed) })
	return nil
}

func (s *scripted) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (s *scripted) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (s *scripted) SetDeadline(time.Time) error        { return nil }
func (s *scripted) SetWriteDeadline(t time.Time) error { return nil }

// SetReadDeadline heeds those that are over: nobody waits here.
func (s *scripted) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		s.expire.Do(func() { close(s.expired) })
	}
	return nil
}

// feed lets the pieces arrive, each when the one before it was read and all that it held was worked off. It is false when the broker closed.
func (s *scripted) feed(pieces [][]byte) bool {
	for _, piece := range pieces {
		select {
		case <-s.asked:
			select {
			case s.pieces <- piece:
			case <-s.closed:
				return false
			}
		case <-s.closed:
			return false
		}
	}
	select {
	case <-s.asked:
		s.asked <- struct{}{}
		return true
	case <-s.closed:
		return false
	}
}

// cut gives p in pieces of the given lengths, over and over.
func cut(p []byte, lengths ...int) (pieces [][]byte) {
	for i := 0; len(p) > 0; i++ {
		n := min(max(1, lengths[i%len(lengths)]), len(p))
		pieces = append(pieces, p[:n])
		p = p[n:]
	}
	return pieces
}

// account is all that a client and the line see of a connection.
type account struct {
	received []string // as they came, with the part of the stream they came in
	plain    []int    // which of them were taken before mochi
	answers  []string // packets to the client, but those of its subscriptions
	ended    bool     // by the broker
	stats    string
}

// converse connects with a CONNECT and lets the parts of a stream arrive. After each of them it accepts what was received.
func converse(t *testing.T, b *broker.Broker, s session, parts ...[][]byte) account {
	t.Helper()
	var a account
	conn := newScripted()
	b.Serve(conn)
	there := conn.feed([][]byte{connectFrame(s)})
	for i := 0; i < len(parts) && there; i++ {
		there = conn.feed(parts[i])
		a.accept(t, b, i)
	}
	a.ended = !there
	close(conn.pieces)
	<-conn.closed
	eventually(t, "connection has ended", func() bool { return b.Stats().Open == 0 })
	a.accept(t, b, len(parts))
	for r := newRawClient(recorded{r: bytes.NewReader(conn.written)}, s.version); ; {
		p, err := r.read(time.Second)
		if err != nil {
			break
		}
		if p.kind != tPublish {
			a.answers = append(a.answers, fmt.Sprintf("%d/%d %x", p.kind, p.flags, p.body))
		}
	}
	st := b.Stats()
	a.stats = fmt.Sprint(st.Received, st.ReceivedBytes, st.Redelivered, st.Denied, st.ProtocolErrors, st.AcksWritten, st.AcksDropped, st.Retained, st.Panics, st.Held)
	return a
}

// accept takes and accepts what is queued.
func (a *account) accept(t *testing.T, b *broker.Broker, part int) {
	t.Helper()
	n := b.Stats().Queued
	if n == 0 {
		return
	}
	got := mustReceive(t, b, n)
	for i := range got {
		m := &got[i]
		if m.Plain() {
			a.plain = append(a.plain, len(a.received))
		}
		a.received = append(a.received, fmt.Sprintf("%d: %s %q %d %s QoS %d %v %v %d", part, m.Topic, m.Payload, m.Size, m.Client, m.QoS, m.Retain, m.TooLarge, m.Received))
	}
	acknowledge(b, broker.Accepted, got...)
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
}

// recorded is a connection that was recorded.
type recorded struct {
	net.Conn
	r io.Reader
}

func (d recorded) Read(p []byte) (int, error)      { return d.r.Read(p) }
func (d recorded) SetReadDeadline(time.Time) error { return nil }

// same compares two accounts, but for which messages were plain.
func (a *account) same(t *testing.T, other *account) {
	t.Helper()
	for _, of := range []struct {
		what      string
		got, want any
	}{
		{"received", a.received, other.received}, {"answers", a.answers, other.answers}, {"ended by the broker", a.ended, other.ended}, {"stats", a.stats, other.stats},
	} {
		if got, want := fmt.Sprintf("%q", of.got), fmt.Sprintf("%q", of.want); got != want {
			t.Errorf("%s:\n%s\nby mochi:\n%s", of.what, got, want)
		}
	}
}

// bothWays starts a broker that takes plain PUBLISHes and one that leaves them to mochi.
func bothWays(tb testing.TB, cfg broker.Config) (plain, mochi *broker.Broker) {
	cfg.Clock = func() time.Time { return time.UnixMilli(1234) }
	return mustStart(tb, cfg), mustStart(tb, broker.AllToMochi(cfg))
}

// mixed is a stream of every kind of PUBLISH, and how many messages it makes, of them plain.
func mixed(version byte) (stream []byte, all, plain int) {
	long := strings.Repeat("x", 3000)
	for _, of := range []struct {
		packet     []byte
		all, plain int
	}{
		{publishFrame(version, 0, 1, 1, topicA, 0, reading), 1, 1},
		{publishFrame(version, 0, 0, 0, topicB, 0, reading), 1, 1},
		{publishFrame(version, 0, 1, 2, topicA, 0, ""), 1, 1},
		{[]byte{tPingreq << 4, 0}, 0, 0},
		{publishFrame(version, 0, 1, 3, "cidp/v1/status", 0, reading), 0, 0},
		{publishFrame(version, 8, 1, 2, topicA, 0, ""), 0, 0}, // again: one answer
		{publishFrame(version, 8, 1, 4, topicA, 0, "again"), 1, 0},
		{publishFrame(version, 1, 1, 5, topicA, 0, "retained"), 1, 0},
		{publishFrame(version, 0, 2, 6, topicA, 0, "twice"), 1, 0},
		{publishFrame(version, 0, 1, 7, "a", 0, long), 1, 1},
		{[]byte{tPuback << 4, 2, 0, 9, tPingreq << 4, 0}, 0, 0},
		{publishFrame(version, 0, 0, 0, "$x", 0, ""), 0, 0},
		{publishFrame(version, 0, 1, 8, topicB, 0, reading), 1, 1},
	} {
		stream = append(stream, of.packet...)
		all += of.all
		plain += of.plain
	}
	return stream, all, plain
}

// However a stream is cut, the same comes of it, on both ways.
func TestStreamsCutAnywhere(t *testing.T) {
	for _, version := range []byte{4, 5} {
		b, mochi := bothWays(t, broker.Config{})
		stream, all, plain := mixed(version)
		s := session{id: "a", version: version}
		check := func(name string, lengths ...int) {
			t.Helper()
			got, want := converse(t, b, s, cut(stream, lengths...)), converse(t, mochi, s, cut(stream, lengths...))
			got.same(t, &want)
			if got.ended || len(got.received) != all || len(got.plain) != plain || len(want.plain) != 0 {
				t.Errorf("%s: ended %v, %d messages, of them %d plain; want %d and %d", name, got.ended, len(got.received), len(got.plain), all, plain)
			}
			if got, want := b.MochiReceived(), mochi.MochiReceived(); got != want {
				t.Errorf("%s: $SYS tells of %v, by mochi %v", name, got, want)
			}
		}
		check("whole", len(stream))
		for _, n := range []int{1, 2, 3, 5, 64, 500} {
			check(fmt.Sprintf("pieces of %d", n), n)
		}
		for at := 1; at < len(stream); at++ {
			if inside := bytes.LastIndex(stream[:at], []byte("xxxxxxxx")); inside >= 0 && bytes.HasPrefix(stream[at:], []byte("xxxx")) {
				continue // nothing new
			}
			check(fmt.Sprintf("cut at %d", at), at, len(stream))
		}
		if t.Failed() {
			return
		}
	}
}

// FuzzPlain feeds the same stream, in the same pieces, to a broker that takes plain PUBLISHes and to one that leaves them to mochi: the same messages, answers
// and end come of it. What is received is accepted between the two parts of the stream and at its end.
func FuzzPlain(f *testing.F) {
	for _, version := range []byte{4, 5} {
		stream, _, _ := mixed(version)
		f.Add(version, stream, stream, []byte{7, 200})
		f.Add(version, bytes.Repeat(publishFrame(version, 0, 0, 0, "a", 0, "x"), 200), stream[:50], []byte{255})
		var rolling []byte
		for id := range uint16(20) {
			rolling = append(rolling, publishFrame(version, 0, 1, 1+id%12, topicA, 0, reading)...)
		}
		f.Add(version, rolling, rolling, []byte{255})
		f.Add(version, rolling[:200], rolling[:300], []byte{1})
		for _, topic := range []string{"", "a/#", "a/+", "a\x00", "\xff", riskA, "$SYS/x", strings.Repeat("t", 200)} {
			f.Add(version, publishFrame(version, 0, 1, 1, topic, 0, "x"), publishFrame(version, 0, 0, 0, topic, 0, "x"), []byte{3})
		}
		f.Add(version, publishFrame(version, 0, 1, 0, topicA, 0, "x"), []byte{}, []byte{0})
		f.Add(version, publishFrame(version, 0, 1, 1, "", 7, "x"), []byte{}, []byte{0})
		f.Add(version, publishFrame(version, 0, 1, 1, topicA, 7, "x"), publishFrame(version, 0, 1, 2, "", 7, "x"), []byte{0})
		f.Add(version, publishFrame(version, 0, 1, 1, topicA, 0, strings.Repeat("x", 101)), publishFrame(version, 0, 1, 1, topicA, 0, strings.Repeat("x", 5000)), []byte{255})
		for _, long := range []int{3390, 3391, 3392, 3393, 3394, 3395, 3396, 3397, 3398, 3399, 3400, 3401} { // a packet of 3500 bytes, by both ways of counting
			f.Add(version, publishFrame(version, 0, 1, 1, strings.Repeat("t", long), 0, strings.Repeat("x", 100)), []byte{tPingreq << 4, 0}, []byte{255})
		}
		f.Add(version, []byte{0x32, 0x80, 0x00}, []byte{0x30, 0x85, 0x80, 0x00, 0, 1, 'a', 0, 'x'}, []byte{1})
		f.Add(version, []byte{0x32, 0x80, 0x80, 0x80, 0x80, 0x01}, []byte{}, []byte{2})
		f.Add(version, []byte{0x30, 2, 0, 9, 0x30, 1, 0}, []byte{0x30, 0}, []byte{9})
		for _, packet := range breaches(version) {
			f.Add(version, packet, stream, []byte{40})
		}
	}
	b, mochi := bothWays(f, broker.Config{MaxPayload: 100, MaxPacket: 3500, ReceiveMaximum: 8, Queue: 1 << 20})
	f.Fuzz(func(t *testing.T, version byte, first, second, cuts []byte) {
		s := session{id: "fuzz", version: 4 + version%2}
		lengths := []int{1 << 20}
		for i, n := range cuts[:min(len(cuts), 8)] {
			lengths = append(lengths[:i], 1+int(n)*int(n)/16)
		}
		got := converse(t, b, s, cut(first, lengths...), cut(second, lengths...))
		want := converse(t, mochi, s, cut(first, lengths...), cut(second, lengths...))
		got.same(t, &want)
		if len(want.plain) > 0 {
			t.Error("a PUBLISH did not go to mochi")
		}
	})
}

// A client that sends nothing but plain PUBLISHes is alive; when it stops it is closed after its keepalive, a part of a packet or not.
func TestPlainPublishesKeepAlive(t *testing.T) {
	t.Parallel()
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	c := dial(t, b)
	c.write(frame(tConnect<<4, text("MQTT"), []byte{4, 2, 0, 2}, text("a"))) // keepalive 2 s: cut after 3 s
	c.expect(tConnack)
	var last time.Time
	for id, begin := uint16(1), time.Now(); time.Since(begin) < 3500*time.Millisecond; id++ {
		last = time.Now()
		c.publish(0, 1, id, topicA, reading)
		c.expectAck(tPuback, id, 0)
		time.Sleep(100 * time.Millisecond) // longer than its keepalive in all
	}
	c.write(publishFrame(4, 0, 1, 999, topicA, 0, reading)[:20])
	c.expectClosed()
	if after := time.Since(last); after < 2800*time.Millisecond || after > 6*time.Second {
		t.Errorf("closed %v after its last packet", after)
	}
}

// What a slow subscriber is owed does not keep the messages alive that came beside it.
func TestRoutedMessagesStandAlone(t *testing.T) {
	const rounds, beside = 1000, 40
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	slow, _ := connect(t, b, session{id: "slow"})
	slow.subscribe(topicA, 1)
	c, _ := connect(t, b, session{id: "a"})
	burst := publishFrame(4, 0, 1, 1, topicA, 0, reading)
	for id := range uint16(beside) {
		burst = append(burst, publishFrame(4, 0, 1, id+2, topicB, 0, reading+strings.Repeat(" ", 100))...)
	}
	before := heap()
	for range rounds {
		c.write(burst)
		for id := range uint16(beside + 1) {
			c.expectAck(tPuback, id+1, 0)
		}
	}
	eventually(t, "all are owed", func() bool { return b.Stats().Routed == rounds })
	if grown := heap() - before; grown > 3<<20 {
		t.Errorf("%d bytes for %d messages of %d that came in %d", grown, rounds, len(reading), len(burst))
	}
}

// Messages that came together lie side by side, and whoever appends to a payload does not write into the next one.
func TestPayloadsDoNotTouch(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a"})
	c.write(append(publishFrame(4, 0, 0, 0, topicA, 0, "one"), publishFrame(4, 0, 0, 0, topicA, 0, "two")...))
	got := mustReceive(t, b, 2)
	_ = append(got[0].Payload, bytes.Repeat([]byte("x"), len(publishFrame(4, 0, 0, 0, topicA, 0, "two")))...)
	if string(got[1].Payload) != "two" {
		t.Errorf("got %q", got[1].Payload)
	}
}

// Messages on the same topic have the same string, also from different clients: what looks a topic up may compare pointers.
func TestTopicsAreShared(t *testing.T) {
	b := mustStart(t, broker.Config{})
	one, _ := connect(t, b, session{id: "one"})
	two, _ := connect(t, b, session{id: "two", version: 5})
	var got []broker.Message
	for i, c := range []*rawClient{one, two, one} {
		c.publish(0, 1, uint16(i+1), topicA, reading)
		c.publish(0, 1, uint16(i+100), topicB, reading)
		got = append(got, mustReceive(t, b, 2)...)
	}
	for i := 2; i < len(got); i++ {
		if unsafe.StringData(got[i].Topic) != unsafe.StringData(got[i-2].Topic) {
			t.Errorf("message %d on %s has a topic of its own", i, got[i].Topic)
		}
	}
}

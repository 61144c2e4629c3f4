package broker

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Names for tests outside the package.
var (
	Reserved    = reserved
	ValidTopic  = validTopic
	ValidFilter = validFilter
)

// MaxConnect is the longest first packet.
const MaxConnect = maxConnect

// Framed feeds the watch over fixed headers, in pieces of at most step bytes. It gives how many bytes were let through, and why no more. With first
// false the first packet may be as long as any.
func Framed(p []byte, step int, first bool) (good int, malformed error) {
	f := framing{began: !first}
	for i := 0; i < len(p); i += step {
		for from, to := i, min(i+step, len(p)); from < to; {
			n, err := f.feed(p[from:to])
			if from += n; err != nil {
				return from, err
			}
		}
	}
	return len(p), nil
}

// AllToMochi has mochi read every PUBLISH.
func AllToMochi(cfg Config) Config {
	cfg.allToMochi = true
	return cfg
}

// Serve serves a connection that did not come through the listener.
func (b *Broker) Serve(conn net.Conn) { b.admit(conn) }

// Flush waits until everything handed to Acknowledge is answered and routed.
func (b *Broker) Flush() error { return b.flush(context.Background()) }

// MochiReceived is what mochi tells of bytes, packets and messages under $SYS.
func (b *Broker) MochiReceived() [3]int64 {
	i := b.server.Info
	return [3]int64{atomic.LoadInt64(&i.BytesReceived), atomic.LoadInt64(&i.PacketsReceived), atomic.LoadInt64(&i.MessagesReceived)}
}

// Plain says whether a message was taken before mochi.
func (m *Message) Plain() bool { return m.crowded }

// PlainTopic says whether a plain PUBLISH may have a topic, and gives it.
func (b *Broker) PlainTopic(topic []byte) (string, bool) { return b.names.get(topic) }

// PacketIDs are those of a connection.
type PacketIDs struct{ u unanswered }

// Add, AddAll and Remove are its methods; AddAll adds ids of QoS 1.
func (p *PacketIDs) Add(id uint16, qos byte) (n int, other byte, taken bool) { return p.u.add(id, qos) }

func (p *PacketIDs) AddAll(most int, ids ...uint16) int {
	messages := make([]Message, len(ids))
	for i, id := range ids {
		messages[i] = Message{QoS: 1, id: id}
	}
	return p.u.addAll(messages, most)
}

func (p *PacketIDs) Remove(ids ...uint16) { p.u.remove(ids...) }

// EncodePublish encodes a message to a subscriber.
func EncodePublish(version, qos byte, retain, dup bool, id uint16, topic string, payload []byte, ids []int) []byte {
	p := &parcel{outgoing: &outgoing{topic: topic, payload: payload}, qos: qos, retain: retain, id: id, ids: ids}
	return appendPublish(nil, version, p, dup)
}

// MochiListeners gives the number of listeners that mochi knows.
func (b *Broker) MochiListeners() int { return b.server.Listeners.Len() }

// Filters is what all subscriptions cost.
func (b *Broker) Filters() int64 { return b.filters.Load() }

// ExpireLate does what mochi's housekeeping does to a client it found expired a moment ago, although it is back by now.
func (b *Broker) ExpireLate(id string) {
	cl, _ := b.server.Clients.Get(id)
	(&hook{b: b}).OnClientExpired(cl)
	b.server.Clients.Delete(id)
}

// ExpireBetween stops that half way: mochi has told us and has not yet forgotten the client.
func (b *Broker) ExpireBetween(id string) {
	cl, _ := b.server.Clients.Get(id)
	(&hook{b: b}).OnClientExpired(cl)
}

// DueWillSurvives says whether a delayed will whose timer runs already is left to it when its session ends.
func DueWillSurvives() bool {
	s, fired := newSession("a", &shared{}), make(chan struct{})
	s.will, s.willTimer = &will{}, time.AfterFunc(0, func() { close(fired) })
	<-fired
	return s.disarm() == nil && s.will != nil
}

// Queue is the bounded queue.
type Queue struct{ q *queue }

// NewQueue makes one.
func NewQueue(maxLen, maxBytes int) Queue { return Queue{newQueue(maxLen, maxBytes)} }

// Put, Take and Drain are its methods.
func (q Queue) Put(m *Message, gone <-chan struct{}) bool {
	return q.q.put([]Message{*m}, new(int), gone)
}

// PutAs is Put of a connection that has a turn.
func (q Queue) PutAs(m *Message, turn *int) bool { return q.q.put([]Message{*m}, turn, nil) }

// PutAll is Put of several messages at once.
func (q Queue) PutAll(messages []Message, turn *int) bool { return q.q.put(messages, turn, nil) }

func (q Queue) Take(ctx context.Context, dst []Message, max int) ([]Message, error) {
	return q.q.take(ctx, dst, max)
}

func (q Queue) Drain() { q.q.drain() }

// UnsubscribeLate does the last part of it for a client that expired and came back meanwhile: its earlier self had this filter.
func (b *Broker) UnsubscribeLate(id, filter string) {
	s := newSession(id, &b.shared)
	s.place(packets.Subscription{Filter: filter, Qos: 1}, false)
	defer s.finish()
	b.unsubscribe(b.absentee(s, time.Second))
}

// CutAll cuts every connection.
func (b *Broker) CutAll() {
	for _, c := range b.open.list() {
		c.cut()
	}
}

// LossWhileTelling says whether a state lost while retained messages are told is still due after that.
func LossWhileTelling() bool {
	sh := &shared{}
	sh.changes.init(true)
	s := newSession("a", sh)
	s.terms.lasting = true
	s.begin(packets.Subscription{Filter: "a", Qos: 1}, true)
	g := s.filter("a")
	losses := s.losses(g)
	s.mu.Lock()
	s.missed()
	s.mu.Unlock()
	s.complete(g, losses)
	return g.due()
}

// FullOfSent delivers n messages to a session that is full of messages sent on an earlier connection.
func FullOfSent(n int) {
	sh := &shared{}
	sh.held.init(1 << 30)
	s := newSession("a", sh)
	s.terms.lasting = true
	sub := packets.Subscription{Filter: "#", Qos: 1}
	next := func() {
		s.deliver(&outgoing{topic: fmt.Sprint("risk/", s.pending), payload: []byte("x"), qos: 1, retain: true}, &sub, nil)
	}
	for range maxPending {
		next()
		p := s.waiting[len(s.waiting)-1]
		p.id = uint16(len(s.waiting))
		s.parcels[p.id] = p
	}
	for range n {
		next()
	}
}

// Expiring gives what asks whether a message that comes now with a Message Expiry Interval is over.
func Expiring(seconds uint32) (over func() bool) {
	o := &outgoing{expires: expiry(&packets.Properties{MessageExpiryInterval: seconds})}
	return o.expired
}

// RetainTree holds retained messages.
type RetainTree struct{ t retainTree }

// NewRetainTree makes one that keeps outputs without what they have in common.
func NewRetainTree(common ...string) *RetainTree {
	r := &RetainTree{}
	r.t.init(common)
	return r
}

// Set, Match and Expire are its methods; SetInput sets a message from outside.
func (r *RetainTree) Set(topic string, payload []byte) { r.t.set(topic, payload, nil) }

func (r *RetainTree) SetInput(topic string, payload []byte, expires int64) {
	r.t.set(topic, payload, &outgoing{topic: topic, payload: payload, expires: expires})
}

func (r *RetainTree) Match(filter string) []string { return r.t.match(filter) }

func (r *RetainTree) Expire(now int64) { r.t.expire(now) }

// Get gives the payload retained on a topic, nil when there is none.
func (r *RetainTree) Get(topic string) []byte {
	if m := r.t.get(topic); m != nil {
		return r.t.outgoing(m).payload
	}
	return nil
}

// Books gives the messages, the inputs among them and their bytes, and whether there are levels.
func (r *RetainTree) Books() (messages, inputs, bytes int, levels bool) {
	return int(r.t.count.Load()), r.t.inputs, r.t.inputBytes, r.t.root.only != nil || r.t.root.below != nil
}

// Outbox is what writes to a connection.
type Outbox struct {
	o  outbox
	sh shared
}

// NewOutbox makes one.
func NewOutbox(inner net.Conn, timeout time.Duration) *Outbox {
	o := &Outbox{}
	o.sh.held.init(1 << 30)
	o.o.init(inner, timeout, &o.sh)
	return o
}

// Write, WriteAtOnce and Close are its methods; Sent gives the bytes written, Idle says that nothing waits and nothing is held.
func (o *Outbox) Write(p []byte) error {
	_, err := o.o.Write(p)
	return err
}

func (o *Outbox) WriteAtOnce(p []byte) error { return o.o.writeAtOnce(p, 1) }

func (o *Outbox) Close() { _ = o.o.Close() }

func (o *Outbox) Sent() int64 { return o.sh.counters.bytesSent.Load() }

func (o *Outbox) Idle() bool {
	o.o.mu.Lock()
	defer o.o.mu.Unlock()
	return !o.o.flushing && o.o.backlog == 0 && o.sh.held.used.Load() == 0
}

// MaxBegins is how many beginnings of filters are told apart.
const MaxBegins = maxBegins

// MayBeWanted says whether somebody with one of the filters may be subscribed to a topic.
func MayBeWanted(filters []string, topic string) bool {
	var w wanted
	for _, f := range filters {
		w.add(f)
	}
	return w.may(topic)
}

// Shortened tells a text in short and back; packed is nil where it cannot be told so.
func Shortened(common []string, text []byte) (packed, back []byte) {
	p := newPhrases(common)
	short, ok := p.pack(nil, text)
	if !ok {
		return nil, nil
	}
	return short, p.unpack(string(short))
}

// SocketPair gives both ends of a TCP connection with small buffers.
func SocketPair(tb testing.TB) (ours, theirs *net.TCPConn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	ours, theirs = accepted.(*net.TCPConn), dialed.(*net.TCPConn)
	tb.Cleanup(func() { ours.Close(); theirs.Close() })
	for _, err := range []error{ours.SetWriteBuffer(32 << 10), theirs.SetReadBuffer(32 << 10)} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return ours, theirs
}

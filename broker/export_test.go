package broker

import (
	"context"
	"time"
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
		if n, err := f.feed(p[i:min(i+step, len(p))]); err != nil {
			return i + n, err
		}
	}
	return len(p), nil
}

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
func (q Queue) Put(m *Message, gone <-chan struct{}) bool { return q.q.put(m, new(int), gone) }

// PutAs is Put of a connection that has a turn.
func (q Queue) PutAs(m *Message, turn *int) bool { return q.q.put(m, turn, nil) }

func (q Queue) Take(ctx context.Context, dst []Message, max int) ([]Message, error) {
	return q.q.take(ctx, dst, max)
}

func (q Queue) Drain() { q.q.drain() }

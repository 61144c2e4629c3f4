package broker

import (
	"context"
	"time"
)

// Names for tests outside the package.
var (
	Reserved   = reserved
	ValidTopic = validTopic
)

// MaxConnect is the longest first packet.
const MaxConnect = maxConnect

// FirstPacketTooLong feeds the guard of a connection's first packet, in pieces of at most step bytes.
func FirstPacketTooLong(p []byte, step int) (tooLong, done bool) {
	var f firstHeader
	for len(p) > 0 && !f.done {
		n := min(step, len(p))
		if f.feed(p[:n]) {
			return true, f.done
		}
		p = p[n:]
	}
	return false, f.done
}

// EncodePublish encodes a message to a subscriber.
func EncodePublish(version, qos byte, retain, dup bool, id uint16, topic string, payload []byte, ids []int) []byte {
	p := &parcel{outgoing: &outgoing{topic: topic, payload: payload}, qos: qos, retain: retain, id: id, ids: ids}
	return appendPublish(nil, version, p, dup)
}

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
	s, fired := newSession("a"), make(chan struct{})
	s.will, s.willTimer = &will{}, time.AfterFunc(0, func() { close(fired) })
	<-fired
	return s.disarm() == nil && s.will != nil
}

// Queue is the bounded queue.
type Queue struct{ q *queue }

// NewQueue makes one.
func NewQueue(maxLen, maxBytes int) Queue { return Queue{newQueue(maxLen, maxBytes)} }

// Put, Take and Drain are its methods.
func (q Queue) Put(m *Message, gone <-chan struct{}) bool { return q.q.put(m, gone) }

func (q Queue) Take(ctx context.Context, dst []Message, max int) ([]Message, error) {
	return q.q.take(ctx, dst, max)
}

func (q Queue) Drain() { q.q.drain() }

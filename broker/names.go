package broker

import (
	"hash/maphash"
	"sync/atomic"
)

// Bounds of names.
const (
	namedTopics  = 1 << 16
	longestNamed = 128 // bytes
)

// names gives the same string for a topic again and again, and spares the second look at it: publishers send on the same topics all the time. A topic has two
// places, and the newest of those that share them keep them. There is no lock.
type names struct {
	seed   maphash.Seed
	places []atomic.Pointer[string]
}

func (n *names) init() {
	n.seed = maphash.MakeSeed()
	n.places = make([]atomic.Pointer[string], namedTopics)
}

// get gives a topic that anybody may publish on, and false for another.
func (n *names) get(topic []byte) (string, bool) {
	at := maphash.Bytes(n.seed, topic) % (namedTopics / 2) * 2
	first, second := &n.places[at], &n.places[at+1]
	newest := first.Load()
	if newest != nil && *newest == string(topic) {
		return *newest, true
	}
	if other := second.Load(); other != nil && *other == string(topic) {
		return *other, true
	}
	s := string(topic)
	if !validTopic(s) || reserved(s) {
		return "", false
	}
	if len(s) <= longestNamed {
		second.Store(newest)
		first.Store(&s)
	}
	return s, true
}

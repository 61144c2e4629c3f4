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

// names gives the same string for a topic again and again, and spares the second look at it: publishers send on the same topics all the time. Each topic has one
// place, and the newest of those that share it keeps it. There is no lock.
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
	place := &n.places[maphash.Bytes(n.seed, topic)%namedTopics]
	if known := place.Load(); known != nil && *known == string(topic) {
		return *known, true
	}
	s := string(topic)
	if !validTopic(s) || reserved(s) {
		return "", false
	}
	if len(s) <= longestNamed {
		place.Store(&s)
	}
	return s, true
}

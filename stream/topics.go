package stream

import "hash/maphash"

// topics finds what a topic means. It is a table of its own, open addressing with linear probing and at most half full, because a map looks one topic up after another: Expect reads the places
// of many topics first and compares their strings later, so that the waits for memory overlap.
type topics struct {
	seed  maphash.Seed
	slots []slot // a power of two of them
	n     int
}

// slot is a place of the table; free while source is nil.
type slot struct {
	hash   uint64
	source *source
}

const fewestSlots = 64

func newTopics() topics { return topics{seed: maphash.MakeSeed(), slots: make([]slot, fewestSlots)} }

func (t *topics) hash(topic string) uint64 { return maphash.String(t.seed, topic) }

// first is where the search for a hash begins.
func (t *topics) first(hash uint64) *slot { return &t.slots[hash&uint64(len(t.slots)-1)] }

// like gives the first source with this hash, which may be another topic's, or nil.
func (t *topics) like(hash uint64) *source {
	for i := hash; ; i++ {
		s := t.first(i)
		if s.source == nil || s.hash == hash {
			return s.source
		}
	}
}

// find gives what a topic means, nil when it is not known.
func (t *topics) find(hash uint64, topic string) *source {
	for i := hash; ; i++ {
		s := t.first(i)
		if s.source == nil || s.hash == hash && s.source.topic == topic {
			return s.source
		}
	}
}

// add takes a source in whose topic is not known yet.
func (t *topics) add(src *source) {
	t.grow()
	t.put(slot{t.hash(src.topic), src})
}

// grow makes room for one more.
func (t *topics) grow() {
	if t.n++; 2*t.n <= len(t.slots) {
		return
	}
	old := t.slots
	t.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.source != nil {
			t.put(s)
		}
	}
}

func (t *topics) put(s slot) {
	i := s.hash
	for t.first(i).source != nil {
		i++
	}
	*t.first(i) = s
}

package broker

import (
	"iter"
	"strings"
	"sync/atomic"
)

// retainTree holds the retained messages by the levels of their topics. Mochi's index takes ten times the memory for it, and
// mochi copies all of its retained messages once a second to look for expired ones. The routing lock guards all but the count.
type retainTree struct {
	root       level
	count      atomic.Int64       // messages
	inputs     int                // of them those from outside
	inputBytes int                // what these hold
	expiring   map[*kept]struct{} // inputs with an MQTT 5 expiry
	soonest    int64              // none of these expires before, epoch milliseconds
	phrases    *phrases
	scratch    []byte // of pack
}

// level is one level of topics. Nearly all have one child or none: a map for each of those would be most of the tree.
type level struct {
	name    string
	above   *level            // nil at the root
	only    *level            // the child while there is one
	below   map[string]*level // the children when there are more
	message *kept             // what is retained on the topic that ends here, nil when nothing is
}

// kept is a retained message.
type kept struct {
	topic  string
	output string    // payload of one of our own, which are all of QoS 1 and without properties, in short
	whole  bool      // it cannot be told in short
	input  *outgoing // as it came from outside; nil for our own
}

func (t *retainTree) init(common []string) {
	t.expiring, t.phrases = map[*kept]struct{}{}, newPhrases(common)
}

// set replaces what is retained on a topic; an empty payload clears it. Input is nil for our own outputs. The topic may be kept as it is.
func (t *retainTree) set(topic string, payload []byte, input *outgoing) {
	if len(payload) == 0 {
		t.clear(topic)
		return
	}
	at := t.root.reach(topic)
	m := at.message
	if m == nil {
		m = &kept{topic: topic}
		at.message = m
		t.count.Add(1)
	} else {
		t.unbook(m)
	}
	if m.input = input; input == nil {
		t.keep(m, payload)
		return
	}
	m.output = ""
	t.inputs++
	t.inputBytes += input.size()
	if input.expires > 0 {
		if len(t.expiring) == 0 || input.expires < t.soonest {
			t.soonest = input.expires
		}
		t.expiring[m] = struct{}{}
	}
}

// keep puts the payload of an output into a message.
func (t *retainTree) keep(m *kept, payload []byte) {
	short, ok := t.phrases.pack(t.scratch[:0], payload)
	if t.scratch = short; ok {
		m.output, m.whole = string(short), false
	} else {
		m.output, m.whole = string(payload), true
	}
	if cap(short) > maxScratch {
		t.scratch = nil
	}
}

// maxScratch is the largest scratch that is kept, in bytes.
const maxScratch = 64 << 10

// unbook takes an input off the books.
func (t *retainTree) unbook(m *kept) {
	if m.input == nil {
		return
	}
	t.inputs--
	t.inputBytes -= m.input.size()
	delete(t.expiring, m)
}

// clear drops what is retained on a topic, and the levels that lead nowhere without it.
func (t *retainTree) clear(topic string) {
	at := t.root.find(topic)
	if at == nil || at.message == nil {
		return
	}
	t.unbook(at.message)
	at.message = nil
	t.count.Add(-1)
	for at.above != nil && at.message == nil && at.only == nil && at.below == nil {
		at.above.remove(at)
		at = at.above
	}
}

// expire clears the messages that are over at a time in epoch milliseconds.
func (t *retainTree) expire(now int64) {
	if len(t.expiring) == 0 || now < t.soonest {
		return
	}
	next := int64(0)
	for m := range t.expiring {
		if m.input.expires <= now {
			t.clear(m.topic)
		} else if next == 0 || m.input.expires < next {
			next = m.input.expires
		}
	}
	t.soonest = next
}

// get gives what is retained on a topic, nil when nothing is.
func (t *retainTree) get(topic string) *kept {
	if at := t.root.find(topic); at != nil {
		return at.message
	}
	return nil
}

// match gives the topics with a retained message that a filter matches (MQTT 5, section 4.7), in no order.
func (t *retainTree) match(filter string) []string { return t.root.match(nil, filter) }

// find gives the level that a topic ends on, nil when there is none.
func (l *level) find(topic string) *level {
	for deeper := true; deeper && l != nil; {
		var name string
		name, topic, deeper = strings.Cut(topic, "/")
		l = l.child(name)
	}
	return l
}

// reach is find, and makes what is missing.
func (l *level) reach(topic string) *level {
	for deeper := true; deeper; {
		var name string
		name, topic, deeper = strings.Cut(topic, "/")
		next := l.child(name)
		if next == nil {
			if deeper {
				name = strings.Clone(name) // it may outlive the topic
			}
			next = l.add(name)
		}
		l = next
	}
	return l
}

func (l *level) child(name string) *level {
	if l.only != nil && l.only.name == name {
		return l.only
	}
	return l.below[name]
}

func (l *level) add(name string) *level {
	child := &level{name: name, above: l}
	switch {
	case l.below != nil:
		l.below[name] = child
	case l.only == nil:
		l.only = child
	default:
		l.below = map[string]*level{l.only.name: l.only, name: child}
		l.only = nil
	}
	return child
}

func (l *level) remove(child *level) {
	if l.only == child {
		l.only = nil
		return
	}
	if delete(l.below, child.name); len(l.below) == 0 {
		l.below = nil
	}
}

// children gives the levels below that a wildcard may stand for, in no order: at the root not those that begin with $ (MQTT 5, section 4.7.2).
func (l *level) children() iter.Seq[*level] {
	return func(yield func(*level) bool) {
		visit := func(child *level) bool {
			return (l.above == nil && strings.HasPrefix(child.name, "$")) || yield(child)
		}
		if l.only != nil {
			visit(l.only)
		}
		for _, child := range l.below {
			if !visit(child) {
				return
			}
		}
	}
}

// match appends the topics from here on that the rest of a filter matches.
func (l *level) match(found []string, filter string) []string {
	name, rest, deeper := strings.Cut(filter, "/")
	step := func(next *level) {
		if deeper {
			found = next.match(found, rest)
		} else {
			found = next.here(found)
		}
	}
	switch name {
	case "#":
		return l.all(found)
	case "+":
		for child := range l.children() {
			step(child)
		}
	default:
		if child := l.child(name); child != nil {
			step(child)
		}
	}
	return found
}

// here appends the topic that ends here if it has a message.
func (l *level) here(found []string) []string {
	if l.message == nil {
		return found
	}
	return append(found, l.message.topic)
}

// all appends every topic that ends here or below.
func (l *level) all(found []string) []string {
	found = l.here(found)
	for child := range l.children() {
		found = child.all(found)
	}
	return found
}

// outgoing is the message as a new subscription is given it.
func (t *retainTree) outgoing(m *kept) *outgoing {
	o := &outgoing{topic: m.topic, qos: 1, retain: true, stored: true}
	switch in := m.input; {
	case in != nil:
		o.payload, o.origin, o.props, o.expires, o.qos = in.payload, in.origin, in.props, in.expires, in.qos
	case m.whole:
		o.payload = []byte(m.output)
	default:
		o.payload = t.phrases.unpack(m.output)
	}
	return o
}

package broker

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Bounds of routing. Retained inputs are kept for ordinary subscribers only; our own outputs have no bound but their number of sensors.
const (
	maxCached    = 1 << 16  // topics whose subscribers are remembered
	maxKept      = 1 << 14  // topics with a retained input
	maxKeptBytes = 64 << 20 // bytes of retained inputs
)

// routing knows who gets what. Its lock orders the deliveries of retained messages: a new subscriber never gets an older one after a newer.
type routing struct {
	generation atomic.Uint64 // moves whenever a subscription comes or goes

	mu       sync.Mutex
	cached   map[string]*mqtt.Subscribers // by topic, nil = nobody; valid for cachedAt
	cachedAt uint64
	retained retainTree
	wanted   wanted

	lastMessage int64 // newest id of an output
}

func (r *routing) init(common []string) {
	r.cached = map[string]*mqtt.Subscribers{}
	r.retained.init(common)
}

// expect tells that there will be a subscription with a filter.
func (r *routing) expect(filter string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted.add(filter)
}

// changed says that subscriptions changed. It must follow the change.
func (r *routing) changed() { r.generation.Add(1) }

// Publish sends an output to its subscribers at QoS 1. Retained it also replaces what new subscribers get; an empty retained payload clears that. It
// never waits for a subscriber. The payload must not be changed afterwards. Errors: ErrClosed, and a topic that is none.
func (b *Broker) Publish(topic string, payload []byte, retain bool) error {
	o := &outgoing{topic: topic, payload: payload, qos: 1, retain: retain}
	if !validTopic(topic) {
		return fmt.Errorf("publish on %q: topic name is empty, too long, not UTF-8 or has a wildcard", topic)
	}
	select {
	case <-b.stopped:
		return fmt.Errorf("publish on %q: %w", topic, ErrClosed)
	default:
	}
	b.routing.mu.Lock()
	defer b.routing.mu.Unlock()
	if b.changes.on {
		b.routing.lastMessage++
		o.message = b.routing.lastMessage
	}
	if o.retain {
		b.routing.retained.set(topic, payload, nil)
	}
	b.counters.published.Add(1)
	b.fanOut(o)
	return nil
}

// route gives accepted messages to subscribers until the broker stops, and once a second lets go of what is retained and over.
func (b *Broker) route() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.expireRetained(time.Now()) // the clock that expiry was counted on
		case batch := <-b.routes:
			for rest := batch.acks; len(rest) > 0; {
				rest = rest[b.routeSome(rest):]
			}
			b.rooms.giveBack(batch.acks)
			if batch.flushed != nil {
				close(batch.flushed)
			}
		case <-b.stopped:
			return
		}
	}
}

// routedAtOnce is how many messages are looked at with the routing lock held, at most: most have no subscriber.
const routedAtOnce = 64

// routeSome routes the next messages, up to one that somebody waits for, and gives how many.
func (b *Broker) routeSome(acks []Ack) (n int) {
	b.routing.mu.Lock()
	defer b.routing.mu.Unlock()
	for n < min(len(acks), routedAtOnce) {
		n++
		if b.routeOne(&acks[n-1]) {
			break
		}
	}
	return n
}

// routeOne routes one message if it was accepted, and says whether there was anything to do. An empty one with RETAIN clears what is retained, although as a
// reading it was refused. The routing lock is held.
func (b *Broker) routeOne(a *Ack) bool {
	m := &a.Message
	clears := m.Retain && m.Size == 0 && a.Outcome != Withheld
	if (a.Outcome != Accepted || m.TooLarge) && !clears {
		return false
	}
	if !m.Retain && b.subscribers(m.Topic) == nil {
		return false
	}
	o := &outgoing{topic: m.Topic, payload: m.Payload, origin: m.Client, props: m.props, expires: m.expires, held: m.held,
		qos: m.QoS, retain: m.Retain, telemetry: true}
	if m.crowded && m.QoS > 0 { // it may be kept for long, and what lies beside it with it
		o.payload, o.held = bytes.Clone(m.Payload), 0
	}
	if m.Retain {
		b.keep(o)
	}
	if a.Outcome == Accepted {
		b.fanOut(o)
	}
	return true
}

// fanOut delivers to every subscriber. The routing lock is held.
func (b *Broker) fanOut(o *outgoing) {
	subs := b.subscribers(o.topic)
	if subs == nil {
		return
	}
	if o.telemetry {
		b.counters.routed.Add(1)
	}
	for id, sub := range subs.Subscriptions {
		if s := b.registry.get(id); s != nil {
			b.count(s.deliver(o, &sub, nil))
		}
		if b.held.exceeded() {
			b.shed()
		}
	}
	for _, members := range subs.Shared {
		b.deliverShared(o, members)
	}
	if b.claims.Load() > maxClaims {
		b.forgo()
	}
}

// deliverShared delivers to one client of a shared subscription: one that is there and takes it if any, else one that is away.
func (b *Broker) deliverShared(o *outgoing, members map[string]packets.Subscription) {
	var away []string
	outcome := skipped
	try := func(id string, onlyLive bool) bool {
		s := b.registry.get(id)
		if s == nil {
			return false
		}
		if onlyLive && !s.live() {
			away = append(away, id)
			return false
		}
		sub := members[id]
		outcome = max(outcome, s.deliver(o, &sub, nil))
		return outcome == sent
	}
	for id := range members {
		if try(id, true) {
			return
		}
	}
	for _, id := range away {
		if try(id, false) {
			return
		}
	}
	b.count(outcome)
}

func (b *Broker) count(d delivery) {
	if d == dropped {
		b.counters.deliveriesDropped.Add(1)
	}
}

// subscribers gives who subscribed to a topic, nil when nobody did. The routing lock is held.
func (b *Broker) subscribers(topic string) *mqtt.Subscribers {
	r := &b.routing
	if !r.wanted.may(topic) {
		return nil
	}
	now := r.generation.Load() // before looking: what changes meanwhile makes the answer stale
	if r.cachedAt != now || len(r.cached) >= maxCached {
		clear(r.cached)
		r.cachedAt = now
	}
	if subs, known := r.cached[topic]; known {
		return subs
	}
	subs := b.server.Topics.Subscribers(topic)
	if len(subs.Subscriptions)+len(subs.Shared) == 0 {
		subs = nil
	}
	r.cached[strings.Clone(topic)] = subs
	return subs
}

// keep retains an input for new subscribers, within the bounds. The routing lock is held.
func (b *Broker) keep(o *outgoing) {
	t := &b.routing.retained
	old := 0
	m := t.get(o.topic)
	known := m != nil && m.input != nil
	if known {
		old = m.input.size()
	}
	if len(o.payload) == 0 && !known {
		return // nothing to clear; an output stays
	}
	tooMany := !known && (t.inputs >= maxKept || strings.Count(o.topic, "/") >= maxFilterLevels)
	if len(o.payload) > 0 && (tooMany || t.inputBytes-old+o.size() > maxKeptBytes) {
		b.counters.retainsRefused.Add(1)
		return
	}
	topic := o.topic
	if !known {
		topic = strings.Clone(topic) // the tree keeps the first one it sees, and with it the whole packet it lies in
	}
	t.set(topic, o.payload, o)
}

// expireRetained drops retained inputs that are over their MQTT 5 expiry.
func (b *Broker) expireRetained(now time.Time) {
	b.routing.mu.Lock()
	defer b.routing.mu.Unlock()
	b.routing.retained.expire(now.UnixMilli())
}

package broker

import (
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// subackPatience bounds how long a client that subscribes or unsubscribes waits for the disk. One that is cut off comes back and does it again.
const subackPatience = 30 * time.Second

// asked is one filter of a SUBSCRIBE under way.
type asked struct {
	sub     packets.Subscription
	existed bool
	refused bool // there is no room for it
	granted bool
}

// wantsRetained says whether it begins with retained messages (MQTT 5, section 3.8.3.1).
func (a *asked) wantsRetained() bool {
	none := a.sub.RetainHandling == 2 || (a.sub.RetainHandling == 1 && a.existed)
	return !none && !mqtt.IsSharedFilter(a.sub.Filter)
}

// OnSubscribe notes what is asked for, and keeps mochi from sending retained messages: it drops those that do not fit its queue.
func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c, ok := connOf(cl)
	if !ok {
		return pk
	}
	filters := make(packets.Subscriptions, len(pk.Filters))
	c.asked = c.asked[:0]
	more := 0
	for i, sub := range pk.Filters {
		_, existed := cl.State.Subscriptions.Get(sub.Filter)
		a := asked{sub: sub, existed: existed, refused: !existed && !h.b.admits(c.session, sub.Filter, more)}
		a.sub.Filter = strings.Clone(sub.Filter) // the packet it lies in may be large
		if !existed && !a.refused {
			more += filterCost(sub.Filter)
		}
		c.asked = append(c.asked, a)
		sub.Filter, sub.RetainHandling = a.sub.Filter, 2 // mochi sends none
		if a.refused || !validFilter(sub.Filter) {
			sub.Filter = "" // mochi refuses this one
		} else {
			h.b.routing.expect(sub.Filter)
		}
		filters[i] = sub
	}
	pk.Filters = filters
	return pk
}

// OnSubscribed notes what was granted. SUBACK comes after it, and for what is new in a lasting session not before that is on disk. The codes are
// those of SUBACK, and can still be mended.
func (h *hook) OnSubscribed(cl *mqtt.Client, _ packets.Packet, codes []byte) {
	h.b.routing.changed()
	c, ok := connOf(cl)
	if !ok {
		return
	}
	news := uint64(0)
	for i := range c.asked {
		a := &c.asked[i]
		a.granted = i < len(codes) && codes[i] < firstFailure
		switch {
		case a.granted:
			news = max(news, c.session.begin(a.sub, a.wantsRetained()))
		case a.refused:
			h.b.counters.subscriptionsRefused.Add(1)
			if c.version == protocol5 && i < len(codes) {
				codes[i] = reasonQuotaExceeded
			}
		}
	}
	if !h.b.changes.wait(news, c.closed, subackPatience) {
		c.disconnect(reasonImplementation) // so that SUBACK goes nowhere
	}
}

// OnUnsubscribe spoils the filters that the client did not subscribe to: mochi would confirm them, and count off the subscriptions of others.
func (h *hook) OnUnsubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	const nobodys = "\x00" // no filter can be this
	filters := make(packets.Subscriptions, len(pk.Filters))
	seen := map[string]bool{}
	for i, sub := range pk.Filters {
		if _, has := cl.State.Subscriptions.Get(sub.Filter); !has || seen[sub.Filter] {
			sub.Filter = nobodys
		}
		seen[sub.Filter] = true
		filters[i] = sub
	}
	pk.Filters = filters
	return pk
}

// OnUnsubscribed comes after a client gave up subscriptions, or its session ended. UNSUBACK comes after it, and for a lasting session not before that is
// on disk.
func (h *hook) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	h.b.routing.changed()
	c, ok := connOf(cl)
	if !ok || pk.PacketID == 0 { // not UNSUBSCRIBE
		return
	}
	news := uint64(0)
	for _, sub := range pk.Filters {
		news = max(news, c.session.cease(sub.Filter))
	}
	if !h.b.changes.wait(news, c.closed, subackPatience) {
		c.disconnect(reasonImplementation) // so that UNSUBACK goes nowhere
	}
}

// OnPacketProcessed sends retained messages after SUBACK.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, err error) {
	if pk.FixedHeader.Type != packets.Subscribe {
		return
	}
	c, ok := connOf(cl)
	if !ok {
		return
	}
	for i := range c.asked {
		if a := &c.asked[i]; err == nil && a.granted && a.wantsRetained() {
			h.b.sendRetained(c, c.session.filter(a.sub.Filter))
		}
	}
	clear(c.asked)
	c.asked = c.asked[:0]
}

// sendRetained sends the retained messages of a subscription, as fast as the client takes them: it runs on the client's own goroutine. When not all
// find room, or the connection ends, it is done again when the client comes back.
func (b *Broker) sendRetained(c *conn, g *subscription) {
	if g == nil { // the session ended meanwhile
		return
	}
	all, losses := true, c.session.losses(g)
	for _, topic := range b.stored(g.Filter) {
		if !c.waitRoom(viewerBacklog) {
			return
		}
		b.routing.mu.Lock()
		if o := b.newest(topic); o != nil { // it may have been cleared since
			d := c.session.deliver(o, &g.Subscription, g)
			b.count(d)
			all = all && (d != dropped || g.Qos == 0)
		}
		b.routing.mu.Unlock()
	}
	if all {
		c.session.complete(g, losses)
	}
}

// stored gives the topics with a retained message that a filter matches. Those under $SYS are mochi's own.
func (b *Broker) stored(filter string) []string {
	b.routing.mu.Lock()
	defer b.routing.mu.Unlock()
	found := b.routing.retained.match(filter)
	if !underSys(filter) {
		return found
	}
	theirs := b.server.Topics.Messages(filter)
	if parent, ok := strings.CutSuffix(filter, "/#"); ok { // it matches its parent as well (MQTT 5, section 4.7.1.2), which mochi forgets
		theirs = append(theirs, b.server.Topics.Messages(parent)...)
	}
	for _, pk := range theirs {
		found = append(found, pk.TopicName)
	}
	return found
}

// newest gives what is retained on a topic now, nil when nothing is. The routing lock is held.
func (b *Broker) newest(topic string) *outgoing {
	if m := b.routing.retained.get(topic); m != nil {
		return b.routing.retained.outgoing(m)
	}
	if !underSys(topic) {
		return nil
	}
	pk, still := b.server.Topics.Retained.Get(topic)
	if !still {
		return nil
	}
	return &outgoing{topic: topic, payload: pk.Payload, qos: pk.FixedHeader.Qos, retain: true, stored: true}
}

// underSys says whether a topic, or all that a filter matches, is mochi's to publish on.
func underSys(name string) bool { return strings.HasPrefix(name, mqtt.SysPrefix+"/") }

package broker

import (
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// will is what a client wants published when it is lost. Like any other input it goes through the queue, without an answer.
type will struct {
	message Message
	delay   time.Duration
	cost    int           // of the budget, from CONNECT until it is queued or void
	void    chan struct{} // closed when it must not wait for room in the queue: too much is held
}

// takeWill takes the will away from mochi, which would publish it past the queue.
func (b *Broker) takeWill(c *conn, cl *mqtt.Client, connect *packets.Packet) *will {
	w := cl.Properties.Will
	cl.Properties.Will = mqtt.Will{}
	if w.Flag == 0 {
		return nil
	}
	if c.emptyWill {
		w.Payload = nil
	}
	m := Message{Topic: w.TopicName, Payload: w.Payload, Client: cl.ID, Size: len(w.Payload), QoS: w.Qos, Retain: w.Retain}
	m.held = connect.FixedHeader.Remaining
	if c.version == protocol5 {
		m.props = forwarded(&connect.Connect.WillProperties)
	}
	cost := m.cost()
	b.held.add(cost)
	return &will{message: m, cost: cost, void: make(chan struct{}), delay: min(time.Duration(w.WillDelayInterval)*time.Second, b.cfg.SessionExpiry)}
}

// publishWill queues a will, waiting for room. One on an output topic, while draining, or void before there is room, is dropped and counted.
func (b *Broker) publishWill(w *will) {
	defer b.held.add(-w.cost)
	m := w.message
	m.Received, m.expires = b.cfg.Clock().UnixMilli(), expiry(m.props)
	b.clip(&m)
	if !validTopic(m.Topic) || reserved(m.Topic) || !b.queue.put([]Message{m}, new(int), w.void) {
		b.counters.willsDropped.Add(1)
		return
	}
	b.counters.wills.Add(1)
}

// armWill publishes a will after its delay, unless the session is resumed (MQTT 5, section 3.1.3.2.2) or the broker closes first.
func (b *Broker) armWill(s *session, w *will) {
	b.registry.mu.Lock()
	defer b.registry.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.registry.stopping {
		b.held.add(-w.cost)
		b.counters.willsDropped.Add(1)
		return
	}
	b.links.Add(1) // the connection that calls holds one too, so that Close is still waiting
	s.will = w
	s.willTimer = time.AfterFunc(w.delay, func() {
		defer b.links.Done()
		s.mu.Lock()
		due := s.will == w
		if due {
			s.will = nil
		}
		s.mu.Unlock()
		if due {
			b.publishWill(w)
		}
	})
}

// endSession publishes the delayed will of a session that is no more. It does not wait.
func (b *Broker) endSession(s *session) {
	if w := s.disarm(); w != nil {
		go func() {
			defer b.links.Done()
			b.publishWill(w)
		}()
	}
}

// cancelWill forgets the delayed will of a session and gives it, nil when there was none.
func (b *Broker) cancelWill(s *session) *will {
	w := s.disarm()
	if w == nil {
		return nil
	}
	b.held.add(-w.cost)
	b.links.Done()
	return w
}

// disarm takes the delayed will of a session, nil when there is none. With the will its taker gets the count in links that was the timer's.
func (s *session) disarm() *will {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.will
	if w == nil || !s.willTimer.Stop() { // a timer that runs already publishes it: it was due
		return nil
	}
	s.will = nil
	return w
}

// stopWills drops every delayed will: the broker closes.
func (b *Broker) stopWills() {
	b.registry.mu.Lock()
	b.registry.stopping = true
	b.registry.mu.Unlock()
	for _, s := range b.registry.list() {
		if b.cancelWill(s) != nil {
			b.counters.willsDropped.Add(1)
		}
	}
}

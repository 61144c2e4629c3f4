package broker_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

func mustPublish(tb testing.TB, b *broker.Broker, topic, payload string, retain bool) {
	tb.Helper()
	if err := b.Publish(topic, []byte(payload), retain); err != nil {
		tb.Fatal(err)
	}
}

const (
	riskA = "cidp/v1/risk/dla/loco1/axle1-left"
	riskB = "cidp/v1/risk/dla/loco1/axle1-right"
)

func TestRetainedOutput(t *testing.T) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			mustPublish(t, b, riskA, "old", true)
			mustPublish(t, b, riskA, "new", true)
			mustPublish(t, b, riskB, "x", true)
			mustPublish(t, b, riskB, "", true)
			mustPublish(t, b, "cidp/v1/events/dla/loco1/axle1-left", "gone", false)
			c, _ := connect(t, b, session{id: "a", version: version})
			c.subscribe("cidp/v1/#", 1)
			p := c.expectMessage(riskA, "new")
			if p.flags != 1<<1|1 { // QoS 1, RETAIN
				t.Errorf("got flags %b", p.flags)
			}
			c.expectQuiet()
			// Live: RETAIN is not set, and the clearing message is seen.
			mustPublish(t, b, riskA, "", true)
			if p := c.expectMessage(riskA, ""); p.flags != 1<<1 {
				t.Errorf("live: got flags %b", p.flags)
			}
			again, _ := connect(t, b, session{id: "b", version: version})
			again.subscribe("cidp/v1/#", 1)
			again.expectQuiet()
		})
	}
}

// More retained messages than any queue of mochi's holds, at once, to a client that reads slowly.
func TestManyRetainedOutputs(t *testing.T) {
	const n = 10_000
	payload := strings.Repeat("p", 300)
	b := mustStart(t, broker.Config{})
	for i := range n {
		mustPublish(t, b, fmt.Sprintf("cidp/v1/risk/dla/loco%d/axle1-left", i), payload, true)
	}
	for _, qos := range []byte{0, 1} {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			c, _ := connect(t, b, session{id: fmt.Sprint("a", qos)})
			c.subscribe("cidp/v1/risk/#", qos)
			seen := map[string]bool{}
			for range n {
				topic, id, _ := c.expect(tPublish).delivered(4)
				seen[topic] = true
				if qos == 1 {
					c.ack(tPuback, id)
				}
			}
			if len(seen) != n {
				t.Errorf("got %d topics, want %d", len(seen), n)
			}
		})
	}
	if d := b.Stats().DeliveriesDropped; d != 0 {
		t.Errorf("%d dropped", d)
	}
}

func TestRetainHandling(t *testing.T) {
	b := mustStart(t, broker.Config{})
	mustPublish(t, b, riskA, "x", true)
	c, _ := connect(t, b, session{id: "a", version: 5})
	c.subscribe(riskA, 2<<4) // never
	c.expectQuiet()
	c.subscribe(riskA, 1<<4) // only when new, and it is not
	c.expectQuiet()
	c.subscribe("cidp/v1/risk/#", 1<<4)
	c.expectMessage(riskA, "x")
	c.subscribe(riskA, 0)
	c.expectMessage(riskA, "x")
	c.subscribe("$share/group/cidp/v1/risk/#", 0)
	c.expectQuiet()
}

func TestTelemetryReachesSubscribersAfterCommit(t *testing.T) {
	b := mustStart(t, broker.Config{})
	viewer, _ := connect(t, b, session{id: "v"})
	viewer.subscribe("cidp/v1/telemetry/#", 2)
	c, _ := connect(t, b, session{id: "a"})
	for qos := range byte(3) {
		c.publish(1, qos, uint16(qos), topicA, fmt.Sprint("reading ", qos))
	}
	c.publish(0, 0, 0, topicB, "refused")
	got := mustReceive(t, b, 4)
	viewer.expectQuiet()
	acknowledge(b, broker.Accepted, got[:3]...)
	acknowledge(b, broker.PayloadInvalid, got[3])
	for qos := range byte(3) {
		p := viewer.expectMessage(topicA, fmt.Sprint("reading ", qos))
		if p.flags != qos<<1 {
			t.Errorf("QoS %d: got flags %b", qos, p.flags)
		}
		if _, id, _ := p.delivered(4); qos == 2 {
			viewer.ack(tPubrec, id)
			viewer.expectAck(tPubrel, id, 0)
			viewer.ack(tPubcomp, id)
		} else if qos == 1 {
			viewer.ack(tPuback, id)
		}
	}
	viewer.expectQuiet()
	// RETAIN was honoured, for the accepted ones.
	late, _ := connect(t, b, session{id: "late"})
	late.subscribe("cidp/v1/#", 0)
	late.expectMessage(topicA, "reading 2")
	late.expectQuiet()
	// An empty retained message clears, although no reading.
	c.publish(1, 1, 9, topicA, "")
	acknowledge(b, broker.PayloadInvalid, mustReceive(t, b, 1)...)
	eventually(t, "retained reading is cleared", func() bool {
		probe, _ := connect(t, b, session{id: "probe"})
		probe.subscribe("cidp/v1/#", 0)
		probe.write([]byte{tPingreq << 4, 0})
		p, err := probe.read(patience)
		return err == nil && p.kind == tPingresp
	})
}

// The cache of subscribers follows subscriptions that come and go in every way.
func TestSubscribersComeAndGo(t *testing.T) {
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	c, _ := connect(t, b, session{id: "a"})
	anchor, _ := connect(t, b, session{id: "anchor"})
	anchor.subscribe("cidp/v1/telemetry/#", 0)
	n := uint16(0)
	send := func() string {
		n++
		c.publish(0, 1, n, topicA, fmt.Sprint(n))
		c.expectAck(tPuback, n, 0)
		anchor.expectMessage(topicA, fmt.Sprint(n)) // routing comes after the acknowledgement
		return fmt.Sprint(n)
	}
	send()
	v, _ := connect(t, b, session{id: "v", keep: true})
	v.subscribe("cidp/v1/telemetry/+/+/+", 1)
	v.expectMessage(topicA, send())
	v.write(frame(10<<4|2, []byte{0, 1}, text("cidp/v1/telemetry/+/+/+"))) // UNSUBSCRIBE
	v.expect(11)
	send()
	v.subscribe(topicA, 1)
	v.expectMessage(topicA, send())
	// Away: telemetry is live only.
	v.conn.Close()
	eventually(t, "viewer is gone", func() bool { return b.Stats().Connected == 2 })
	send()
	v, resumed := connect(t, b, session{id: "v", keep: true})
	if !resumed {
		t.Fatal("session is not resumed")
	}
	for { // what was not acknowledged comes again
		p := v.expect(tPublish)
		_, id, _ := p.delivered(4)
		v.ack(tPuback, id)
		if id == 2 {
			break
		}
	}
	v.expectMessage(topicA, send())
	// A clean session has none.
	v, _ = connect(t, b, session{id: "v"})
	send()
	v.expectQuiet()
}

func TestSubscriptionOptions(t *testing.T) {
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	c, _ := connect(t, b, session{id: "a", version: 5})
	c.subscribe(topicA, 4) // no local
	c.write(subscribeFrame(5, 9, topicB, 8|1, 42))
	c.expect(tSuback)
	c.publish(1, 0, 0, topicA, "mine")
	// Properties go through: content type.
	c.write(frame(tPublish<<4|1<<1|1, text(topicB), []byte{0, 1}, []byte{7, 3, 0, 4, 'j', 's', 'o', 'n'}, []byte("x")))
	var p packet
	for range 2 {
		if got := c.expect(c.peek()); got.kind == tPublish {
			p = got
		}
	}
	want := append(text(topicB), 0, 1, 9, 3, 0, 4, 'j', 's', 'o', 'n', 0x0b, 42, 'x')
	if string(p.body) != string(want) || p.flags != 1<<1|1 { // retain as published
		t.Errorf("got %b %q, want %q", p.flags, p.body, want)
	}
}

func TestSharedSubscription(t *testing.T) {
	b := mustStart(t, broker.Config{})
	var members []*rawClient
	for i := range 3 {
		c, _ := connect(t, b, session{id: fmt.Sprint("m", i), version: 5})
		c.subscribe("$share/g/cidp/v1/events/#", 0)
		members = append(members, c)
	}
	for i := range 30 {
		mustPublish(t, b, "cidp/v1/events/a/b/c", fmt.Sprint(i), false)
	}
	total := 0
	for _, c := range members {
		c.write([]byte{tPingreq << 4, 0})
		for p := c.expect(c.peek()); p.kind == tPublish; p = c.expect(c.peek()) {
			total++
		}
	}
	if total != 30 {
		t.Errorf("got %d messages, want 30", total)
	}
}

// An MQTT 5 subscriber never has more unacknowledged messages than it allows, and loses none by it.
func TestSubscriberReceiveMaximum(t *testing.T) {
	const n, quota = 500, 7
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", version: 5, receiveMax: quota})
	c.subscribe("cidp/v1/events/#", 2)
	for i := range n {
		mustPublish(t, b, "cidp/v1/events/a/b/c", fmt.Sprint(i), false)
	}
	for i := 0; i < n; {
		var ids []uint16
		for range min(quota, n-i) {
			_, id, payload := c.expect(tPublish).delivered(5)
			if string(payload) != fmt.Sprint(i) {
				t.Fatalf("got %s, want %d", payload, i)
			}
			ids = append(ids, id)
			i++
		}
		c.expectQuiet()
		for _, id := range ids {
			c.ack(tPuback, id)
		}
	}
	c.expectQuiet()
}

// The defect that froze publishers for good: an MQTT 5 subscriber with a Receive Maximum, acknowledging under load.
func TestReceiveMaximumUnderLoadDoesNotFreezePublishers(t *testing.T) {
	t.Parallel()
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	viewer, _ := connect(t, b, session{id: "v", version: 5, receiveMax: 20})
	viewer.subscribe("cidp/v1/telemetry/#", 1)
	go func() { // acknowledges whatever comes, until the connection ends
		for {
			p, err := viewer.read(patience)
			if err != nil {
				return
			}
			_, id, _ := p.delivered(5)
			if _, err := viewer.conn.Write([]byte{tPuback << 4, 2, byte(id >> 8), byte(id)}); err != nil {
				return
			}
		}
	}()
	const publishers, each = 4, 1500
	var wg sync.WaitGroup
	for i := range publishers {
		c, _ := connect(t, b, session{id: fmt.Sprint("p", i)})
		wg.Go(func() {
			for id := uint16(1); id <= each; id++ {
				if _, err := c.conn.Write(publishFrame(4, 0, 1, id, topicOf(i), 0, reading)); err != nil {
					t.Errorf("publisher %d: %v", i, err)
					return
				}
			}
		})
		wg.Go(func() {
			for id := uint16(1); id <= each; id++ {
				if p, err := c.read(patience); err != nil || p.id() != id {
					t.Errorf("publisher %d: message %d: %v", i, id, err)
					return
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "all is delivered or counted", func() bool {
		st := b.Stats()
		return st.Delivered+st.DeliveriesDropped == publishers*each
	})
}

// A subscriber that reads nothing holds nobody up.
func TestStalledSubscriberIsCutOff(t *testing.T) {
	b := mustStart(t, broker.Config{WriteTimeout: time.Second})
	acceptAll(t, b)
	stalled, _ := connect(t, b, session{id: "s"})
	stalled.subscribe("cidp/v1/#", 0)
	if err := stalled.conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	c, _ := connect(t, b, session{id: "a"})
	payload := strings.Repeat("x", 200_000)
	end := time.Now().Add(20 * time.Second)
	for id := uint16(1); b.Stats().SlowClosed == 0; id = id%60_000 + 1 {
		if time.Now().After(end) {
			t.Fatal("stalled subscriber is still connected")
		}
		c.publish(0, 1, id, topicA, payload)
		begin := time.Now()
		c.expectAck(tPuback, id, 0)
		if d := time.Since(begin); d > 2*time.Second {
			t.Fatalf("publisher waited %v", d)
		}
	}
	if st := b.Stats(); st.DeliveriesDropped == 0 {
		t.Errorf("nothing was dropped before: %+v", st)
	}
}

func TestPublishRefusesBadTopics(t *testing.T) {
	b := mustStart(t, broker.Config{})
	for _, topic := range []string{"", "a/+", "#", "a\x00b", "a\xff", strings.Repeat("a", 65536)} {
		if err := b.Publish(topic, nil, false); err == nil {
			t.Errorf("topic %.20q is taken", topic)
		}
	}
}

// A message longer than an MQTT 5 client takes counts as delivered: it does not use up the client's Receive Maximum.
func TestSubscriberMaximumPacketSize(t *testing.T) {
	for qos := range byte(2) {
		b := mustStart(t, broker.Config{})
		c := dial(t, b)
		c.version = 5
		c.write(frame(tConnect<<4, text("MQTT"), []byte{5, 2, 0, 30, 8, 0x21, 0, 1, 0x27, 0, 0, 0, 100}, text("a")))
		c.expect(tConnack)
		c.subscribe("cidp/v1/events/#", qos)
		for range 3 {
			mustPublish(t, b, "cidp/v1/events/a/b/c", strings.Repeat("x", 100), false)
		}
		mustPublish(t, b, "cidp/v1/events/a/b/c", "short", false)
		c.expectMessage("cidp/v1/events/a/b/c", "short")
		if d := b.Stats().DeliveriesDropped; d != 3 {
			t.Errorf("QoS %d: %d dropped", qos, d)
		}
	}
}

// Housekeeping topics come from mochi's own path.
func TestSysTopics(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a"})
	c.subscribe("$SYS/broker/version", 1)
	if topic, _, _ := c.expect(tPublish).delivered(4); topic != "$SYS/broker/version" {
		t.Errorf("got %s", topic)
	}
}

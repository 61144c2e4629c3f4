package broker_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// A client that sends a byte at a time is closed when its time for CONNECT is over, or its keepalive.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	const drip = 50 * time.Millisecond
	b := mustStart(t, broker.Config{ConnectTimeout: 3 * time.Second}) // all are to be there meanwhile
	acceptAll(t, b)
	p := startPulse(t, b, 1, 5, time.Millisecond)
	var loris []*rawClient
	for i := range 50 {
		c := dial(t, b)
		packet := connectFrame(session{id: strings.Repeat("a", 1000), version: 4})
		if i%2 == 1 { // inside a PUBLISH; keepalive 2 s: cut after 3 s
			c.write(frame(tConnect<<4, text("MQTT"), []byte{4, 2, 0, 2}, text(fmt.Sprint("loris", i))))
			c.expect(tConnack)
			packet = publishFrame(4, 0, 1, 1, topicA, 0, strings.Repeat("x", 1000))
		}
		loris = append(loris, c)
		go func() {
			for i := range packet {
				if _, err := c.conn.Write(packet[i : i+1]); err != nil {
					return // closed, as it should be
				}
				time.Sleep(drip)
			}
		}()
	}
	eventually(t, "all are served", func() bool { return b.Stats().Open == len(loris)+1 })
	p.mustMove("beside slow clients")
	for i, c := range loris {
		if last := c.expectClosed(); last.kind != 0 {
			t.Errorf("client %d: got packet type %d %x", i, last.kind, last.body)
		}
	}
	mustBeUnharmed(t, b, 1)
	p.end()
	if got := b.Stats().Received[1]; got != p.acked.Load() {
		t.Errorf("%d messages taken, the publisher had %d acknowledged", got, p.acked.Load())
	}
}

// Clients without a keepalive may take as long as they like for a packet; what they make us hold meanwhile is bounded, and so is what they hold before a
// full queue. The heaviest are cut off.
func TestLongPacketsUnderWayAreBounded(t *testing.T) {
	const many, long, limit = 60, 1_000_000, 8 << 20
	for name, sent := range map[string]int{"cut short": 20, "before a full queue": long} {
		t.Run(name, func(t *testing.T) {
			b := mustStart(t, broker.Config{HeldBytes: limit, Queue: 1})
			filler, _ := connect(t, b, session{id: "filler"})
			filler.publish(0, 1, 1, topicA, "x")
			eventually(t, "queue is full", func() bool { return b.Stats().Queued == 1 })
			packet := publishFrame(4, 0, 1, 1, topicA, 0, strings.Repeat("x", long))
			before := heap()
			for i := range many {
				conn, err := tryIdle(t, b.Addr(), fmt.Sprint("slow", i))
				t.Cleanup(func() { conn.Close() })
				if err != nil {
					continue // who is not connected yet is cut off before the heaviest
				}
				_, _ = conn.Write(packet[:sent]) // it may be cut off meanwhile
			}
			eventually(t, "most are cut off", func() bool { st := b.Stats(); return st.Held <= limit && st.Shed >= many/2 })
			if grown := heap() - before; grown > 4*limit {
				t.Errorf("%d bytes for %d packets of %d", grown, many, long)
			}
			acceptAll(t, b)
			filler.expectAck(tPuback, 1, 0)
			startPulse(t, b, 1, 5, time.Millisecond).mustMove("beside packets under way")
		})
	}
}

// Clients that vanish in every way, in the middle of a packet or of an exchange, leave nothing behind.
func TestVanishingClients(t *testing.T) {
	half := func(c *rawClient) { _ = c.conn.(*net.TCPConn).CloseWrite() } // a closed one is as good
	reset := func(c *rawClient) {
		_ = c.conn.(*net.TCPConn).SetLinger(0) // likewise
		c.conn.Close()
	}
	whole := publishFrame(4, 0, 1, 1, topicA, 0, strings.Repeat("x", 5000))
	for name, vanish := range map[string]func(*rawClient){
		"half-closed": half,
		"half-closed in a packet": func(c *rawClient) {
			c.write(whole[:2000])
			half(c)
		},
		"half-closed with an acknowledgement due": func(c *rawClient) {
			c.write(whole)
			half(c)
		},
		"reset in a packet": func(c *rawClient) {
			c.write(whole[:2000])
			reset(c)
		},
		"reset with acknowledgements due": func(c *rawClient) {
			for id := uint16(1); id <= 100; id++ {
				c.publish(0, 1, id, topicA, strings.Repeat("x", 5000))
			}
			reset(c)
		},
		"reset with a subscription's messages due": func(c *rawClient) {
			c.write(subscribeFrame(4, 1, "cidp/#", 1, 0))
			reset(c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			acceptAll(t, b)
			p := startPulse(t, b, 1, 5, 0)
			mustPublish(t, b, riskA, strings.Repeat("x", 100_000), true)
			for i := range 50 {
				c, _ := connect(t, b, session{id: fmt.Sprint(name, i)})
				vanish(c)
			}
			p.mustMove("while clients vanish")
			mustBeUnharmed(t, b, 1)
			if st := b.Stats(); st.Subscribed != 0 || st.ProtocolErrors != 0 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// A client that vanishes before its CONNECT is through leaves nothing behind either.
func TestVanishingStrangers(t *testing.T) {
	b := mustStart(t, broker.Config{})
	first := connectFrame(session{id: "a", version: 5, will: topicA})
	for i := range 100 {
		c := dial(t, b)
		c.write(first[:i%len(first)])
		if i%2 == 0 {
			_ = c.conn.(*net.TCPConn).SetLinger(0) // a closed one is as good
		}
		c.conn.Close()
	}
	mustBeUnharmed(t, b, 0)
}

// Subscriptions are bounded: each takes kilobytes of the index.
func TestSubscriberFlood(t *testing.T) {
	const packets, each = 200, 100
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	p := startPulse(t, b, 1, 5, time.Millisecond)
	c, _ := connect(t, b, session{id: "flood", version: 5})
	before := heap()
	granted := 0
	for i := range packets {
		var filters []byte
		for j := range each {
			filters = append(append(filters, text(fmt.Sprintf("flood/%d/%d/a/b/c/d/e/f/g/#", i, j))...), 1)
		}
		c.write(frame(tSubscribe<<4|2, []byte{0, 1}, []byte{0}, filters))
		for _, code := range c.expect(tSuback).body[3:] {
			switch code {
			case 1:
				granted++
			case 0x97:
			default:
				t.Fatalf("got 0x%02x", code)
			}
		}
	}
	grown := heap() - before
	t.Logf("%d filters granted, %d bytes each", granted, grown/int64(max(1, granted)))
	if st := b.Stats(); granted < 100 || st.FiltersRefused != int64(packets*each-granted) || st.Subscribed != int64(granted) {
		t.Errorf("%d granted: %+v", granted, st)
	}
	if grown > 64<<20 {
		t.Errorf("%d bytes for %d filters", grown, granted)
	}
	// One that the client has already is not one more; others are served.
	c.subscribe("flood/0/0/a/b/c/d/e/f/g/#", 0)
	other, _ := connect(t, b, session{id: "other"})
	other.subscribe("cidp/v1/status", 0)
	p.mustMove("beside a flood of subscriptions")
	c.conn.Close()
	eventually(t, "all but one are gone", func() bool { return b.Stats().Subscribed == 1 })
}

// Topics and filters of ten thousands of levels are work that grows with their square, under locks that everybody needs.
func TestDeepTopics(t *testing.T) {
	b := mustStart(t, broker.Config{})
	deep := strings.Repeat("/", 60_000)
	begin := time.Now()
	c, _ := connect(t, b, session{id: "a", version: 5})
	for _, filter := range []string{deep, deep + "#", "+" + deep, "$share/g" + deep} {
		c.write(subscribeFrame(5, 1, filter, 1, 0))
		if code := c.expect(tSuback).body[3]; code < 0x80 {
			t.Errorf("got 0x%02x", code)
		}
		c.write(frame(10<<4|2, []byte{0, 1, 0}, text(filter)))
		if code := c.expect(11).body[3]; code != 0x11 {
			t.Errorf("got 0x%02x", code)
		}
	}
	for i, payload := range []string{"", "x"} { // retained: to be cleared, to be kept
		c.publish(1, 1, uint16(i+1), deep, payload)
		acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
		c.expectAck(tPuback, uint16(i+1), 0)
	}
	eventually(t, "the last one is routed", func() bool { return b.Stats().RetainsRefused == 1 })
	mustPublish(t, b, riskA, "x", true) // waits for what is being routed
	viewer, _ := connect(t, b, session{id: "v"})
	viewer.subscribe("#", 0)
	viewer.expectMessage(riskA, "x")
	viewer.expectQuiet()
	if d := time.Since(begin); d > patience {
		t.Errorf("took %v", d)
	}
}

// A client id may be as long as MQTT allows.
func TestLongNames(t *testing.T) {
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	p := startPulse(t, b, 1, 5, time.Millisecond)
	long := strings.Repeat("n", 65_535)
	for _, version := range []byte{4, 5} {
		c, _ := connect(t, b, session{id: long, version: version})
		c.publish(0, 1, 1, topicA, reading)
		c.expectAck(tPuback, 1, 0)
		c.write([]byte{tDisconnect << 4, 0})
		c.expectClosed()
	}
	p.mustMove("after long names")
	mustBeUnharmed(t, b, 1)
}

// Thousands of clients are lost at once, each with a will, and the queue is short: all wills come, and publishers go on.
func TestFloodOfWills(t *testing.T) {
	const many, forged = 2000, 200
	b := mustStart(t, broker.Config{Queue: 100})
	acceptAll(t, b)
	p := startPulse(t, b, 1, 5, time.Millisecond)
	clients := make([]*rawClient, many)
	for i := range clients {
		topic := topicOf(i)
		if i < forged {
			topic = riskA
		}
		clients[i], _ = connect(t, b, session{id: fmt.Sprint("w", i), version: 4 + byte(i%2), will: topic, willRetain: true})
	}
	for _, c := range clients {
		c.conn.Close()
	}
	eventually(t, "every will is published or dropped", func() bool {
		st := b.Stats()
		return st.Wills == many-forged && st.WillsDropped == forged && st.Open == 1
	})
	p.mustMove("after a flood of wills")
}

// An MQTT 5 DISCONNECT of one byte is a reason without properties: "with will" keeps the will, and mochi does not see it.
func TestShortDisconnectIsUnderstood(t *testing.T) {
	b := mustStart(t, broker.Config{})
	for wills, reason := range []byte{0, 4} {
		c, _ := connect(t, b, session{id: "a", version: 5, will: topicA})
		c.write([]byte{tDisconnect << 4, 1, reason})
		c.expectClosed()
		eventually(t, "client is gone", func() bool { return b.Stats().Open == 0 })
		if st := b.Stats(); st.Wills != int64(wills) || st.ProtocolErrors != 0 {
			t.Errorf("reason 0x%02x: got %+v", reason, st)
		}
	}
}

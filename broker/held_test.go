package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// deaf is a subscriber that reads nothing more.
func deaf(t *testing.T, b *broker.Broker, s session, filter string, qos byte) *rawClient {
	t.Helper()
	c, _ := connect(t, b, s)
	c.subscribe(filter, qos)
	if err := c.conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	return c
}

// takeOne reads a message and acknowledges it.
func (c *rawClient) takeOne() (payload string) {
	c.tb.Helper()
	p := c.expect(tPublish)
	_, id, body := p.delivered(c.version)
	if p.flags&6 != 0 {
		c.ack(tPuback, id)
	}
	return string(body)
}

// All that waits for slow subscribers together is bounded, however many they are; the heaviest are cut off, and who reads gets everything.
func TestBacklogsOfAllAreBounded(t *testing.T) {
	for qos := range byte(2) {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			const limit, size, n = 8 << 20, 100_000, 400
			b := mustStart(t, broker.Config{HeldBytes: limit, WriteTimeout: time.Minute})
			reader, _ := connect(t, b, session{id: "reader"})
			reader.subscribe("cidp/v1/events/#", qos)
			for i := range 30 {
				deaf(t, b, session{id: fmt.Sprint("deaf", i)}, "cidp/v1/events/#", qos)
			}
			payload := strings.Repeat("x", size)
			before := heap()
			most, mostHeap := int64(0), int64(0)
			for i := range n {
				mustPublish(t, b, eventA, payload, false)
				most = max(most, b.Stats().Held)
				eventually(t, "who gave way has left", func() bool { return b.Stats().Held <= limit+2*size })
				if i%100 == 99 {
					mostHeap = max(mostHeap, heap()-before)
				}
				if reader.takeOne() != payload {
					t.Fatalf("the reader got something else than message %d", i)
				}
			}
			if most > 2*limit { // what is being written to those who gave way goes a moment later
				t.Errorf("%d bytes were held, the limit is %d", most, limit)
			}
			if mostHeap > 3*limit {
				t.Errorf("%d bytes of heap", mostHeap)
			}
			st := b.Stats()
			if st.Shed == 0 || st.SlowClosed == 0 {
				t.Errorf("nobody gave way: %+v", st)
			}
			t.Logf("held %d bytes at most, heap grew by %d, %d clients shed", most, mostHeap, st.Shed)
		})
	}
}

// What absent clients are owed is bounded in sum. The heaviest lose theirs, the light ones nothing, and the losers are told the newest states when
// they come back. The disk is told.
func TestSessionsOfAllAreBounded(t *testing.T) {
	const limit, heavy, size = 2 << 20, 20, 10_000
	d := newDisk(t)
	b := d.start(broker.Config{HeldBytes: limit})
	risk := func(i int) string { return fmt.Sprintf("cidp/v1/risk/a/b/s%d", i) }
	for i := range heavy {
		c, _ := d.attended(b, session{id: fmt.Sprint("heavy", i), keep: true}, risk(i))
		c.vanish(b)
	}
	c, _ := d.attended(b, session{id: "light", keep: true}, eventA)
	c.vanish(b)
	mustPublish(t, b, eventA, "for the light one", false)
	most := int64(0)
	newest := ""
	for round := range 30 {
		newest = strings.Repeat(fmt.Sprint(round%10), size)
		for i := range heavy {
			mustPublish(t, b, risk(i), newest, true)
			most = max(most, b.Stats().Held)
		}
		d.flush(b)
	}
	st := b.Stats()
	if most > limit+2*size || st.Shed == 0 || st.DeliveriesDropped == 0 {
		t.Errorf("%d bytes were held, the limit is %d: %+v", most, limit, st)
	}
	if bytes := len(d.messages) * size; bytes > limit+size {
		t.Errorf("%d bytes are on disk", bytes)
	}
	var standing []broker.Retained
	for i := range heavy {
		standing = append(standing, broker.Retained{Topic: risk(i), Payload: []byte(newest)})
	}
	b = d.start(broker.Config{HeldBytes: limit, Standing: standing})
	c, _ = d.attended(b, session{id: "light", keep: true})
	c.expectMessage(eventA, "for the light one")
	for i := range heavy {
		c, _ = d.attended(b, session{id: fmt.Sprint("heavy", i), keep: true})
		c.write([]byte{tPingreq << 4, 0})
		last := ""
		for c.peek() == tPublish {
			_, id, payload := c.expect(tPublish).delivered(4)
			last = string(payload)
			c.ack(tPuback, id)
		}
		if last != newest {
			t.Errorf("client %d: its newest state is %.10q, not %.10q", i, last, newest)
		}
	}
}

// Telemetry gives way to outputs: it fills half of the budget at most.
func TestTelemetryTakesHalf(t *testing.T) {
	const limit, size = 2 << 20, 50_000
	b := mustStart(t, broker.Config{HeldBytes: limit, WriteTimeout: time.Minute})
	acceptAll(t, b)
	for i := range 40 {
		deaf(t, b, session{id: fmt.Sprint("deaf", i)}, "cidp/v1/telemetry/#", 0)
	}
	c, _ := connect(t, b, session{id: "a"})
	payload := strings.Repeat("x", size)
	most := int64(0)
	for id := uint16(1); id <= 200; id++ {
		c.publish(0, 1, id, topicA, payload)
		c.expectAck(tPuback, id, 0)
		most = max(most, b.Stats().Held)
	}
	eventually(t, "all is routed", func() bool { return b.Stats().Routed == 200 })
	if st := b.Stats(); most > limit/2+2*size || most < limit/4 || st.Shed != 0 || st.DeliveriesDropped == 0 {
		t.Errorf("%d bytes were held: %+v", most, st)
	}
}

// Whatever clients do, nothing stays on the books when they are gone.
func TestNothingStaysOnTheBooks(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	b := mustStart(t, broker.Config{HeldBytes: 1 << 20})
	acceptAll(t, b)
	mustPublish(t, b, riskA, "retained", true)
	for i := range 60 {
		s := session{id: fmt.Sprint("c", i%7), version: byte(4 + i%2), keep: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			s.will, s.willDelay = topicB, uint32(r.IntN(2)*1000)
		}
		c := dial(t, b)
		stream := append(connectFrame(s), subscribeFrame(s.version, 9, "cidp/v1/#", byte(r.IntN(3)), 0)...)
		stream = append(stream, publishFrame(s.version, 0, byte(r.IntN(3)), 1, topicA, 0, strings.Repeat("x", r.IntN(30_000)))...)
		if s.version == 5 {
			stream = append(stream, publishFrame(5, 0, 0, 0, topicA, 3, "x")...)
		}
		_, _ = c.conn.Write(stream) // it may be cut off at any time: it is heavy
		_, _ = c.read(patience)
		for range r.IntN(10) {
			mustPublish(t, b, riskA, strings.Repeat("y", r.IntN(50_000)), r.IntN(2) == 0)
		}
		switch r.IntN(3) {
		case 0:
			c.rst()
		case 1:
			_, _ = c.conn.Write([]byte{tDisconnect << 4, 0})
		}
	}
	if b.Stats().Shed == 0 {
		t.Error("nobody gave way")
	}
	for i := range 7 {
		c, _ := connect(t, b, session{id: fmt.Sprint("c", i)})
		c.write([]byte{tDisconnect << 4, 0})
	}
	eventually(t, "all are gone", func() bool { st := b.Stats(); return st.Open == 0 && st.Sessions == 0 && st.Queued == 0 })
	eventually(t, "nothing is held", func() bool { return b.Stats().Held == 0 })
	if n := b.Filters(); n != 0 {
		t.Errorf("subscriptions of %d bytes are left", n)
	}
}

// A client that was away too long for all it missed finds the newest state of every topic: what is dropped is what newer messages make worthless.
func TestNewestStatesAfterLongAbsence(t *testing.T) {
	const topics = 3000
	risk := func(i int) string { return fmt.Sprintf("cidp/v1/risk/a/b/s%d", i) }
	b := mustStart(t, broker.Config{})
	me := session{id: "a", keep: true}
	c, _ := connect(t, b, me)
	c.subscribe("cidp/v1/#", 1)
	c.vanish(b)
	cleared := map[int]bool{}
	for round := range 12 { // 36,000 states and as many events
		for i := range topics {
			payload := fmt.Sprint(round)
			if round == 5 && i%10 == 0 { // cleared half way, and never told again
				cleared[i] = true
				payload = ""
			}
			if round <= 5 || !cleared[i] {
				mustPublish(t, b, risk(i), payload, true)
			}
			mustPublish(t, b, eventA, payload, false)
		}
	}
	dropped := b.Stats().DeliveriesDropped
	c, _ = connect(t, b, me)
	newest := map[string]string{}
	for n := 0; ; n++ {
		if n%1000 == 0 {
			c.write([]byte{tPingreq << 4, 0})
		}
		p := c.expect(c.peek())
		if p.kind == tPingresp {
			if b.Stats().Held == 0 {
				break
			}
			c.write([]byte{tPingreq << 4, 0})
			continue
		}
		topic, id, payload := p.delivered(4)
		newest[topic] = string(payload)
		c.ack(tPuback, id)
	}
	if dropped < 40_000 {
		t.Errorf("%d dropped", dropped)
	}
	wrong := 0
	for i := range topics {
		want := "11"
		if cleared[i] {
			want = ""
		}
		if got, told := newest[risk(i)]; !told || got != want {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d topics are not as they are", wrong, topics)
	}
}

// More topics than a session holds: those states that were lost are told as retained messages.
func TestMoreStatesThanASessionHolds(t *testing.T) {
	const topics = 20_000
	b := mustStart(t, broker.Config{})
	me := session{id: "a", keep: true}
	c, _ := connect(t, b, me)
	c.subscribe("cidp/v1/risk/#", 1)
	c.vanish(b)
	for i := range topics {
		mustPublish(t, b, fmt.Sprintf("cidp/v1/risk/a/b/s%d", i), "new", true)
	}
	if d := b.Stats().DeliveriesDropped; d == 0 {
		t.Fatal("all of them found room")
	}
	c, _ = connect(t, b, me)
	seen := map[string]bool{}
	for len(seen) < topics {
		topic, id, _ := c.expect(tPublish).delivered(4)
		seen[topic] = true
		c.ack(tPuback, id)
	}
}

// States that newer ones follow go before events, which nothing repeats; and states go before what clears one, which no retained message could tell.
func TestWhatIsWorthlessGoesFirst(t *testing.T) {
	risk := func(i int) string { return fmt.Sprintf("cidp/v1/risk/a/b/s%d", i) }
	for name, tc := range map[string]struct {
		publish func(t *testing.T, b *broker.Broker)
		kept    string // topic
		n       int
	}{
		"events": {kept: eventA, n: 5000, publish: func(t *testing.T, b *broker.Broker) {
			for i := range 5000 {
				mustPublish(t, b, eventA, fmt.Sprint(i), false)
			}
			for i := range 20_000 {
				mustPublish(t, b, risk(i%1500), fmt.Sprint(i), true)
			}
		}},
		"clearing messages": {kept: riskA, n: 1, publish: func(t *testing.T, b *broker.Broker) {
			mustPublish(t, b, riskA, "", true)
			for i := range 20_000 {
				mustPublish(t, b, risk(i), "x", true)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			me := session{id: "a", keep: true}
			c, _ := connect(t, b, me)
			c.subscribe("cidp/v1/#", 1)
			c.vanish(b)
			tc.publish(t, b)
			if b.Stats().DeliveriesDropped == 0 {
				t.Fatal("all of it found room")
			}
			c, _ = connect(t, b, me)
			c.write([]byte{tPingreq << 4, 0})
			n := 0
			for c.peek() == tPublish {
				p := c.expect(tPublish)
				topic, id, _ := p.delivered(4)
				if topic == tc.kept {
					n++
				}
				c.ack(tPuback, id)
			}
			if n != tc.n {
				t.Errorf("got %d, want %d", n, tc.n)
			}
		})
	}
}

// A client that is away costs a fraction of what it costs while it is there.
func TestAbsentSessionsAreSmall(t *testing.T) {
	const n, most = 500, 9000
	b := mustStart(t, broker.Config{})
	before := heap()
	for i := range n {
		c, _ := connect(t, b, session{id: fmt.Sprint("c", i), keep: true})
		c.subscribe("cidp/v1/events/#", 1)
		c.conn.Close()
		*c = rawClient{} // the test holds on to its clients
	}
	eventually(t, "all are gone", func() bool { return b.Stats().Open == 0 })
	if each := (heap() - before) / n; each > most {
		t.Errorf("%d bytes each, want at most %d", each, most)
	}
}

// Subscriptions cost memory too.
func TestSubscriptionsAreBounded(t *testing.T) {
	bothVersions(t, func(t *testing.T, version byte) {
		b := mustStart(t, broker.Config{})
		c, _ := connect(t, b, session{id: "a", version: version})
		want := byte(0x80)
		if version == 5 {
			want = 0x97
		}
		codes := func(filters ...string) []byte {
			parts := [][]byte{{0, 9}}
			if version == 5 {
				parts = append(parts, []byte{0})
			}
			for _, f := range filters {
				parts = append(parts, text(f), []byte{1})
			}
			c.write(frame(tSubscribe<<4|2, parts...))
			body := c.expect(tSuback).body
			if binary.BigEndian.Uint16(body) != 9 {
				t.Fatalf("got SUBACK %x", body)
			}
			return body[len(body)-len(filters):]
		}
		if got := codes("a/b", strings.Repeat("x/", 100), "a/c"); got[0] != 1 || got[1] != want || got[2] != 1 {
			t.Errorf("a deep filter: got %x", got)
		}
		var many []string
		for i := range 10_000 {
			many = append(many, fmt.Sprintf("cidp/v1/telemetry/site/asset%d/+", i))
		}
		got := codes(many...)
		granted := bytes.Count(got, []byte{1})
		if refused := bytes.Count(got, []byte{want}); granted < 5000 || granted > 8000 || granted+refused != len(many) {
			t.Errorf("%d granted, %d refused", granted, refused)
		}
		if st := b.Stats(); st.FiltersRefused != int64(1+len(many)-granted) || st.Subscribed != int64(2+granted) {
			t.Errorf("got %+v", st)
		}
		c.publish(0, 1, 1, topicA, "still served")
		acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
		c.expectAck(tPuback, 1, 0)
		c.vanish(b)
		eventually(t, "they are gone", func() bool { return b.Stats().Subscribed == 0 && b.Filters() == 0 })
	})
}

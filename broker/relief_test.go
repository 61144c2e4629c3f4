package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// Who only announces a long packet costs nobody else anything, connected or not: strangers go first, and then the heaviest, no more than need be.
func TestPacketsUnderWayHarmNobodyElse(t *testing.T) {
	for name, kind := range map[string]byte{"strangers": tConnect, "clients": tPublish} {
		t.Run(name, func(t *testing.T) {
			b := mustStart(t, broker.Config{HeldBytes: 2 << 20})
			var light []*rawClient
			for i := range 10 {
				c, _ := connect(t, b, session{id: fmt.Sprint("light", i), keep: true})
				c.subscribe("cidp/v1/events/#", 1)
				light = append(light, c)
			}
			away, _ := connect(t, b, session{id: "away", keep: true})
			away.subscribe("cidp/v1/events/#", 1)
			away.vanish(b)
			mustPublish(t, b, eventA, strings.Repeat("x", 10_000), false)
			if name == "strangers" { // heavier than each of them
				for range 15 {
					mustPublish(t, b, eventA, strings.Repeat("x", 10_000), false)
				}
			}
			const n = 40
			var lavish []*rawClient
			for i := range n { // before the first announces anything: who is not connected yet would go first
				if kind == tConnect {
					lavish = append(lavish, dial(t, b))
					continue
				}
				c, _ := connect(t, b, session{id: fmt.Sprint("lavish", i)})
				lavish = append(lavish, c)
			}
			for _, c := range lavish {
				_, _ = c.conn.Write([]byte{kind << 4, 0xC0, 0xA9, 0x07}) // it may have been cut
			}
			eventually(t, "somebody gives way", func() bool { return b.Stats().Shed > 0 })
			eventually(t, "they are gone", func() bool { st := b.Stats(); return st.Held <= 2<<20 && st.Open == n+10-int(st.Shed) })
			if st := b.Stats(); st.Shed > 30 || st.DeliveriesDropped != 0 {
				t.Errorf("got %+v", st)
			}
			for _, c := range light {
				for c.peek(); c.r.Buffered() > 0; {
					c.expect(tPublish)
				}
			}
			mustPublish(t, b, eventB, "still there", false)
			for i, c := range light {
				for topic := ""; topic != eventB; {
					if topic, _, _ = c.expect(tPublish).delivered(4); topic == "" {
						t.Fatalf("client %d was cut", i)
					}
				}
			}
			away, _ = connect(t, b, session{id: "away", keep: true})
			away.expect(tPublish)
		})
	}
}

const eventB = "cidp/v1/events/dla/loco1/axle1-right"

// A client that reads and does not acknowledge is cut when it is emptied: it knows then that its exchanges begin anew.
func TestWhoIsEmptiedIsCut(t *testing.T) {
	b := mustStart(t, broker.Config{HeldBytes: 1 << 20})
	c, _ := connect(t, b, session{id: "a", keep: true})
	c.subscribe("cidp/v1/events/#", 1)
	for range 12 {
		mustPublish(t, b, eventA, strings.Repeat("x", 100_000), false)
		if _, err := c.read(patience); err != nil {
			break
		}
	}
	c.expectClosed()
	eventually(t, "it is counted once", func() bool { st := b.Stats(); return st.Shed == 1 && st.SlowClosed == 1 })
}

// A full session in which nothing can be lost is not searched for every message: publishing would take tens of milliseconds each.
func TestFullSessionIsNotSearchedEachTime(t *testing.T) {
	start := time.Now()
	broker.FullOfSent(4000)
	if took := time.Since(start); took > patience {
		t.Errorf("took %v", took)
	}
}

// What a restart gives back is bounded in sum. Who is owed most loses the oldest claims; the messages themselves stay while the process lives, and
// states are told anew after it.
func TestClaimsOfAllAreBounded(t *testing.T) {
	const bound, n = 20_000, 9000
	d := newDisk(t)
	b := d.start(broker.Config{})
	for i := range 3 {
		c, _ := d.attended(b, session{id: fmt.Sprint("heavy", i), keep: true}, "cidp/v1/events/dla/#", riskA)
		c.vanish(b)
	}
	c, _ := d.attended(b, session{id: "light", keep: true}, "cidp/v1/events/light")
	c.vanish(b)
	mustPublish(t, b, "cidp/v1/events/light", "first", false)
	mustPublish(t, b, riskA, "standing", true)
	mustPublish(t, b, riskA, "", true)
	for i := range n {
		mustPublish(t, b, eventA, fmt.Sprint(i), false)
		if i%3000 == 2999 {
			d.flush(b)
			if len(d.owed) > bound {
				t.Fatalf("%d claims are on disk", len(d.owed))
			}
		}
	}
	each := map[string]int{}
	clears := 0
	for o := range d.owed {
		each[o.Client]++
		if m := d.messages[o.Message]; m.Retain && len(m.Payload) == 0 {
			clears++
		}
	}
	st := b.Stats()
	if each["light"] != 1 || each["heavy0"] < 4000 || each["heavy1"] < 4000 || each["heavy2"] < 4000 || clears != 3 {
		t.Errorf("on disk: %v, %d clear a state", each, clears)
	}
	if st.ClaimsDropped != int64(3*(n+2)+1-len(d.owed)) || st.DeliveriesDropped != 0 {
		t.Errorf("%d on disk: %+v", len(d.owed), st)
	}
	b = d.start(broker.Config{Standing: []broker.Retained{{Topic: riskB, Payload: []byte("b")}}})
	c, _ = d.attended(b, session{id: "heavy0", keep: true})
	last := ""
	for range each["heavy0"] {
		_, id, payload := c.expect(tPublish).delivered(4)
		last = string(payload)
		c.ack(tPuback, id)
	}
	c.expectQuiet()
	if last != fmt.Sprint(n-1) {
		t.Errorf("the last is %s", last)
	}
	d.flush(b)
	eventually(t, "nothing more of it is owed", func() bool { d.flush(b); return len(d.owed) == each["heavy1"]+each["heavy2"]+1 })
}

// UNSUBACK of a lasting session means that a restart will not find the subscription again.
func TestUnsubackWaitsForTheDisk(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	c, _ := d.attended(b, session{id: "a", keep: true}, "cidp/v1/events/#")
	d.flush(b)
	c.write(frame(10<<4|2, []byte{0, 12}, text("cidp/v1/events/#")))
	if p, err := c.read(50 * time.Millisecond); err == nil {
		t.Fatalf("got packet type %d before the commit", p.kind)
	}
	d.flush(b)
	c.expect(11)
}

// A state lost while the retained messages of a subscription are being told is told again.
func TestLossWhileTelling(t *testing.T) {
	if !broker.LossWhileTelling() {
		t.Error("the loss is forgotten")
	}
}

// What stood before a restart is there when the first client comes back.
func TestStandingIsThereFirst(t *testing.T) {
	b := mustStart(t, broker.Config{Standing: []broker.Retained{{Topic: riskA, Payload: []byte("x")}}})
	c, _ := connect(t, b, session{id: "a"})
	c.subscribe("cidp/v1/risk/#", 1)
	c.expectMessage(riskA, "x")
	if broken, err := broker.Start(broker.Config{Addr: "127.0.0.1:0", Standing: []broker.Retained{{Topic: "a/#"}}}); err == nil {
		mustClose(t, broken)
		t.Error("a topic that is none is retained")
	}
}

// When a heavy session is emptied it keeps what clears a state: nothing would tell its client later.
func TestClearedStatesOutliveShedding(t *testing.T) {
	b := mustStart(t, broker.Config{HeldBytes: 1 << 20})
	me := session{id: "a", keep: true}
	c, _ := connect(t, b, me)
	c.subscribe("cidp/v1/#", 1)
	c.vanish(b)
	mustPublish(t, b, riskA, "", true)
	for range 12 {
		mustPublish(t, b, eventA, strings.Repeat("x", 100_000), false)
	}
	if b.Stats().Shed == 0 {
		t.Fatal("nobody gave way")
	}
	c, _ = connect(t, b, me)
	c.expectMessage(riskA, "")
}

// A client that expired and is back while its old subscriptions are struck off keeps those that it has made since.
func TestLateExpiryLeavesNewSubscriptions(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", keep: true})
	c.subscribe("cidp/v1/events/#", 1)
	b.UnsubscribeLate("a", "cidp/v1/events/#")
	mustPublish(t, b, eventA, "x", false)
	c.expectMessage(eventA, "x")
	if st := b.Stats(); st.Subscribed != 1 {
		t.Errorf("%d subscriptions", st.Subscribed)
	}
}

// A connection that ends before CONNACK leaves no session.
func TestNoSessionWithoutConnack(t *testing.T) {
	var b *broker.Broker
	ready := make(chan struct{})
	b = mustStart(t, broker.Config{Authenticate: func(string, []byte) bool { <-ready; b.CutAll(); return true }})
	close(ready)
	c := dial(t, b)
	c.write(frame(tConnect<<4, text("MQTT"), []byte{4, 2 | 0x80, 0, 30}, text("a"), text("user")))
	c.expectClosed()
	eventually(t, "it is gone", func() bool { return b.Stats().Open == 0 })
	if st := b.Stats(); st.Sessions != 0 || st.Connected != 0 {
		t.Errorf("got %+v", st)
	}
}

package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

const eventA = "cidp/v1/events/dla/loco1/axle1-left"

// A killed process forgets nothing of a lasting session that is on disk: who it is, what it subscribed to, what it has not acknowledged.
func TestSessionSurvivesRestart(t *testing.T) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			d := newDisk(t)
			b := d.start(broker.Config{})
			me := session{id: "a", version: version, keep: true}
			c, resumed := d.attended(b, me, "cidp/v1/events/#")
			if resumed {
				t.Error("a session is resumed that never was")
			}
			for i := range 3 { // 0 is acknowledged, 1 and 2 are not
				mustPublish(t, b, eventA, fmt.Sprint(i), false)
				_, id, _ := c.expectMessage(eventA, fmt.Sprint(i)).delivered(version)
				if i == 0 {
					c.ack(tPuback, id)
					c.expectQuiet()
				}
			}
			d.flush(b)
			c.vanish(b)
			for i := 3; i < 6; i++ {
				mustPublish(t, b, eventA, fmt.Sprint(i), false)
			}
			d.flush(b)
			mustPublish(t, b, eventA, "not on disk", false)

			b = d.start(broker.Config{})
			mustPublish(t, b, eventA, "6", false) // before the client is back
			c, resumed = d.attended(b, me)
			if !resumed {
				t.Error("session is not resumed")
			}
			var ids []uint16
			for i := 1; i < 7; i++ {
				p := c.expectMessage(eventA, fmt.Sprint(i))
				if dup := p.flags&8 != 0; dup != (i < 6) { // of those from before it is not known whether they were sent
					t.Errorf("message %d: DUP is %v", i, dup)
				}
				_, id, _ := p.delivered(version)
				ids = append(ids, id)
			}
			for _, id := range ids {
				c.ack(tPuback, id)
			}
			c.expectQuiet()
			d.flush(b)
			if len(d.owed)+len(d.messages) != 0 {
				t.Errorf("still owed: %v, kept: %v", d.owed, d.messages)
			}

			b = d.start(broker.Config{})
			c, resumed = d.attended(b, me)
			if !resumed {
				t.Error("session is not resumed")
			}
			c.expectQuiet()
			mustPublish(t, b, eventA, "live", false)
			c.expectMessage(eventA, "live")
		})
	}
}

// Options of a subscription come back with it.
func TestSubscriptionOptionsSurviveRestart(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	me := session{id: "a", version: 5, keep: true}
	c, _ := d.attended(b, me)
	stop := d.attend(b)
	c.write(subscribeFrame(5, 9, "cidp/v1/risk/#", 8|1, 42)) // retain as published
	c.expect(tSuback)
	c.write(subscribeFrame(5, 10, topicA, 4|1, 0)) // no local
	c.expect(tSuback)
	c.write(subscribeFrame(5, 11, "cidp/v1/alerts/#", 1, 0))
	c.expect(tSuback)
	c.write(frame(10<<4|2, []byte{0, 12, 0}, text("cidp/v1/alerts/#"))) // UNSUBSCRIBE
	c.expect(11)
	c.expectQuiet()
	stop()
	d.flush(b)
	c.vanish(b)
	mustPublish(t, b, riskA, "before", true)
	d.flush(b)

	b = d.start(broker.Config{})
	c, _ = d.attended(b, me)
	mustPublish(t, b, riskA, "after", true)
	mustPublish(t, b, "cidp/v1/alerts/a/b/c", "given up", true)
	c.publish(0, 1, 7, topicA, "mine")
	acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
	for _, want := range []string{"before", "after"} {
		p := c.expect(tPublish)
		body := p.body[2+len(riskA):]
		if body = body[2:]; p.flags&7 != 1<<1|1 || string(body) != string([]byte{2, 0x0b, 42})+want {
			t.Errorf("got flags %b, %q", p.flags, body)
		}
	}
	c.expectAck(tPuback, 7, 0)
	c.expectQuiet()
}

// SUBACK of a lasting session means that a restart will find the subscription. Others do not wait, nor does what is on disk already.
func TestSubackWaitsForTheDisk(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	fleeting, _ := connect(t, b, session{id: "f"})
	fleeting.subscribe("cidp/v1/events/#", 1)
	c, _ := d.attended(b, session{id: "a", keep: true})
	c.expectQuiet() // nothing of CONNECT is still to be told
	d.flush(b)
	forgetTold(b)
	c.write(subscribeFrame(4, 9, "cidp/v1/events/#", 1, 0))
	mustBeTold(t, b)
	mustPublish(t, b, eventA, "before SUBACK", false)
	_, id, _ := c.expectMessage(eventA, "before SUBACK").delivered(4) // allowed (section 3.8.4)
	c.ack(tPuback, id)                                                // it is read after SUBACK
	changes := b.SessionChanges()
	fleeting.expectMessage(eventA, "before SUBACK")
	fleeting.expectQuiet()
	if _, err := c.read(20 * time.Millisecond); err == nil {
		t.Fatal("SUBACK comes before the commit")
	}
	d.commit(changes)
	b.Acknowledge(nil)
	c.expect(tSuback)
	c.subscribe("cidp/v1/events/#", 1) // the same again: nothing to wait for
	c.expectQuiet()
	forgetTold(b)
	c.write(subscribeFrame(4, 9, "cidp/v1/risk/#", 1, 0))
	mustBeTold(t, b)
	c, _ = connect(t, b, session{id: "a", keep: true})    // who waits for a disk that is out can be taken over
	c.write(subscribeFrame(4, 9, "cidp/v1/risk/#", 1, 0)) // known, and still not on disk
	if _, err := c.read(20 * time.Millisecond); err == nil {
		t.Fatal("SUBACK comes before the commit")
	}
	d.flush(b)
	c.expect(tSuback)
}

// A subscriber that acknowledges at once costs the disk nothing, and nor does one whose session ends with its connection.
func TestQuickAcknowledgementsCostNoDisk(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	c, _ := d.attended(b, session{id: "a", keep: true}, "cidp/v1/events/#")
	fleeting, _ := connect(t, b, session{id: "f"})
	fleeting.subscribe("cidp/v1/events/#", 1)
	c.expectQuiet() // nothing of SUBSCRIBE is still to be told
	d.flush(b)
	for i := range 500 {
		mustPublish(t, b, eventA, fmt.Sprint(i), false)
		_, id, _ := c.expect(tPublish).delivered(4)
		c.ack(tPuback, id)
	}
	c.expectQuiet()
	if changes := b.SessionChanges(); !changes.Empty() {
		t.Errorf("got %+v", changes)
	}
	st := b.Stats()
	if st.Delivered < 1000 || st.DeliveriesDropped != 0 {
		t.Errorf("got %+v", st)
	}
}

// Two hundred clients that are owed the same are owed one message.
func TestMessageIsKeptOnce(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	var clients []*rawClient
	stop := d.attend(b)
	for i := range 200 {
		c, _ := connect(t, b, session{id: fmt.Sprint("c", i), keep: true})
		c.subscribe("cidp/v1/events/#", 1)
		clients = append(clients, c)
	}
	stop()
	d.flush(b)
	mustPublish(t, b, eventA, "x", false)
	if changes := d.flush(b); len(changes.Messages) != 1 || len(changes.Owed) != 200 {
		t.Fatalf("%d messages, %d owed", len(changes.Messages), len(changes.Owed))
	}
	held := b.Stats().Held
	for _, c := range clients {
		_, id, _ := c.expect(tPublish).delivered(4)
		c.ack(tPuback, id)
		c.expectQuiet()
	}
	d.flush(b)
	if len(d.messages) != 0 || held > 200*1000 {
		t.Errorf("%d messages, %d bytes were held", len(d.messages), held)
	}
	eventually(t, "nothing is held", func() bool { return b.Stats().Held == 0 })
}

// A session that ended and began again between two calls comes out as both, and what the old one was owed goes.
func TestSessionEndsAndBeginsAgain(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	c, _ := d.attended(b, session{id: "a", version: 5, keep: true}, "cidp/v1/events/#")
	d.flush(b)
	mustPublish(t, b, eventA, "old", false)
	d.flush(b)
	mustPublish(t, b, eventA, "newer", false)
	c.vanish(b)
	c, _ = connect(t, b, session{id: "a", version: 5}) // clean start, ends with its connection
	c.vanish(b)
	_, _ = connect(t, b, session{id: "a", version: 5, keep: true})
	changes := d.flush(b)
	if len(changes.Ended) != 1 || len(changes.Kept) != 1 || len(changes.Owed)+len(changes.Messages)+len(changes.Settled) != 0 {
		t.Errorf("got %+v", changes)
	}
	b = d.start(broker.Config{})
	c, resumed := connect(t, b, session{id: "a", version: 5, keep: true})
	if !resumed {
		t.Error("the new session is not resumed")
	}
	mustPublish(t, b, eventA, "x", false)
	c.expectQuiet() // it has no subscription
	c.write([]byte{tDisconnect << 4, 7, 0, 5, 0x11, 0, 0, 0, 0})
	c.expectClosed()
	eventually(t, "client is gone", func() bool { return b.Stats().Open == 0 })
	if changes = d.flush(b); len(changes.Ended) != 1 || len(d.sessions) != 0 {
		t.Errorf("a session that DISCONNECT ended is left: %+v", changes)
	}
}

// MQTT 5 can take a lasting session up again for the length of one connection: a restart ends that.
func TestSessionThatLastsNoLonger(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	c, _ := d.attended(b, session{id: "a", version: 5, keep: true}, "cidp/v1/events/#")
	c.vanish(b)
	mustPublish(t, b, eventA, "1", false)
	d.flush(b)
	c = dial(t, b)
	c.version = 5
	c.write(frame(tConnect<<4, text("MQTT"), []byte{5, 0, 0, 30, 0}, text("a"))) // not clean, no expiry
	if c.expect(tConnack).body[0] != 1 {
		t.Error("session is not resumed")
	}
	c.expectMessage(eventA, "1")
	d.flush(b)
	if len(d.sessions)+len(d.owed)+len(d.messages) != 0 {
		t.Errorf("left on disk: %v %v", d.sessions, d.owed)
	}
	mustPublish(t, b, eventA, "2", false)
	if changes := b.SessionChanges(); !changes.Empty() {
		t.Errorf("got %+v", changes)
	}
}

// A session that died before it had acknowledged the retained messages it began with gets them again, the newest; one that had them does not,
// although the line tells them all again after a restart.
func TestRetainedThatWereNotAcknowledged(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	mustPublish(t, b, riskA, "old", true)
	mustPublish(t, b, riskB, "b", true)
	slow, _ := d.attended(b, session{id: "slow", keep: true}, "cidp/v1/risk/#")
	quick, _ := d.attended(b, session{id: "quick", keep: true}, "cidp/v1/risk/#")
	for _, c := range []*rawClient{slow, quick} {
		for range 2 {
			_, id, _ := c.expect(tPublish).delivered(4)
			if c == quick {
				c.ack(tPuback, id)
			}
		}
		c.expectQuiet()
	}
	if changes := d.flush(b); len(changes.Owed)+len(changes.Messages) != 0 {
		t.Errorf("retained messages are kept once more: %+v", changes)
	}

	b = d.start(broker.Config{Standing: []broker.Retained{{Topic: riskA, Payload: []byte("new")}, {Topic: riskB, Payload: []byte("b")}}})
	quick, _ = d.attended(b, session{id: "quick", keep: true})
	quick.expectQuiet()
	slow, _ = d.attended(b, session{id: "slow", keep: true})
	got := map[string]string{}
	for range 2 {
		p := slow.expect(tPublish)
		topic, id, payload := p.delivered(4)
		got[topic] = string(payload)
		if p.flags&1 == 0 {
			t.Errorf("%s comes without RETAIN", topic)
		}
		slow.ack(tPuback, id)
	}
	if got[riskA] != "new" || got[riskB] != "b" {
		t.Errorf("got %v", got)
	}
	slow.expectQuiet()
	d.flush(b)

	b = d.start(broker.Config{Standing: []broker.Retained{{Topic: riskA, Payload: []byte("new")}}})
	slow, _ = d.attended(b, session{id: "slow", keep: true})
	slow.expectQuiet()
}

// What PUBREC was sent for may be forgotten over a restart: PUBREL is answered all the same, and a PUBLISH that comes again is for the line to know.
func TestQoS2FromClientOverRestart(t *testing.T) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			d := newDisk(t)
			b := d.start(broker.Config{})
			me := session{id: "a", version: version, keep: true}
			c, _ := d.attended(b, me)
			c.publish(0, 2, 1, topicA, "released after the restart")
			c.publish(0, 2, 2, topicA, "sent again after the restart")
			got := mustReceive(t, b, 2)
			d.commit(b.SessionChanges()) // with the messages, as the line does: their answers stand on it
			acknowledge(b, broker.Accepted, got...)
			c.expectAck(tPubrec, 1, 0)
			c.expectAck(tPubrec, 2, 0)

			b = d.start(broker.Config{})
			c, resumed := d.attended(b, me)
			if !resumed { // else an MQTT 5 client would have to forget what it has not had an answer for
				t.Error("session is not resumed")
			}
			reason := byte(0)
			if version == 5 {
				reason = 0x92
			}
			c.ack(tPubrel, 1)
			c.expectAck(tPubcomp, 1, reason)
			c.publish(8, 2, 2, topicA, "sent again after the restart")
			m := mustReceive(t, b, 1)
			acknowledge(b, broker.Accepted, m...)
			c.expectAck(tPubrec, 2, 0)
			c.ack(tPubrel, 2)
			c.expectAck(tPubcomp, 2, 0)
			c.expectQuiet()
		})
	}
}

// Routed telemetry is live only: nothing of it is on disk.
func TestTelemetryIsNotKept(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	viewer, _ := d.attended(b, session{id: "v", keep: true}, "cidp/v1/#")
	c, _ := connect(t, b, session{id: "a"})
	c.publish(0, 1, 1, topicA, "x")
	acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
	viewer.expectMessage(topicA, "x") // not acknowledged
	if changes := d.flush(b); len(changes.Owed)+len(changes.Messages) != 0 {
		t.Errorf("got %+v", changes)
	}
}

// Without Config.Restore nothing is noted and nobody waits.
func TestSessionsThatEndWithTheProcess(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", keep: true})
	c.subscribe("cidp/v1/events/#", 1)
	mustPublish(t, b, eventA, "x", false)
	c.expectMessage(eventA, "x")
	if changes := b.SessionChanges(); !changes.Empty() || len(b.SessionsChanged()) != 0 {
		t.Errorf("got %+v", changes)
	}
}

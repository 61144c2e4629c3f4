package broker_test

import (
	"testing"

	"github.com/camrail/cidp/broker"
)

// What counts against the Receive Maximum of an MQTT 5 publisher: everything from PUBLISH to its last answer.
func TestReceiveMaximumCountsOpenExchanges(t *testing.T) {
	b := mustStart(t, broker.Config{ReceiveMaximum: 3})
	c, _ := connect(t, b, session{id: "a", version: 5})
	send := func(qos byte, id uint16, outcome broker.Outcome) {
		t.Helper()
		c.publish(0, qos, id, topicA, "x")
		acknowledge(b, outcome, mustReceive(t, b, 1)...)
	}
	send(2, 1, broker.Accepted) // open until PUBCOMP
	c.expectAck(tPubrec, 1, 0)
	send(2, 2, broker.PayloadInvalid) // over with its PUBREC
	c.expectAck(tPubrec, 2, 0x99)
	send(1, 3, broker.Accepted)
	c.expectAck(tPuback, 3, 0)
	c.publish(8, 2, 1, topicA, "x") // again: it is open once
	c.expectAck(tPubrec, 1, 0)
	c.publish(0, 1, 4, topicA, "x")
	c.publish(0, 2, 5, topicA, "x")
	open := mustReceive(t, b, 2)
	c.expectQuiet() // three are open
	c.ack(tPubrel, 1)
	c.expectAck(tPubcomp, 1, 0)
	c.publish(0, 1, 6, topicA, "x")
	open = append(open, mustReceive(t, b, 1)...)
	c.expectQuiet() // three again
	c.publish(0, 1, 7, topicA, "one too many")
	if last := c.expectClosed(); last.kind != tDisconnect || last.body[0] != 0x93 {
		t.Errorf("got %+v, want DISCONNECT 0x93", last)
	}
	acknowledge(b, broker.Accepted, open...)
	if q := b.Stats().Queued; q != 0 {
		t.Errorf("%d queued", q)
	}
}

// An alias stands for what it meant when the message came, however late that is committed, and does not outlive its connection.
func TestAliasesOfPendingMessages(t *testing.T) {
	b := mustStart(t, broker.Config{})
	me := session{id: "a", version: 5, keep: true}
	c, _ := connect(t, b, me)
	for id, topic := range []string{topicA, "", topicB, ""} { // 1 and 2 on A, 3 and 4 on B
		c.write(publishFrame(5, 0, 1, uint16(id+1), topic, 1, "x"))
	}
	got := mustReceive(t, b, 4)
	for i, want := range []string{topicA, topicA, topicB, topicB} {
		if got[i].Topic != want {
			t.Errorf("message %d is on %q, want %q", i+1, got[i].Topic, want)
		}
	}
	c.expectQuiet()
	c.rst()
	c, _ = connect(t, b, me)
	acknowledge(b, broker.Accepted, got...)
	c.write(publishFrame(5, 8, 1, 2, topicA, 1, "x"))
	again := mustReceive(t, b, 1)
	c.write(publishFrame(5, 8, 1, 4, "", 1, "x")) // the new alias: a client's own mistake, but a message
	again = append(again, mustReceive(t, b, 1)...)
	if again[0].Topic != topicA || again[1].Topic != topicA {
		t.Errorf("got %q, %q", again[0].Topic, again[1].Topic)
	}
	acknowledge(b, broker.Accepted, again...)
	c.expectAck(tPuback, 2, 0)
	c.expectAck(tPuback, 4, 0)
	c.rst()
	c, _ = connect(t, b, me)
	c.write(publishFrame(5, 8, 1, 3, "", 1, "x"))
	if last := c.expectClosed(); last.kind != tDisconnect || last.body[0] != 0x82 {
		t.Errorf("got %+v, want DISCONNECT 0x82", last)
	}
}

// A refused message is answered like any other, after its commit (it is evidence) and in its place; on MQTT 5 with the reason, and a QoS 2 exchange
// ends with it.
func TestRefusalsEndTheExchange(t *testing.T) {
	bothVersions(t, func(t *testing.T, version byte) {
		b := mustStart(t, broker.Config{})
		c, _ := connect(t, b, session{id: "a", version: version})
		outcomes := []broker.Outcome{broker.PayloadInvalid, broker.TopicInvalid, broker.Accepted}
		reasons := []byte{0x99, 0x90, 0, 0x87}
		for i := range outcomes {
			c.publish(0, 2, uint16(i+1), topicA, "x")
		}
		c.publish(0, 2, 4, "cidp/v1/alerts/a/b/c", "forged")
		got := mustReceive(t, b, 3)
		c.expectQuiet()
		acks := make([]broker.Ack, 3)
		for i := range acks {
			acks[i] = broker.Ack{Message: got[i], Outcome: outcomes[i]}
		}
		b.Acknowledge(acks)
		for i, reason := range reasons {
			if version == 4 {
				reason = 0
			}
			c.expectAck(tPubrec, uint16(i+1), reason)
		}
		for i, reason := range reasons { // PUBREL: MQTT 3.1.1 clients go on as if nothing was
			want := byte(0)
			if version == 5 && reason != 0 {
				want = 0x92
			}
			c.ack(tPubrel, uint16(i+1))
			c.expectAck(tPubcomp, uint16(i+1), want)
			c.publish(0, 2, uint16(i+1), topicA, "another") // the id is free
		}
		mustReceive(t, b, 4)
	})
}

package broker_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

func TestMessageFields(t *testing.T) {
	b := mustStart(t, broker.Config{Clock: func() time.Time { return time.UnixMilli(1234) }})
	c, _ := connect(t, b, session{id: "sensor-7"})
	c.publish(1, 1, 7, topicA, reading)
	m := mustReceive(t, b, 1)[0]
	if m.Topic != topicA || string(m.Payload) != reading || m.Client != "sensor-7" || m.QoS != 1 || !m.Retain || m.Received != 1234 || m.Size != len(reading) || m.TooLarge {
		t.Errorf("got %+v", m)
	}
	acknowledge(b, broker.Accepted, m)
	c.expectAck(tPuback, 7, 0)
}

func TestAcknowledgedOnlyWhenTold(t *testing.T) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			c, _ := connect(t, b, session{id: "a", version: version})
			for id := range uint16(3) {
				c.publish(0, byte(id), id, topicA, reading) // QoS 0, 1, 2
			}
			got := mustReceive(t, b, 3)
			c.expectQuiet()
			acknowledge(b, broker.Accepted, got...)
			c.expectAck(tPuback, 1, 0)
			c.expectAck(tPubrec, 2, 0)
			c.ack(tPubrel, 2)
			c.expectAck(tPubcomp, 2, 0)
			c.expectQuiet()
			if st := b.Stats(); st.Received != [3]int64{1, 1, 1} || st.AcksWritten != 2 || st.ReceivedBytes != int64(3*len(reading)) {
				t.Errorf("got %+v", st)
			}
		})
	}
}

func TestReasonCodes(t *testing.T) {
	for _, tc := range []struct {
		outcome broker.Outcome
		reason  byte
	}{{broker.Accepted, 0}, {broker.PayloadInvalid, 0x99}, {broker.TopicInvalid, 0x90}} {
		t.Run(fmt.Sprintf("0x%02x", tc.reason), func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			old, _ := connect(t, b, session{id: "old"})
			old.publish(0, 1, 1, topicA, "x")
			old.publish(0, 2, 2, topicA, "x")
			acknowledge(b, tc.outcome, mustReceive(t, b, 2)...)
			old.expectAck(tPuback, 1, 0)
			old.expectAck(tPubrec, 2, 0)

			c, _ := connect(t, b, session{id: "new", version: 5})
			c.publish(0, 1, 1, topicA, "x")
			c.publish(0, 2, 2, topicA, "x")
			acknowledge(b, tc.outcome, mustReceive(t, b, 2)...)
			c.expectAck(tPuback, 1, tc.reason)
			c.expectAck(tPubrec, 2, tc.reason)
			// A failed PUBREC ends the message: its id is free for another.
			if tc.reason != 0 {
				c.publish(0, 2, 2, topicA, "y")
				if m := mustReceive(t, b, 1)[0]; string(m.Payload) != "y" {
					t.Errorf("got %q", m.Payload)
				}
			}
		})
	}
}

func TestBulkAcksKeepOrder(t *testing.T) {
	const n = 5000
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a"})
	var all []byte
	for id := uint16(1); id <= n; id++ {
		all = append(all, publishFrame(4, 0, 1, id, topicA, 0, reading)...)
	}
	go func() { _, _ = c.conn.Write(all) }() // the reads below fail if it does
	acknowledge(b, broker.Accepted, mustReceive(t, b, n)...)
	for id := uint16(1); id <= n; id++ {
		c.expectAck(tPuback, id, 0)
	}
}

func TestDeniedTopics(t *testing.T) {
	topics := []string{"cidp/v1/risk/a/b/c", "cidp/v1/alerts", "cidp/v1/events/a/b/c", "cidp/v1/status", "$SYS/broker/version", "$share/x/y", "$x"}
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			reason := byte(0)
			if version == 5 {
				reason = 0x87
			}
			b := mustStart(t, broker.Config{})
			watcher, _ := connect(t, b, session{id: "w"})
			watcher.subscribe("#", 0)
			c, _ := connect(t, b, session{id: "a", version: version})
			for _, topic := range topics {
				c.publish(1, 0, 0, topic, "forged")
				c.publish(1, 1, 1, topic, "forged")
				c.expectAck(tPuback, 1, reason)
				c.publish(1, 2, 2, topic, "forged")
				c.expectAck(tPubrec, 2, reason)
			}
			c.publish(0, 1, 3, topicA, "good")
			if m := mustReceive(t, b, 1)[0]; string(m.Payload) != "good" {
				t.Errorf("a denied message got through: %+v", m)
			}
			watcher.expectQuiet()
			if st := b.Stats(); st.Denied != int64(3*len(topics)) || st.Retained > 30 { // the rest is $SYS
				t.Errorf("got %+v", st)
			}
		})
	}
}

func TestNeighboursOfOutputTopicsAreInput(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a"})
	for i, topic := range []string{"cidp/v1/risks/a", "cidp/v1/status/x", "cidp/v2/risk/a/b/c", "/cidp/v1/risk/a", "x"} {
		c.publish(0, 1, uint16(i+1), topic, "x")
		if m := mustReceive(t, b, 1)[0]; m.Topic != topic {
			t.Errorf("got %q, want %q", m.Topic, topic)
		}
	}
}

// An answer that is ready at once still waits for those of earlier messages.
func TestDenialKeepsOrder(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", version: 5})
	c.publish(0, 1, 1, topicA, "x")
	c.publish(0, 1, 2, "cidp/v1/risk/a/b/c", "x")
	c.publish(0, 1, 3, topicA, "x")
	c.publish(0, 1, 4, "cidp/v1/risk/a/b/c", "x")
	c.publish(0, 1, 5, "cidp/v1/status", "x")
	got := mustReceive(t, b, 2)
	c.expectQuiet()
	acknowledge(b, broker.Accepted, got...)
	for id, reason := range []byte{0, 0x87, 0, 0x87, 0x87} {
		c.expectAck(tPuback, uint16(id+1), reason)
	}
	c.publish(0, 1, 6, "cidp/v1/status", "x")
	c.expectAck(tPuback, 6, 0x87)
}

func TestTopicAlias(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", version: 5})
	send := func(id uint16, topic string, alias uint16) { c.write(publishFrame(5, 0, 1, id, topic, alias, "x")) }
	expect := func(topic string) {
		t.Helper()
		if m := mustReceive(t, b, 1)[0]; m.Topic != topic {
			t.Errorf("got topic %q, want %q", m.Topic, topic)
		}
	}
	send(1, topicA, 1)
	expect(topicA)
	send(2, "", 1)
	expect(topicA)
	send(3, topicB, 1)
	expect(topicB)
	send(4, "", 1)
	expect(topicB)

	other, _ := connect(t, b, session{id: "b", version: 5})
	other.write(publishFrame(5, 0, 1, 1, "cidp/v1/risk/a/b/c", 2, "forged"))
	other.expectAck(tPuback, 1, 0x87)
	other.write(publishFrame(5, 0, 1, 2, "", 2, "forged"))
	other.expectAck(tPuback, 2, 0x87)
	other.write(publishFrame(5, 0, 1, 3, "", 7, "x"))
	if last := other.expectClosed(); last.kind != tDisconnect || last.body[0] != 0x82 {
		t.Errorf("unknown alias: got %+v, want DISCONNECT 0x82", last)
	}
	send(5, topicA, 9999)
	if last := c.expectClosed(); last.kind != tDisconnect || last.body[0] != 0x94 {
		t.Errorf("alias out of range: got %+v, want DISCONNECT 0x94", last)
	}
}

// CONNACK announces what MQTT 5 clients are held to.
func TestConnackAnnouncesLimits(t *testing.T) {
	b := mustStart(t, broker.Config{ReceiveMaximum: 77, MaxPacket: 0x12345})
	c := dial(t, b)
	c.write(connectFrame(session{id: "a", version: 5}))
	body := c.expect(tConnack).body
	for what, prop := range map[string][]byte{"receive maximum": {0x21, 0, 77}, "alias maximum": {0x22, 1, 0}, "packet size": {0x27, 0, 1, 0x23, 0x45}} {
		if !bytes.Contains(body, prop) {
			t.Errorf("CONNACK %x does not announce %s", body, what)
		}
	}
}

func TestQoS2Redelivery(t *testing.T) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			c, _ := connect(t, b, session{id: "a", version: version, keep: true})
			// Again before PUBREC: one message, one answer.
			c.publish(0, 2, 5, topicA, "once")
			c.publish(8, 2, 5, topicA, "once")
			c.publish(0, 1, 6, topicA, "next")
			got := mustReceive(t, b, 2)
			if string(got[1].Payload) != "next" {
				t.Fatalf("message was queued twice: %q", got[1].Payload)
			}
			acknowledge(b, broker.Accepted, got...)
			c.expectAck(tPubrec, 5, 0)
			c.expectAck(tPuback, 6, 0)
			// Again after PUBREC: PUBREC with success.
			c.publish(8, 2, 5, topicA, "once")
			c.expectAck(tPubrec, 5, 0)
			// Again after PUBREC on a new connection.
			c.conn.Close()
			c, resumed := connect(t, b, session{id: "a", version: version, keep: true})
			if !resumed {
				t.Fatal("session is not resumed")
			}
			c.publish(8, 2, 5, topicA, "once")
			c.expectAck(tPubrec, 5, 0)
			c.ack(tPubrel, 5)
			c.expectAck(tPubcomp, 5, 0)
			// PUBREL again: nothing to release.
			c.ack(tPubrel, 5)
			if version == 5 {
				c.expectAck(tPubcomp, 5, 0x92)
			} else {
				c.expectAck(tPubcomp, 5, 0)
			}
			// The id is free.
			c.publish(0, 2, 5, topicA, "another")
			if m := mustReceive(t, b, 1)[0]; string(m.Payload) != "another" {
				t.Errorf("got %q", m.Payload)
			}
		})
	}
}

// A QoS 2 message under way when its connection dies comes again; only the second one may be answered.
func TestQoS2RedeliveryBeforePubrecOnNewConnection(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", keep: true})
	c.publish(0, 2, 5, topicA, "x")
	first := mustReceive(t, b, 1)
	c.conn.Close()
	c, _ = connect(t, b, session{id: "a", keep: true})
	c.publish(8, 2, 5, topicA, "x")
	second := mustReceive(t, b, 1)
	acknowledge(b, broker.Accepted, first...)
	eventually(t, "stale ack is dropped", func() bool { return b.Stats().AcksDropped == 1 })
	c.expectQuiet()
	acknowledge(b, broker.Accepted, second...)
	c.expectAck(tPubrec, 5, 0)
}

func TestReceiveMaximum(t *testing.T) {
	t.Run("within", func(t *testing.T) {
		b := mustStart(t, broker.Config{ReceiveMaximum: 4})
		acceptAll(t, b)
		c, _ := connect(t, b, session{id: "a", version: 5})
		for round := range 20 {
			for id := uint16(1); id <= 4; id++ {
				c.publish(0, 1+byte(round%2), id, topicA, "x")
			}
			for id := uint16(1); id <= 4; id++ {
				if round%2 == 0 {
					c.expectAck(tPuback, id, 0)
					continue
				}
				c.expectAck(tPubrec, id, 0)
			}
			for id := uint16(1); round%2 == 1 && id <= 4; id++ {
				c.ack(tPubrel, id)
				c.expectAck(tPubcomp, id, 0)
			}
		}
	})
	t.Run("exceeded", func(t *testing.T) {
		b := mustStart(t, broker.Config{ReceiveMaximum: 4})
		c, _ := connect(t, b, session{id: "a", version: 5})
		for id := uint16(1); id <= 5; id++ {
			c.publish(0, 1, id, topicA, "x")
		}
		if last := c.expectClosed(); last.kind != tDisconnect || last.body[0] != 0x93 {
			t.Errorf("got %+v, want DISCONNECT 0x93", last)
		}
	})
	t.Run("3.1.1 has none", func(t *testing.T) {
		b := mustStart(t, broker.Config{ReceiveMaximum: 4})
		c, _ := connect(t, b, session{id: "a"})
		for id := uint16(1); id <= 50; id++ {
			c.publish(0, 1, id, topicA, "x")
		}
		mustReceive(t, b, 50)
	})
}

func TestWithheld(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", keep: true})
	c.publish(0, 1, 1, topicA, "x")
	c.publish(0, 2, 2, topicA, "x")
	acknowledge(b, broker.Withheld, mustReceive(t, b, 2)...)
	if last := c.expectClosed(); last.kind != 0 {
		t.Errorf("got packet %+v before the end", last)
	}
	c, _ = connect(t, b, session{id: "a", keep: true})
	c.publish(8, 1, 1, topicA, "x")
	c.publish(8, 2, 2, topicA, "x")
	acknowledge(b, broker.Accepted, mustReceive(t, b, 2)...)
	c.expectAck(tPuback, 1, 0)
	c.expectAck(tPubrec, 2, 0)
}

func TestTooLarge(t *testing.T) {
	b := mustStart(t, broker.Config{MaxPayload: 10_000, MaxPacket: 50_000})
	c, _ := connect(t, b, session{id: "a", version: 5})
	c.publish(0, 1, 1, topicA, strings.Repeat("a", 10_000))
	c.publish(0, 1, 2, topicA, strings.Repeat("b", 10_001))
	got := mustReceive(t, b, 2)
	if m := got[0]; m.TooLarge || len(m.Payload) != 10_000 {
		t.Errorf("at the limit: got %v, %d bytes", m.TooLarge, len(m.Payload))
	}
	if m := got[1]; !m.TooLarge || m.Size != 10_001 || string(m.Payload) != strings.Repeat("b", broker.EvidenceBytes) {
		t.Errorf("above: got %v, size %d, %d bytes", m.TooLarge, m.Size, len(m.Payload))
	}
	c.publish(0, 1, 3, topicA, strings.Repeat("c", 60_000))
	c.expectClosed()
}

// A QoS 2 message that was committed after its connection died is not queued again: it gets its PUBREC when it comes again.
func TestQoS2CommittedWhileAway(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", keep: true})
	c.publish(0, 2, 5, topicA, "x")
	pending := mustReceive(t, b, 1)
	c.conn.Close()
	eventually(t, "client is gone", func() bool { return b.Stats().Connected == 0 })
	acknowledge(b, broker.Accepted, pending...)
	eventually(t, "ack is dropped", func() bool { return b.Stats().AcksDropped == 1 })
	c, _ = connect(t, b, session{id: "a", keep: true})
	c.publish(8, 2, 5, topicA, "x")
	c.expectAck(tPubrec, 5, 0)
	if q := b.Stats().Queued; q != 0 {
		t.Errorf("%d queued", q)
	}
}

func TestShortKeepalive(t *testing.T) {
	t.Parallel()
	b := mustStart(t, broker.Config{})
	c := dial(t, b)
	c.write(frame(tConnect<<4, text("MQTT"), []byte{4, 2, 0, 2}, text("a"))) // 2 s: cut after 3
	c.expect(tConnack)
	begin := time.Now()
	c.expectClosed()
	if d := time.Since(begin); d < 2500*time.Millisecond || d > 6*time.Second {
		t.Errorf("cut after %v", d)
	}
}

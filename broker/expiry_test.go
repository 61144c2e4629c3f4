package broker_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/camrail/cidp/broker"
)

// A session that mochi expires at the moment its client comes back is the client's again, with all that CONNACK says about it.
func TestExpiryMeetsReturn(t *testing.T) {
	t.Run("client was back before", func(t *testing.T) {
		b := mustStart(t, broker.Config{})
		c, _ := connect(t, b, session{id: "a", keep: true})
		c.subscribe("cidp/v1/events/#", 1)
		b.ExpireLate("a")
		c.conn.Close()
		eventually(t, "client is gone", func() bool { return b.Stats().Connected == 0 })
		c, resumed := connect(t, b, session{id: "a", keep: true})
		if !resumed {
			t.Error("session is not resumed")
		}
		mustPublish(t, b, "cidp/v1/events/a/b/c", "x", false)
		c.expectMessage("cidp/v1/events/a/b/c", "x")
	})
	t.Run("client comes back between", func(t *testing.T) {
		b := mustStart(t, broker.Config{})
		c, _ := connect(t, b, session{id: "a", keep: true})
		c.subscribe("cidp/v1/events/#", 1)
		c.conn.Close()
		eventually(t, "client is gone", func() bool { return b.Stats().Open == 0 })
		b.ExpireBetween("a")
		if _, resumed := connect(t, b, session{id: "a", keep: true}); resumed {
			t.Error("CONNACK promises a session that is gone")
		}
	})
}

// publishWithExpiry is a retained QoS 1 PUBLISH with a Message Expiry Interval.
func publishWithExpiry(id byte, seconds uint32) []byte {
	props := binary.BigEndian.AppendUint32([]byte{5, 2}, seconds)
	return frame(tPublish<<4|2|1, text(topicA), []byte{0, id}, props, []byte("x"))
}

// A message lives as long as its interval says, also one that comes late in a second of the clock.
func TestExpiryIsNotEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(999 * time.Millisecond)
		over := broker.Expiring(1)
		time.Sleep(999 * time.Millisecond)
		if over() {
			t.Error("it is over before its time")
		}
		if time.Sleep(time.Millisecond); !over() {
			t.Error("it outlives its time")
		}
	})
}

// A subscriber is told what is left of a message's time (MQTT 5, section 3.3.2.3.3), and nothing when it is over.
func TestMessageExpiry(t *testing.T) {
	t.Parallel()
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	c, _ := connect(t, b, session{id: "a", version: 5})
	viewer, _ := connect(t, b, session{id: "v", version: 5})
	viewer.subscribe(topicA, 0)
	interval := func(p packet) uint32 {
		t.Helper()
		props := p.body[2+len(topicA):]
		if props[0] != 5 || props[1] != 2 {
			t.Fatalf("got properties %x", props)
		}
		return binary.BigEndian.Uint32(props[2:])
	}
	c.write(publishWithExpiry(1, 100))
	c.expectAck(tPuback, 1, 0)
	if got := interval(viewer.expectMessageProps("x")); got < 99 || got > 100 {
		t.Errorf("live: got %d s", got)
	}
	eventually(t, "time goes by", func() bool {
		viewer.subscribe(topicA, 0)
		return interval(viewer.expectMessageProps("x")) < 100
	})
	c.write(publishWithExpiry(2, 2)) // not one second: the machine may be busy
	c.expectAck(tPuback, 2, 0)
	viewer.expectMessageProps("x")
	eventually(t, "retained message is gone", func() bool {
		viewer.subscribe(topicA, 0)
		viewer.write([]byte{tPingreq << 4, 0})
		p := viewer.expect(viewer.peek())
		if p.kind == tPublish {
			viewer.expect(tPingresp)
		}
		return p.kind == tPingresp
	})
}

// expectMessageProps waits for a message on topicA, whatever its properties.
func (c *rawClient) expectMessageProps(payload string) packet {
	c.tb.Helper()
	p := c.expect(tPublish)
	if !bytes.HasSuffix(p.body, []byte(payload)) {
		c.tb.Fatalf("got %q", p.body)
	}
	return p
}

// A will may be empty: retained, it clears what the client left behind.
func TestEmptyWill(t *testing.T) {
	for _, version := range []byte{4, 5} {
		b := mustStart(t, broker.Config{})
		props, willProps := []byte{}, []byte{}
		if version == 5 {
			props, willProps = []byte{0}, []byte{0}
		}
		c := dial(t, b)
		c.write(frame(tConnect<<4, text("MQTT"), []byte{version, 2 | 4 | 1<<5, 0, 30}, props, text("a"), willProps, text(topicA), text("")))
		if code := c.expect(tConnack).body[1]; code != 0 {
			t.Fatalf("version %d: CONNACK refuses with 0x%02x", version, code)
		}
		c.conn.Close()
		if m := mustReceive(t, b, 1)[0]; len(m.Payload) != 0 || m.Size != 0 || !m.Retain {
			t.Errorf("version %d: got %+v", version, m)
		}
	}
}

// The properties of a will reach subscribers like those of any message.
func TestWillProperties(t *testing.T) {
	b := mustStart(t, broker.Config{})
	viewer, _ := connect(t, b, session{id: "v", version: 5})
	viewer.subscribe(topicA, 0)
	c := dial(t, b)
	willProps := []byte{7, 3, 0, 4, 'j', 's', 'o', 'n'} // content type
	c.write(frame(tConnect<<4, text("MQTT"), []byte{5, 2 | 4, 0, 30, 0}, text("a"), willProps, text(topicA), text("x")))
	c.expect(tConnack)
	c.conn.Close()
	acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
	if p := viewer.expect(tPublish); !bytes.Equal(p.body, append(append(text(topicA), willProps...), 'x')) {
		t.Errorf("got %q", p.body)
	}
}

// MQTT 3.1.1 has its own code for a client without a name that wants to be remembered.
func TestNoClientIDWithoutCleanSession(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c := dial(t, b)
	c.write(connectFrame(session{version: 4, keep: true}))
	if code := c.expect(tConnack).body[1]; code != 2 {
		t.Errorf("got %d, want 2: identifier rejected", code)
	}
	c.expectClosed()
}

// A delayed will that falls due at the moment its session ends is published once, not never.
func TestWillDueWhileSessionEnds(t *testing.T) {
	if !broker.DueWillSurvives() {
		t.Error("nobody publishes it")
	}
}

package broker_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/camrail/cidp/broker"
)

func TestAbsentSubscriberGetsOutputsLater(t *testing.T) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			c, _ := connect(t, b, session{id: "a", version: version, keep: true})
			c.subscribe("cidp/v1/events/#", 2)
			mustPublish(t, b, "cidp/v1/events/a/b/c", "0", false)
			c.expectMessage("cidp/v1/events/a/b/c", "0") // not acknowledged
			c.conn.Close()
			eventually(t, "client is gone", func() bool { return b.Stats().Connected == 0 })
			for i := 1; i < 5; i++ {
				mustPublish(t, b, "cidp/v1/events/a/b/c", fmt.Sprint(i), false)
			}
			c, _ = connect(t, b, session{id: "a", version: version, keep: true})
			for i := range 5 {
				p := c.expectMessage("cidp/v1/events/a/b/c", fmt.Sprint(i))
				if dup := p.flags&8 != 0; dup != (i == 0) {
					t.Errorf("message %d: DUP is %v", i, dup)
				}
				_, id, _ := p.delivered(version)
				c.ack(tPuback, id)
			}
			c.expectQuiet()
		})
	}
}

func TestAbsentSubscriberIsBounded(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", keep: true})
	c.subscribe("cidp/v1/events/#", 1)
	c.conn.Close()
	eventually(t, "client is gone", func() bool { return b.Stats().Connected == 0 })
	payload := strings.Repeat("x", 1000)
	for range 20_000 {
		mustPublish(t, b, "cidp/v1/events/a/b/c", payload, false)
	}
	d := b.Stats().DeliveriesDropped
	if kept := (20_000 - d) * 1020; d == 0 || kept > 5<<20 || kept < 3<<20 {
		t.Errorf("dropped %d, kept %d bytes", d, kept)
	}
	c, _ = connect(t, b, session{id: "a", keep: true})
	for range 20_000 - d {
		_, id, _ := c.expect(tPublish).delivered(4)
		c.ack(tPuback, id)
	}
	c.expectQuiet()
}

// A SUBSCRIBE may use a packet id that a message to the same client has: they are of two worlds.
func TestPacketIDsOfBothSidesDoNotCollide(t *testing.T) {
	b := mustStart(t, broker.Config{})
	for i := range 20 {
		mustPublish(t, b, fmt.Sprintf("cidp/v1/risk/a/b/s%d", i), "x", true)
	}
	c, _ := connect(t, b, session{id: "a"})
	c.subscribe("cidp/v1/risk/#", 1) // 20 messages in flight, ids 1 to 20
	for range 20 {
		c.expect(tPublish)
	}
	c.write(subscribeFrame(4, 5, "cidp/v1/alerts/#", 1, 0))
	if ack := c.expect(tSuback); binary.BigEndian.Uint16(ack.body) != 5 || ack.body[2] != 1 {
		t.Errorf("got SUBACK %x", ack.body)
	}
	c.publish(0, 2, 7, topicA, "x")
	acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
	c.expectAck(tPubrec, 7, 0)
	c.ack(tPuback, 7) // of the server's message 7
	c.ack(tPubrel, 7)
	c.expectAck(tPubcomp, 7, 0)
}

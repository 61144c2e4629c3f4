package broker_test

import (
	"fmt"
	"testing"

	"github.com/camrail/cidp/broker"
)

// Who gives up a filter of somebody else's takes nothing away from them, and is told so.
func TestUnsubscribeOfOthersFilter(t *testing.T) {
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	viewer, _ := connect(t, b, session{id: "v"})
	viewer.subscribe("cidp/v1/telemetry/#", 0)
	c, _ := connect(t, b, session{id: "a", version: 5})
	c.subscribe("mine", 0)
	c.write(frame(10<<4|2, []byte{0, 1, 0}, text("cidp/v1/telemetry/#"), text("mine"), text("mine")))
	if codes := c.expect(11).body[3:]; string(codes) != "\x11\x00\x11" {
		t.Errorf("got UNSUBACK codes %x", codes)
	}
	if n := b.Stats().Subscribed; n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	c.publish(0, 1, 1, topicA, "x")
	c.expectAck(tPuback, 1, 0)
	viewer.expectMessage(topicA, "x")
}

func TestFilters(t *testing.T) {
	b := mustStart(t, broker.Config{})
	for filter, good := range map[string]bool{
		"#": true, "+": true, "a/#": true, "+/a/+": true, "/": true, "$share/g/a": true, "$share/g/#": true, "$share/g//": true,
		"a+": false, "a/+b": false, "a#": false, "a/b#": false, "#/a": false, "$share/g": false, "$share/g/": false, "$share//a": false,
		"$share/+/a": false, "$share/g/a#": false,
	} {
		for version, refusal := range map[byte]byte{4: 0x80, 5: 0x8f} {
			c, _ := connect(t, b, session{id: "a", version: version})
			c.write(subscribeFrame(version, 9, filter, 1, 0))
			ack := c.expect(tSuback)
			want := byte(1)
			if !good {
				want = refusal
			}
			if got := ack.body[len(ack.body)-1]; got != want {
				t.Errorf("version %d: %q gets 0x%02x, want 0x%02x", version, filter, got, want)
			}
		}
	}
}

func TestRetainedOfTheParentLevel(t *testing.T) {
	b := mustStart(t, broker.Config{})
	mustPublish(t, b, "cidp/v1/status", "online", true)
	c, _ := connect(t, b, session{id: "a"})
	c.subscribe("cidp/v1/status/#", 1)
	c.expectMessage("cidp/v1/status", "online")
}

func TestSubscribeWhileRetainedComeAndGo(t *testing.T) {
	b := mustStart(t, broker.Config{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3000 {
			for _, payload := range []string{"x", ""} {
				if err := b.Publish(fmt.Sprintf("cidp/v1/alerts/a/b/s%d", i%10), []byte(payload), true); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	c, _ := connect(t, b, session{id: "a"})
	for range 300 {
		c.write(append(subscribeFrame(4, 9, "cidp/v1/alerts/#", 0, 0), tPingreq<<4, 0))
		for p := c.expect(c.peek()); p.kind != tPingresp; p = c.expect(c.peek()) {
		}
	}
	<-done
}

// A group's messages go to a member that is there; only when none is do they wait for one.
func TestSharedSubscriptionPrefersWhoIsThere(t *testing.T) {
	const n = 40
	b := mustStart(t, broker.Config{})
	away, _ := connect(t, b, session{id: "away", version: 5, keep: true})
	away.subscribe("$share/g/cidp/v1/events/#", 1)
	here, _ := connect(t, b, session{id: "here", version: 5, keep: true})
	here.subscribe("$share/g/cidp/v1/events/#", 1)
	away.conn.Close()
	eventually(t, "one is away", func() bool { return b.Stats().Connected == 1 })
	for i := range n {
		mustPublish(t, b, "cidp/v1/events/a/b/c", fmt.Sprint(i), false)
	}
	for i := range n {
		_, id, _ := here.expectMessage("cidp/v1/events/a/b/c", fmt.Sprint(i)).delivered(5)
		here.ack(tPuback, id)
	}
	here.expectQuiet()
	here.conn.Close()
	eventually(t, "both are away", func() bool { return b.Stats().Connected == 0 })
	mustPublish(t, b, "cidp/v1/events/a/b/c", "kept", false)
	total := 0
	for _, id := range []string{"away", "here"} {
		c, _ := connect(t, b, session{id: id, version: 5, keep: true})
		c.write([]byte{tPingreq << 4, 0})
		for p := c.expect(c.peek()); p.kind == tPublish; p = c.expect(c.peek()) {
			total++
		}
	}
	if total != 1 {
		t.Errorf("got %d messages, want 1", total)
	}
}

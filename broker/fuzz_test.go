package broker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
	"github.com/mochi-mqtt/server/v2/packets"
)

// fuzzBroker is a broker whose connections are fed with anything.
func fuzzBroker(f *testing.F) *broker.Broker {
	return mustStart(f, broker.Config{ConnectTimeout: time.Second, Queue: 1 << 20})
}

// mustBeSound sees that the broker took no harm: no panic, nothing open, and no message that nobody may send. It accepts what came.
func mustBeSound(t *testing.T, b *broker.Broker) {
	t.Helper()
	eventually(t, "connection has ended", func() bool { return b.Stats().Open == 0 })
	st := b.Stats()
	if st.Panics != 0 || st.Connected != 0 {
		t.Fatalf("got %+v", st)
	}
	if st.Queued == 0 {
		return
	}
	got := mustReceive(t, b, st.Queued)
	for i := range got {
		if topic := got[i].Topic; broker.Reserved(topic) || !broker.ValidTopic(topic) {
			t.Errorf("message on topic %q", topic)
		}
	}
	acknowledge(b, broker.Accepted, got...)
}

// FuzzConnection feeds bytes to a running broker, before and after a CONNECT. Whatever comes, no decoder panics, no reserved topic gets through,
// the connection ends when the client hangs up, and another client is served.
func FuzzConnection(f *testing.F) {
	for _, first := range strangers() {
		f.Add(byte(0), first)
	}
	f.Add(byte(0), connectFrame(session{id: "a", version: 5, will: riskA}))
	for _, version := range []byte{4, 5} {
		f.Add(version, publishFrame(version, 1, 1, 1, topicA, 0, reading))
		f.Add(version, publishFrame(version, 0, 2, 1, "cidp/v1/risk/a", 3, reading))
		f.Add(version, subscribeFrame(version, 1, "cidp/#", 1, 1))
		f.Add(version, []byte{tPubrel<<4 | 2, 2, 0, 1, tPubrec << 4, 2, 0, 1, tPingreq << 4, 0, tDisconnect << 4, 0})
		for _, packet := range breaches(version) {
			f.Add(version, packet)
		}
	}
	b := fuzzBroker(f)
	f.Fuzz(func(t *testing.T, version byte, stream []byte) {
		c := dial(t, b)
		if version == 4 || version == 5 {
			c.write(connectFrame(session{id: "fuzz", version: version}))
			c.expect(tConnack)
		}
		_, _ = c.conn.Write(stream) // the broker may have closed already
		c.conn.Close()
		mustBeSound(t, b)
	})
}

// FuzzPackets sends one packet of a known type with any flags, property block and body, rightly framed, and then PINGREQ: either the connection is closed
// or PINGRESP comes, whatever came before.
func FuzzPackets(f *testing.F) {
	id := []byte{0, 1}
	for _, version := range []byte{4, 5} {
		f.Add(version, byte(tConnect<<4), []byte("\x00\x04MQTT\x05\x02\x00\x00"), []byte{0x11, 0, 0, 0, 1}, text("a"))
		f.Add(version, byte(tPublish<<4|2), append(text(topicA), id...), []byte{0x01, 1, 0x02, 0, 0, 0, 9}, []byte(reading))
		f.Add(version, byte(tPublish<<4|4), append(text("a"), id...), append([]byte{0x09, 0, 1, 7}, user("k", "v")...), []byte{})
		f.Add(version, byte(tPuback<<4), id, []byte{}, []byte{})
		f.Add(version, byte(tPubrec<<4), append(id, 0x80), append([]byte{0x1f}, text("why")...), []byte{})
		f.Add(version, byte(tPubrel<<4|2), append(id, 0x92), user("k", "v"), []byte{})
		f.Add(version, byte(tPubcomp<<4), id, user("k", "v"), []byte{})
		f.Add(version, byte(tSubscribe<<4|2), id, []byte{0x0b, 0x80, 1}, append(text("cidp/#"), 1))
		f.Add(version, byte(tSubscribe<<4|2), id, user("k", "v"), append(append(text("$share/g/a"), 2), append(text("a/+/b"), 0)...))
		f.Add(version, byte(tSubscribe<<4|2), id, []byte{}, text("a"))
		f.Add(version, byte(10<<4|2), id, user("k", "v"), append(text("cidp/#"), text("b")...))
		f.Add(version, byte(tPingreq<<4), []byte{}, []byte{}, []byte{})
		f.Add(version, byte(tDisconnect<<4), []byte{4}, []byte{0x11, 0, 0, 0, 0}, []byte{})
		f.Add(version, byte(tDisconnect<<4), []byte{0}, append([]byte{0x1c}, text("elsewhere")...), []byte{})
		f.Add(version, byte(15<<4), []byte{0x18}, append([]byte{0x15}, text("SCRAM")...), []byte{})
		f.Add(version, byte(15<<4), []byte{0x19}, append([]byte{0x16}, text("data")...), []byte{})
	}
	b := fuzzBroker(f)
	f.Fuzz(func(t *testing.T, version, first byte, head, props, body []byte) {
		version = 4 + version%2
		if version == 5 {
			head = append(bytes.Clone(head), withProps(props...)...)
		}
		c, _ := connect(t, b, session{id: "fuzz", version: version})
		defer func() {
			c.conn.Close()
			mustBeSound(t, b)
		}()
		if _, err := c.conn.Write(append(frame(first, head, body), tPingreq<<4, 0)); err != nil {
			return
		}
		for {
			p, err := c.read(patience)
			var timeout net.Error
			switch {
			case errors.As(err, &timeout) && timeout.Timeout():
				t.Fatal("neither closed nor answered")
			case err != nil || p.kind == tPingresp:
				return
			case p.kind == tConnect || p.kind == tSubscribe || p.kind == tPingreq || p.kind == 10:
				t.Fatalf("got packet type %d", p.kind)
			}
		}
	})
}

// plainFraming looks for the first packet whose header is none, the slow way.
func plainFraming(p []byte, first bool) (start int, found bool) {
	for i := 0; i < len(p); first = false {
		header := p[i+1 : min(i+5, len(p))]
		length, n := binary.Uvarint(header)
		switch {
		case p[i]>>4 == 0, n == 0 && len(header) == 4, n > 0 && first && length > broker.MaxConnect:
			return i, true
		case n == 0:
			return 0, false // the rest is still to come
		}
		i += 1 + n + int(length)
	}
	return 0, false
}

// FuzzFraming compares the watch over fixed headers with a plain reading of them, however the bytes arrive.
func FuzzFraming(f *testing.F) {
	f.Add([]byte{0x10, 0x20}, uint8(1), true)
	f.Add(binary.AppendUvarint([]byte{0x10}, broker.MaxConnect+1), uint8(2), true)
	f.Add([]byte{0x10, 0xff, 0xff, 0xff, 0xff, 0x01}, uint8(9), true)
	f.Add([]byte{0xc0, 0, 0x30, 3, 0, 1, 'a', 0xc0, 0x80, 0x80, 0x80, 0x80, 0}, uint8(3), false)
	f.Add([]byte{0xc0, 0, 0x0f, 0}, uint8(0), false)
	f.Fuzz(func(t *testing.T, p []byte, step uint8, first bool) {
		good, err := broker.Framed(p, int(step)+1, first)
		start, found := plainFraming(p, first)
		switch {
		case found != (err != nil):
			t.Fatalf("got %v, want an error: %v", err, found)
		case !found && good != len(p):
			t.Fatalf("%d of %d bytes are let through", good, len(p))
		case found && (good < start || good > start+4):
			t.Fatalf("%d bytes are let through, want %d", good, start)
		case found && int(step) >= len(p) && good != start:
			t.Fatalf("%d bytes are let through at once, want %d", good, start)
		}
		if code := (packets.Code{}); found && !errors.As(err, &code) {
			t.Fatalf("%v has no reason code", err)
		}
	})
}

// FuzzTopics compares what is said of topics and filters with expressions for them, and of topics once more when they are known.
func FuzzTopics(f *testing.F) {
	for _, topic := range []string{"", "/", "a", "a/#", "#", "+/a/+", "a+", "#/a", "$share/g/a", "$SHARE/g/#", "$share//a", "$share/g/", riskA, "cidp/v1/status/#", "a\x00", "\xff"} {
		f.Add(topic)
	}
	filter := regexp.MustCompile(`^(?:(?i:\$share)/[^+#/]+/)?(?:#|(?:[^+#/]*|\+)(?:/(?:[^+#/]*|\+))*(?:/#)?)$`)
	share := regexp.MustCompile(`^(?i:\$share)(?:/|$)`)
	group := regexp.MustCompile(`^(?i:\$share)/[^+#/]+/(?s:.)`)
	b := fuzzBroker(f)
	output := regexp.MustCompile(`^(?:\$|cidp/v1/status$|cidp/v1/(?:risk|alerts|events)(?:/|$))`)
	f.Fuzz(func(t *testing.T, s string) {
		valid := s != "" && filter.MatchString(s) && (!share.MatchString(s) || group.MatchString(s))
		if got := broker.ValidFilter(s); got != valid && !strings.Contains(s, "\n") { // the dollar of an expression is before it too
			t.Errorf("filter %q: got %v, want %v", s, got, valid)
		}
		if got := broker.Reserved(s); got != output.MatchString(s) {
			t.Errorf("reserved %q: got %v", s, got)
		}
		for range 2 { // looked at, and remembered
			if got, ok := b.PlainTopic([]byte(s)); ok != (broker.ValidTopic(s) && !broker.Reserved(s)) || (ok && got != s) {
				t.Errorf("plain topic %q: got %q, %v", s, got, ok)
			}
		}
		if broker.ValidTopic(s) && !share.MatchString(s) && !broker.ValidFilter(s) {
			t.Errorf("topic %q is no filter", s)
		}
	})
}

// FuzzPublishEncoding decodes what we encode for subscribers with mochi's decoder.
func FuzzPublishEncoding(f *testing.F) {
	f.Add(byte(5), byte(1), true, uint16(7), topicA, []byte(reading), uint16(3))
	f.Add(byte(4), byte(2), false, uint16(65535), "a", bytes.Repeat([]byte("x"), 200), uint16(0))
	f.Fuzz(func(t *testing.T, version, qos byte, retain bool, id uint16, topic string, payload []byte, ident uint16) {
		version, qos = 4+version%2, qos%3
		if !broker.ValidTopic(topic) || id == 0 {
			return
		}
		var ids []int
		if version == 5 && ident > 0 {
			ids = []int{int(ident)}
		}
		wire := broker.EncodePublish(version, qos, retain, qos > 0, id, topic, payload, ids)
		length, n := binary.Uvarint(wire[1:])
		if int(length) != len(wire)-1-n {
			t.Fatalf("remaining length %d of %d bytes", length, len(wire))
		}
		pk := packets.Packet{ProtocolVersion: version}
		if err := pk.FixedHeader.Decode(wire[0]); err != nil {
			t.Fatal(err)
		}
		if err := pk.PublishDecode(wire[1+n:]); err != nil {
			t.Fatal(err)
		}
		if pk.TopicName != topic || !bytes.Equal(pk.Payload, payload) || pk.FixedHeader.Qos != qos || pk.FixedHeader.Retain != retain || (qos > 0 && pk.PacketID != id) {
			t.Fatalf("got %+v", pk)
		}
		if len(ids) != len(pk.Properties.SubscriptionIdentifier) {
			t.Fatalf("got identifiers %v, want %v", pk.Properties.SubscriptionIdentifier, ids)
		}
	})
}

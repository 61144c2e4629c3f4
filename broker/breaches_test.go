package broker_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// withProps puts a property block, given with its right length, where MQTT 5 has one.
func withProps(props ...byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(props))), props...)
}

// user is a user property.
func user(key, value string) []byte {
	return append(append([]byte{0x26}, text(key)...), text(value)...)
}

// connectWith is a CONNECT with every part as given.
func connectWith(name string, level, flags byte, rest ...[]byte) []byte {
	return frame(tConnect<<4, append([][]byte{text(name), {level, flags, 0, 30}}, rest...)...)
}

// strangers are first packets that no client may send: the connection is closed.
func strangers() map[string][]byte {
	return map[string][]byte{
		"HTTP":                     []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"TLS":                      {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03},
		"type 0":                   {0, 0},
		"PUBLISH":                  publishFrame(4, 0, 1, 1, topicA, 0, reading),
		"SUBSCRIBE":                subscribeFrame(4, 1, "#", 1, 0),
		"PINGREQ":                  {tPingreq << 4, 0},
		"AUTH":                     {15 << 4, 2, 0, 0},
		"flags":                    {tConnect<<4 | 1, 0},
		"empty":                    {tConnect << 4, 0},
		"cut in the name":          {tConnect << 4, 3, 0, 4, 'M'},
		"name":                     connectWith("MQTX", 4, 2, text("a")),
		"name of MQTT 3.1":         connectWith("MQIsdp", 4, 2, text("a")),
		"level 2":                  connectWith("MQTT", 2, 2, text("a")),
		"level 6":                  connectWith("MQTT", 6, 2, text("a")),
		"level 255":                connectWith("MQTT", 255, 2, text("a")),
		"reserved flag":            connectWith("MQTT", 4, 3, text("a")),
		"no client id":             connectWith("MQTT", 4, 2),
		"client id with NUL":       connectWith("MQTT", 4, 2, text("a\x00b")),
		"client id not UTF-8":      connectWith("MQTT", 4, 2, text("a\xc3\x28")),
		"surrogate":                connectWith("MQTT", 5, 2, []byte{0}, text("a\xed\xa0\x80")),
		"client id beyond the end": connectWith("MQTT", 4, 2, []byte{0xff, 0xff, 'a'}),
		"will of QoS 3":            connectWith("MQTT", 4, 2|4|3<<3, text("a"), text(topicA), text("x")),
		"will cut short":           connectWith("MQTT", 4, 2|4, text("a"), text(topicA)),
		"will topic with NUL":      connectWith("MQTT", 4, 2|4, text("a"), text("a\x00"), text("x")),
		"will retain without will": connectWith("MQTT", 4, 2|1<<5, text("a")),
		"will topic with wildcard": connectWith("MQTT", 4, 2|4, text("a"), text("a/#"), text("x")),
		"will QoS without will":    connectWith("MQTT", 4, 2|1<<3, text("a")),
		"user not UTF-8":           connectWith("MQTT", 4, 2|1<<7, text("a"), text("u\xff")),
		"user with NUL":            connectWith("MQTT", 5, 2|1<<7, []byte{0}, text("a"), text("u\x00")),
		"password without user":    connectWith("MQTT", 4, 2|1<<6, text("a"), text("p")),
		"user missing":             connectWith("MQTT", 4, 2|1<<7, text("a")),
		"password missing":         connectWith("MQTT", 4, 2|1<<7|1<<6, text("a"), text("u")),
		"properties missing":       connectWith("MQTT", 5, 2),
		"property unknown":         connectWith("MQTT", 5, 2, withProps(0x7f, 1), text("a")),
		"property of PUBLISH":      connectWith("MQTT", 5, 2, withProps(0x23, 0, 1), text("a")),
		"property cut short":       connectWith("MQTT", 5, 2, []byte{3, 0x11, 0, 0}),
		"properties of 256 MB":     connectWith("MQTT", 5, 2, []byte{0xff, 0xff, 0xff, 0x7f}, text("a")),
		"property length endless":  connectWith("MQTT", 5, 2, []byte{0xff, 0xff, 0xff, 0xff, 0xff}, text("a")),
		"user property with NUL":   connectWith("MQTT", 5, 2, withProps(user("a\x00", "b")...), text("a")),
		"5 bytes of length":        {tConnect << 4, 0x80, 0x80, 0x80, 0x80, 0x01},
	}
}

// A connection that does not begin with a proper CONNECT is closed and counted, and nobody else notices.
func TestStrangersAreTurnedAway(t *testing.T) {
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	p := startPulse(t, b, 1, 5, time.Millisecond)
	for name, first := range strangers() {
		t.Run(name, func(t *testing.T) {
			before := b.Stats().ProtocolErrors
			c := dial(t, b)
			_, _ = c.conn.Write(first) // the broker may close before it is through
			if last := c.expectClosed(); last.kind != 0 && (last.kind != tConnack || last.body[1] == 0) {
				t.Errorf("got packet type %d %x", last.kind, last.body)
			}
			eventually(t, "it is counted", func() bool { return b.Stats().ProtocolErrors == before+1 })
		})
	}
	p.mustMove("after strangers")
	mustBeUnharmed(t, b, 1)
}

// mustBeUnharmed sees that of all that came in nothing is left but the connections of the test's own.
func mustBeUnharmed(t *testing.T, b *broker.Broker, own int) {
	t.Helper()
	eventually(t, "only our own are left", func() bool {
		st := b.Stats()
		return st.Open == own && st.Connected == int64(own) && st.Sessions == own
	})
	if st := b.Stats(); st.Panics != 0 || st.Wills != 0 {
		t.Errorf("got %+v", st)
	}
}

// A client of a version that there is not, or not yet, is told so in the words of MQTT 3.1.1.
func TestUnknownVersionIsTold(t *testing.T) {
	b := mustStart(t, broker.Config{})
	for _, level := range []byte{0, 2, 6, 255} {
		c := dial(t, b)
		c.write(connectWith("MQTT", level, 2, text("a")))
		if code := c.expect(tConnack).body[1]; code != 1 {
			t.Errorf("level %d: got 0x%02x, want 0x01", level, code)
		}
		c.expectClosed()
	}
}

// breaches are packets that a connected client must not send: the connection is closed.
func breaches(version byte) map[string][]byte {
	props := func(p ...byte) []byte {
		if version == 5 {
			return withProps(p...)
		}
		return nil
	}
	id := []byte{0, 1}
	all := map[string][]byte{
		"type 0":                    {0, 0},
		"type 0 with flags":         {0x0f, 0},
		"AUTH":                      {15 << 4, 2, 0x18, 0},
		"AUTH, empty":               {15 << 4, 0},
		"CONNACK":                   {tConnack << 4, 2, 0, 0},
		"PINGRESP":                  {tPingresp << 4, 0},
		"PINGREQ with flags":        {tPingreq<<4 | 2, 0},
		"SUBSCRIBE without flags":   {tSubscribe << 4, 0},
		"PUBREL without flags":      {tPubrel << 4, 2, 0, 1},
		"DUP at QoS 0":              publishFrame(version, 8, 0, 0, topicA, 0, "x"),
		"PUBLISH, empty":            {tPublish << 4, 0},
		"PUBLISH of QoS 3":          publishFrame(version, 0, 3, 1, topicA, 0, "x"),
		"PUBLISH, packet id 0":      publishFrame(version, 0, 2, 0, topicA, 0, "x"),
		"PUBLISH, no packet id":     frame(tPublish<<4|2, text("a"), []byte{1}),
		"topic beyond the end":      {tPublish << 4, 4, 0xff, 0xff, 'a', 'b'},
		"topic with +":              publishFrame(version, 0, 0, 0, "a/+/b", 0, "x"),
		"topic with #":              publishFrame(version, 0, 1, 1, "#", 0, "x"),
		"topic with NUL":            publishFrame(version, 0, 0, 0, "\x00", 0, "x"),
		"topic not UTF-8":           publishFrame(version, 0, 0, 0, "a/\xff", 0, "x"),
		"topic with surrogate":      publishFrame(version, 0, 0, 0, "\xed\xbf\xbf", 0, "x"),
		"topic empty":               publishFrame(version, 0, 1, 1, "", 0, "x"),
		"PUBACK, packet id 0":       {tPuback << 4, 2, 0, 0},
		"PUBREC, packet id 0":       {tPubrec << 4, 2, 0, 0},
		"PUBREL, packet id 0":       {tPubrel<<4 | 2, 2, 0, 0},
		"PUBCOMP, packet id 0":      {tPubcomp << 4, 2, 0, 0},
		"PUBACK cut short":          {tPuback << 4, 1, 0},
		"SUBSCRIBE, no filter":      frame(tSubscribe<<4|2, id, props()),
		"SUBSCRIBE, packet id 0":    subscribeFrame(version, 0, "a", 0, 0),
		"SUBSCRIBE, QoS 3":          subscribeFrame(version, 1, "a", 3, 0),
		"SUBSCRIBE, no options":     frame(tSubscribe<<4|2, id, props(), text("a")),
		"SUBSCRIBE, second cut":     frame(tSubscribe<<4|2, id, props(), text("a"), []byte{0, 0, 9}),
		"SUBSCRIBE, filter not UTF": subscribeFrame(version, 1, "a\xff", 0, 0),
		"SUBSCRIBE, filter NUL":     subscribeFrame(version, 1, "a\x00", 0, 0),
		"UNSUBSCRIBE, no filter":    frame(10<<4|2, id, props()),
		"UNSUBSCRIBE, packet id 0":  frame(10<<4|2, []byte{0, 0}, props(), text("a")),
		"UNSUBSCRIBE, filter NUL":   frame(10<<4|2, id, props(), text("a\x00")),
		"5 bytes of length":         {tPingreq << 4, 0x80, 0x80, 0x80, 0x80, 0x01},
		"5 bytes of length, zero":   {tPingreq << 4, 0x80, 0x80, 0x80, 0x80, 0x00},
		"second CONNECT":            connectFrame(session{id: "again", version: version}),
	}
	if version == 5 {
		maps.Copy(all, breaches5())
	}
	return all
}

// breaches5 are those that only MQTT 5 has the words for.
func breaches5() map[string][]byte {
	const version = 5
	id := []byte{0, 1}
	publish := func(block ...byte) []byte { return frame(tPublish<<4|2, text(topicA), id, block, []byte("x")) }
	return map[string][]byte{
		"alias 0":                      publishFrame5(topicA, 0x23, 0, 0),
		"alias beyond the maximum":     publishFrame5(topicA, 0x23, 1, 1),
		"alias of nothing":             publishFrame5("", 0x23, 0, 1),
		"unknown property":             publish(withProps(0x7e, 0)...),
		"property of CONNECT":          publish(withProps(0x11, 0, 0, 0, 1)...),
		"property cut short":           frame(tPublish<<4|2, text(topicA), id, []byte{5, 0x02, 0, 0}),
		"properties beyond the end":    publish(0xff, 0xff, 0x7f),
		"property length endless":      publish(0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
		"subscription identifier":      publish(withProps(0x0b, 1)...),
		"content type with NUL":        publish(withProps(0x03, 0, 1, 0)...),
		"user property not UTF-8":      publish(withProps(user("a", "\xff")...)...),
		"user property with NUL":       publish(withProps(user("\x00", "a")...)...),
		"SUBSCRIBE, unknown property":  frame(tSubscribe<<4|2, id, withProps(0x01, 1), text("a"), []byte{0}),
		"SUBSCRIBE, retain handling 3": subscribeFrame(version, 1, "a", 3<<4, 0),
		"SUBSCRIBE, identifier cut":    frame(tSubscribe<<4|2, id, []byte{2, 0x0b, 0x80}),
		"DISCONNECT, unknown property": frame(tDisconnect<<4, []byte{0}, withProps(0x01, 1)),
		"DISCONNECT, expiry from zero": frame(tDisconnect<<4, []byte{0}, withProps(0x11, 0, 0, 0, 1)),
	}
}

// publishFrame5 is an MQTT 5 PUBLISH at QoS 1 with properties as given.
func publishFrame5(topic string, props ...byte) []byte {
	return frame(tPublish<<4|2, text(topic), []byte{0, 1}, withProps(props...), []byte("x"))
}

// A client that breaks the protocol is closed, told why on MQTT 5 where its packet could be read, and counted. Others do not notice.
func TestBreachesEndOneConnection(t *testing.T) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			acceptAll(t, b)
			p := startPulse(t, b, 1, 5, time.Millisecond)
			for name, packet := range breaches(version) {
				t.Run(name, func(t *testing.T) {
					before := b.Stats().ProtocolErrors
					c, _ := connect(t, b, session{id: name, version: version})
					_, _ = c.conn.Write(append(packet, packet...)) // what comes after the first is not looked at
					if last := c.expectClosed(); last.kind != 0 && (last.kind != tDisconnect || version < 5 || last.body[0] < 0x80) {
						t.Errorf("got packet type %d %x", last.kind, last.body)
					}
					eventually(t, "it is counted", func() bool { return b.Stats().ProtocolErrors == before+1 })
				})
			}
			p.mustMove("after breaches")
			mustBeUnharmed(t, b, 1)
		})
	}
}

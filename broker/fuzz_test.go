package broker_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
	"github.com/mochi-mqtt/server/v2/packets"
)

// FuzzConnection feeds bytes to a running broker, before and after a CONNECT. Whatever comes, no decoder panics, no reserved topic gets through,
// the connection ends when the client hangs up, and another client is served.
func FuzzConnection(f *testing.F) {
	f.Add(byte(0), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(byte(0), connectFrame(session{id: "a", version: 5, will: riskA}))
	for _, version := range []byte{4, 5} {
		f.Add(version, publishFrame(version, 1, 1, 1, topicA, 0, reading))
		f.Add(version, publishFrame(version, 0, 2, 1, "cidp/v1/risk/a", 3, reading))
		f.Add(version, subscribeFrame(version, 1, "cidp/#", 1, 1))
		f.Add(version, []byte{tPubrel<<4 | 2, 2, 0, 1, tPubrec << 4, 2, 0, 1, tPingreq << 4, 0, tDisconnect << 4, 0})
	}
	f.Add(byte(5), []byte{0x82, 0x05, 0x00, 0x01, 0xff, 0xff, 0xff})
	b := mustStart(f, broker.Config{ConnectTimeout: time.Second, Queue: 1 << 20})
	var drained []broker.Message
	f.Fuzz(func(t *testing.T, version byte, stream []byte) {
		c := dial(t, b)
		if version == 4 || version == 5 {
			c.write(connectFrame(session{id: "fuzz", version: version}))
			c.expect(tConnack)
		}
		_, _ = c.conn.Write(stream) // the broker may have closed already
		c.conn.Close()
		eventually(t, "connection has ended", func() bool { return b.Stats().Open == 0 })
		if n := b.Stats().Panics; n != 0 {
			t.Fatalf("%d panics", n)
		}
		if n := b.Stats().Queued; n > 0 {
			drained = mustReceive(t, b, n)
			for i := range drained {
				if topic := drained[i].Topic; broker.Reserved(topic) || strings.ContainsAny(topic, "+#") || topic == "" {
					t.Errorf("message on topic %q", topic)
				}
			}
			acknowledge(b, broker.Accepted, drained...)
		}
	})
}

// FuzzFirstPacket compares the guard of the first packet with a plain reading of its length, however the bytes arrive.
func FuzzFirstPacket(f *testing.F) {
	f.Add([]byte{0x10, 0x20}, uint8(1))
	f.Add(binary.AppendUvarint([]byte{0x10}, broker.MaxConnect+1), uint8(2))
	f.Add([]byte{0x10, 0xff, 0xff, 0xff, 0xff, 0x01}, uint8(9))
	f.Fuzz(func(t *testing.T, p []byte, step uint8) {
		tooLong, done := broker.FirstPacketTooLong(p, int(step)+1)
		if len(p) < 2 {
			if tooLong || done {
				t.Fatal("decided on less than a header")
			}
			return
		}
		length, n := binary.Uvarint(p[1:min(len(p), 5)])
		switch {
		case n > 0 && (tooLong != (length > broker.MaxConnect) || !done):
			t.Fatalf("length %d: too long %v, done %v", length, tooLong, done)
		case n == 0 && (tooLong != (len(p) >= 5) || done):
			t.Fatalf("no length in %x: too long %v, done %v", p, tooLong, done)
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

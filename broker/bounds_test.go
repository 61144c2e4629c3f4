package broker_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/camrail/cidp/broker"
)

// heap is the memory in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What a queued message keeps alive is what it costs: neither a payload that was cut nor properties hide a large packet.
func TestQueueBytesAreHonest(t *testing.T) {
	const n, large = 40, 900_000
	user := append([]byte{0x26}, append(text("k"), text(strings.Repeat("v", large/15))...)...)
	props := []byte(strings.Repeat(string(user), 15))
	props = append(binary.AppendUvarint(nil, uint64(len(props))), props...)
	for name, packet := range map[string][]byte{
		"payload":    frame(tPublish<<4|2, text(topicA), []byte{0, 1, 0}, make([]byte, large)),
		"properties": frame(tPublish<<4|2, text(topicA), []byte{0, 1}, props, []byte("x")),
	} {
		t.Run(name, func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			c, _ := connect(t, b, session{id: "a", version: 5})
			before := heap()
			for id := range byte(n) {
				binary.BigEndian.PutUint16(packet[4+2+len(topicA):], uint16(id)+1) // after a fixed header of 4 bytes
				c.write(packet)
			}
			eventually(t, "all are queued", func() bool { return b.Stats().Queued == n })
			if grown, cost := heap()-before, int64(b.Stats().QueuedBytes); grown > cost+8<<20 {
				t.Errorf("the queue says %d bytes and holds %d", cost, grown)
			}
		})
	}
}

// Answers wait for those of earlier messages, but not without bound.
func TestAnswersHeldBackAreBounded(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", version: 5})
	c.publish(0, 1, 1, topicA, "never acknowledged")
	mustReceive(t, b, 1)
	denied := []byte(strings.Repeat(string(publishFrame(5, 0, 1, 2, "$x", 0, "")), 1000))
	go func() {
		for range 70 {
			if _, err := c.conn.Write(denied); err != nil {
				return // closed, as it should be
			}
		}
	}()
	c.expectClosed()
	eventually(t, "it is counted", func() bool { return b.Stats().ProtocolErrors == 1 })
}

// Retained messages that wait for a slow subscriber do not push out live ones, and asking for them again and again is bounded.
func TestRetainedWaitApartFromLive(t *testing.T) {
	const topics = 17_000
	b := mustStart(t, broker.Config{})
	for i := range topics {
		mustPublish(t, b, fmt.Sprintf("cidp/v1/risk/a/b/s%d", i), strings.Repeat("x", 300), true)
	}
	c, _ := connect(t, b, session{id: "a", version: 5, receiveMax: 1})
	c.subscribe("cidp/v1/#", 1)
	c.expect(tPublish)
	c.expectQuiet()
	mustPublish(t, b, "cidp/v1/events/a/b/c", "live", false)
	if d := b.Stats().DeliveriesDropped; d != 0 {
		t.Fatalf("%d dropped", d)
	}
	for range 10 {
		c.subscribe("cidp/v1/#", 1)
	}
	c.expectQuiet()
	if b.Stats().DeliveriesDropped == 0 {
		t.Error("no bound")
	}
	mustPublish(t, b, "cidp/v1/events/a/b/c", "live", false)
	if got, want := b.Stats().DeliveriesDropped, int64(11*topics-1<<17); got != want {
		t.Errorf("%d dropped, want %d", got, want)
	}
}

// A connection that is closed for what came on it is counted, whatever the version: nobody else would tell.
func TestBreachesAreCounted(t *testing.T) {
	b := mustStart(t, broker.Config{MaxPacket: 5000})
	want := int64(0)
	for _, version := range []byte{4, 5} {
		for name, bytes := range map[string][]byte{
			"too large":      publishFrame(version, 0, 1, 1, topicA, 0, strings.Repeat("x", 6000)),
			"256 MB":         {tPublish << 4, 0xff, 0xff, 0xff, 0x7f},
			"no length":      {tPublish << 4, 0xff, 0xff, 0xff, 0xff, 1},
			"NUL":            publishFrame(version, 0, 1, 1, "a\x00b", 0, "x"),
			"not UTF-8":      publishFrame(version, 0, 1, 1, "a\xff", 0, "x"),
			"wildcard":       publishFrame(version, 0, 1, 1, "a/+", 0, "x"),
			"no topic":       publishFrame(version, 0, 1, 1, "", 0, "x"),
			"no id":          publishFrame(version, 0, 1, 0, topicA, 0, "x"),
			"QoS 3":          publishFrame(version, 0, 3, 1, topicA, 0, "x"),
			"cut short":      {tPublish<<4 | 2, 3, 0, 1, 'a'},
			"second CONNECT": connectFrame(session{id: "again", version: version}),
			"SUBACK":         {tSuback << 4, 3, 0, 1, 0},
		} {
			c, _ := connect(t, b, session{id: "a", version: version})
			c.write(bytes)
			c.expectClosed()
			want++
			eventually(t, fmt.Sprintf("version %d, %s is counted", version, name), func() bool { return b.Stats().ProtocolErrors == want })
		}
	}
	for _, first := range [][]byte{publishFrame(4, 0, 1, 1, topicA, 0, "x"), []byte("GET / HTTP/1.1\r\n\r\n")} {
		c := dial(t, b)
		if _, err := c.conn.Write(first); err != nil {
			t.Fatal(err)
		}
		c.expectClosed()
		want++
		eventually(t, "a stranger is counted", func() bool { return b.Stats().ProtocolErrors == want })
	}
	if n := b.Stats().Queued; n != 0 {
		t.Errorf("%d queued", n)
	}
	// Neither leaving nor being cut off is a breach.
	polite, _ := connect(t, b, session{id: "a"})
	polite.write([]byte{tDisconnect << 4, 0})
	polite.expectClosed()
	rude, _ := connect(t, b, session{id: "b"})
	if err := rude.conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	rude.conn.Close()
	eventually(t, "both are gone", func() bool { return b.Stats().Open == 0 })
	if got := b.Stats().ProtocolErrors; got != want {
		t.Errorf("%d counted, want %d", got, want)
	}
}

package broker_test

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// benchPayload is a reading of about the usual length.
const benchPayload = `{"ts":1700000000000,"temp_c":41.512,"ambient_c":27.1,"speed_kmh":61.4,"load_t":48,"brake":0,"seq":123456}`

// BenchmarkPublishToAck measures acknowledged QoS 1 messages through loopback: raw clients that keep a window of messages in flight, each on one topic or on
// many, and a line that accepts at once. Nobody subscribes.
func BenchmarkPublishToAck(b *testing.B) {
	for _, bc := range []struct{ clients, window, topics int }{{1, 1, 1}, {1, 1000, 1}, {10, 200, 1}, {100, 100, 1}, {10, 1000, 1000}} {
		b.Run(fmt.Sprintf("clients=%d/window=%d/topics=%d", bc.clients, bc.window, bc.topics), func(b *testing.B) {
			benchPublish(b, mustStart(b, broker.Config{}), bc.clients, bc.window, bc.topics)
		})
	}
}

// BenchmarkPublishToAckAndSubscriber is the same with one subscriber to everything.
func BenchmarkPublishToAckAndSubscriber(b *testing.B) {
	br := mustStart(b, broker.Config{})
	viewer, _ := connect(b, br, session{id: "viewer"})
	viewer.subscribe("cidp/v1/#", 0)
	go func() { _, _ = io.Copy(io.Discard, viewer.conn) }() // ends with the connection
	benchPublish(b, br, 10, 200, 1)
	st := br.Stats()
	b.ReportMetric(float64(st.DeliveriesDropped)/float64(b.N), "dropped/op")
}

func benchPublish(b *testing.B, br *broker.Broker, clients, window, topics int) {
	acceptAll(b, br)
	all := make([]*rawClient, clients)
	for i := range all {
		all[i], _ = connect(b, br, session{id: fmt.Sprint("c", i)})
		if err := all[i].conn.SetReadDeadline(time.Time{}); err != nil { // it was for CONNACK
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range all {
		n := b.N / clients
		if i < b.N%clients {
			n++
		}
		wg.Go(func() { pipeline(b, c, i*topics, topics, n, window) })
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// pipeline publishes n messages on topics from the first one on, keeping at most window of them unacknowledged.
func pipeline(b *testing.B, c *rawClient, first, topics, n, window int) {
	var ring []byte // twice as many packet ids as can be under way
	for id := range 2 * window {
		topic := fmt.Sprintf("cidp/v1/telemetry/dla/loco1/axle%06d", first+id%topics)
		ring = append(ring, publishFrame(4, 0, 1, uint16(id+1), topic, 0, benchPayload)...)
	}
	one := len(ring) / (2 * window)
	next := ring
	acks := make([]byte, 64<<10)
	outstanding, partial := 0, 0
	for n > 0 || outstanding > 0 {
		if send := min(n, window-outstanding, window/2+1); send > 0 && (outstanding <= window/2) {
			send = min(send, len(next)/one)
			if _, err := c.conn.Write(next[:send*one]); err != nil {
				b.Error(err)
				return
			}
			if next = next[send*one:]; len(next) == 0 {
				next = ring
			}
			n -= send
			outstanding += send
			continue
		}
		got, err := c.conn.Read(acks)
		if err != nil {
			b.Error(err)
			return
		}
		partial += got
		outstanding -= partial / 4
		partial %= 4
	}
}

// BenchmarkPublish measures an output with ten subscribers.
func BenchmarkPublish(b *testing.B) {
	br := mustStart(b, broker.Config{})
	for i := range 10 {
		c, _ := connect(b, br, session{id: fmt.Sprint("c", i)})
		c.subscribe("cidp/v1/risk/#", 0)
		go func() { _, _ = io.Copy(io.Discard, c.conn) }() // ends with the connection
	}
	payload := []byte(benchPayload)
	b.ReportAllocs()
	for b.Loop() {
		if err := br.Publish(riskA, payload, true); err != nil {
			b.Fatal(err)
		}
	}
}

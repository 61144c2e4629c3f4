package simulator_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	mqtt "github.com/mochi-mqtt/server/v2/packets"

	"github.com/camrail/cidp/simulator"
)

// gate lets everybody in or nobody; a mute one withholds every acknowledgement.
type gate struct {
	mochi.HookBase
	open, mute bool
}

func (*gate) ID() string { return "gate" }

func (g *gate) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck || b == mochi.OnPublish
}

func (g *gate) OnConnectAuthenticate(*mochi.Client, mqtt.Packet) bool { return g.open }

func (g *gate) OnACLCheck(*mochi.Client, string, bool) bool { return g.open }

func (g *gate) OnPublish(_ *mochi.Client, pk mqtt.Packet) (mqtt.Packet, error) {
	if g.mute {
		return pk, mqtt.ErrRejectPacket
	}
	return pk, nil
}

// plant is a real broker on a free port that remembers what it received, by topic and in order.
type plant struct {
	addr string
	mu   sync.Mutex
	got  map[string][]string
	n    int
}

func newPlant(t *testing.T, hooks ...mochi.Hook) *plant {
	t.Helper()
	server := mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if len(hooks) == 0 {
		hooks = []mochi.Hook{&gate{open: true}}
	}
	for _, h := range hooks {
		if err := server.AddHook(h, nil); err != nil {
			t.Fatal(err)
		}
	}
	tcp := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if err := server.AddListener(tcp); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	p := &plant{addr: tcp.Address(), got: map[string][]string{}}
	err := server.Subscribe("cidp/v1/#", 1, func(_ *mochi.Client, _ mqtt.Subscription, pk mqtt.Packet) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got[pk.TopicName] = append(p.got[pk.TopicName], string(pk.Payload))
		p.n++
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// expected is what a fleet sends in some event time, by topic.
func expected(t *testing.T, cfg simulator.Config, eventTime time.Duration) (byTopic map[string][]string, messages, readings int) {
	t.Helper()
	f := mustFleet(t, cfg)
	byTopic = map[string][]string{}
	for range ticksIn(f, eventTime) {
		for _, m := range f.Messages(nil) {
			byTopic[m.Topic] = append(byTopic[m.Topic], string(m.Payload))
			messages++
			readings += m.Readings
		}
	}
	return byTopic, messages, readings
}

var demo = simulator.Config{Seed: 11, Faults: []string{"all"}, Span: time.Hour}

// TestPublishDeliversEverything: at either quality of service the broker has every message, each asset's in order.
func TestPublishDeliversEverything(t *testing.T) {
	want, messages, readings := expected(t, demo, 20*time.Minute)
	for qos := range byte(2) {
		p := newPlant(t)
		var last atomic.Int64
		stats, err := simulator.Publish(t.Context(), mustFleet(t, demo), simulator.PublishConfig{
			SenderConfig: simulator.SenderConfig{Broker: "tcp://" + p.addr, AtMostOnce: qos == 0, Connections: 3, Window: 64},
			Speedup:      12_000, For: 100 * time.Millisecond,
			Progress: func(s simulator.Stats) { last.Store(s.Sent) },
		})
		if err != nil {
			t.Fatal(err)
		}
		acked := int64(messages) * int64(qos)
		if stats.Sent != int64(messages) || stats.Acked != acked || stats.Readings != int64(readings) || last.Load() != stats.Sent {
			t.Errorf("qos %d: %+v, want %d messages and %d readings", qos, stats, messages, readings)
		}
		if end := start.Add(20 * time.Minute); !stats.EventTime.Equal(end) {
			t.Errorf("qos %d: event time is %v, want %v", qos, stats.EventTime, end)
		}
		p.until(t, messages)
		for topic, payloads := range want {
			if !slices.Equal(p.got[topic], payloads) {
				t.Fatalf("qos %d: %s got %d messages, want %d in order", qos, topic, len(p.got[topic]), len(payloads))
			}
		}
	}
}

// until waits for the broker to have handed on n messages: QoS 0 is not acknowledged.
func (p *plant) until(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		got := p.n
		p.mu.Unlock()
		if got >= n || time.Now().After(end) {
			if got != n {
				t.Fatalf("the broker got %d messages, want %d", got, n)
			}
			return
		}
	}
}

// TestPublishSurvivesLostConnections: a proxy cuts every connection after some bytes. Everything arrives and is acknowledged; what
// comes twice comes in order.
func TestPublishSurvivesLostConnections(t *testing.T) {
	want, messages, _ := expected(t, demo, 5*time.Minute)
	p := newPlant(t)
	stats, err := simulator.Publish(t.Context(), mustFleet(t, demo), simulator.PublishConfig{
		SenderConfig: simulator.SenderConfig{Broker: "tcp://" + cutter(t, p.addr, 150_000), Connections: 2, Window: 100},
		Speedup:      30_000, For: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Sent != int64(messages) || stats.Acked != stats.Sent || stats.Reconnects == 0 || stats.Resent == 0 {
		t.Errorf("%+v, want %d messages, all acknowledged, after reconnects", stats, messages)
	}
	// This broker acknowledges before it hands on, so the last ones may be on their way.
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		missing := p.missing(t, want)
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(missing)
		}
	}
}

// missing checks that first copies came in order, and tells which topic is not complete yet.
func (p *plant) missing(t *testing.T, want map[string][]string) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for topic, payloads := range want {
		next := 0
		for _, got := range p.got[topic] {
			if next < len(payloads) && got == payloads[next] {
				next++
			} else if !slices.Contains(payloads[:next], got) {
				t.Fatalf("%s: message %d came too early", topic, next)
			}
		}
		if next < len(payloads) {
			return fmt.Sprintf("%s: only %d messages of %d came", topic, next, len(payloads))
		}
	}
	return ""
}

// cutter passes connections on to addr and cuts each one after some bytes upstream.
func cutter(t *testing.T, addr string, after int64) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		wait.Wait()
	})
	wait.Go(func() {
		for {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", addr)
			if err != nil {
				_ = down.Close()
				continue
			}
			wait.Go(func() { _, _ = io.Copy(down, up); _ = down.Close() })
			wait.Go(func() { _, _ = io.CopyN(up, down, after); _ = up.Close(); _ = down.Close() })
		}
	})
	return ln.Addr().String()
}

// TestPublishTellsWhatStayedUnacknowledged: when acknowledgements do not come in time the error counts what is open.
func TestPublishTellsWhatStayedUnacknowledged(t *testing.T) {
	p := newPlant(t, &gate{open: true, mute: true})
	stats, err := simulator.Publish(t.Context(), mustFleet(t, demo), simulator.PublishConfig{
		SenderConfig: simulator.SenderConfig{Broker: "tcp://" + p.addr, Connections: 1},
		Speedup:      1000, For: 10 * time.Millisecond, Drain: 300 * time.Millisecond,
	})
	if err == nil || !strings.Contains(err.Error(), "messages of cidp-sim-") || !strings.Contains(err.Error(), "not acknowledged") {
		t.Errorf("error is %v", err)
	}
	if stats.Sent == 0 || stats.Acked != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestPublishEndsWithItsContext: a run without an end stops when told to, without an error and with everything acknowledged.
func TestPublishEndsWithItsContext(t *testing.T) {
	p := newPlant(t)
	ctx, cancel := context.WithCancel(t.Context())
	stats, err := simulator.Publish(ctx, mustFleet(t, demo), simulator.PublishConfig{
		SenderConfig: simulator.SenderConfig{Broker: "tcp://" + p.addr},
		Speedup:      5000,
		Progress: func(s simulator.Stats) {
			if s.Sent > 500 {
				cancel()
			}
		},
	})
	if err != nil || stats.Acked != stats.Sent || stats.Sent <= 500 {
		t.Errorf("%+v, %v", stats, err)
	}
	p.until(t, int(stats.Sent))
}

func TestPublishRefusals(t *testing.T) {
	guarded := newPlant(t, new(gate))
	for _, c := range []struct {
		cfg  simulator.PublishConfig
		want string
	}{
		{simulator.PublishConfig{SenderConfig: simulator.SenderConfig{Broker: "127.0.0.1:1883"}}, "write it as tcp://HOST:PORT"},
		{simulator.PublishConfig{SenderConfig: simulator.SenderConfig{Broker: "tcp://127.0.0.1:1", Window: -1}}, "window is -1"},
		{simulator.PublishConfig{SenderConfig: simulator.SenderConfig{Broker: "tcp://127.0.0.1:1", Connections: -1}}, "connections is -1"},
		{simulator.PublishConfig{SenderConfig: simulator.SenderConfig{Broker: "tcp://127.0.0.1:1", Password: "x"}}, "a password needs"},
		{simulator.PublishConfig{Speedup: -2}, "speedup is -2"},
		{simulator.PublishConfig{For: -2}, "must not be negative"},
		{simulator.PublishConfig{SenderConfig: simulator.SenderConfig{Broker: "tcp://127.0.0.1:1"}}, "connection refused"},
		{simulator.PublishConfig{SenderConfig: simulator.SenderConfig{Broker: "tcp://" + guarded.addr}}, "broker refused the connection"},
	} {
		_, err := simulator.Publish(t.Context(), mustFleet(t, demo), c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error is %v, want %q in it", c.cfg, err, c.want)
		}
	}
}

// TestPace: ticks are due at the pace asked for, and never before they have happened.
func TestPace(t *testing.T) {
	wall := time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)
	event := wall.Add(-2 * time.Hour)
	for _, c := range []struct {
		event   time.Time
		speedup float64
		after   time.Duration
		want    time.Duration
	}{
		{event, 120, time.Hour, 30 * time.Second},
		{event, 2, time.Minute, 30 * time.Second},
		{wall, 1, time.Minute, time.Minute + simulator.MaxPhase},
		{wall, 100, time.Minute, time.Minute + simulator.MaxPhase}, // caught up with the wall clock: real time from here on
	} {
		if got := simulator.Due(wall, c.event, c.speedup, c.event.Add(c.after)).Sub(wall); got != c.want {
			t.Errorf("%+v: due after %v", c, got)
		}
	}
}

func TestReadAck(t *testing.T) {
	r := bufio.NewReader(strings.NewReader("\xd0\x00\x30\x82\x02\x00\x01t" + strings.Repeat("x", 255) + "\x40\x02\x12\x34"))
	if id, err := simulator.ReadAck(r); err != nil || id != 0x1234 {
		t.Errorf("id %x, %v", id, err)
	}
	for _, bad := range []string{"", "\x40", "\x40\x03\x00\x00\x00", "\x40\x02\x00", "\x30\xff\xff\xff\xff\x01", "\x30\x05a"} {
		if id, err := simulator.ReadAck(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q gives id %d", bad, id)
		}
	}
}

// FuzzReadAck: whatever a broker sends, the reader ends with an id it has sent or with an error.
func FuzzReadAck(f *testing.F) {
	f.Add([]byte("\xd0\x00\x40\x02\x00\x01"))
	f.Add([]byte("\x30\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := simulator.ReadAck(bufio.NewReader(bytes.NewReader(b)))
		if err == nil && !bytes.Contains(b, []byte{byte(id >> 8), byte(id)}) {
			t.Fatalf("id %x is not in %x", id, b)
		}
	})
}

// BenchmarkPublish is a message from the fleet to a PUBACK of a real broker in this process.
func BenchmarkPublish(b *testing.B) {
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(&gate{open: true}, nil); err != nil {
		b.Fatal(err)
	}
	tcp := listeners.NewTCP(listeners.Config{ID: "b", Address: "127.0.0.1:0"})
	if err := server.AddListener(tcp); err != nil {
		b.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	var acked int64
	for b.Loop() {
		stats, err := simulator.Publish(b.Context(), mustFleet(b, demo), simulator.PublishConfig{
			SenderConfig: simulator.SenderConfig{Broker: "tcp://" + tcp.Address()},
			Speedup:      1e6, For: 1200 * time.Microsecond,
		})
		if err != nil {
			b.Fatal(err)
		}
		acked += stats.Acked
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(acked), "ns/message")
}

package broker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

func TestStartRefusals(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		t.Run(addr, func(t *testing.T) {
			_, err := broker.Start(broker.Config{Addr: addr})
			if !errors.Is(err, broker.ErrExposed) || !strings.Contains(err.Error(), "allow anonymous") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("allowed", func(t *testing.T) {
		mustStart(t, broker.Config{Addr: "0.0.0.0:0", AllowAnonymous: true})
		mustStart(t, broker.Config{Addr: "0.0.0.0:0", Authenticate: func(string, []byte) bool { return false }})
	})
	t.Run("taken", func(t *testing.T) {
		b := mustStart(t, broker.Config{})
		if _, err := broker.Start(broker.Config{Addr: b.Addr()}); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		if _, err := broker.Start(broker.Config{Addr: "no port"}); err == nil {
			t.Error("no error")
		}
	})
}

// credentials is a CONNECT with user and password.
func credentials(version byte, user, password string) []byte {
	props := []byte{}
	if version == 5 {
		props = []byte{0}
	}
	return frame(tConnect<<4, text("MQTT"), []byte{version, 2 | 1<<6 | 1<<7, 0, 30}, props, text("id"), text(user), text(password))
}

func TestAuthentication(t *testing.T) {
	auth := func(user string, password []byte) bool { return user == "loco" && string(password) == "steam" }
	anonymous := connectFrame(session{id: "x", version: 4})
	for _, tc := range []struct {
		name   string
		open   bool
		frame  []byte
		reason byte
	}{
		{"right", false, credentials(4, "loco", "steam"), 0},
		{"wrong 3.1.1", false, credentials(4, "loco", "diesel"), 5},
		{"wrong 5", false, credentials(5, "loco", "diesel"), 0x86},
		{"anonymous refused", false, anonymous, 5},
		{"anonymous allowed", true, anonymous, 0},
		{"wrong is wrong although anonymous is allowed", true, credentials(4, "loco", "diesel"), 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := mustStart(t, broker.Config{Authenticate: auth, AllowAnonymous: tc.open})
			c := dial(t, b)
			c.write(tc.frame)
			if got := c.expect(tConnack).body[1]; got != tc.reason {
				t.Errorf("got 0x%02x, want 0x%02x", got, tc.reason)
			}
			if tc.reason != 0 {
				c.expectClosed()
			}
		})
	}
}

func TestSilentConnectionsAreClosed(t *testing.T) {
	b := mustStart(t, broker.Config{ConnectTimeout: 50 * time.Millisecond})
	c := dial(t, b)
	slow := dial(t, b)
	_, _ = slow.conn.Write(connectFrame(session{id: "a", version: 4})[:5]) // its time may be over already
	c.expectClosed()
	slow.expectClosed()
	eventually(t, "connections are gone", func() bool { st := b.Stats(); return st.Connections == 2 && st.Open == 0 })
}

func TestSilentConnectionsCount(t *testing.T) {
	b := mustStart(t, broker.Config{MaxConnections: 2})
	c := dial(t, b)
	slow := dial(t, b)
	slow.write(connectFrame(session{id: "a", version: 4})[:5])
	eventually(t, "both are served", func() bool { return b.Stats().Open == 2 })
	third := dial(t, b)
	third.expectClosed()
	c.conn.Close()
	slow.conn.Close()
	eventually(t, "connections are gone", func() bool { return b.Stats().Open == 0 })
	connected, _ := connect(t, b, session{id: "a"})
	connected.expectQuiet()
	if st := b.Stats(); st.ConnectionsRefused != 1 || st.Connected != 1 {
		t.Errorf("got %+v", st)
	}
}

func TestConnectTimeoutEndsWithConnack(t *testing.T) {
	b := mustStart(t, broker.Config{ConnectTimeout: 50 * time.Millisecond})
	var c *rawClient
	eventually(t, "a client connects in time", func() bool { // on a busy machine not the first one
		c = dial(t, b)
		_, _ = c.conn.Write(connectFrame(session{id: "a", version: 4}))
		p, err := c.read(patience)
		return err == nil && p.kind == tConnack
	})
	if p, err := c.read(150 * time.Millisecond); err == nil || errors.Is(err, net.ErrClosed) {
		t.Fatalf("got %+v, %v", p, err)
	}
	c.expectQuiet()
}

func TestOversizedFirstPacket(t *testing.T) {
	b := mustStart(t, broker.Config{})
	for _, header := range [][]byte{
		binary.AppendUvarint([]byte{tConnect << 4}, 200<<20),
		binary.AppendUvarint([]byte{tConnect << 4}, 200<<10),
		{tConnect << 4, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		c := dial(t, b)
		for i := range header { // byte by byte: the guard must not depend on how it arrives
			if _, err := c.conn.Write(header[i : i+1]); err != nil {
				break // closed already
			}
		}
		c.expectClosed()
	}
}

func TestTooManySessions(t *testing.T) {
	b := mustStart(t, broker.Config{MaxSessions: 2})
	for i := range 2 {
		c, _ := connect(t, b, session{id: fmt.Sprint(i), keep: true})
		c.vanish(b)
	}
	for version, reason := range map[byte]byte{4: 3, 5: 0x89} {
		c := dial(t, b)
		c.write(connectFrame(session{id: "new", version: version}))
		if got := c.expect(tConnack).body[1]; got != reason {
			t.Errorf("version %d: got 0x%02x, want 0x%02x", version, got, reason)
		}
	}
	if _, resumed := connect(t, b, session{id: "0", keep: true}); !resumed {
		t.Error("a known client is not resumed")
	}
}

func TestTakeOverWithAcksPending(t *testing.T) {
	b := mustStart(t, broker.Config{})
	old, _ := connect(t, b, session{id: "a", version: 5, keep: true})
	old.publish(0, 1, 1, topicA, "x")
	pending := mustReceive(t, b, 1)
	c, resumed := connect(t, b, session{id: "a", version: 5, keep: true})
	if !resumed {
		t.Error("session is not resumed")
	}
	if last := old.expectClosed(); last.kind != tDisconnect || last.body[0] != 0x8e {
		t.Errorf("got %+v, want DISCONNECT 0x8e", last)
	}
	acknowledge(b, broker.Accepted, pending...)
	eventually(t, "stale ack is dropped", func() bool { return b.Stats().AcksDropped == 1 })
	c.expectQuiet()
	c.publish(8, 1, 1, topicA, "x")
	acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
	c.expectAck(tPuback, 1, 0)
}

// Many connections fight for one client id: one is left, and it works.
func TestTakeOverRace(t *testing.T) {
	b := mustStart(t, broker.Config{})
	const n = 30
	for range n {
		c := dial(t, b)
		c.write(connectFrame(session{id: "same", version: 4}))
	}
	eventually(t, "one is left", func() bool {
		st := b.Stats()
		return st.Connections == n && st.Open == 1 && st.Connected == 1
	})
	c, _ := connect(t, b, session{id: "same"})
	c.subscribe("cidp/v1/status", 1)
	mustPublish(t, b, "cidp/v1/status", "online", true)
	c.expectMessage("cidp/v1/status", "online")
	if st := b.Stats(); st.Sessions != 1 {
		t.Errorf("got %+v", st)
	}
}

func TestFullQueueBlocksAndResumes(t *testing.T) {
	for name, cfg := range map[string]broker.Config{"messages": {Queue: 10}, "bytes": {QueueBytes: 3000}} {
		t.Run(name, func(t *testing.T) {
			const n = 300
			b := mustStart(t, cfg)
			c, _ := connect(t, b, session{id: "a"})
			other, _ := connect(t, b, session{id: "b"})
			for id := uint16(1); id <= n; id++ {
				c.publish(0, 1, id, topicA, reading)
			}
			other.publish(0, 1, 1, topicB, reading)
			eventually(t, "queue is full", func() bool { q := b.Stats().Queued; return q == 10 || (name == "bytes" && q > 5) })
			if st := b.Stats(); st.Queued > 10 || st.QueuedBytes > 4000 {
				t.Errorf("queue is beyond its bound: %+v", st)
			}
			got := mustReceive(t, b, n+1)
			acknowledge(b, broker.Accepted, got...)
			for id := uint16(1); id <= n; id++ {
				c.expectAck(tPuback, id, 0)
			}
			other.expectAck(tPuback, 1, 0)
		})
	}
}

func TestCloseWhileBlocked(t *testing.T) {
	b := mustStart(t, broker.Config{Queue: 2})
	c, _ := connect(t, b, session{id: "a", version: 5})
	for id := uint16(1); id <= 5; id++ {
		c.publish(0, 1, id, topicA, reading)
	}
	eventually(t, "queue is full", func() bool { return b.Stats().Queued == 2 })
	mustClose(t, b)
	if last := c.expectClosed(); last.kind != tDisconnect || last.body[0] != 0x8b {
		t.Errorf("got %+v, want DISCONNECT 0x8b and no ack", last)
	}
	if err := b.Publish("cidp/v1/status", nil, true); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("publish after close: %v", err)
	}
	b.Acknowledge(nil) // does not hang
}

// A drain takes no more, and lets what was taken be answered.
func TestDrain(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", version: 5})
	c.subscribe("cidp/v1/status", 1)
	c.publish(0, 1, 1, topicA, "taken")
	eventually(t, "message is queued", func() bool { return b.Stats().Queued == 1 })
	b.Drain()
	c.publish(0, 1, 2, topicA, "too late")
	if _, err := net.Dial("tcp", b.Addr()); err == nil {
		t.Error("port is still open")
	}
	got := mustReceive(t, b, 1)
	if _, err := b.Receive(context.Background(), nil, 0); !errors.Is(err, broker.ErrDrained) {
		t.Errorf("got %v, want ErrDrained", err)
	}
	acknowledge(b, broker.Accepted, got...)
	mustPublish(t, b, "cidp/v1/status", "offline", true)
	mustClose(t, b)
	answered := false
	for p := c.expect(c.peek()); p.kind != tDisconnect; p = c.expect(c.peek()) {
		answered = answered || p.kind == tPuback
		if p.kind == tPuback && p.id() != 1 {
			t.Errorf("message %d is acknowledged", p.id())
		}
	}
	if !answered {
		t.Error("taken message is not acknowledged")
	}
}

func TestCloseKeepsToItsDeadline(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	hang := func(string, []byte) bool {
		close(entered)
		<-release
		return true
	}
	b, err := broker.Start(broker.Config{Addr: "127.0.0.1:0", Authenticate: hang})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, b)
	c.write(credentials(4, "u", "p"))
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	close(release)
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	b := mustStart(t, broker.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Receive(ctx, nil, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWill(t *testing.T) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			b := mustStart(t, broker.Config{})
			viewer, _ := connect(t, b, session{id: "v"})
			viewer.subscribe("#", 1)
			c, _ := connect(t, b, session{id: "a", version: version, will: topicA, willRetain: true})
			c.conn.Close()
			m := mustReceive(t, b, 1)[0]
			if m.Topic != topicA || string(m.Payload) != "gone" || m.Client != "a" || m.QoS != 1 || !m.Retain || m.Received == 0 {
				t.Errorf("got %+v", m)
			}
			viewer.expectQuiet()
			acknowledge(b, broker.Accepted, m)
			viewer.expectMessage(topicA, "gone")

			polite, _ := connect(t, b, session{id: "b", version: version, will: topicA})
			polite.write([]byte{tDisconnect << 4, 0})
			polite.expectClosed()
			forger, _ := connect(t, b, session{id: "c", version: version, will: riskA})
			forger.conn.Close()
			eventually(t, "forged will is dropped", func() bool { return b.Stats().WillsDropped == 1 })
			taken, _ := connect(t, b, session{id: "d", version: version, will: topicB})
			connect(t, b, session{id: "d", version: version})
			if m := mustReceive(t, b, 1)[0]; m.Topic != topicB {
				t.Errorf("got %+v", m)
			}
			taken.expectClosed()
			eventually(t, "both wills are counted", func() bool { st := b.Stats(); return st.Wills == 2 && st.Queued == 0 })
		})
	}
}

func TestDelayedWill(t *testing.T) {
	t.Parallel()
	b := mustStart(t, broker.Config{})
	connectWill := func(id string, keep bool, delay uint32) *rawClient {
		t.Helper()
		c, _ := connect(t, b, session{id: id, version: 5, keep: keep, will: topicA, willDelay: delay})
		return c
	}
	// The session ends with the connection: at once.
	connectWill("a", false, 3600).vanish(b)
	mustReceive(t, b, 1)
	// Resumed in time: never.
	connectWill("b", true, 3600).vanish(b)
	back, _ := connect(t, b, session{id: "b", version: 5, keep: true})
	back.vanish(b)
	// Replaced by a clean session: then.
	connectWill("c", true, 3600).vanish(b)
	if q := b.Stats().Queued; q != 0 {
		t.Fatalf("%d wills too early", q)
	}
	fresh, _ := connect(t, b, session{id: "c", version: 5})
	if m := mustReceive(t, b, 1)[0]; m.Client != "c" {
		t.Errorf("got the will of %s", m.Client)
	}
	fresh.vanish(b)
	// After its delay.
	connectWill("d", true, 1).vanish(b)
	if m := mustReceive(t, b, 1)[0]; m.Client != "d" {
		t.Errorf("got the will of %s", m.Client)
	}
	// Closing the broker drops what is still delayed, and does not wait for it.
	connectWill("e", true, 3600).vanish(b)
	mustClose(t, b)
	if st := b.Stats(); st.Wills != 3 || st.WillsDropped != 1 {
		t.Errorf("got %+v", st)
	}
}

func TestSessionExpires(t *testing.T) {
	t.Parallel()
	b := mustStart(t, broker.Config{SessionExpiry: time.Second})
	c, _ := connect(t, b, session{id: "a", keep: true})
	c.subscribe("cidp/v1/#", 1)
	c.conn.Close()
	eventually(t, "session and subscription are gone", func() bool {
		st := b.Stats()
		return st.Sessions == 0 && st.Subscribed == 0
	})
	if _, resumed := connect(t, b, session{id: "a", keep: true}); resumed {
		t.Error("session is resumed")
	}
}

// Whatever goes wrong while a connection is served ends that connection only.
func TestPanicEndsOneConnection(t *testing.T) {
	auth := func(user string, _ []byte) bool {
		if user == "bad" {
			panic("authentication is broken")
		}
		return true
	}
	b, err := broker.Start(broker.Config{Addr: "127.0.0.1:0", Authenticate: auth})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, b)
	c.write(credentials(4, "bad", "x"))
	c.expectClosed()
	good := dial(t, b)
	good.write(credentials(4, "good", "x"))
	good.expect(tConnack)
	good.expectQuiet()
	eventually(t, "panic is counted", func() bool { st := b.Stats(); return st.Panics == 1 && st.Open == 1 })
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

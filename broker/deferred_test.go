package broker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// bothVersions runs a test for MQTT 3.1.1 and 5.
func bothVersions(t *testing.T, run func(t *testing.T, version byte)) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) { run(t, version) })
	}
}

// rst makes the client vanish without a word.
func (c *rawClient) rst() {
	c.tb.Helper()
	if err := c.conn.(*net.TCPConn).SetLinger(0); err != nil {
		c.tb.Fatal(err)
	}
	c.conn.Close()
}

// ledger is the test's disk for messages.
type ledger struct {
	mu        sync.Mutex
	committed map[string]bool // payloads
}

func (l *ledger) has(payload string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.committed[payload]
}

// commitSlowly takes messages in batches of any size, and acknowledges each some time after it was committed and the next one was taken.
func (l *ledger) commitSlowly(t *testing.T, b *broker.Broker) {
	r := rand.New(rand.NewPCG(1, 2))
	for {
		batch, err := b.Receive(context.Background(), nil, 1+r.IntN(60))
		if errors.Is(err, broker.ErrDrained) {
			return
		}
		if err != nil {
			t.Errorf("receive: %v", err)
			return
		}
		if r.IntN(4) == 0 {
			time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond) // a commit takes its time: nothing waits for this but the test
		}
		l.mu.Lock()
		for i := range batch {
			l.committed[string(batch[i].Payload)] = true
		}
		l.mu.Unlock()
		acknowledge(b, broker.Accepted, batch...)
	}
}

// Every answer comes after its commit, and on each connection in the order of its messages, whatever their QoS and however commits cut them up.
func TestAnswersFollowTheCommitInOrder(t *testing.T) {
	const clients, each = 20, 150
	b := mustStart(t, broker.Config{Queue: 200})
	l := &ledger{committed: map[string]bool{}}
	var line, all sync.WaitGroup
	line.Go(func() { l.commitSlowly(t, b) })
	for k := range clients {
		version := byte(4 + k%2)
		c, _ := connect(t, b, session{id: fmt.Sprint("c", k), version: version})
		payload := func(id uint16) string { return fmt.Sprint(k, "-", id) }
		qos := func(id uint16) byte { return 1 + byte(id*7%3/2) }
		all.Go(func() {
			for id := uint16(1); id <= each; id++ {
				if _, err := c.conn.Write(publishFrame(version, 0, qos(id), id, topicOf(k), 0, payload(id))); err != nil {
					t.Errorf("client %d: %v", k, err)
					return
				}
			}
		})
		all.Go(func() {
			for id := uint16(1); id <= each; id++ {
				kind := byte(tPuback)
				if qos(id) == 2 {
					kind = tPubrec
				}
				p, err := c.read(patience)
				if err != nil || p.kind != kind || p.id() != id || p.reason() != 0 {
					t.Errorf("client %d: got %+v, %v instead of the answer to %d", k, p, err, id)
					return
				}
				if !l.has(payload(id)) {
					t.Errorf("client %d: %d is answered before its commit", k, id)
				}
			}
		})
	}
	all.Wait()
	b.Drain()
	line.Wait()
}

// A message that comes again on its connection before it is answered gets one answer. A second one would be taken for that of the next message with
// the same packet id, which is not on disk yet.
func TestResentBeforeItsAnswer(t *testing.T) {
	bothVersions(t, func(t *testing.T, version byte) {
		b := mustStart(t, broker.Config{})
		c, _ := connect(t, b, session{id: "a", version: version})
		c.publish(0, 1, 5, topicA, "first")
		c.publish(8, 1, 5, topicA, "first")
		c.publish(0, 2, 6, topicA, "second")
		c.publish(8, 2, 6, topicA, "second")
		got := mustReceive(t, b, 2)
		c.expectQuiet()
		acknowledge(b, broker.Accepted, got...)
		c.expectAck(tPuback, 5, 0)
		c.expectAck(tPubrec, 6, 0)
		c.publish(0, 1, 5, topicA, "next")
		next := mustReceive(t, b, 1)
		if string(next[0].Payload) != "next" {
			t.Errorf("got %q", next[0].Payload)
		}
		c.expectQuiet()
		acknowledge(b, broker.Accepted, next...)
		c.expectAck(tPuback, 5, 0)
		if st := b.Stats(); st.Redelivered != 2 {
			t.Errorf("%d redelivered", st.Redelivered)
		}
	})
}

// A packet id is free when its answer is there, and not before.
func TestPacketIDReuse(t *testing.T) {
	bothVersions(t, func(t *testing.T, version byte) {
		b := mustStart(t, broker.Config{})
		c, _ := connect(t, b, session{id: "a", version: version})
		for i := range 50 {
			c.publish(0, 1, 1, topicA, fmt.Sprint(i))
			acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
			c.expectAck(tPuback, 1, 0)
		}
		for i := range 50 {
			c.publish(0, 2, 1, topicA, fmt.Sprint(i))
			acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
			c.expectAck(tPubrec, 1, 0)
			c.ack(tPubrel, 1)
			c.expectAck(tPubcomp, 1, 0)
		}
		for _, tc := range []struct {
			name          string
			first, second byte // QoS
			dup           byte
			answered      bool // PUBREC came
		}{
			{name: "QoS 1", first: 1, second: 1},
			{name: "QoS 2", first: 2, second: 2},
			{name: "QoS 2 after PUBREC", first: 2, second: 2, answered: true},
			{name: "another QoS", first: 1, second: 2},
			{name: "another QoS, said to be the same", first: 2, second: 1, dup: 8},
			{name: "another QoS after PUBREC", first: 2, second: 1, answered: true},
		} {
			t.Run(tc.name, func(t *testing.T) {
				before := b.Stats()
				c, _ := connect(t, b, session{id: "reuser", version: version})
				c.publish(0, tc.first, 9, topicA, "one")
				got := mustReceive(t, b, 1)
				if tc.answered {
					acknowledge(b, broker.Accepted, got...)
					c.expectAck(tPubrec, 9, 0)
				}
				c.publish(tc.dup, tc.second, 9, topicA, "another")
				last := c.expectClosed()
				if version == 5 && (last.kind != tDisconnect || last.body[0] != 0x82) {
					t.Errorf("got %+v, want DISCONNECT 0x82", last)
				}
				st := b.Stats()
				if st.Queued != 0 || st.Received != [3]int64{before.Received[0], before.Received[1] + int64(tc.first&1), before.Received[2] + int64(tc.first>>1)} {
					t.Errorf("the second message was taken: %+v", st)
				}
				eventually(t, "it is counted", func() bool { return b.Stats().ProtocolErrors == before.ProtocolErrors+1 })
			})
		}
	})
}

// After a reconnection, what is still under way is sent again, marked as such; the line gets it twice and each connection only its own answers.
func TestRedeliveryWhileTheFirstIsPending(t *testing.T) {
	bothVersions(t, func(t *testing.T, version byte) {
		const n = 10
		b := mustStart(t, broker.Config{})
		me := session{id: "a", version: version, keep: true}
		c, _ := connect(t, b, me)
		for id := uint16(1); id <= n; id++ {
			c.publish(0, 1+byte(id%2), id, topicA, fmt.Sprint(id))
		}
		first := mustReceive(t, b, n)
		c.rst()
		c, _ = connect(t, b, me)
		for id := uint16(1); id <= n; id++ {
			c.publish(8, 1+byte(id%2), id, topicA, fmt.Sprint(id))
		}
		second := mustReceive(t, b, n)
		for i := range n {
			if string(first[i].Payload) != string(second[i].Payload) {
				t.Errorf("message %d: %q, then %q", i, first[i].Payload, second[i].Payload)
			}
		}
		acknowledge(b, broker.Accepted, first...)
		eventually(t, "stale answers are dropped", func() bool { return b.Stats().AcksDropped == n })
		c.expectQuiet()
		acknowledge(b, broker.Accepted, second...)
		for id := uint16(1); id <= n; id++ {
			if id%2 == 1 {
				c.expectAck(tPubrec, id, 0)
			} else {
				c.expectAck(tPuback, id, 0)
			}
		}
		c.expectQuiet()
	})
}

// Taken over while answers are pending: what was taken is committed all the same, nothing of it is answered on the new connection, and what comes again
// there gets its own answer, once.
func TestTakeOverWithManyPending(t *testing.T) {
	bothVersions(t, func(t *testing.T, version byte) {
		const n = 200
		b := mustStart(t, broker.Config{ReceiveMaximum: n})
		me := session{id: "a", version: version, keep: true}
		old, _ := connect(t, b, me)
		for id := uint16(1); id <= n; id++ {
			old.publish(0, 1+byte(id%2), id, topicA, fmt.Sprint(id))
		}
		eventually(t, "all are queued", func() bool { return b.Stats().Queued == n })
		taken := mustReceive(t, b, n/2) // the rest stays in the queue
		c, resumed := connect(t, b, me)
		if !resumed {
			t.Error("session is not resumed")
		}
		old.expectClosed()
		for id := uint16(1); id <= n; id++ {
			c.publish(8, 1+byte(id%2), id, topicA, fmt.Sprint(id))
		}
		taken = append(taken, mustReceive(t, b, n/2)...)
		again := mustReceive(t, b, n)
		acknowledge(b, broker.Accepted, taken...)
		eventually(t, "stale answers are dropped", func() bool { return b.Stats().AcksDropped == n })
		c.expectQuiet()
		acknowledge(b, broker.Accepted, again...)
		for id := uint16(1); id <= n; id++ {
			kind := byte(tPuback)
			if id%2 == 1 {
				kind = tPubrec
			}
			c.expectAck(kind, id, 0)
		}
		c.expectQuiet()
		eventually(t, "the answers are counted", func() bool { return b.Stats().AcksWritten == n })
		if st := b.Stats(); st.TakenOver != 1 {
			t.Errorf("got %+v", st)
		}
	})
}

// A client that vanishes with a thousand messages under way costs nothing but their commit.
func TestVanishedWithManyPending(t *testing.T) {
	const n = 1000
	b := mustStart(t, broker.Config{})
	me := session{id: "a", version: 5, keep: true}
	c, _ := connect(t, b, me)
	for id := uint16(1); id <= n; id++ {
		c.publish(0, 1, id, topicA, fmt.Sprint(id))
	}
	pending := mustReceive(t, b, n)
	c.rst()
	eventually(t, "client is gone", func() bool { return b.Stats().Open == 0 })
	acknowledge(b, broker.Accepted, pending...)
	eventually(t, "answers are dropped", func() bool { return b.Stats().AcksDropped == n })
	c, _ = connect(t, b, me)
	for id := uint16(1); id <= n; id++ {
		c.publish(8, 1, id, topicA, fmt.Sprint(id))
	}
	acknowledge(b, broker.Accepted, mustReceive(t, b, n)...)
	for id := uint16(1); id <= n; id++ {
		c.expectAck(tPuback, id, 0)
	}
	if st := b.Stats(); st.ProtocolErrors != 0 || st.SlowClosed != 0 {
		t.Errorf("got %+v", st)
	}
}

// A clean start forgets what the old session was in the middle of, in both directions; what was taken is committed.
func TestCleanStartDiscards(t *testing.T) {
	bothVersions(t, func(t *testing.T, version byte) {
		b := mustStart(t, broker.Config{})
		c, _ := connect(t, b, session{id: "a", version: version, keep: true})
		c.subscribe("cidp/v1/events/#", 1)
		mustPublish(t, b, eventA, "not acknowledged", false)
		c.expect(tPublish)
		c.publish(0, 2, 1, topicA, "released")
		acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
		c.expectAck(tPubrec, 1, 0)
		c.publish(0, 2, 2, topicA, "pending")
		pending := mustReceive(t, b, 1)
		c.rst()
		eventually(t, "client is gone", func() bool { return b.Stats().Open == 0 })

		c, resumed := connect(t, b, session{id: "a", version: version})
		if resumed {
			t.Error("a clean session is resumed")
		}
		c.expectQuiet()
		c.publish(0, 2, 1, topicA, "a new one")
		c.publish(8, 2, 2, topicA, "pending") // a client may do so: it has forgotten nothing
		fresh := mustReceive(t, b, 2)
		acknowledge(b, broker.Accepted, pending...)
		eventually(t, "stale answer is dropped", func() bool { return b.Stats().AcksDropped == 1 })
		c.expectQuiet()
		acknowledge(b, broker.Accepted, fresh...)
		c.expectAck(tPubrec, 1, 0)
		c.expectAck(tPubrec, 2, 0)
		mustPublish(t, b, eventA, "nobody's", false)
		c.expectQuiet()
		eventually(t, "nothing is held for the old session", func() bool { return b.Stats().Held <= 2*64 })
	})
}

// A client that forgot its session, but is remembered, begins with packet ids that were open: its messages are new ones, not repetitions.
func TestForgetfulClientIsHeard(t *testing.T) {
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", keep: true})
	c.publish(0, 2, 1, topicA, "before")
	acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
	c.expectAck(tPubrec, 1, 0)
	c.rst()
	c, _ = connect(t, b, session{id: "a", keep: true})
	c.publish(0, 2, 1, topicA, "after")
	got := mustReceive(t, b, 1)
	if string(got[0].Payload) != "after" {
		t.Errorf("got %q", got[0].Payload)
	}
	acknowledge(b, broker.Accepted, got...)
	c.expectAck(tPubrec, 1, 0)
}

// A publisher that the full queue holds back for longer than its keepalive is not cut when the queue moves again: it was not the one that was silent.
func TestKeepaliveOfAPublisherHeldBack(t *testing.T) {
	t.Parallel()
	bothVersions(t, func(t *testing.T, version byte) {
		t.Parallel()
		b := mustStart(t, broker.Config{Queue: 1})
		c := dial(t, b)
		c.version = version
		props := []byte{}
		if version == 5 {
			props = []byte{0}
		}
		c.write(frame(tConnect<<4, text("MQTT"), []byte{version, 2, 0, 2}, props, text("a"))) // 2 s: cut after 3
		c.expect(tConnack)
		for id := uint16(1); id <= 5; id++ {
			c.publish(0, 1, id, topicA, "x")
		}
		c.write([]byte{tPingreq << 4, 0})
		eventually(t, "the publisher is held back", func() bool { return b.Stats().Queued == 1 })
		time.Sleep(4 * time.Second) // longer than its keepalive: what is tested is that this time does not count
		got := mustReceive(t, b, 5)
		c.expect(tPingresp)
		acknowledge(b, broker.Accepted, got...)
		for id := uint16(1); id <= 5; id++ {
			c.expectAck(tPuback, id, 0)
		}
		c.publish(0, 1, 6, topicA, "x")
		acknowledge(b, broker.Accepted, mustReceive(t, b, 1)...)
		c.expectAck(tPuback, 6, 0)
	})
}

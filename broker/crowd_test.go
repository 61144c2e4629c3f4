//go:build unix

package broker_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// needFiles sees that this process may have n files open: both ends of every connection are here.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if old.Cur >= n {
		return
	}
	more := syscall.Rlimit{Cur: n, Max: max(n, old.Max)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more); err != nil {
		t.Skipf("needs %d open files and may have %d: %v", n, old.Cur, err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Errorf("restore the limit of open files: %v", err)
		}
	})
}

// Idle connections cost memory, a bounded amount each, and nothing else.
func TestIdleCrowd(t *testing.T) { idleCrowd(t, 2000, 500*time.Millisecond) }

// TestLongIdleCrowd is the same with ten thousand.
func TestLongIdleCrowd(t *testing.T) {
	if os.Getenv("CIDP_LONG") != "1" {
		t.Skip("opens ten thousand connections: CIDP_LONG=1 runs it")
	}
	idleCrowd(t, 10_000, 5*time.Second)
}

func idleCrowd(t *testing.T, many int, long time.Duration) {
	const most = 48 << 10
	needFiles(t, uint64(many+1000))
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	measure := func(when string) {
		t.Helper()
		p := startPulse(t, b, 4, 100, 0)
		begin := time.Now()
		time.Sleep(long) // the load needs its time
		p.mustMove(when)
		p.end()
		t.Logf("%s: %.0f messages/s acknowledged, longest burst of 100: %v", when,
			float64(p.acked.Load())/time.Since(begin).Seconds(), time.Duration(p.worst.Load()))
	}
	measure("before the crowd")
	before := memory()
	begin := time.Now()
	startIdleClients(t, b, many)
	perConn := (memory() - before) / int64(many)
	t.Logf("%d idle connections in %v: %d bytes of heap and stacks each", many, time.Since(begin), perConn)
	if perConn > most {
		t.Errorf("an idle connection costs %d bytes, more than %d", perConn, most)
	}
	measure("beside the crowd")
	if st := b.Stats(); st.Connected < int64(many) || st.ConnectionsRefused != 0 || st.SlowClosed != 0 {
		t.Errorf("got %+v", st)
	}
}

// idleClients says to a child process what to connect to, and how often.
const idleClients = "CIDP_TEST_IDLE_CLIENTS"

// startIdleClients opens connections from a process of their own: so they need no files here, and none of our memory. They stay until the test ends.
func startIdleClients(t *testing.T, b *broker.Broker, many int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestIdleClients$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", idleClients, b.Addr(), many))
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // it ends when it reads the end
		_, _ = io.Copy(io.Discard, stdout)
		if err := child.Wait(); err != nil {
			t.Errorf("idle clients: %v", err)
		}
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "connected\n" {
		t.Fatalf("idle clients: %q, %v", line, err)
	}
}

// TestIdleClients is no test but the child process of startIdleClients.
func TestIdleClients(t *testing.T) {
	var addr string
	var many int
	if _, err := fmt.Sscan(os.Getenv(idleClients), &addr, &many); err != nil {
		t.Skip("is run by TestIdleCrowd")
	}
	needFiles(t, uint64(many+100))
	for i := range many {
		conn := dialIdle(t, addr, fmt.Sprint("idle", i))
		t.Cleanup(func() { conn.Close() })
	}
	fmt.Println("connected")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test that started us ends
}

// member is one of a crowd of clients with lasting sessions, each with a topic of its own. Its methods may run on any goroutine.
type member struct {
	id      string
	topic   string
	version byte
	c       *rawClient
}

// join connects, keeps the session and says whether it was resumed.
func (m *member) join(b *broker.Broker) (resumed bool, err error) {
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		return false, err
	}
	c := newRawClient(conn, m.version)
	if _, err := conn.Write(connectFrame(session{id: m.id, version: m.version, keep: true})); err != nil {
		return false, err
	}
	ack, err := c.read(3 * patience)
	if err != nil {
		return false, err
	}
	if ack.kind != tConnack || ack.body[1] != 0 {
		return false, fmt.Errorf("got packet type %d %x, want CONNACK", ack.kind, ack.body)
	}
	m.c = c
	return ack.body[0]&1 == 1, nil
}

// subscribe subscribes to the member's own topic.
func (m *member) subscribe() error {
	if _, err := m.c.conn.Write(subscribeFrame(m.version, 1, m.topic, 1, 0)); err != nil {
		return err
	}
	ack, err := m.c.read(3 * patience)
	if err == nil && (ack.kind != tSuback || ack.body[len(ack.body)-1] != 1) {
		err = fmt.Errorf("got packet type %d %x, want SUBACK", ack.kind, ack.body)
	}
	return err
}

// take waits for messages with these payloads and nothing else, and acknowledges them.
func (m *member) take(payloads ...string) error {
	for _, want := range payloads {
		p, err := m.c.read(3 * patience)
		if err != nil {
			return err
		}
		if p.kind != tPublish {
			return fmt.Errorf("got packet type %d %x, want %q", p.kind, p.body, want)
		}
		topic, id, payload := p.delivered(m.version)
		if topic != m.topic || string(payload) != want {
			return fmt.Errorf("got %s %q, want %q", topic, payload, want)
		}
		if _, err := m.c.conn.Write([]byte{tPuback << 4, 2, byte(id >> 8), byte(id)}); err != nil {
			return err
		}
	}
	if _, err := m.c.conn.Write([]byte{tPingreq << 4, 0}); err != nil {
		return err
	}
	p, err := m.c.read(3 * patience)
	if err == nil && p.kind != tPingresp {
		err = fmt.Errorf("got packet type %d %x after the last message", p.kind, p.body)
	}
	return err
}

// crowd is many members.
type crowd []*member

func newCrowd(t *testing.T, n int) crowd {
	all := make(crowd, n)
	for i := range all {
		all[i] = &member{id: fmt.Sprint("member", i), topic: fmt.Sprintf("cidp/v1/events/a/b/s%d", i), version: 4 + byte(i%2)}
	}
	t.Cleanup(func() {
		for _, m := range all {
			if m.c != nil {
				m.c.conn.Close()
			}
		}
	})
	return all
}

// each does something for all members at once.
func (all crowd) each(t *testing.T, what string, do func(m *member) error) {
	t.Helper()
	var failed atomic.Int64
	var wg sync.WaitGroup
	for _, m := range all {
		wg.Go(func() {
			if err := do(m); err != nil && failed.Add(1) <= 5 {
				t.Errorf("%s: %s: %v", what, m.id, err)
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Fatalf("%s: %d of %d clients failed", what, n, len(all))
	}
}

// tell publishes one output for every member.
func (all crowd) tell(t *testing.T, b *broker.Broker, payload string) {
	t.Helper()
	for _, m := range all {
		mustPublish(t, b, m.topic, payload, false)
	}
}

// Two thousand clients come back at once, half of them while their earlier connection is still open: nobody is refused, no session is lost or
// doubled, nothing owed is lost or comes twice on a connection, and publishers go on.
func TestReconnectStorm(t *testing.T) {
	const many = 2000
	needFiles(t, 5*many)
	b := mustStart(t, broker.Config{})
	acceptAll(t, b)
	all := newCrowd(t, many)
	all.each(t, "first connection", func(m *member) error {
		if resumed, err := m.join(b); err != nil || resumed {
			return fmt.Errorf("resumed %v: %w", resumed, err)
		}
		return m.subscribe()
	})
	for i, m := range all {
		old := m.c.conn
		t.Cleanup(func() { old.Close() })
		if i%4 < 2 { // those that stay are taken over
			old.Close()
		}
	}
	eventually(t, "half of them are away", func() bool { return b.Stats().Connected == many/2 })
	all.tell(t, b, "1")

	p := startPulse(t, b, 2, 20, 0)
	before, begin := p.acked.Load(), time.Now()
	all.each(t, "reconnection", func(m *member) error {
		resumed, err := m.join(b)
		if err == nil && !resumed {
			err = errors.New("session is lost")
		}
		return err
	})
	t.Logf("%d clients are back after %v; meanwhile %d messages acknowledged, longest burst of 20: %v",
		many, time.Since(begin), p.acked.Load()-before, time.Duration(p.worst.Load()))
	p.mustMove("after the storm")
	p.end()
	all.each(t, "what was owed", func(m *member) error { return m.take("1") })
	all.tell(t, b, "2")
	all.each(t, "what comes now", func(m *member) error { return m.take("2") })
	eventually(t, "each has one connection", func() bool {
		st := b.Stats()
		return st.Open == many+2 && st.Connected == many+2 && st.Sessions == many+2
	})
	if st := b.Stats(); st.TakenOver != many/2 || st.Subscribed != many || st.DeliveriesDropped != 0 || st.ConnectionsRefused != 0 {
		t.Errorf("got %+v", st)
	}
}

// Subscribers that read nothing, at QoS 0 and 1, with and without a lasting session, while outputs and telemetry flow: publishers go on, what is held for
// the stalled is bounded, and they are cut off and counted.
func TestStalledSubscribers(t *testing.T) {
	const stalled, held = 20, 16 << 20
	b := mustStart(t, broker.Config{HeldBytes: held})
	acceptAll(t, b)
	for i := range stalled {
		c, _ := connect(t, b, session{id: fmt.Sprint("s", i), version: 4 + byte(i/2%2), keep: i%4 < 2})
		if err := c.conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		c.subscribe("cidp/#", byte(i%2))
	}
	p := startPulse(t, b, 2, 20, 0)
	payload := strings.Repeat("x", 20_000)
	before, most, mostHeld := heap(), int64(0), int64(0)
	for i := range 1500 { // 30 MB for each of them
		mustPublish(t, b, fmt.Sprintf("cidp/v1/events/a/b/s%d", i%50), payload, i%3 == 0)
		if i%100 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			mostHeld = max(mostHeld, b.Stats().Held)
			most = max(most, int64(m.HeapInuse)-before)
		}
	}
	p.mustMove("beside stalled subscribers")
	st := b.Stats()
	t.Logf("at most %d MB held and %d MB of heap for %d stalled subscribers; %d deliveries dropped, %d connections closed; longest burst of 20: %v",
		mostHeld>>20, most>>20, stalled, st.DeliveriesDropped, st.SlowClosed, time.Duration(p.worst.Load()))
	if mostHeld > held+held/4 || most > 8*held {
		t.Errorf("%d bytes held, %d bytes of heap", mostHeld, most)
	}
	if st.DeliveriesDropped == 0 || st.SlowClosed == 0 {
		t.Errorf("got %+v", st)
	}
}

// A client that was away while more bytes of states came than its session holds finds the newest of every topic when it is back, none older after
// it, and the rest is counted. (By number of messages and of topics: TestNewestStatesAfterLongAbsence, TestMoreStatesThanASessionHolds.)
func TestAbsentSubscriberFindsTheNewestStates(t *testing.T) {
	const topics, rounds, size = 1000, 12, 1000
	b := mustStart(t, broker.Config{})
	c, _ := connect(t, b, session{id: "a", version: 5, keep: true})
	c.subscribe("cidp/v1/risk/#", 1)
	c.conn.Close()
	eventually(t, "client is gone", func() bool { return b.Stats().Connected == 0 })
	before := heap()
	for round := range rounds {
		for i := range topics {
			mustPublish(t, b, fmt.Sprintf("cidp/v1/risk/a/b/s%d", i), fmt.Sprintf("%*d", size, round), true)
		}
	}
	dropped, grown := b.Stats().DeliveriesDropped, heap()-before
	if dropped < (rounds-5)*topics || grown > 12<<20 { // 4 MiB in the session, and what is retained
		t.Errorf("%d dropped, %d bytes kept", dropped, grown)
	}
	back, resumed := connect(t, b, session{id: "a", version: 5, keep: true})
	if !resumed {
		t.Fatal("session is not resumed")
	}
	newest, got, last := map[string]string{}, 0, fmt.Sprintf("%*d", size, rounds-1)
	for missing := topics; missing > 0; got++ {
		topic, id, payload := back.expect(tPublish).delivered(5)
		if string(payload) == last && newest[topic] != last {
			missing--
		} else if string(payload) != last && newest[topic] == last {
			t.Fatalf("%s: %q comes after the newest", topic, payload)
		}
		newest[topic] = string(payload)
		back.ack(tPuback, id)
	}
	t.Logf("%d of %d messages, %d counted as dropped, %d kB of heap", got, topics*rounds, dropped, grown>>10)
}

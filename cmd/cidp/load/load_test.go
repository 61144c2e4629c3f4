package load_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/floor"
	"github.com/camrail/cidp/cmd/cidp/load"
)

// broker is a real one.
func broker(t *testing.T) *floor.Mochi {
	t.Helper()
	m, err := floor.StartMochi("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// counted waits until the broker has counted so many messages: it does after it has acknowledged.
func counted(m *floor.Mochi, n uint64) {
	for end := time.Now().Add(10 * time.Second); m.Count() < int64(n) && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
}

// until polls the load for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

// TestEverythingSentIsAcknowledged publishes to a real broker, flat out and paced, at each QoS.
func TestEverythingSentIsAcknowledged(t *testing.T) {
	for name, f := range map[string]func(*load.Plan){
		"flat out":        func(p *load.Plan) {},
		"arrays":          func(p *load.Plan) { p.Batch, p.Begin = 20, p.Begin-2400*time.Hour.Milliseconds() },
		"one at a time":   func(p *load.Plan) { p.Window = 1 },
		"QoS 2":           func(p *load.Plan) { p.QoS = 2 },
		"QoS 2, one":      func(p *load.Plan) { p.QoS, p.Window = 2, 1 },
		"abreast":         func(p *load.Plan) { p.Abreast = 10 },
		"paced":           func(p *load.Plan) { p.Rate = 2000 },
		"paced at QoS 2":  func(p *load.Plan) { p.Rate, p.QoS = 2000, 2 },
		"paced, gathered": func(p *load.Plan) { p.Rate, p.Gather = 2000, 50*time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := broker(t)
			p := plan()
			f(&p)
			l, err := load.Start(m.Addr(), p)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			time.Sleep(200 * time.Millisecond)
			until(t, "an acknowledgement", func() bool { return l.Acked() > 0 })
			if err := l.Finish(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			figures := l.Figures()
			counted(m, figures.Sent)
			if figures.Sent == 0 || figures.Acked != figures.Sent || figures.Latency.Count() != figures.Acked || m.Count() != int64(figures.Sent) {
				t.Errorf("sent %d, acknowledged %d, timed %d, the broker counted %d", figures.Sent, figures.Acked, figures.Latency.Count(), m.Count())
			}
			if l.Readings() != int64(figures.Sent)*int64(p.Batch) {
				t.Errorf("%d readings in %d messages", l.Readings(), figures.Sent)
			}
		})
	}
}

// TestAbreast: no connection is further ahead of the slowest than it may be.
func TestAbreast(t *testing.T) {
	m := broker(t)
	p := plan()
	p.Conns, p.Window, p.Abreast = 8, 50, 60
	l, err := load.Start(m.Addr(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	until(t, "each connection to have sent so much that one could be far ahead", func() bool {
		least, _ := l.Spread()
		return least >= 20*p.Abreast
	})
	if err := l.Finish(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if least, greatest := l.Spread(); greatest-least > p.Abreast {
		t.Errorf("connections sent %d to %d messages", least, greatest)
	}
}

func TestQoS0IsOnlySent(t *testing.T) {
	m := broker(t)
	p := plan()
	p.QoS, p.Rate = 0, 1000
	l, err := load.Start(m.Addr(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	until(t, "messages to be sent", func() bool { return l.Figures().Sent > 20 })
	if err := l.Finish(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	sent := l.Figures().Sent
	counted(m, sent)
	if sent == 0 || m.Count() != int64(sent) {
		t.Errorf("sent %d, the broker counted %d", sent, m.Count())
	}
}

// served runs what a server does with one connection after its CONNECT, and gives the address.
func served(t *testing.T, serve func(sock net.Conn, packets <-chan uint16) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		sock, err := l.Accept()
		if err != nil {
			return // the test is over
		}
		defer sock.Close()
		packets := make(chan uint16, 1<<20)
		go func() {
			defer close(packets)
			for {
				first, body, err := readPacket(sock)
				if err != nil {
					return // the generator has closed
				}
				switch first >> 4 {
				case 1:
					if _, err := sock.Write([]byte{0x20, 2, 0, 0}); err != nil {
						return
					}
				case 3:
					at := 2 + int(binary.BigEndian.Uint16(body))
					packets <- binary.BigEndian.Uint16(body[at:])
				}
			}
		}()
		if err := serve(sock, packets); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Logf("server: %v", err)
		}
	}()
	return l.Addr().String()
}

func readPacket(sock net.Conn) (first byte, body []byte, err error) {
	one := byteReader{sock}
	if first, err = one.ReadByte(); err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(one)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, size)
	_, err = io.ReadFull(sock, body)
	return first, body, err
}

type byteReader struct{ io.Reader }

func (r byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r, b[:])
	return b[0], err
}

func puback(id uint16) []byte { return []byte{0x40, 2, byte(id >> 8), byte(id)} }

// stalling starts a load of 1,000 messages a second, ten in flight, on a server that once stands still, before its fiftieth acknowledgement, as long as wait takes. stalled is closed when it does.
func stalling(t *testing.T, wait func()) (l *load.Load, stalled <-chan struct{}) {
	t.Helper()
	still := make(chan struct{})
	addr := served(t, func(sock net.Conn, packets <-chan uint16) error {
		n := 0
		for id := range packets {
			if n++; n == 50 {
				close(still)
				wait()
			}
			if _, err := sock.Write(puback(id)); err != nil {
				return err
			}
		}
		return nil
	})
	p := plan()
	p.Conns, p.Window, p.Rate = 1, 10, 1000
	l, err := load.Start(addr, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, still
}

// TestAStallCountsForAllThatWasDue: a server that stands still for 300 ms, with ten messages in flight, has kept 300 messages of a timetable of 1,000 a second waiting,
// not ten.
func TestAStallCountsForAllThatWasDue(t *testing.T) {
	l, _ := stalling(t, func() { time.Sleep(300 * time.Millisecond) })
	until(t, "the stall to be over", func() bool { return l.Acked() >= 500 })
	if err := l.Finish(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	f := l.Figures()
	if f.Latency.Max() < 290*time.Millisecond {
		t.Errorf("the longest is %s", f.Latency.Max())
	}
	// Of some 500 messages those due in the first 200 ms of the stall came 100 ms late and more.
	if q := f.Latency.Quantile(1 - 150/float64(f.Latency.Count())); q < 100*time.Millisecond {
		t.Errorf("of %d messages the 150 latest begin at %s", f.Latency.Count(), q)
	}
}

// TestAStallAtTheEndCounts: what a server that stands still when the load ends has kept waiting is in the figures too, also what could not even be sent.
func TestAStallAtTheEndCounts(t *testing.T) {
	goOn := make(chan struct{})
	l, stalled := stalling(t, func() { <-goOn })
	<-stalled
	time.Sleep(250 * time.Millisecond)
	during := l.Figures()
	l.Stop()
	time.AfterFunc(250*time.Millisecond, func() { close(goOn) })
	if err := l.Finish(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	f := l.Figures()
	if f.Latency.Max() < 490*time.Millisecond || f.Latency.Count()+during.Latency.Count() != f.Sent {
		t.Errorf("the longest is %s, %d + %d of %d are timed", f.Latency.Max(), during.Latency.Count(), f.Latency.Count(), f.Sent)
	}
	// Some 240 messages were due and not sent when the load ended, and would still have had to wait for the rest of the stall.
	if n := f.Unsent.Count(); n < 200 || n != f.Behind || f.Unsent.Quantile(0) < 200*time.Millisecond {
		t.Errorf("%d are not sent, %d behind, the latest due has waited %s", n, f.Behind, f.Unsent.Quantile(0))
	}
	if n := during.Unsent.Count(); n < 200 || during.Unsent.Max() < 200*time.Millisecond {
		t.Errorf("in the stall %d are not sent, the first has waited %s", n, during.Unsent.Max())
	}
}

// TestWrongAcknowledgementsEndTheConnection: what a server must not do is an error, not a figure.
func TestWrongAcknowledgementsEndTheConnection(t *testing.T) {
	for name, answer := range map[string]struct {
		qos  byte
		to   func(id uint16) []byte
		says string
	}{
		"another packet":        {1, func(id uint16) []byte { return puback(id + 1) }, "is the next in order"},
		"twice":                 {1, func(id uint16) []byte { return append(puback(id), puback(id)...) }, "is the next in order"},
		"another kind":          {1, func(id uint16) []byte { return []byte{0x50, 2, byte(id >> 8), byte(id)} }, "no acknowledgement"},
		"another length":        {1, func(id uint16) []byte { return []byte{0x40, 3, byte(id >> 8), byte(id)} }, "no acknowledgement"},
		"PUBACK of QoS 2":       {2, puback, "no acknowledgement"},
		"completed before time": {2, func(id uint16) []byte { return []byte{0x70, 2, byte(id >> 8), byte(id)} }, "was completed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := served(t, func(sock net.Conn, packets <-chan uint16) error {
				for id := range packets {
					if _, err := sock.Write(answer.to(id)); err != nil {
						return err
					}
				}
				return nil
			})
			p := plan()
			p.Conns, p.QoS, p.Window = 1, answer.qos, 1
			l, err := load.Start(addr, p)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			until(t, "a message to be sent", func() bool { return l.Acked() > 0 || l.Figures().Sent > 0 })
			time.Sleep(20 * time.Millisecond)
			if err := l.Finish(5 * time.Second); err == nil || !strings.Contains(err.Error(), answer.says) {
				t.Errorf("error %v, want one that says %q", err, answer.says)
			}
		})
	}
}

// TestEventTimeStopsAtThePresent: no reading may be of the future, or the platform would rightly refuse it.
func TestEventTimeStopsAtThePresent(t *testing.T) {
	m := broker(t)
	for span := 100 * time.Millisecond; ; span *= 2 { // nothing tells that a connection has ended but the end of the load
		p := plan()
		p.Begin, p.Period = time.Now().Add(-time.Minute).UnixMilli(), time.Minute // a few messages bring it there, however slow the machine is
		l, err := load.Start(m.Addr(), p)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(span)
		if err = l.Finish(10 * time.Second); err != nil && strings.Contains(err.Error(), "come to the present") {
			return
		}
		if err != nil || span > 10*time.Second {
			t.Fatalf("after %s: %v", span, err)
		}
	}
}

func TestSenderAndListener(t *testing.T) {
	m := broker(t)
	got := make(chan string, 10)
	l, err := load.Listen(m.Addr(), "listener", "a/#", func(topic string, payload []byte) { got <- topic + " " + string(payload) })
	if err != nil {
		t.Fatal(err)
	}
	s, err := load.NewSender(m.Addr(), "sender")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 40_000)
	for _, payload := range []string{"one", long, ""} {
		if err := s.Send("a/b", []byte(payload)); err != nil {
			t.Fatal(err)
		}
		select {
		case text := <-got:
			if text != "a/b "+payload {
				t.Errorf("got %.40s", text)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
		}
	}
	if err := s.Finish(10 * time.Second); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// A crash client publishes what a source hands out, as fast as the source lets it, and goes on after each crash: what was not acknowledged by its
// own log is sent again. It runs until the source is finished or ctx ends.
type crashClient func(ctx context.Context, t *testing.T, addr string, s *feedSource)

// crashPause is how long a client waits before it connects again.
const crashPause = 5 * time.Millisecond

// rawClient gives a pipelined MQTT 3.1.1 client over plain TCP with a session that lasts. A QoS 2 message counts as acknowledged with its PUBREC:
// from there on its sender must not send it again.
func rawClient(qos byte) crashClient {
	return func(ctx context.Context, t *testing.T, addr string, s *feedSource) {
		c := &rawSession{s: s, qos: qos, flight: map[uint16]*feedMessage{}, released: map[uint16]bool{}}
		for !s.finished() && ctx.Err() == nil {
			if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
				err = c.run(ctx, conn)
				_ = conn.Close() // it was cut, or all is done
				if errors.Is(err, errNotMQTT) {
					t.Errorf("%s: %v", s.client(), err)
					return
				}
			}
			pause(ctx, crashPause)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

var errNotMQTT = errors.New("the broker broke the protocol")

// rawSession is what lasts of a raw client beyond a connection. mu guards what follows it: the connection's reader shares it.
type rawSession struct {
	s    *feedSource
	qos  byte
	next uint16

	mu       sync.Mutex
	out      *bufio.Writer
	flight   map[uint16]*feedMessage // by packet id
	released map[uint16]bool         // QoS 2: PUBREC came, PUBCOMP did not
}

// run speaks over one connection until it is cut or everything is acknowledged.
func (c *rawSession) run(ctx context.Context, conn net.Conn) error {
	id := c.s.client()
	c.out = bufio.NewWriterSize(conn, 32<<10)
	hello := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 60, 0, byte(len(id))}, id...)
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 32<<10)
	var answer [4]byte
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.ReadFull(in, answer[:]); err != nil {
		return err
	}
	if answer[0] != 0x20 || answer[3] != 0 {
		return fmt.Errorf("%w: CONNECT was answered with % x", errNotMQTT, answer)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := make(chan error, 1)
	go func() {
		lost <- c.read(in)
		cancel()
	}()
	err := c.write(ctx)
	_ = conn.Close() // ends the reader
	return errors.Join(err, <-lost)
}

// write sends again what is owed, then whatever comes, and waits until all is acknowledged or the connection is lost.
func (c *rawSession) write(ctx context.Context) error {
	c.mu.Lock()
	for id := range c.released {
		c.packet(0x62, id)
	}
	for _, m := range c.s.pending() {
		c.publish(m, true)
	}
	err := c.out.Flush()
	c.mu.Unlock()
	for err == nil && ctx.Err() == nil {
		m := c.s.next(ctx, false)
		if m == nil {
			c.mu.Lock()
			err = c.out.Flush()
			c.mu.Unlock()
			if m = c.s.next(ctx, true); m == nil || err != nil {
				break
			}
		}
		c.mu.Lock()
		c.publish(m, false)
		c.mu.Unlock()
	}
	if err == nil {
		c.s.settled(ctx)
	}
	return err
}

// publish writes a PUBLISH; the caller holds mu. Errors stay with the writer until it is flushed.
func (c *rawSession) publish(m *feedMessage, again bool) {
	first := 0x30 | c.qos<<1
	if again && m.id != 0 {
		first |= 8
	}
	if m.id == 0 {
		for c.next++; c.next == 0 || c.flight[c.next] != nil || c.released[c.next]; c.next++ {
		}
		m.id = c.next
		c.flight[m.id] = m
	}
	topic := c.s.topic()
	head := binary.AppendUvarint([]byte{first}, uint64(4+len(topic)+len(m.payload)))
	head = append(binary.BigEndian.AppendUint16(head, uint16(len(topic))), topic...)
	head = binary.BigEndian.AppendUint16(head, m.id)
	_, _ = c.out.Write(head)
	_, _ = c.out.Write(m.payload)
}

func (c *rawSession) packet(kind byte, id uint16) {
	_, _ = c.out.Write([]byte{kind, 2, byte(id >> 8), byte(id)})
}

// read takes answers until the connection ends.
func (c *rawSession) read(in *bufio.Reader) error {
	for {
		var p [4]byte
		if _, err := io.ReadFull(in, p[:]); err != nil {
			return err
		}
		id := binary.BigEndian.Uint16(p[2:])
		c.mu.Lock()
		m := c.flight[id]
		var err error
		switch {
		case p[0] == 0x40 && p[1] == 2 && c.qos == 1 && m != nil, p[0] == 0x50 && p[1] == 2 && c.qos == 2 && m != nil:
			delete(c.flight, id)
		case p[0] == 0x70 && p[1] == 2 && c.released[id]:
			delete(c.released, id)
		default:
			err = fmt.Errorf("%w: % x came, and nothing is owed for it", errNotMQTT, p)
		}
		if p[0] == 0x50 && err == nil {
			c.released[id] = true
			c.packet(0x62, id)
			if in.Buffered() < len(p) {
				err = c.out.Flush()
			}
		}
		c.mu.Unlock()
		if m != nil && !errors.Is(err, errNotMQTT) {
			c.s.acknowledged(m) // also where the connection is lost before PUBREL is out
		}
		if err != nil {
			return err
		}
	}
}

// pahoClient gives Eclipse paho for MQTT 3.1.1, a new one for each connection: one that connects again by itself completes the tokens of what it
// sends again before the broker has answered (claimID in its messageids.go), so that its tokens are no log.
func pahoClient(qos byte) crashClient {
	return func(ctx context.Context, t *testing.T, addr string, s *feedSource) {
		for !s.finished() && ctx.Err() == nil {
			session, lost := context.WithCancel(ctx)
			c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(s.client()).SetAutoReconnect(false).
				SetWriteTimeout(time.Second).SetConnectionLostHandler(func(mqtt.Client, error) { lost() }))
			if token := c.Connect(); token.WaitTimeout(10*time.Second) && token.Error() == nil {
				pahoSession(session, lost, c, qos, s)
				c.Disconnect(0)
			}
			lost()
			pause(ctx, crashPause)
		}
	}
}

// pahoSession publishes over one connection until it is lost, which end tells, or the source is finished.
func pahoSession(ctx context.Context, end func(), c mqtt.Client, qos byte, s *feedSource) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for m := range s.messages(ctx) {
		token := c.Publish(s.topic(), qos, false, m.payload)
		waiting.Go(func() {
			select {
			case <-token.Done():
				if token.Error() != nil {
					end() // paho gave it up: the next client sends it
					return
				}
				s.acknowledged(m)
			case <-ctx.Done():
			}
		})
	}
}

// paho5Client gives Eclipse paho for MQTT 5, waiting for each answer before it sends the next message.
func paho5Client(qos byte) crashClient {
	return func(ctx context.Context, t *testing.T, addr string, s *feedSource) {
		for !s.finished() && ctx.Err() == nil {
			if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
				paho5Session(ctx, conn, qos, s)
				_ = conn.Close() // it was cut, or all is done
			}
			pause(ctx, crashPause)
		}
	}
}

// paho5Session publishes over one connection until it is cut or the source is finished.
func paho5Session(ctx context.Context, conn net.Conn, qos byte, s *feedSource) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := paho.NewClient(paho.ClientConfig{Conn: conn, ClientID: s.client(), OnClientError: func(error) { cancel() },
		OnServerDisconnect: func(*paho.Disconnect) { cancel() }})
	hello, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if _, err := c.Connect(hello, &paho.Connect{ClientID: s.client(), KeepAlive: 60, CleanStart: true}); err != nil {
		return
	}
	for m := range s.messages(ctx) {
		// A response with a reason of failure is one: the message was taken, and resending it would not mend it.
		if response, _ := c.Publish(ctx, &paho.Publish{Topic: s.topic(), QoS: qos, Payload: m.payload}); response == nil {
			return
		}
		s.acknowledged(m)
	}
}

// mosquittoClient gives Debian's mosquitto_pub, fed line by line; what it says it received is the log. With respawn it is killed together with the
// program, and the next one is given what was not acknowledged; without, it connects again by itself.
func mosquittoClient(t *testing.T, version string, qos int, crashes *crashBell, respawn bool) crashClient {
	pub := peer(t, "mosquitto_pub")
	stdbuf := peer(t, "stdbuf") // or its log would come in blocks
	return func(ctx context.Context, t *testing.T, addr string, s *feedSource) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Error(err)
			return
		}
		for !s.finished() && ctx.Err() == nil {
			one, cancel := context.WithCancel(ctx)
			if respawn {
				crashes.onNext(cancel)
			}
			cmd := exec.CommandContext(one, stdbuf, "-oL", pub, "-h", "127.0.0.1", "-p", port, "-i", s.client(), "-c", "-V", version,
				"-q", strconv.Itoa(qos), "-M", "500", "-t", s.topic(), "-l", "-d")
			if err := runMosquitto(one, cmd, s, cancel); err != nil {
				t.Errorf("%s: %v", s.client(), err)
			}
			cancel()
			pause(ctx, crashPause)
		}
	}
}

// runMosquitto feeds one process until it ends, which done asks it to.
func runMosquitto(ctx context.Context, cmd *exec.Cmd, s *feedSource, done func()) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	log, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); ctx.Err() != nil {
		return nil // the program was killed just then
	} else if err != nil {
		return err
	}
	var mu sync.Mutex
	flight := map[uint16]*feedMessage{}
	var fed sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fed.Go(func() {
		again, id := s.pending(), uint16(0)
		for {
			var m *feedMessage
			if len(again) > 0 {
				m, again = again[0], again[1:]
			} else if m = s.next(ctx, true); m == nil {
				s.settled(ctx)
				done()
				return
			}
			if id++; id == 0 {
				id = 1
			}
			mu.Lock()
			flight[id] = m // libmosquitto counts so
			mu.Unlock()
			if _, err := fmt.Fprintf(in, "%s\n", m.payload); err != nil {
				return
			}
		}
	})
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "Received DISCONNECT") {
			done() // MQTT 5, when the program is asked to end: this client does not come back from it
		}
		_, rest, ok := strings.Cut(lines.Text(), " received PUB")
		kind, rest, mid := strings.Cut(rest, " (Mid: ")
		if !ok || !mid || kind != "ACK" && kind != "REC" {
			continue
		}
		id, err := strconv.ParseUint(strings.TrimRight(strings.SplitN(rest, ",", 2)[0], ")"), 10, 16)
		if err != nil {
			return fmt.Errorf("read log line %q: %w", lines.Text(), err)
		}
		mu.Lock()
		m := flight[uint16(id)]
		delete(flight, uint16(id))
		mu.Unlock()
		if m != nil {
			s.acknowledged(m)
		}
	}
	cancel()
	fed.Wait()
	_ = in.Close()
	_ = cmd.Wait() // it was killed, or could not connect
	return nil
}

// crashBell tells those who asked that the program was killed, once each.
type crashBell struct {
	mu   sync.Mutex
	then []func()
}

func (b *crashBell) onNext(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.then = append(b.then, f)
}

func (b *crashBell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.then {
		f()
	}
	b.then = nil
}

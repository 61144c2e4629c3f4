package simulator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	keepAlive  = 30 * time.Second
	pingEvery  = 10 * time.Second
	silence    = 45 * time.Second // without a byte from the broker, pings included, the connection is lost
	handshake  = 10 * time.Second
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// link is one connection to the broker, made again when lost. Its goroutine (run) owns flight and next; err is set before done
// closes, and after that flight may be read.
type link struct {
	cfg    SenderConfig
	addr   string
	id     string // MQTT client id
	counts *counts
	in     chan Message
	done   chan struct{}
	err    error

	flight []pending // in sending order; packet ids rise by one, from 65535 to 1
	next   uint16    // packet id of the next message
}

// pending is a message that waits for its acknowledgement.
type pending struct {
	id    uint16
	acked bool // while an earlier one is not
	m     Message
}

// errGivenUp ends a link that is told to stop before everything is delivered.
var errGivenUp = errors.New("the time to wait for them is over")

// refusedError is a CONNACK that a new attempt would not mend.
type refusedError struct{ code byte }

func (e refusedError) Error() string {
	return fmt.Sprintf("broker refused the connection: %s (code %d)", packets.ConnackReturnCodes[e.code], e.code)
}

// connect opens a clean MQTT 3.1.1 session.
func (l *link) connect(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: handshake}
	conn, err := dialer.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	if err := l.greet(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (l *link) greet(ctx context.Context, conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(handshake)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	hello.ProtocolName, hello.ProtocolVersion = "MQTT", 4
	hello.CleanSession, hello.Keepalive, hello.ClientIdentifier = true, uint16(keepAlive.Seconds()), l.id
	if l.cfg.Username != "" {
		hello.UsernameFlag, hello.Username = true, l.cfg.Username
		hello.PasswordFlag, hello.Password = l.cfg.Password != "", []byte(l.cfg.Password)
	}
	if err := hello.Write(conn); err != nil {
		return fmt.Errorf("send connect: %w", err)
	}
	answer, err := packets.ReadPacket(conn)
	if err != nil {
		return fmt.Errorf("read connack: %w", err)
	}
	ack, ok := answer.(*packets.ConnackPacket)
	switch {
	case !ok:
		return fmt.Errorf("read connack: broker sent %T instead", answer)
	case ack.ReturnCode == packets.ErrRefusedServerUnavailable:
		return packets.ErrorRefusedServerUnavailable
	case ack.ReturnCode != packets.Accepted:
		return refusedError{ack.ReturnCode}
	}
	return conn.SetDeadline(time.Time{})
}

// run keeps a session going until the input is closed and all is acknowledged, ctx ends, or the broker refuses for good.
func (l *link) run(ctx context.Context, conn net.Conn) {
	defer close(l.done)
	log := l.cfg.Log.With().Str("client", l.id).Logger()
	for {
		err := l.session(ctx, conn)
		if err == nil {
			return
		}
		log.Warn().Err(err).Int("unacknowledged", len(l.flight)).Msg("broker connection lost, connecting again")
		if conn, err = l.again(ctx); err != nil {
			l.err = err
			return
		}
		l.counts.reconnects.Add(1)
	}
}

// again connects with pauses that double from 0.1 to 5 s.
func (l *link) again(ctx context.Context) (net.Conn, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		select {
		case <-ctx.Done():
			return nil, errGivenUp
		case <-time.After(pause):
		}
		conn, err := l.connect(ctx)
		var refused refusedError
		if err == nil || errors.As(err, &refused) {
			return conn, err
		}
	}
}

// session sends what is in flight again, then pumps messages one way and acknowledgements the other. nil means that the input
// is closed and everything is delivered.
func (l *link) session(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	acks := make(chan uint16, l.cfg.Window)
	lost := make(chan error, 1)
	gone := make(chan struct{})
	defer close(gone)
	go listen(conn, acks, lost, gone)

	w := &writer{Writer: bufio.NewWriterSize(conn, 64<<10)}
	for i := range l.flight {
		if err := w.publish(l.flight[i].m, l.flight[i].id, 1, true); err != nil {
			return err
		}
		l.counts.resent.Add(1)
	}
	if err := l.pump(w, acks, lost); err != nil {
		return err
	}
	return w.farewell(conn, lost)
}

func (l *link) pump(w *writer, acks <-chan uint16, lost <-chan error) error {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	open := true
	for open || len(l.flight) > 0 {
		in := l.in
		if !open || len(l.flight) >= l.cfg.Window {
			in = nil
		}
		if len(in) == 0 && len(acks) == 0 { // about to wait
			if err := w.Flush(); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
		select {
		case m, ok := <-in:
			if !ok {
				open = false
			} else if err := l.send(w, m); err != nil {
				return err
			}
		case id := <-acks:
			l.acknowledge(id)
		case err := <-lost:
			return err
		case <-ping.C:
			if err := packets.NewControlPacket(packets.Pingreq).Write(w); err != nil {
				return fmt.Errorf("send ping: %w", err)
			}
		}
	}
	return nil
}

// send writes one new message. With QoS 1 it is in flight from before it is written, so that no failure loses it.
func (l *link) send(w *writer, m Message) error {
	l.counts.sent.Add(1)
	l.counts.readings.Add(int64(m.Readings))
	if l.cfg.AtMostOnce {
		return w.publish(m, 0, 0, false)
	}
	id := l.next
	if l.next++; l.next == 0 {
		l.next = 1
	}
	l.flight = append(l.flight, pending{id: id, m: m})
	return w.publish(m, id, 1, false)
}

// acknowledge strikes a message off. Ids in flight follow each other, so its place is known; an unknown id is ignored.
func (l *link) acknowledge(id uint16) {
	if len(l.flight) == 0 || id == 0 {
		return
	}
	at := (int(id) - int(l.flight[0].id) + 65535) % 65535
	if at >= len(l.flight) || l.flight[at].acked {
		return
	}
	l.flight[at].acked = true
	l.counts.acked.Add(1)
	n := 0
	for n < len(l.flight) && l.flight[n].acked {
		l.flight[n] = pending{} // lets the payload go
		n++
	}
	l.flight = l.flight[n:]
}

// listen reads acknowledgements until the connection ends.
func listen(conn net.Conn, acks chan<- uint16, lost chan<- error, gone <-chan struct{}) {
	r := bufio.NewReader(patient{conn})
	for {
		id, err := readAck(r)
		if err != nil {
			lost <- fmt.Errorf("read broker: %w", err)
			return
		}
		select {
		case acks <- id:
		case <-gone:
			return
		}
	}
}

// readAck skips packets up to the next PUBACK and gives its packet id. The broker's bytes are bounded by nothing but their
// length field, so nothing of them is kept.
func readAck(r *bufio.Reader) (uint16, error) {
	for {
		first, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		length, err := readLength(r)
		if err != nil {
			return 0, err
		}
		if first>>4 == packets.Puback {
			var id [2]byte
			if length != len(id) {
				return 0, fmt.Errorf("puback has %d bytes, want 2", length)
			}
			if _, err := io.ReadFull(r, id[:]); err != nil {
				return 0, err
			}
			return uint16(id[0])<<8 | uint16(id[1]), nil
		}
		if _, err := r.Discard(length); err != nil {
			return 0, err
		}
	}
}

// readLength reads a remaining length of one to four bytes (MQTT 3.1.1, section 2.2.3).
func readLength(r *bufio.Reader) (int, error) {
	length := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			return length, nil
		}
	}
	return 0, errors.New("remaining length has more than four bytes")
}

// patient gives up reading after a time without a byte.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

// writer writes PUBLISH packets without an allocation each.
type writer struct {
	*bufio.Writer
	head []byte
}

func (w *writer) publish(m Message, id uint16, qos byte, dup bool) error {
	length := 2 + len(m.Topic) + len(m.Payload)
	first := packets.Publish<<4 | qos<<1
	if qos > 0 {
		length += 2
	}
	if dup {
		first |= 1 << 3
	}
	h := append(w.head[:0], first)
	for rest := length; ; { // MQTT 3.1.1, section 2.2.3
		b := byte(rest & 0x7f)
		if rest >>= 7; rest > 0 {
			b |= 0x80
		}
		h = append(h, b)
		if rest == 0 {
			break
		}
	}
	h = append(h, byte(len(m.Topic)>>8), byte(len(m.Topic)))
	h = append(h, m.Topic...)
	if qos > 0 {
		h = append(h, byte(id>>8), byte(id))
	}
	w.head = h
	if _, err := w.Write(h); err != nil {
		return fmt.Errorf("send publish: %w", err)
	}
	if _, err := w.Write(m.Payload); err != nil {
		return fmt.Errorf("send publish: %w", err)
	}
	return nil
}

// farewell disconnects and waits a moment for the broker to close its side: closing with unread bytes would reset the
// connection and could take QoS 0 messages with it.
func (w *writer) farewell(conn net.Conn, lost <-chan error) error {
	if err := packets.NewControlPacket(packets.Disconnect).Write(w); err != nil {
		return fmt.Errorf("send disconnect: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		select {
		case <-lost:
		case <-time.After(time.Second):
		}
	}
	return nil
}

package load

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Sender is one connection that sends what it is given, at QoS 1, and counts what is acknowledged. Send belongs to one goroutine.
type Sender struct {
	sock  net.Conn
	buf   []byte
	sent  uint64
	ended sync.WaitGroup

	mu    sync.Mutex
	acked uint64
	err   error
}

// NewSender connects.
func NewSender(addr, client string) (*Sender, error) {
	sock, _, err := Connect(addr, client, true, keepalive)
	if err != nil {
		return nil, err
	}
	s := &Sender{sock: sock}
	s.ended.Go(s.read)
	return s, nil
}

// Send writes one PUBLISH and does not wait.
func (s *Sender) Send(topic string, payload []byte) error {
	s.buf = append(s.buf[:0], 0x32)
	s.buf = binary.AppendUvarint(s.buf, uint64(2+len(topic)+2+len(payload))) // the encoding of MQTT's variable byte integer
	s.buf = binary.BigEndian.AppendUint16(s.buf, uint16(len(topic)))
	s.buf = append(s.buf, topic...)
	s.buf = binary.BigEndian.AppendUint16(s.buf, packetID(s.sent))
	s.buf = append(s.buf, payload...)
	s.sent++
	if _, err := s.sock.Write(s.buf); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// read counts acknowledgements until the connection ends.
func (s *Sender) read() {
	in := bufio.NewReader(s.sock)
	for {
		var ack [4]byte
		_, err := io.ReadFull(in, ack[:])
		s.mu.Lock()
		switch {
		case err != nil:
			s.err = fmt.Errorf("read: %w", err)
		case ack[0] != puback || ack[1] != 2 || binary.BigEndian.Uint16(ack[2:]) != packetID(s.acked):
			s.err = fmt.Errorf("read % x, not the next PUBACK", ack)
		default:
			s.acked++
		}
		err = s.err
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Finish waits until everything is acknowledged, and ends the connection.
func (s *Sender) Finish(patience time.Duration) error {
	defer s.Close()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		s.mu.Lock()
		acked, err := s.acked, s.err
		s.mu.Unlock()
		switch {
		case acked == s.sent:
			return nil
		case err != nil:
			return err
		case time.Now().After(end):
			return fmt.Errorf("%d messages are not acknowledged after %s", s.sent-acked, patience)
		}
	}
}

// Close ends the connection.
func (s *Sender) Close() {
	_ = s.sock.Close() // what was read does not change
	s.ended.Wait()
}

// Listener is one connection that is subscribed at QoS 1 and acknowledges what it gets.
type Listener struct {
	sock  net.Conn
	ended sync.WaitGroup
	err   error // why it ended; valid after Close
}

// Listen subscribes to one filter. got is called with each message in turn, as soon as it was read; its bytes are valid until got returns.
func Listen(addr, client, filter string, got func(topic string, payload []byte)) (*Listener, error) {
	sock, _, err := Connect(addr, client, true, 0)
	if err != nil {
		return nil, err
	}
	if err := Subscribe(sock, filter); err != nil {
		return nil, errors.Join(err, sock.Close())
	}
	l := &Listener{sock: sock}
	l.ended.Go(func() { l.err = l.read(got) })
	return l, nil
}

func (l *Listener) read(got func(topic string, payload []byte)) error {
	in := bufio.NewReaderSize(l.sock, chunk)
	var body []byte
	for {
		first, err := in.ReadByte()
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		size, err := binary.ReadUvarint(in)
		if err != nil || size > 1<<20 {
			return fmt.Errorf("read length %d: %w", size, errors.Join(err, errNotMQTT))
		}
		if uint64(cap(body)) < size {
			body = make([]byte, size)
		}
		body = body[:size]
		if _, err := io.ReadFull(in, body); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if first>>4 != 3 {
			continue // no PUBLISH: nothing that was asked for
		}
		id, err := deliver(first>>1&3, body, got)
		if err != nil {
			return err
		}
		if id == nil {
			continue
		}
		if _, err := l.sock.Write([]byte{puback, 2, id[0], id[1]}); err != nil {
			return fmt.Errorf("write PUBACK: %w", err)
		}
	}
}

var errNotMQTT = errors.New("that is no MQTT 3.1.1 packet")

// deliver takes a PUBLISH apart and gives the packet id that is to be acknowledged, nil for none.
func deliver(qos byte, body []byte, got func(topic string, payload []byte)) (id []byte, err error) {
	if len(body) < 2 {
		return nil, errNotMQTT
	}
	at := 2 + int(binary.BigEndian.Uint16(body))
	if qos > 0 {
		at += 2
	}
	if len(body) < at {
		return nil, errNotMQTT
	}
	topic := body[2:at]
	if qos > 0 {
		topic, id = body[2:at-2], body[at-2:at]
	}
	got(string(topic), body[at:])
	return id, nil
}

// Close ends the connection, and says why it had ended before, if it had.
func (l *Listener) Close() error {
	err := l.sock.Close()
	l.ended.Wait()
	if l.err != nil && !errors.Is(l.err, net.ErrClosed) {
		return l.err
	}
	return err
}

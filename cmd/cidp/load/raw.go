package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// patience is how long a server has to take a connection and to answer it.
const patience = 30 * time.Second

// Connect opens an MQTT 3.1.1 session on a bare socket, and says whether the server had one of this client already. keepalive is in seconds; 0: none.
func Connect(addr, client string, clean bool, keepalive uint16) (sock net.Conn, present bool, err error) {
	if sock, err = net.DialTimeout("tcp", addr, patience); err != nil {
		return nil, false, fmt.Errorf("dial: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, sock.Close())
		}
	}()
	flags := byte(0)
	if clean {
		flags = 2
	}
	p := []byte{0x10, byte(12 + len(client)), 0, 4, 'M', 'Q', 'T', 'T', 4, flags, byte(keepalive >> 8), byte(keepalive), 0, byte(len(client))}
	if err := sock.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, false, err
	}
	if _, err := sock.Write(append(p, client...)); err != nil {
		return sock, false, fmt.Errorf("write CONNECT: %w", err)
	}
	var ack [4]byte
	if _, err := io.ReadFull(sock, ack[:]); err != nil {
		return sock, false, fmt.Errorf("read CONNACK: %w", err)
	}
	if ack[0] != 0x20 || ack[3] != 0 {
		return sock, false, fmt.Errorf("CONNACK is % x", ack)
	}
	return sock, ack[2] == 1, sock.SetDeadline(time.Time{})
}

// Subscribe asks for one filter at QoS 1 and waits for the SUBACK.
func Subscribe(sock net.Conn, filter string) error {
	p := []byte{0x82, byte(5 + len(filter)), 0, 1, 0, byte(len(filter))}
	if _, err := sock.Write(append(append(p, filter...), 1)); err != nil {
		return fmt.Errorf("write SUBSCRIBE: %w", err)
	}
	var ack [5]byte
	if _, err := io.ReadFull(sock, ack[:]); err != nil {
		return fmt.Errorf("read SUBACK: %w", err)
	}
	if ack[0] != 0x90 || ack[4] != 1 {
		return fmt.Errorf("SUBACK is % x", ack)
	}
	return nil
}

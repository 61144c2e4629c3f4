//go:build unix

package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestRoomToReadIsLent: a connection has room while something of what it sent is left, and none while it waits.
func TestRoomToReadIsLent(t *testing.T) {
	inner, client := SocketPair(t)
	c := newConn(inner, &Broker{})
	try := func() (over bool) {
		t.Helper()
		if err := c.direct.raw.Control(func(fd uintptr) { over = c.tryRead(fd) }); err != nil {
			t.Fatal(err)
		}
		return over
	}
	sent := func(text string) {
		t.Helper()
		if _, err := client.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); !try(); { // it is on its way
			if time.Now().After(deadline) {
				t.Fatalf("%q does not come", text)
			}
		}
	}

	if try() || c.space != nil {
		t.Fatalf("nothing came, and it has room: %t", c.space != nil)
	}
	sent("half a pac")
	if string(c.unread) != "half a pac" || c.readErr != nil {
		t.Fatalf("read %q, %v", c.unread, c.readErr)
	}
	c.unread = c.unread[5:]
	if try() || string(c.unread) != "a pac" {
		t.Fatalf("what is left has become %q", c.unread)
	}
	if err := inner.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := c.readMore(); !errors.Is(err, os.ErrDeadlineExceeded) || string(c.unread) != "a pac" {
		t.Fatalf("after the deadline %v, and what is left is %q", err, c.unread)
	}
	if err := inner.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	sent("ket")
	if string(c.unread) != "a packet" || &c.unread[0] != &c.space[0] {
		t.Fatalf("what is left and what came are %q", c.unread)
	}
	c.unread = c.unread[8:]
	if try() || c.space != nil {
		t.Fatal("nothing is left, and it has room")
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.readMore(); !errors.Is(err, io.EOF) || c.space != nil {
		t.Fatalf("the end is %v, and it has room: %t", err, c.space != nil)
	}
}

// TestReadsWhatIsNoSocket in the standard way.
func TestReadsWhatIsNoSocket(t *testing.T) {
	client, inner := net.Pipe()
	c := newConn(inner, &Broker{})
	go func() {
		_, _ = client.Write([]byte("packet"))
		_ = client.Close()
	}()
	if err := c.readMore(); err != nil || string(c.unread) != "packet" {
		t.Fatalf("read %q, %v", c.unread, err)
	}
	c.unread = nil
	if err := c.readMore(); !errors.Is(err, io.EOF) || c.space != nil {
		t.Fatalf("the end is %v, and it has room: %t", err, c.space != nil)
	}
}

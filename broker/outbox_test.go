package broker_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// What is written at once and what is queued reach the peer in order, also when it reads nothing for a while, and when there is no bare socket.
func TestWriteAtOnceKeepsOrder(t *testing.T) {
	piped, pipe := net.Pipe()
	socket, peer := broker.SocketPair(t)
	for name, ends := range map[string][2]net.Conn{"socket": {socket, peer}, "pipe": {piped, pipe}} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			o := broker.NewOutbox(ends[0], patience)
			var want []byte
			got := make(chan []byte, 1)
			read := func() {
				p, err := io.ReadAll(ends[1])
				if err != nil {
					t.Error(err)
				}
				got <- p
			}
			for i := range 2000 {
				if i == 1000 { // megabytes wait by now
					go read()
				}
				p := make([]byte, 1+r.IntN(4000))
				for k := range p {
					p[k] = byte(r.Uint32())
				}
				want = append(want, p...)
				write := o.WriteAtOnce
				if r.IntN(4) == 0 {
					write = o.Write
				}
				if err := write(p); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "all is written", o.Idle)
			if err := o.WriteAtOnce([]byte("last")); err != nil {
				t.Fatal(err)
			}
			want = append(want, "last"...)
			o.Close()
			if err := o.WriteAtOnce([]byte("later")); err == nil {
				t.Error("a closed connection takes bytes")
			}
			if p := <-got; !bytes.Equal(p, want) || o.Sent() != int64(len(want)) {
				t.Errorf("got %d bytes, %d told; want %d, or others", len(p), o.Sent(), len(want))
			}
		})
	}
}

// A deadline that the writing goroutine left behind, and that has passed, is in nobody's way.
func TestWriteAtOnceAfterDeadline(t *testing.T) {
	ours, theirs := broker.SocketPair(t)
	o := broker.NewOutbox(ours, patience)
	if err := ours.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := o.WriteAtOnce([]byte("ack")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(theirs, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is written", o.Idle)
	}
}

// A peer that is gone is found out.
func TestWriteAtOnceToBrokenSocket(t *testing.T) {
	ours, theirs := broker.SocketPair(t)
	o := broker.NewOutbox(ours, patience)
	if err := theirs.SetLinger(0); err != nil { // reset
		t.Fatal(err)
	}
	theirs.Close()
	eventually(t, "the connection is given up", func() bool { return o.WriteAtOnce([]byte("ack")) != nil })
	eventually(t, "nothing is held", o.Idle)
}

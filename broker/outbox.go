package broker

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Bounds of one connection.
const (
	maxBacklog    = 16 << 20 // bytes waiting to be written, at which a connection is closed
	outputBacklog = 8 << 20  // beyond: a subscriber misses outputs at QoS 0
	resendBacklog = 4 << 20  // beyond: outputs at QoS 1 and 2 wait in the session
	viewerBacklog = 1 << 20  // beyond: a subscriber misses routed telemetry
	writeChunk    = 64 << 10 // bytes for which WriteTimeout is given
	keepBuffer    = 64 << 10 // largest buffer kept for the next write
	linger        = 2 * time.Second
)

// outbox collects what is to be written to a connection. Its Write never waits: a goroutine that lives as long as there are bytes writes them out, many
// packets at a time. So nobody who answers or publishes is ever held up by a slow client, and one write carries all that piled up during the
// last. A client that takes nothing for the timeout is closed.
type outbox struct {
	net.Conn
	timeout  time.Duration
	counters *counters
	held     *budget
	closed   chan struct{} // closed by Close
	gone     chan struct{} // closed when the socket is

	mu       sync.Mutex
	room     sync.Cond // on mu: the backlog shrank, or the connection closes
	buf      []byte    // to be written
	spare    []byte    // for the next buf
	backlog  int       // bytes of buf and of the write under way
	flushing bool      // the writing goroutine lives
	closing  bool      // nothing more is taken
	broken   bool      // nothing more is written
	direct   direct
}

// direct writes to a socket without waiting and without a goroutine. The outbox's lock guards it, but raw, which stays what it is.
type direct struct {
	raw     syscall.RawConn       // nil when the connection is no bare socket
	attempt func(fd uintptr) bool // made once, for raw to call
	p       []byte                // what it is to write
	n       int                   // what it wrote
}

func (d *direct) init(inner net.Conn) {
	socket, ok := inner.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return // it is closed: the writing goroutine will see that
	}
	d.raw = raw
	d.attempt = func(fd uintptr) bool {
		d.n = writeAtOnce(fd, d.p)
		return true // do not wait
	}
}

// write gives how much of p was written. Why not all of it, the writing goroutine finds out: the socket is full or broken, or its last deadline has passed.
func (d *direct) write(p []byte) int {
	if d.raw == nil {
		return 0
	}
	d.p, d.n = p, 0
	_ = d.raw.Write(d.attempt) // see above
	d.p = nil
	return d.n
}

func (o *outbox) init(inner net.Conn, timeout time.Duration, sh *shared) {
	o.Conn, o.timeout, o.counters, o.held = inner, timeout, &sh.counters, &sh.held
	o.closed, o.gone = make(chan struct{}), make(chan struct{})
	o.room.L = &o.mu
	o.direct.init(inner)
}

// Write queues p to be written. It fails only when the connection is closed or far too slow.
func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.admitLocked(len(p)); err != nil {
		return 0, err
	}
	o.queueLocked(p)
	return len(p), nil
}

// writeAtOnce is Write for what comes once a commit and in one piece: while nothing waits before it, the socket gets it here and now, as far as there is room.
// It spares a goroutine and a deadline for four bytes. Where many packets follow each other Write is better: they pile up and go together. It holds n acknowledgements,
// which are counted before the peer can have them.
func (o *outbox) writeAtOnce(p []byte, n int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.admitLocked(len(p)); err != nil {
		return err
	}
	o.counters.acksWritten.Add(int64(n))
	if !o.flushing { // then nothing waits
		written := o.direct.write(p)
		o.counters.bytesSent.Add(int64(written))
		if p = p[written:]; len(p) == 0 {
			return nil
		}
	}
	o.queueLocked(p)
	return nil
}

// admitLocked fails when n more bytes cannot be taken: the connection is closed, or far too slow.
func (o *outbox) admitLocked(n int) error {
	if o.closing || o.broken {
		return net.ErrClosed
	}
	if o.backlog+n > maxBacklog {
		o.counters.slowClosed.Add(1)
		o.breakLocked()
		return net.ErrClosed
	}
	return nil
}

// queueLocked takes p, which was admitted.
func (o *outbox) queueLocked(p []byte) {
	o.buf = append(o.buf, p...)
	o.startLocked(len(p))
}

// startLocked counts n new bytes and sees that they are written.
func (o *outbox) startLocked(n int) {
	o.backlog += n
	o.held.add(n)
	if !o.flushing {
		o.flushing = true
		go o.flush()
	}
}

// flush writes until nothing is left.
func (o *outbox) flush() {
	for {
		o.mu.Lock()
		if o.broken || len(o.buf) == 0 {
			o.flushing = false
			if o.broken || o.closing {
				o.shutLocked()
			}
			o.mu.Unlock()
			return
		}
		p := o.buf
		o.buf, o.spare = o.spare[:0], nil
		o.mu.Unlock()

		err := o.writeOut(p)

		o.mu.Lock()
		o.backlog -= len(p)
		o.held.add(-len(p))
		if cap(p) <= keepBuffer {
			o.spare = p[:0]
		}
		if err != nil {
			o.breakLocked()
		}
		o.room.Broadcast()
		o.mu.Unlock()
	}
}

// writeOut writes p in chunks, each with its own deadline.
func (o *outbox) writeOut(p []byte) error {
	for len(p) > 0 {
		chunk := p[:min(len(p), writeChunk)]
		if err := o.extend(); err != nil {
			return err
		}
		n, err := o.Conn.Write(chunk)
		o.counters.bytesSent.Add(int64(n))
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() && !o.isClosing() {
				o.counters.slowClosed.Add(1)
			}
			return err
		}
		p = p[n:]
	}
	return nil
}

// extend gives the next chunk its time. After Close the deadline stays as Close has set it.
func (o *outbox) extend() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing {
		return nil
	}
	return o.SetWriteDeadline(time.Now().Add(o.timeout))
}

func (o *outbox) isClosing() bool {
	select {
	case <-o.closed:
		return true
	default:
		return false
	}
}

// Close lets what was written go out for a moment, then closes the socket. It does not wait.
func (o *outbox) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closeLocked()
	return nil
}

func (o *outbox) closeLocked() {
	if o.closing {
		return
	}
	o.closing = true
	close(o.closed)
	now := time.Now()
	// Both fail only on a socket that is closed already.
	_ = o.SetWriteDeadline(now.Add(linger))
	_ = o.SetReadDeadline(now)
	if !o.flushing {
		o.shutLocked()
	}
	o.room.Broadcast()
}

// breakLocked gives the connection up: what is not written is lost.
func (o *outbox) breakLocked() {
	o.broken = true
	o.backlog -= len(o.buf)
	o.held.add(-len(o.buf))
	o.buf = nil
	o.closeLocked()
	o.shutLocked()
}

// cut closes the socket at once.
func (o *outbox) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.breakLocked()
}

func (o *outbox) shutLocked() {
	select {
	case <-o.gone:
	default:
		_ = o.Conn.Close() // nothing is left to be lost
		close(o.gone)
	}
}

// waiting gives the bytes not yet written.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.backlog
}

// waitRoom waits until at most limit bytes are waiting, and is false when the connection closes.
func (o *outbox) waitRoom(limit int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.backlog > limit && !o.closing {
		o.room.Wait()
	}
	return !o.closing
}

package broker

import (
	"bytes"
	"errors"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// listenerID names our listener to mochi, which knows no other.
const listenerID = "tcp"

// accept takes connections until the listener closes. An error of accept that passes (no file descriptor left) is waited out.
func (b *Broker) accept() {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		inner, err := b.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			b.cfg.Log.Warn().Err(err).Dur("pause", pause).Msg("accept connection")
			select {
			case <-time.After(pause):
			case <-b.stopped:
				return
			}
			pause = min(2*pause, longest)
			continue
		}
		pause = shortest
		b.admit(inner)
	}
}

// admit serves a connection unless there are too many. The deadline for CONNECT begins here and is replaced by the keepalive's.
func (b *Broker) admit(inner net.Conn) {
	c := newConn(inner, b)
	if !b.open.add(c, b.cfg.MaxConnections, &b.links) {
		b.counters.connectionsRefused.Add(1)
		c.cut()
		return
	}
	b.counters.connectionsTotal.Add(1)
	if err := c.SetReadDeadline(time.Now().Add(b.cfg.ConnectTimeout)); err != nil {
		b.cfg.Log.Debug().Err(err).Msg("set connect deadline")
	}
	go b.link(c)
}

// link serves one connection from its first byte to its last.
func (b *Broker) link(c *conn) {
	defer b.links.Done()
	err := b.establish(c)
	_ = c.Close() // it never fails
	if brokeProtocol(err) {
		b.breach(c, err)
	}
	b.cfg.Log.Debug().AnErr("cause", err).Str("client", c.clientID).Stringer("remote", c.RemoteAddr()).Msg("connection ended")

	last := b.leave(c)
	close(c.served)
	b.registry.release(c)
	if last != nil {
		b.publishWill(last)
	}
	<-c.gone
	c.end()
	b.open.remove(c)
}

// establish lets mochi serve the connection until it ends. A panic of a decoder fed with strange bytes ends that connection only. One is known: mochi's
// reads beyond an MQTT 5 SUBSCRIBE that ends after a filter.
func (b *Broker) establish(c *conn) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		stack := debug.Stack()
		if err = packets.ErrMalformedPacket; !bytes.Contains(stack, []byte("packets.(*Packet).SubscribeDecode(")) {
			b.counters.panics.Add(1)
			b.clientLog.Error().Interface("panic", p).Bytes("stack", stack).Msg("serve connection")
			err = errors.New("serve connection: panic")
		}
		b.forget(c)
	}()
	return b.server.EstablishConnection(listenerID, c)
}

// forget does what mochi does at the end of a connection, and leaves undone when it panics.
func (b *Broker) forget(c *conn) {
	cl, known := b.server.Clients.Get(c.clientID)
	if !known || cl.Net.Conn != net.Conn(c) {
		return // it was not connected yet
	}
	expire := cl.Properties.Clean
	if c.version == protocol5 {
		expire = cl.Properties.Props.SessionExpiryInterval == 0
	}
	(&hook{b: b}).OnDisconnect(cl, nil, expire)
	if expire {
		b.server.UnsubscribeClient(cl)
		b.server.Clients.Delete(cl.ID)
	}
}

// brokeProtocol says whether a connection ended because of what its client sent, oversized packets and names that are none included.
func brokeProtocol(err error) bool {
	var code packets.Code
	if !errors.As(err, &code) {
		return false
	}
	switch code.Code {
	case packets.ErrUnspecifiedError.Code, packets.ErrMalformedPacket.Code, packets.ErrProtocolViolation.Code, packets.ErrClientIdentifierNotValid.Code,
		packets.ErrUnsupportedProtocolVersion.Code, packets.ErrTopicAliasInvalid.Code, packets.ErrPacketTooLarge.Code:
		return true
	}
	return false
}

// breach counts and tells that a client broke the protocol: it will come back and do it again until somebody mends it.
func (b *Broker) breach(c *conn, cause error) {
	b.counters.protocolErrors.Add(1)
	b.clientLog.Warn().Err(cause).Str("client", c.clientID).Stringer("remote", c.RemoteAddr()).Msg("client broke the protocol: connection closed")
}

// leave detaches the connection from its session and gives the will that is due now. A delayed one is armed before the client can come back.
func (b *Broker) leave(c *conn) *will {
	if c.session == nil {
		return nil
	}
	if !c.connected.Load() { // CONNACK could not be written: mochi thinks that there is nothing to undo
		b.forget(c)
	}
	c.session.detach(c, b.cfg.Clock().UnixMilli())
	if c.connected.Load() {
		b.counters.connected.Add(-1)
	}
	w := c.will
	if w == nil {
		return nil
	}
	if c.goodbye {
		b.held.add(-w.cost)
		return nil
	}
	if w.delay == 0 || c.ended {
		return w
	}
	b.armWill(c.session, w)
	return nil
}

// openConns are the connections that are open, in whatever state.
type openConns struct {
	mu     sync.Mutex
	all    map[*conn]struct{}
	closed bool // no more are added
}

// add takes a connection in and counts it in links, unless there are most of them or the broker shuts.
func (o *openConns) add(c *conn, most int, links *sync.WaitGroup) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || len(o.all) >= most {
		return false
	}
	o.all[c] = struct{}{}
	links.Add(1)
	return true
}

func (o *openConns) remove(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, c)
}

func (o *openConns) shut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

func (o *openConns) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.all)
}

func (o *openConns) list() []*conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Keys(o.all))
}

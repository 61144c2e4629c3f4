// Package broker takes bytes in and gives bytes out over MQTT 3.1.1 and 5, and acknowledges only when told to.
//
// It promises: a PUBLISH on an input topic becomes a Message, in the order of its connection, and is answered (PUBACK, or PUBREC for QoS 2) only
// after Acknowledge, so that an acknowledgement can mean "on disk"; a full queue slows publishers down through TCP and loses nothing; an
// acknowledgement never reaches another connection than the one that sent the message; accepted messages reach ordinary live subscribers
// after that; what Publish was given reaches subscribers at QoS 1, and new ones too when retained.
//
// It refuses to look into payloads, to know sensors or SQL, to let anyone outside publish on the output topics, to wait for a
// slow subscriber, and to listen beyond loopback without authentication unless that is asked for. It writes to no disk: SessionChanges tells what of
// sessions must be kept over a restart, and Config.Restore gives it back, as Config.Standing does retained outputs.
//
// The mochi-mqtt server is embedded for CONNECT, SUBSCRIBE, PING, keepalive and the index of subscriptions. Every PUBLISH and every
// acknowledgement, in both directions, and all that is retained, is this package's own: DESIGN.md says why.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/rs/zerolog"
)

// Errors of the broker.
var (
	// ErrExposed says that the address is beyond loopback and nobody said who may connect.
	ErrExposed = errors.New("listening beyond loopback without authentication is refused: give users and passwords, or allow anonymous clients explicitly")
	// ErrDrained says that the broker takes no more messages and that all it took have been received.
	ErrDrained = errors.New("broker is drained")
	// ErrClosed says that the broker was closed.
	ErrClosed = errors.New("broker is closed")
)

// cutPatience is how long Close waits for connections that were cut to be left by their goroutines.
const cutPatience = time.Second

// Broker is a running MQTT broker. All methods may be called from any goroutine, but Receive and Acknowledge from one each.
//
// Goroutines: accept (one), answer (one: acknowledgements), route (one: accepted messages to subscribers, and the expiry of what is retained), relieve (one: sheds), two a connection (ours, which reads,
// and mochi's idle write loop), a short-lived writer for each connection with bytes to write (most answers need none), and mochi's housekeeping.
type Broker struct {
	cfg       Config
	clientLog zerolog.Logger // what clients do wrong, at most ten lines a second: clients may be many
	server    *mqtt.Server
	listener  net.Listener
	queue     *queue
	registry  *registry
	names     names
	shared    // changes of sessions, the budget, counters

	acks    chan ackBatch // from Acknowledge to answer
	routes  chan ackBatch // from answer to route
	rooms   rooms         // from route back to whoever acknowledges
	stopped chan struct{} // closed when answer and route must end

	workers sync.WaitGroup // accept, answer, route
	links   sync.WaitGroup // connections and wills under way

	open      openConns
	routing   routing // who gets what; has its own lock
	closeOnce sync.Once
	closeErr  error
	shedding  sync.Mutex // held while shed looks for the heaviest clients
}

// Start listens and serves until Close. An address beyond loopback without authentication gives ErrExposed; a taken port
// an error for which errors.Is(err, syscall.EADDRINUSE) holds.
func Start(cfg Config) (*Broker, error) {
	cfg.setDefaults()
	addr, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	listener, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
	}
	b := &Broker{
		cfg:       cfg,
		clientLog: cfg.Log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
		listener:  listener,
		queue:     newQueue(cfg.Queue, cfg.QueueBytes),
		acks:      make(chan ackBatch, 4),
		routes:    make(chan ackBatch, 4),
		rooms:     newRooms(),
		stopped:   make(chan struct{}),
		open:      openConns{all: map[*conn]struct{}{}},
	}
	b.registry = newRegistry(&b.shared)
	b.changes.init(cfg.Restore != nil)
	b.held.init(cfg.HeldBytes)
	b.routing.init(cfg.Phrases)
	b.names.init()
	b.server = mqtt.New(b.options())
	if err := b.serve(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if err := b.stand(cfg.Standing); err != nil {
		return nil, errors.Join(err, b.server.Close(), listener.Close())
	}
	b.restore(cfg.Restore)
	b.workers.Go(b.relieve)
	b.workers.Go(b.accept)
	b.workers.Go(b.answer)
	b.workers.Go(b.route)
	return b, nil
}

// options are mochi's: what it announces in CONNACK, and bounds for what stays its work.
func (b *Broker) options() *mqtt.Options {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumClients = int64(b.cfg.MaxConnections)
	c.MaximumClientWritesPending = 128 // only $SYS goes through it; the default costs 64 KiB a connection
	c.MaximumSessionExpiryInterval = uint32(b.cfg.SessionExpiry.Seconds())
	c.MaximumMessageExpiryInterval = 0 // otherwise retained alerts vanish after a day
	c.MaximumPacketSize = uint32(b.cfg.MaxPacket)
	c.ReceiveMaximum = b.cfg.ReceiveMaximum
	c.TopicAliasMaximum = maxAliases
	return &mqtt.Options{
		Capabilities:            c,
		ClientNetReadBufferSize: 512, // of packets that conn.Read hands over
		Logger:                  slog.New(&logBridge{log: b.clientLog}),
		SysTopicResendInterval:  60,
	}
}

func (b *Broker) serve() error {
	if err := b.server.AddHook(&hook{b: b}, nil); err != nil {
		return fmt.Errorf("attach hook: %w", err)
	}
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	return nil
}

// Addr is the address listened on, with the port that was chosen when ":0" was asked for.
func (b *Broker) Addr() string { return b.listener.Addr().String() }

// Receive waits for at least one message and appends all that are queued to dst, at most max (all when max <= 0), in the order of arrival. It gives
// ErrDrained once Drain was called and the queue is empty, and the context's error when that ends first. The room of an empty dst may become the queue's in
// exchange for what is given: what was received into it must not be used any more, and what it still holds is kept alive.
func (b *Broker) Receive(ctx context.Context, dst []Message, max int) ([]Message, error) {
	return b.queue.take(ctx, dst, max)
}

// Drain stops taking messages: the port is closed, publishers are no longer read, and what they sent since is not acknowledged. What is queued can
// still be received and acknowledged, and Publish still works. It returns at once and may be called again.
func (b *Broker) Drain() {
	b.open.shut()
	if err := b.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		b.cfg.Log.Debug().Err(err).Msg("close listener")
	}
	b.queue.drain()
}

// Close drains, writes out the acknowledgements that Acknowledge was given and the messages under way, tells MQTT 5 clients that the server is
// shutting down (0x8B) and closes every connection. What is queued and not acknowledged stays unacknowledged: its senders will send it again.
// When the context ends first the connections are cut, and its error is returned, a second later at most. A second call returns what the first did.
func (b *Broker) Close(ctx context.Context) error {
	b.closeOnce.Do(func() { b.closeErr = b.close(ctx) })
	return b.closeErr
}

func (b *Broker) close(ctx context.Context) error {
	b.Drain()
	err := b.flush(ctx)
	close(b.stopped)
	b.stopWills()
	for _, c := range b.open.list() {
		c.disconnect(reasonShuttingDown)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		b.links.Wait()
		b.workers.Wait()
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		err = errors.Join(err, fmt.Errorf("close connections: %w", context.Cause(ctx)))
		for _, c := range b.open.list() {
			c.cut()
		}
		select {
		case <-gone:
		case <-time.After(cutPatience): // Authenticate hangs: mochi would wait for it too
			return err
		}
	}
	return errors.Join(err, b.server.Close())
}

// flush waits until every batch handed to Acknowledge before it is answered and routed.
func (b *Broker) flush(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case b.acks <- ackBatch{flushed: done}:
	case <-ctx.Done():
		return fmt.Errorf("flush acknowledgements: %w", context.Cause(ctx))
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flush acknowledgements: %w", context.Cause(ctx))
	}
}

package simulator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// SenderConfig says where and how to send. Zero fields take the defaults named.
type SenderConfig struct {
	Broker      string // tcp://HOST:PORT; without a port 1883
	Username    string
	Password    string
	ClientID    string // beginning of the client ids, default cidp-sim- and eight random hex digits
	Connections int    // default 4
	AtMostOnce  bool   // QoS 0 instead of 1: nothing is acknowledged, and a lost connection takes messages with it
	Window      int    // messages in flight a connection, default 1000
	Log         zerolog.Logger
}

// Sender publishes messages over a few connections, pipelined. Messages of one asset always take the same connection, and so
// keep their order. A lost connection is made again with growing pauses, and what was not acknowledged on it is sent again, in
// order: QoS 1 is delivered at least once.
//
// It speaks MQTT 3.1.1 through paho's packet codec rather than through paho's client, because that client reports a message
// as delivered when it is merely sent again after a reconnect, and writes to the socket once a message.
//
// Send and Close are for one goroutine; Counts may be called from any. Each connection has a goroutine that owns its
// messages in flight, and another that reads acknowledgements.
type Sender struct {
	links  []*link
	counts counts
	cancel context.CancelFunc
}

type counts struct{ sent, acked, readings, resent, reconnects atomic.Int64 }

// Counts is what a Sender has done so far.
type Counts struct {
	Sent       int64 // messages written to a connection, repeats not counted
	Acked      int64 // messages acknowledged; with AtMostOnce none is
	Readings   int64 // readings in the messages sent
	Resent     int64 // messages written again after a reconnect
	Reconnects int64
}

// Counts is safe from any goroutine.
func (s *Sender) Counts() Counts {
	c := &s.counts
	return Counts{Sent: c.sent.Load(), Acked: c.acked.Load(), Readings: c.readings.Load(), Resent: c.resent.Load(),
		Reconnects: c.reconnects.Load()}
}

// Dial checks the configuration and makes the connections. It fails when any of them cannot be made at once.
func Dial(ctx context.Context, cfg SenderConfig) (*Sender, error) {
	setDefault(&cfg.Connections, 4)
	setDefault(&cfg.Window, 1000)
	setDefault(&cfg.ClientID, fmt.Sprintf("cidp-sim-%08x", rand.Uint32()))
	addr, err := cfg.address()
	if err != nil {
		return nil, fmt.Errorf("check sender configuration: %w", err)
	}
	life, cancel := context.WithCancel(context.Background())
	s := &Sender{cancel: cancel}
	var conns []net.Conn
	for i := range cfg.Connections {
		l := &link{cfg: cfg, addr: addr, id: fmt.Sprintf("%s-%d", cfg.ClientID, i), counts: &s.counts,
			in: make(chan Message, cfg.Window), done: make(chan struct{}), next: 1}
		conn, err := l.connect(ctx)
		if err != nil {
			cancel()
			for _, c := range conns {
				err = errors.Join(err, c.Close())
			}
			return nil, fmt.Errorf("connect broker %s: %w", cfg.Broker, err)
		}
		conns = append(conns, conn)
		s.links = append(s.links, l)
	}
	for i, l := range s.links {
		go l.run(life, conns[i])
	}
	return s, nil
}

// address checks the configuration and gives HOST:PORT.
func (c SenderConfig) address() (string, error) {
	u, err := url.Parse(c.Broker)
	switch {
	case err != nil || u.Scheme != "tcp" || u.Hostname() == "" || u.Path != "" || u.User != nil:
		return "", fmt.Errorf("broker %q cannot be used: write it as tcp://HOST:PORT", c.Broker)
	case c.Connections < 1 || c.Connections > 10_000:
		return "", fmt.Errorf("connections is %d: it must be 1 to 10000", c.Connections)
	case c.Window < 1 || c.Window > 30_000:
		return "", fmt.Errorf("window is %d: it must be 1 to 30000 messages in flight", c.Window)
	case c.Password != "" && c.Username == "":
		return "", errors.New("a password needs a username with it")
	}
	port := u.Port()
	setDefault(&port, "1883")
	return net.JoinHostPort(u.Hostname(), port), nil
}

// Send hands a message over. It blocks while the asset's connection has its window full, and fails when ctx ends or the
// connection has been refused for good.
func (s *Sender) Send(ctx context.Context, m Message) error {
	l := s.links[m.Asset%len(s.links)]
	select {
	case l.in <- m:
		return nil
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits until everything is sent and (QoS 1) acknowledged, and disconnects. When ctx ends first, or a connection was
// refused for good, the error says how many messages stayed unacknowledged. No Send may follow.
func (s *Sender) Close(ctx context.Context) error {
	defer s.cancel()
	for _, l := range s.links {
		close(l.in)
	}
	var errs []error
	for _, l := range s.links {
		select {
		case <-l.done:
		case <-ctx.Done():
			s.cancel()
			<-l.done
		}
		if left := len(l.flight) + len(l.in); left > 0 {
			errs = append(errs, fmt.Errorf("%d messages of %s not acknowledged: %w", left, l.id, l.err))
		} else if l.err != nil {
			errs = append(errs, l.err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("close sender: %w", errors.Join(errs...))
	}
	return nil
}

package broker

import (
	"fmt"
	"net"
	"time"

	"github.com/rs/zerolog"
)

// Config says how to run a Broker. Zero values mean the defaults named here.
type Config struct {
	// Addr is host:port; a port of 0 lets the system choose. Default 127.0.0.1:1883.
	Addr string
	// Authenticate says whether a user may connect; it may be slow and runs on the connection's goroutine. Nil lets everybody in.
	Authenticate func(user string, password []byte) bool
	// AllowAnonymous lets clients without a user name in although Authenticate is set, and lets a broker without
	// Authenticate listen beyond loopback.
	AllowAnonymous bool

	MaxPayload     int           // bytes; a longer payload is cut to EvidenceBytes and marked TooLarge. Default 256 KiB
	MaxPacket      int           // bytes; a longer packet closes its connection. Default 1 MiB
	Queue          int           // messages taken and not yet received. Default 8192
	QueueBytes     int           // bytes of them. Default 64 MiB
	HeldBytes      int           // bytes held for clients that are slow or away, all together; beyond, the heaviest lose theirs. Default 128 MiB
	MaxConnections int           // TCP connections, silent ones included. Default 20,000
	MaxSessions    int           // sessions, those of absent clients included. Default twice MaxConnections
	ReceiveMaximum uint16        // unacknowledged PUBLISHes of one MQTT 5 client. Default 1024
	ConnectTimeout time.Duration // from accept to the whole CONNECT. Default 10 s
	WriteTimeout   time.Duration // for a connection that does not take 64 KiB. Default 10 s
	SessionExpiry  time.Duration // longest life of the session of an absent client. Default 2 h

	// Restore is what SessionChanges told before a restart, possibly nothing. Nil means that sessions end with the process: SessionChanges is
	// then always empty. What it holds must not be changed afterwards.
	Restore *Sessions

	// Standing is what stood retained before a restart. It is set before the port accepts, so that nobody who comes back finds nothing.
	Standing []Retained

	// Phrases are what the payloads of retained outputs have in common, as the names of their fields: those are kept without. At most 31, of three bytes and more; others are not used.
	Phrases []string

	Clock func() time.Time // for Message.Received and the absence of clients. Default time.Now
	Log   zerolog.Logger

	allToMochi bool // no PUBLISH is taken before mochi has read it: a test compares both ways
}

// Retained is a retained output.
type Retained struct {
	Topic   string
	Payload []byte
}

// EvidenceBytes is how much of a payload above Config.MaxPayload is kept.
const EvidenceBytes = 4 << 10

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *Config) setDefaults() {
	orDefault(&c.Addr, "127.0.0.1:1883")
	orDefault(&c.MaxPayload, 256<<10)
	orDefault(&c.MaxPacket, 1<<20)
	orDefault(&c.Queue, 8192)
	orDefault(&c.QueueBytes, 64<<20)
	orDefault(&c.HeldBytes, 128<<20)
	orDefault(&c.MaxConnections, 20_000)
	orDefault(&c.MaxSessions, 2*c.MaxConnections)
	orDefault(&c.ReceiveMaximum, 1024)
	orDefault(&c.ConnectTimeout, 10*time.Second)
	orDefault(&c.WriteTimeout, 10*time.Second)
	orDefault(&c.SessionExpiry, 2*time.Hour)
	if c.Clock == nil {
		c.Clock = time.Now
	}
}

// resolve gives the address to listen on, and refuses one that everybody could reach.
func (c *Config) resolve() (*net.TCPAddr, error) {
	addr, err := net.ResolveTCPAddr("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("resolve address %q: %w", c.Addr, err)
	}
	if !addr.IP.IsLoopback() && c.Authenticate == nil && !c.AllowAnonymous {
		return nil, fmt.Errorf("listen on %s: %w", c.Addr, ErrExposed)
	}
	return addr, nil
}

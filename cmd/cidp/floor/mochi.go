package floor

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Mochi is the broker that the platform embeds, as it comes, but for the platform's read buffer: it acknowledges at once, counts and drops.
type Mochi struct {
	server *mqtt.Server
	count  counter
	addr   string
}

// counter lets everybody in and counts what was published.
type counter struct {
	mqtt.HookBase
	n atomic.Int64
}

func (c *counter) ID() string { return "count" }

func (c *counter) Provides(b byte) bool {
	return b == mqtt.OnPublished || b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}

func (c *counter) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }
func (c *counter) OnACLCheck(*mqtt.Client, string, bool) bool              { return true }
func (c *counter) OnPublished(*mqtt.Client, packets.Packet)                { c.n.Add(1) }

// StartMochi listens and serves until Close.
func StartMochi(addr string) (*Mochi, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	m := &Mochi{server: mqtt.New(&mqtt.Options{ClientNetReadBufferSize: 8 << 10, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}), addr: l.Addr().String()}
	if err := m.server.AddHook(&m.count, nil); err != nil {
		return nil, fmt.Errorf("set up mochi: %w", err)
	}
	if err := m.server.AddListener(listeners.NewNet("floor", l)); err != nil {
		return nil, fmt.Errorf("set up mochi: %w", err)
	}
	if err := m.server.Serve(); err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	return m, nil
}

// Addr is where it listens.
func (m *Mochi) Addr() string { return m.addr }

// Count is how many messages were published.
func (m *Mochi) Count() int64 { return m.count.n.Load() }

// Close ends it, once those who are leaving have left: mochi's Close takes a lock twice for reading, and a client that is taken off its list in between would lock both up for good
// (Clients.GetByListener in v2.7.9).
func (m *Mochi) Close() error {
	for end := time.Now().Add(leavePatience); m.server.Clients.Len() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	return m.server.Close()
}

// leavePatience is how long Close waits for clients to leave. Who stays longer is not about to.
const leavePatience = time.Second

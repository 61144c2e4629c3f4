package broker_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// disk keeps what SessionChanges told, as the store's tables do.
type disk struct {
	tb testing.TB

	mu       sync.Mutex
	sessions map[string][]byte
	messages map[int64]broker.SessionMessage
	owed     map[broker.Owed]byte // QoS by client and message
	rows     int                  // ever written
}

func newDisk(tb testing.TB) *disk {
	return &disk{tb: tb, sessions: map[string][]byte{}, messages: map[int64]broker.SessionMessage{}, owed: map[broker.Owed]byte{}}
}

// commit applies changes in the order of their fields, and refuses what the tables' foreign keys would.
func (d *disk) commit(c broker.SessionChanges) {
	d.tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows += len(c.Ended) + len(c.Kept) + len(c.Messages) + len(c.Owed) + len(c.Settled)
	for _, id := range c.Ended {
		if d.sessions[id] == nil {
			d.tb.Errorf("%s ends and was never kept", id)
		}
		delete(d.sessions, id)
		maps.DeleteFunc(d.owed, func(o broker.Owed, _ byte) bool { return o.Client == id })
	}
	for _, s := range c.Kept {
		d.sessions[s.Client] = s.State
	}
	for _, m := range c.Messages {
		if _, known := d.messages[m.ID]; known {
			d.tb.Errorf("message %d comes twice", m.ID)
		}
		d.messages[m.ID] = m
	}
	for _, o := range c.Owed {
		key := broker.Owed{Client: o.Client, Message: o.Message}
		if _, known := d.messages[o.Message]; !known || d.sessions[o.Client] == nil || o.QoS == 0 {
			d.tb.Errorf("%+v refers to nothing", o)
		}
		d.owed[key] = o.QoS
	}
	for _, o := range c.Settled {
		if _, known := d.owed[o]; !known {
			d.tb.Errorf("%+v is settled and was never owed", o)
		}
		delete(d.owed, o)
	}
	used := map[int64]bool{}
	for o := range d.owed {
		used[o.Message] = true
	}
	maps.DeleteFunc(d.messages, func(id int64, _ broker.SessionMessage) bool { return !used[id] })
}

// saved is what a restart finds.
func (d *disk) saved() *broker.Sessions {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &broker.Sessions{Messages: slices.Collect(maps.Values(d.messages))}
	for id, state := range d.sessions {
		out.Sessions = append(out.Sessions, broker.Session{Client: id, State: state})
	}
	for o, qos := range d.owed {
		o.QoS = qos
		out.Owed = append(out.Owed, o)
	}
	return out
}

// flush commits what changed.
func (d *disk) flush(b *broker.Broker) broker.SessionChanges {
	d.tb.Helper()
	c := b.SessionChanges()
	d.commit(c)
	b.Acknowledge(nil)
	return c
}

// attend commits changes as they are told, until the returned function is called. What was told last may be left: only what a client waits for is on disk then.
func (d *disk) attend(b *broker.Broker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-b.SessionsChanged():
				d.flush(b)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// mustBeTold waits until there is something to commit.
func mustBeTold(tb testing.TB, b *broker.Broker) {
	tb.Helper()
	select {
	case <-b.SessionsChanged():
	case <-time.After(patience):
		tb.Fatal("nobody tells of the change")
	}
}

// forgetTold takes a token of earlier.
func forgetTold(b *broker.Broker) {
	select {
	case <-b.SessionsChanged():
	default:
	}
}

// start runs a broker on what the disk holds. A broker that ran before is as good as killed: nothing more of it reaches the disk.
func (d *disk) start(cfg broker.Config) *broker.Broker {
	d.tb.Helper()
	cfg.Restore = d.saved()
	return mustStart(d.tb, cfg)
}

// attended is connect and subscribe with somebody who commits meanwhile.
func (d *disk) attended(b *broker.Broker, s session, filters ...string) (*rawClient, bool) {
	d.tb.Helper()
	stop := d.attend(b)
	defer stop()
	c, resumed := connect(d.tb, b, s)
	for _, f := range filters {
		c.subscribe(f, 1)
	}
	return c, resumed
}

func (c *rawClient) vanish(b *broker.Broker) {
	c.tb.Helper()
	before := b.Stats().Open
	c.conn.Close()
	eventually(c.tb, "client is gone", func() bool { return b.Stats().Open < before })
}

package broker_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/broker"
)

// Ten thousand restored sessions are there at once.
func BenchmarkRestore(b *testing.B) {
	saved := &broker.Sessions{}
	for i := range int64(1000) {
		saved.Messages = append(saved.Messages, broker.SessionMessage{ID: i + 1, Topic: eventA, Payload: make([]byte, 500)})
	}
	for i := range 10_000 {
		s := broker.Session{Client: fmt.Sprint("c", i), State: []byte(`{"version":4,"expiry_s":7200,"filters":[{"filter":"cidp/v1/events/#","qos":1}]}`)}
		saved.Sessions = append(saved.Sessions, s)
		for k := range int64(10) {
			saved.Owed = append(saved.Owed, broker.Owed{Client: s.Client, Message: int64(i)%991 + k, QoS: 1})
		}
	}
	for b.Loop() {
		mustClose(b, mustStart(b, broker.Config{Restore: saved}))
	}
}

// whim is a client of TestRestartsAtRandom.
type whim struct {
	id       string
	version  byte
	conn     *rawClient
	want     map[string]bool // published while subscribed, not acknowledged
	unacked  []uint16        // what it has received and not acknowledged, with its payload
	payloads map[uint16]string
}

// Clients come, go, acknowledge and end their sessions as they like, and the process is killed again and again. Whatever was published before
// a commit reaches every lasting session that had its SUBACK and has not acknowledged it.
func TestRestartsAtRandom(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			d := newDisk(t)
			b := d.start(broker.Config{})
			clients := make([]*whim, 6)
			for i := range clients {
				clients[i] = &whim{id: fmt.Sprint("c", i), version: byte(4 + i%2), want: map[string]bool{}}
			}
			subscribed, n := map[string]bool{}, 0
			for range rounds {
				for range 60 {
					randomStep(t, r, d, b, clients[r.IntN(len(clients))], subscribed)
					if r.IntN(3) == 0 {
						n++
						payload := fmt.Sprint(n)
						mustPublish(t, b, eventA, payload, false)
						for _, c := range clients {
							if subscribed[c.id] {
								c.want[payload] = true
							}
						}
					}
					if r.IntN(8) == 0 {
						d.flush(b)
					}
				}
				d.flush(b)
				for _, c := range clients {
					c.leave(b)
				}
				b = d.start(broker.Config{})
				for _, c := range clients {
					if subscribed[c.id] {
						c.catchUp(t, d, b)
					}
				}
			}
		})
	}
}

// randomStep lets one client do one thing.
func randomStep(t *testing.T, r *rand.Rand, d *disk, b *broker.Broker, c *whim, subscribed map[string]bool) {
	t.Helper()
	switch what := r.IntN(10); {
	case c.conn == nil:
		c.conn, _ = d.attended(b, session{id: c.id, version: c.version, keep: true})
		c.payloads = map[uint16]string{}
		if !subscribed[c.id] {
			stop := d.attend(b)
			c.conn.subscribe("cidp/v1/events/#", 1)
			stop()
			subscribed[c.id] = true
		}
	case what < 6:
		c.receive(t)
	case what == 6:
		c.leave(b)
	case what == 7: // a clean session is the end of the lasting one
		c.leave(b)
		clean, _ := connect(t, b, session{id: c.id, version: c.version})
		clean.vanish(b)
		delete(subscribed, c.id)
		clear(c.want)
	}
}

// receive takes what is there and acknowledges half of it.
func (c *whim) receive(t *testing.T) {
	t.Helper()
	c.conn.write([]byte{tPingreq << 4, 0})
	for {
		p := c.conn.expect(c.conn.peek())
		if p.kind == tPingresp {
			break
		}
		_, id, payload := p.delivered(c.version)
		c.payloads[id] = string(payload)
		c.unacked = append(c.unacked, id)
	}
	half := (len(c.unacked) + 1) / 2
	for _, id := range c.unacked[:half] {
		c.conn.ack(tPuback, id)
		delete(c.want, c.payloads[id])
	}
	c.unacked = slices.Clone(c.unacked[half:])
	c.conn.write([]byte{tPingreq << 4, 0}) // the acknowledgements are in
	for c.conn.peek() != tPingresp {
		_, id, payload := c.conn.expect(tPublish).delivered(c.version)
		c.payloads[id] = string(payload)
		c.unacked = append(c.unacked, id)
	}
	c.conn.expect(tPingresp)
}

func (c *whim) leave(b *broker.Broker) {
	if c.conn != nil {
		c.conn.vanish(b)
		c.conn, c.unacked = nil, nil
	}
}

// catchUp receives all that a restarted broker owes, in order, and acknowledges it.
func (c *whim) catchUp(t *testing.T, d *disk, b *broker.Broker) {
	t.Helper()
	conn, resumed := d.attended(b, session{id: c.id, version: c.version, keep: true})
	if !resumed {
		t.Fatalf("%s: session is not resumed", c.id)
	}
	conn.write([]byte{tPingreq << 4, 0})
	var got []string
	var ids []uint16
	for conn.peek() != tPingresp {
		_, id, payload := conn.expect(tPublish).delivered(c.version)
		got, ids = append(got, string(payload)), append(ids, id)
	}
	conn.expect(tPingresp)
	byNumber := func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) }
	if want := slices.SortedFunc(maps.Keys(c.want), byNumber); !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", c.id, got, want)
	}
	for _, id := range ids {
		conn.ack(tPuback, id)
	}
	conn.expectQuiet()
	clear(c.want)
	conn.vanish(b)
	c.conn, c.unacked = nil, nil
}

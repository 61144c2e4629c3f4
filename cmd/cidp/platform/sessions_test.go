package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// inbox is what a lasting subscriber got.
type inbox struct {
	mu  sync.Mutex
	got map[string]int // by topic and payload
}

func (b *inbox) has(part string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for text := range b.got {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// follow connects a client that keeps its session. It subscribes only when told to: a session that is found again needs no SUBSCRIBE.
func follow(t *testing.T, p *Platform, box *inbox, subscribe bool) mqtt.Client {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + p.MQTTAddr()).SetClientID("controller").SetCleanSession(false).SetAutoReconnect(false)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		m.Ack() // first: who sees it in the box may disconnect at once, and must not get it again
		box.mu.Lock()
		defer box.mu.Unlock()
		box.got[m.Topic()+" "+string(m.Payload())]++
	})
	c := mqtt.NewClient(o)
	if tok := c.Connect(); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatalf("connect: %v", tok.Error())
	}
	if subscribe {
		if tok := c.SubscribeMultiple(map[string]byte{"cidp/v1/events/#": 1, "cidp/v1/risk/#": 1}, nil); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
			t.Fatalf("subscribe: %v", tok.Error())
		}
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// TestLastingSubscriberMissesNothing lets a controller's tablet be away while windows are quarantined, while the platform restarts, and while more are:
// it finds all of them when it is back, and the risk it had is not told again.
func TestLastingSubscriberMissesNothing(t *testing.T) {
	dir, ts := t.TempDir(), base()
	box := &inbox{got: map[string]int{}}
	stuck := func(from int) func(int) float64 {
		return func(i int) float64 {
			if minute := (from + i) / 60; minute%2 == 1 {
				return 45.123
			}
			return steady(from + i)
		}
	}
	send := func(p *Platform, from, to int) {
		c := client(t, p, fmt.Sprintf("device-%d", from))
		publish(t, c, sensorOne, series(ts+int64(from)*1000, to-from, stuck(from)))
	}
	event := func(minute int) string {
		return fmt.Sprintf("%q", time.UnixMilli(ts+int64(minute)*60_000).UTC().Format("2006-01-02T15:04:05.000Z"))
	}

	p, stop := start(t, dir, nil)
	c := follow(t, p, box, true)
	send(p, 0, 150)
	until(t, "the first quarantined window", func() bool { return box.has(event(1)) && box.has("/risk/") })
	c.Disconnect(5000)
	send(p, 150, 270) // minute 3 while the controller is away
	stop()

	p, stop = start(t, dir, nil)
	send(p, 270, 400) // minute 5 after the restart, and still away
	until(t, "what was told to be marked", func() bool { return ask(t, dir, `SELECT count(*) FROM outbox`) == 0 })
	stop()

	p, stop = start(t, dir, nil)
	before := len(box.got)
	c = follow(t, p, box, false)
	for _, minute := range []int{3, 5} {
		until(t, fmt.Sprintf("the event of minute %d", minute), func() bool { return box.has(event(minute)) })
	}
	until(t, "what the controller was owed to be settled", func() bool {
		return ask(t, dir, `SELECT count(*) FROM session_owed`)+ask(t, dir, `SELECT count(*) FROM session_message`) == 0
	})
	c.Disconnect(5000)
	stop()
	verify(t, dir)
	box.mu.Lock()
	defer box.mu.Unlock()
	for text, n := range box.got {
		if n > 1 {
			t.Errorf("told %d times: %s", n, text)
		}
	}
	if news := len(box.got) - before; news > 6 {
		t.Errorf("%d messages after the restarts, of which 6 at most are news", news)
	}
}

// TestStatusIsToldWithItsReasons follows the retained status of a broker that came up after the status had reasons.
func TestStatusIsToldWithItsReasons(t *testing.T) {
	p, stop := start(t, t.TempDir(), nil)
	defer stop()
	got := make(chan Status, 8)
	tok := client(t, p, "watch").Subscribe(statusTopic, 1, func(_ mqtt.Client, m mqtt.Message) {
		var s Status
		if err := json.Unmarshal(m.Payload(), &s); err != nil {
			t.Error(err)
		}
		got <- s
	})
	if !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, step := range []struct {
		do    func()
		state string
	}{{func() {}, "online"}, {func() { p.status.degrade("disk", "no room") }, "degraded"}, {func() { p.status.heal("disk") }, "online"}} {
		step.do()
		select {
		case s := <-got:
			if s.State != step.state || (s.State == "degraded") != (len(s.Reasons) == 1) {
				t.Errorf("status %+v, want %s", s, step.state)
			}
		case <-ctx.Done():
			t.Fatalf("no status %s", step.state)
		}
	}
}

package broker_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/camrail/cidp/broker"
)

// clock is a wall clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) get() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// While we are down absent clients stay absent; those that were there are away from the restart on.
func TestAbsenceGoesOnWhileDown(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	at := &clock{now: time.Unix(1_700_000_000, 0)}
	cfg := broker.Config{Clock: at.get}
	b := d.start(cfg)
	there, _ := d.attended(b, session{id: "there", version: 5, keep: true}, "cidp/v1/events/#") // 60 s
	away, _ := d.attended(b, session{id: "away", version: 5, keep: true}, "cidp/v1/events/#")
	away.vanish(b)
	d.flush(b)
	mustPublish(t, b, eventA, "x", false)
	d.flush(b)
	there.expect(tPublish)

	at.move(59 * time.Second)
	saved := d.saved() // before this start
	b = d.start(cfg)
	d.flush(b)
	if _, resumed := connect(t, b, session{id: "away", version: 5, keep: true}); !resumed {
		t.Error("session ended before its time")
	}
	at.move(2 * time.Second)
	cfg.Restore = saved
	late := mustStart(t, cfg)
	if _, resumed := connect(t, late, session{id: "away", version: 5, keep: true}); resumed {
		t.Error("session outlived its time")
	}
	if _, resumed := connect(t, late, session{id: "there", version: 5, keep: true}); !resumed {
		t.Error("the session of a client that was there ended with the process")
	}
	if changes := late.SessionChanges(); !slices.Contains(changes.Ended, "away") {
		t.Errorf("nothing says that it ended: %+v", changes)
	}

	// It ends in time after a restart as well. The first start has noted when "there" left.
	at.move(56 * time.Second)
	b = d.start(cfg)
	eventually(t, "session ends", func() bool { return b.Stats().Sessions == 0 })
	d.flush(b)
	if _, left := d.sessions["there"]; left {
		t.Error("an ended session stays on disk")
	}
}

// More than a session may hold, or more sessions than there may be: what does not fit is counted and struck off.
func TestRestoreKeepsToTheBounds(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	for _, id := range []string{"a", "b", "c"} {
		c, _ := d.attended(b, session{id: id, keep: true}, "cidp/v1/events/#")
		c.vanish(b)
	}
	d.flush(b)
	for i := range int64(20_000) {
		d.messages[i+1] = broker.SessionMessage{ID: i + 1, Topic: eventA, Payload: []byte(fmt.Sprint(i))}
		d.owed[broker.Owed{Client: "a", Message: i + 1}] = 1
	}
	b = d.start(broker.Config{MaxSessions: 3})
	d.flush(b)
	kept := len(d.owed)
	if dropped := int(b.Stats().DeliveriesDropped); dropped+kept != 20_000 || kept > 16_384 || kept < 14_000 || len(d.messages) != kept {
		t.Errorf("%d kept, %d dropped, %d messages", kept, dropped, len(d.messages))
	}
	c, _ := d.attended(b, session{id: "a", keep: true})
	for i := range kept {
		_, id, payload := c.expect(tPublish).delivered(4)
		c.ack(tPuback, id)
		if want := fmt.Sprint(20_000 - kept + i); string(payload) != want {
			t.Fatalf("got %s, want %s: the newest are kept", payload, want)
		}
	}
	c.expectQuiet()
	d.flush(b)
	if len(d.owed)+len(d.messages) != 0 {
		t.Errorf("%d still owed, %d kept", len(d.owed), len(d.messages))
	}
	b = d.start(broker.Config{MaxSessions: 2})
	d.flush(b)
	if st := b.Stats(); st.Sessions != 2 || st.SessionsLost != 1 || len(d.sessions) != 2 {
		t.Errorf("%d sessions, %d lost, %d on disk", st.Sessions, st.SessionsLost, len(d.sessions))
	}
}

// What cannot be read is given up and told, and harms nobody else.
func TestRestoreOfRubbish(t *testing.T) {
	d := newDisk(t)
	good := []byte(`{"version":4,"expiry_s":7200,"filters":[{"filter":"cidp/v1/events/#","qos":1},{"filter":"a+","qos":9},{"filter":""}]}`)
	d.sessions = map[string][]byte{"good": good, "": good, "none": nil, "half": []byte(`{"version":`), "old": []byte(`{}`),
		"future": []byte(`{"version":4,"expiry_s":9223372036854775807,"left_ms":9223372036854775807}`),
		"past":   []byte(`{"version":5,"expiry_s":60,"left_ms":-9223372036854775808}`)}
	d.messages = map[int64]broker.SessionMessage{
		1: {ID: 1, Topic: eventA, Payload: []byte("1")}, 2: {ID: 2, Topic: "a/#"}, 3: {ID: 3, Topic: ""}, 4: {ID: 4, Topic: eventA}}
	d.owed = map[broker.Owed]byte{{Client: "good", Message: 1}: 1, {Client: "good", Message: 2}: 1, {Client: "good", Message: 3}: 1,
		{Client: "good", Message: 4}: 3, {Client: "good", Message: 5}: 1, {Client: "half", Message: 1}: 1, {Client: "nobody", Message: 1}: 1}
	b := d.start(broker.Config{})
	changes := b.SessionChanges()
	slices.Sort(changes.Ended)
	if want := []string{"", "half", "none", "old", "past"}; !slices.Equal(changes.Ended, want) {
		t.Errorf("ended: %q, want %q", changes.Ended, want)
	}
	if len(changes.Settled) != 4 || len(changes.Owed)+len(changes.Messages) != 0 {
		t.Errorf("got %+v", changes)
	}
	b.Acknowledge(nil)
	if st := b.Stats(); st.Sessions != 2 || st.Subscribed != 1 || st.SessionsLost != 4 || st.DeliveriesDropped != 4 {
		t.Errorf("got %+v", st)
	}
	c, resumed := connect(t, b, session{id: "good", keep: true})
	if !resumed {
		t.Error("session is not resumed")
	}
	c.expectMessage(eventA, "1")
	c.expectQuiet()
	mustPublish(t, b, eventA, "2", false)
	if changes := b.SessionChanges(); len(changes.Messages) != 1 || changes.Messages[0].ID != 6 {
		t.Errorf("message ids go on at %+v", changes.Messages)
	}
}

// While nobody takes the changes, as when the disk is out, they do not pile up.
func TestChangesDoNotPileUp(t *testing.T) {
	d := newDisk(t)
	b := d.start(broker.Config{})
	c, _ := d.attended(b, session{id: "a", keep: true}, "cidp/v1/events/#")
	d.flush(b)
	for i := range 2000 { // owed and settled
		mustPublish(t, b, eventA, fmt.Sprint(i), false)
		_, id, _ := c.expect(tPublish).delivered(4)
		c.ack(tPuback, id)
	}
	for i := range 50 { // begun and ended
		id := fmt.Sprint("guest", i)
		guest, _ := connect(t, b, session{id: id, keep: true})
		guest.vanish(b)
		guest, _ = connect(t, b, session{id: id})
		guest.vanish(b)
	}
	c.vanish(b)
	for i := range 30_000 { // more than a session holds
		mustPublish(t, b, eventA, fmt.Sprint(i), false)
	}
	changes := b.SessionChanges()
	if n := len(changes.Owed); n > 16_384 || n < 14_000 || len(changes.Messages) != n {
		t.Errorf("%d owed, %d messages", n, len(changes.Messages))
	}
	if len(changes.Kept) != 1 || len(changes.Ended)+len(changes.Settled) != 0 {
		t.Errorf("%d kept, %d ended, %d settled", len(changes.Kept), len(changes.Ended), len(changes.Settled))
	}
	d.commit(changes)
	b.Acknowledge(nil)
	c, _ = d.attended(b, session{id: "a", keep: true})
	for range changes.Owed { // settled, from the disk's books
		_, id, _ := c.expect(tPublish).delivered(4)
		c.ack(tPuback, id)
	}
	c.expectQuiet()
	d.flush(b)
	if len(d.owed)+len(d.messages) != 0 {
		t.Errorf("%d still owed", len(d.owed))
	}
}

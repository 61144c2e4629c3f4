package platform

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/camrail/cidp/broker"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
)

// idle is a line that has just answered the only message of a pass.
func idle(t *testing.T, client string) *line {
	t.Helper()
	l := &line{filling: newPass(), began: time.Now(), cadence: cadence{every: 10 * time.Millisecond, last: time.Now()}, answered: time.Now(), alone: client}
	var err error
	if l.windower, err = stream.NewWindower(stream.DefaultConfig(), nil, l.judge); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestWhoWaitsIsNotKeptWaiting looks how long a pass waits for its commit, after an answer to the client "one" alone.
func TestWhoWaitsIsNotKeptWaiting(t *testing.T) {
	one, two := broker.Message{Client: "one", QoS: 1}, broker.Message{Client: "two", QoS: 1}
	for _, c := range []struct {
		name  string
		after time.Duration
		busy  bool // the commit is under way when it comes
		sends []broker.Message
		waits bool
	}{
		{"goes on when it is answered", 100 * time.Microsecond, false, []broker.Message{one}, false},
		{"goes on later", 5 * time.Millisecond, false, []broker.Message{one}, true},
		{"did not wait for the answer", 0, true, []broker.Message{one}, true},
		{"sends two", 0, false, []broker.Message{one, one}, true},
		{"is not alone", 0, false, []broker.Message{one, two}, true},
		{"is another", 0, false, []broker.Message{two}, true},
		{"gets no answers", 0, false, []broker.Message{{Client: "one"}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := idle(t, "one")
				time.Sleep(c.after)
				l.committing, l.waiting = c.busy, c.sends
				if err := l.take(); err != nil {
					t.Fatal(err)
				}
				wait := l.due(false)
				if want := l.cadence.every - c.after; c.waits && wait != want || !c.waits && wait != 0 {
					t.Errorf("the pass waits %s", wait)
				}
			})
		})
	}
}

// scoring is a line that scores windows by rules, while a pass is with commit.
func scoring(t *testing.T) *line {
	t.Helper()
	l := idle(t, "")
	l.atHand, l.committing = true, true
	var err error
	if l.scorer, err = model.NewScorer(nil, model.DefaultRules(), model.DefaultAlertConfig()); err != nil {
		t.Fatal(err)
	}
	return l
}

// due gives messages of sensors with one asset each, the last of each of which makes its window due.
func due(sensors int) (messages []broker.Message) {
	ts := base()
	for i := range 8 {
		for n := range sensors {
			messages = append(messages, broker.Message{Topic: fmt.Sprintf("cidp/v1/telemetry/douala/loco-%d/axle1-left", n), Received: ts, Payload: []byte(series(ts+int64(i)*10_000, 1, steady))})
		}
	}
	return messages
}

// TestPassIsBoundedInWindows closes the windows of more sensors than a pass may hold windows.
func TestPassIsBoundedInWindows(t *testing.T) {
	l := scoring(t)
	const sensors = maxBatchWindows + 200
	l.waiting = due(sensors)
	if err := l.take(); err != nil {
		t.Fatal(err)
	}
	if l.filling.windows != maxBatchWindows || len(l.waiting) != sensors-maxBatchWindows || l.due(false) != 0 {
		t.Errorf("the pass holds %d windows, %d messages wait, and it waits %s", l.filling.windows, len(l.waiting), l.due(false))
	}
}

// TestWindowsAreSpreadOverPasses closes the windows of more sensors than a pass closes before it puts further ones off. All messages are taken, and the next passes close the rest, though none comes.
func TestWindowsAreSpreadOverPasses(t *testing.T) {
	dir := t.TempDir()
	p, stop := start(t, dir, nil)
	c := client(t, p, "fleet")
	const sensors = 3 * fewWindows
	ts := base()
	for n := range sensors {
		c.Publish(fmt.Sprintf("cidp/v1/telemetry/douala/loco-%d/axle1-left", n), 1, false, series(ts, 71, steady))
	}
	until(t, "all to be taken", func() bool { return p.broker.Stats().Received[1] == sensors })
	stop()
	if n := ask(t, dir, `SELECT count(*) FROM telemetry_window`); n != sensors {
		t.Errorf("%d windows of %d closed", n, sensors)
	}
	if n := ask(t, dir, `SELECT max(n) FROM (SELECT count(*) AS n FROM telemetry_window GROUP BY closed_ms)`); n >= sensors {
		t.Errorf("one pass closed all %d windows", n)
	}
}

// TestPassIsBoundedInWindowsPutOff takes no more messages once too many windows are put off.
func TestPassIsBoundedInWindowsPutOff(t *testing.T) {
	l := scoring(t)
	l.windower.CloseDue(fewWindows)
	l.waiting = due(maxPutOff + 1000)
	for l.windower.PutOff() < maxPutOff && len(l.waiting) > 0 {
		l.windower.Take()
		l.filling = newPass()
		if err := l.take(); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.waiting) == 0 || l.due(false) != 0 {
		t.Errorf("%d windows are put off, %d messages wait, and the pass waits %s", l.windower.PutOff(), len(l.waiting), l.due(false))
	}
	if n := l.windowsAtMost(); n != maxBatchWindows/2 {
		t.Errorf("the next pass closes %d windows", n)
	}
}

// bursts gives messages in portions, one when there is any.
type bursts struct {
	messages
	portions chan []broker.Message
}

func (b bursts) Receive(ctx context.Context, dst []broker.Message, _ int) ([]broker.Message, error) {
	select {
	case m, open := <-b.portions:
		if !open {
			return dst, broker.ErrDrained
		}
		return append(dst, m...), nil
	default:
	}
	select {
	case m, open := <-b.portions:
		if !open {
			return dst, broker.ErrDrained
		}
		return append(dst, m...), nil
	case <-ctx.Done():
		return dst, ctx.Err()
	}
}

// TestIntakeKeepsOrder takes messages by both ways, waiting and looking, until the broker is drained.
func TestIntakeKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := bursts{portions: make(chan []broker.Message, 100)}
		in := newIntake(from)
		defer in.look.Stop()
		go in.receive(t.Context())
		go func() {
			defer close(from.portions)
			for i := range 1000 {
				from.portions <- make([]broker.Message, 1+i*7%5)
				from.portions <- []broker.Message{{Size: i}}
				time.Sleep(time.Duration(i*13%7) * 500 * time.Microsecond)
			}
		}()
		var got []int
		for n := 0; !in.drained; n++ {
			var messages []broker.Message
			select {
			case m, open := <-in.next(false, n%3 > 0):
				messages = in.came(m, open)
			case <-in.look.C:
				in.looking = false
				messages = in.now()
			}
			for _, m := range messages {
				if m.Size > 0 {
					got = append(got, m.Size)
				}
			}
			in.taken()
		}
		close(in.asks)
		if len(got) != 999 || !slices.IsSorted(got) {
			t.Errorf("%d messages came, in order: %v", len(got), slices.IsSorted(got))
		}
	})
}

// TestIntakeGivesRoomBack takes a rush, and then little for long.
func TestIntakeGivesRoomBack(t *testing.T) {
	from := bursts{portions: make(chan []broker.Message, 1)}
	in := newIntake(from)
	take := func(n int) {
		from.portions <- make([]broker.Message, n)
		if got := len(in.now()); got != n {
			t.Fatalf("%d messages of %d", got, n)
		}
		in.taken()
	}
	take(receiveMax)
	if take(4); cap(in.room) < receiveMax {
		t.Errorf("room for %d messages is kept at the first lull, want %d", cap(in.room), receiveMax)
	}
	for range broker.SpareUses + 1 {
		take(4)
	}
	if cap(in.room) > broker.SpareRoom {
		t.Errorf("room for %d messages is kept when 4 come", cap(in.room))
	}
}

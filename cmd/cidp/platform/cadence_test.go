package platform

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/camrail/cidp/broker"
)

// flows lets so many readings flow evenly for a second and gives how far apart commits begin at its end. A line that has something looks every two milliseconds, or when the period is over.
func (c *cadence) flows(perSec int, takes time.Duration) (apart time.Duration) {
	start, sealed := c.last, 0
	for now := start; now.Sub(start) < time.Second; {
		have := int(now.Sub(start).Seconds()*float64(perSec)) - sealed
		if wait := c.period(have) - now.Sub(c.last); wait > 0 {
			now = now.Add(min(wait, 2*time.Millisecond))
			continue
		}
		apart = now.Sub(c.last)
		c.began(now, have)
		sealed += have
		now = now.Add(takes)
	}
	return apart
}

func TestCadence(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		every  time.Duration
		perSec int
		takes  time.Duration // a commit
		want   time.Duration
	}{
		{"a fleet of 10,000 at 1 Hz", 10 * ms, 10_000, 2 * ms, 10 * ms},
		{"not enough to fill more commits", 10 * ms, 44_000, 2 * ms, 10 * ms},
		{"enough to fill more commits", 10 * ms, 50_000, 2 * ms, 4 * ms},
		{"just not too many", 10 * ms, 69_000, 2 * ms, 4 * ms},
		{"so dense that the disk is busy", 10 * ms, 76_000, 2 * ms, 10 * ms},
		{"flat out", 10 * ms, 800_000, 18 * ms, 18 * ms},
		{"a slow disk", 10 * ms, 50_000, 7 * ms, 7 * ms},
		{"the disk is to be spared", 50 * ms, 50_000, 2 * ms, 50 * ms},
		{"at once", 0, 50_000, 2 * ms, 2 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			cad := cadence{every: c.every, last: time.Unix(1_700_000_000, 0)}
			if apart := cad.flows(c.perSec, c.takes); apart != c.want {
				t.Errorf("commits begin %s apart, want %s", apart, c.want)
			}
		})
	}
}

// TestCadenceDoesNotWaver: a flow near a bound does not change the period all the time.
func TestCadenceDoesNotWaver(t *testing.T) {
	cad := cadence{every: 10 * time.Millisecond, last: time.Unix(1_700_000_000, 0)}
	for _, c := range []struct {
		perSec int
		want   time.Duration
	}{{42_000, 10}, {50_000, 4}, {42_000, 4}, {73_000, 4}, {80_000, 10}, {73_000, 10}, {50_000, 4}, {38_000, 10}} {
		if apart := cad.flows(c.perSec, 2*time.Millisecond); apart != c.want*time.Millisecond {
			t.Errorf("at %d readings/s commits begin %s apart, want %d ms", c.perSec, apart, c.want)
		}
	}
}

// TestCadenceAfterAFlow: what comes after a flow has ended is few, and waits for the whole period.
func TestCadenceAfterAFlow(t *testing.T) {
	cad := cadence{every: 10 * time.Millisecond, last: time.Unix(1_700_000_000, 0)}
	cad.flows(50_000, time.Millisecond)
	if p := cad.period(20); p != 10*time.Millisecond {
		t.Errorf("after the flow the period is %s", p)
	}
	cad.began(cad.last.Add(time.Second), 200)
	if p := cad.period(200); p != 10*time.Millisecond || cad.flow > 1_000 {
		t.Errorf("after a second without readings %.0f are expected a second, and the period is %s", cad.flow, p)
	}
}

// TestLineKeepsTheCadence: the line goes by the flow, and by what the filling pass holds.
func TestLineKeepsTheCadence(t *testing.T) {
	for _, c := range []struct {
		perSec, have int
		want         time.Duration
	}{
		{10_000, 200, 10 * time.Millisecond},
		{50_000, fewest, 4 * time.Millisecond},
		{50_000, fewest - 1, 10 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := idle(t, "")
			l.waiting = []broker.Message{{Topic: "cidp/v1/telemetry/douala/loco-1/axle1-left", Received: base(), Payload: []byte(series(base()-3_600_000, c.have, steady))}}
			if err := l.take(); err != nil {
				t.Fatal(err)
			}
			l.cadence.flows(c.perSec, time.Millisecond)
			l.cadence.last = time.Now()
			if wait := l.due(false); wait != c.want {
				t.Errorf("with %d readings of %d a second the pass waits %s, want %s", c.have, c.perSec, wait, c.want)
			}
			time.Sleep(c.want - time.Nanosecond)
			if l.cadence.passed(time.Now(), l.windower.Size()) {
				t.Error("the period passed too soon")
			}
			time.Sleep(time.Nanosecond)
			if !l.cadence.passed(time.Now(), l.windower.Size()) {
				t.Error("the period does not pass")
			}
		})
	}
}

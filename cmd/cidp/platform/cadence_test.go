package platform

import (
	"testing"
	"time"
)

// TestCadence lets readings flow evenly for a second and looks how far apart commits begin at its end. A line that has something looks every two milliseconds, or when the period is over.
func TestCadence(t *testing.T) {
	const every = 10 * time.Millisecond
	for _, c := range []struct {
		name   string
		perSec int
		takes  time.Duration // a commit
		want   time.Duration
	}{
		{"a fleet of 10,000 at 1 Hz", 10_000, 2 * time.Millisecond, every},
		{"not enough to fill more commits", 38_000, 2 * time.Millisecond, every},
		{"enough to fill more commits", 50_000, 2 * time.Millisecond, every * 2 / 5},
		{"so dense that the disk is busy", 100_000, 2 * time.Millisecond, every},
		{"flat out", 800_000, 18 * time.Millisecond, 18 * time.Millisecond},
		{"a disk that is slower than that", 50_000, 7 * time.Millisecond, 7 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Unix(1_700_000_000, 0)
			cad := cadence{every: every, last: start}
			sealed, apart := 0, time.Duration(0)
			for now := start; now.Sub(start) < time.Second; {
				have := int(now.Sub(start).Seconds()*float64(c.perSec)) - sealed
				if wait := cad.period(have) - now.Sub(cad.last); wait > 0 {
					now = now.Add(min(wait, 2*time.Millisecond))
					continue
				}
				apart = now.Sub(cad.last)
				cad.began(now, have)
				sealed += have
				now = now.Add(c.takes)
			}
			if apart != c.want {
				t.Errorf("commits begin %s apart, want %s", apart, c.want)
			}
		})
	}
}

// TestCadenceAfterAFlow: what comes after a flow has ended is few, and waits for the whole period.
func TestCadenceAfterAFlow(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	cad := cadence{every: 10 * time.Millisecond, last: now}
	for range 100 {
		now = now.Add(5 * time.Millisecond)
		cad.began(now, 250)
	}
	if p := cad.period(250); p != 4*time.Millisecond {
		t.Fatalf("in the flow the period is %s", p)
	}
	if p := cad.period(20); p != 10*time.Millisecond {
		t.Errorf("after the flow the period is %s", p)
	}
	cad.began(now.Add(time.Minute), 20)
	if cad.flow >= 50_000 {
		t.Errorf("after a minute without readings %.0f are expected a second", cad.flow)
	}
}

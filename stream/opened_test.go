package stream_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// TestOpened tells the store where each sensor's readings are that are in no window.
func TestOpened(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 3, 4, 1, healthy)
	p.closed()
	p.temps("axle1-left", 5, 30, 1, healthy)
	p.temps("axle1-right", 5, 5, 1, healthy)
	p.closed()
	p.wantOpen("a range with room for the next minute, and a lone reading exactly", map[int64]stream.Open{
		1: {SensorID: 1, From: at(3), To: at(120)},
		2: {SensorID: 2, From: at(5), To: at(5) + 1, Times: []int64{at(5)}},
	})
	p.temps("axle1-left", 31, 69, 1, healthy)
	if b := p.w.Take(); len(b.Opened) != 0 {
		t.Errorf("nothing left the range, and %v", b.Opened)
	} else {
		p.commit(b)
	}
	p.temps("axle1-left", 119, 120, 1, healthy)
	p.closed()
	if got := p.open[1]; got.To != at(240) {
		t.Errorf("a reading at the end of the range: %+v", got)
	}
	p.temps("axle1-right", 6, 6, 1, healthy)
	p.closed()
	p.wantOpen("two in one minute are a range", map[int64]stream.Open{1: p.open[1], 2: {SensorID: 2, From: at(5), To: at(120)}})
	p.temps("axle1-right", 4, 4, 1, healthy)
	p.closed()
	p.wantOpen("an earlier one", map[int64]stream.Open{1: p.open[1], 2: {SensorID: 2, From: at(4), To: at(120)}})
	p.tick(time.Hour)
	p.closed()
	p.wantOpen("all closed", map[int64]stream.Open{})
	p.settled()
}

// TestOpenedTogether: what a device sends at once is told exactly, in one row, whatever it lies among.
func TestOpenedTogether(t *testing.T) {
	p := newPlant(t, nil)
	for minute := range 30 { // a minute's readings a minute
		p.temps("axle1-left", float64(60*minute), float64(60*minute+59), 1, healthy)
		p.closed()
		if o := p.open[1]; o.Times == nil || o.To != at(float64(60*minute+59))+1 {
			t.Fatalf("minute %d: %+v", minute, o)
		}
		p.settled()
	}
	if p.told != 30 {
		t.Errorf("%d rows for 30 messages", p.told)
	}
}

func (p *plant) wantOpen(what string, want map[int64]stream.Open) {
	p.t.Helper()
	if !reflect.DeepEqual(p.open, want) {
		p.t.Errorf("%s:\n got  %+v\n want %+v", what, p.open, want)
	}
}

// TestOpenedSeldom: what is told of a sensor that sends every second, in a commit for each reading, is one row a window.
func TestOpenedSeldom(t *testing.T) {
	p := newPlant(t, nil)
	for s := range 3600 {
		p.temps("axle1-left", float64(s), float64(s), 1, healthy)
		p.temps("axle1-right", float64(s)+0.5, float64(s)+0.5, 1, healthy)
		p.closed()
	}
	p.settled()
	if windows := len(p.windows); p.told > windows+6 {
		t.Errorf("%d rows for %d windows", p.told, windows)
	}
}

// TestOpenedOfSlowSensors: each reading of one that sends every hour is told, and nothing between them.
func TestOpenedOfSlowSensors(t *testing.T) {
	p := newPlant(t, nil)
	for hour := range 100 {
		s := 3600 * float64(hour)
		p.temps("wayside", s, s, 1, healthy)
		p.closed()
		if o := p.open[1]; len(o.Times) == 0 || o.Times[len(o.Times)-1] != at(s) || o.To != at(s)+1 {
			t.Fatalf("hour %d: %+v", hour, o)
		}
	}
	p.settled()
	if p.told != 100 {
		t.Errorf("%d rows for 100 readings", p.told)
	}
}

// TestOpenedOverAGap: a mate that is waited for holds a window open whose sensor was off for a week since. The week is not told.
func TestOpenedOverAGap(t *testing.T) {
	p := newPlant(t, nil)
	const week = 7 * 24 * 3600
	p.together(0, 65, "axle1-left", "axle1-right")
	p.temps("axle1-left", week, week+9, 1, healthy)
	p.closed()
	if o := p.open[1]; len(o.Times) != 66+10 || o.From != at(0) {
		t.Errorf("open %+v", o)
	}
	p.settled()
	p.w = p.restart()
	p.temps("axle1-right", 66, 75, 1, healthy)
	p.want("nothing is missing", "axle1-left 0-60 n=60/60 watermark", "axle1-right 0-60 n=60/60 watermark")
	p.settled()
}

// TestOpenedAtTheEndOfTime: a range ends where event time does.
func TestOpenedAtTheEndOfTime(t *testing.T) {
	p := newPlant(t, func(cfg *stream.Config) { cfg.FutureAfter = math.MaxInt64 })
	for _, ts := range []int64{stream.MaxTS - 3, stream.MaxTS - 2, stream.MaxTS - 1} {
		p.send("axle1-left", fmt.Sprintf(`{"ts":%d,"temp_c":40}`, ts))
		p.closed()
	}
	if o := p.open[1]; o.Times != nil || o.To != stream.MaxTS {
		t.Errorf("open %+v", o)
	}
	p.settled()
}

// TestOpenedOfDisputes: readings in dispute whose windows closed and were not made stay among what is told, one by one while they are few, and then as a range.
func TestOpenedOfDisputes(t *testing.T) {
	for _, c := range []struct {
		minutes int
		exact   bool
	}{{3, true}, {100, true}, {300, false}} {
		p := newPlant(t, nil)
		p.temps("x", -60, -60, 1, healthy)
		for m := range c.minutes {
			s := 60 * float64(m)
			p.temps("x", s, s, 1, healthy)
			if got := p.send("x", reading(s, 99)); got != stream.Conflict {
				t.Fatalf("minute %d: %q", m, got)
			}
			p.closed()
		}
		o := p.open[1]
		if !slices.IsSorted(o.Times) || (o.Times != nil) != c.exact || o.From != at(0) || o.To <= at(60*float64(c.minutes-1)) {
			t.Errorf("%d minutes: from %v to %v, %d exactly", c.minutes, sec(o.From), sec(o.To), len(o.Times))
		}
		p.settled()
		p.w = p.restart()
		for m := range c.minutes {
			if got := p.send("x", reading(60*float64(m), healthy(60*float64(m)))); got != "" {
				t.Fatalf("%d minutes: the repeat of minute %d: %q", c.minutes, m, got)
			}
		}
		if p.closed(); p.count.Duplicate != int64(c.minutes) || p.count.Late != 0 {
			t.Errorf("%d minutes: %+v", c.minutes, p.count)
		}
		p.settled()
	}
}

// TestOpenedNeedsABatch: readings in dispute that fall silent close without a window; a batch of nothing but where they lie is none.
func TestOpenedNeedsABatch(t *testing.T) {
	p := newPlant(t, func(c *stream.Config) { c.SilentAfter = 0 })
	p.send("x", "["+reading(5, 40)+","+reading(5, 41)+","+reading(6, 40)+","+reading(6, 41)+"]")
	p.closed()
	before := fmt.Sprint(p.open)
	p.tick(time.Hour)
	if p.w.Pending() {
		t.Fatal("there is something to commit")
	}
	if b := p.w.Take(); len(b.Opened) != 0 {
		t.Errorf("told %+v", b.Opened)
	}
	if p.settled(); fmt.Sprint(p.open) != before {
		t.Errorf("open %v, before %s", p.open, before)
	}
}

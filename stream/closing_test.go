package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// TestEveryMember: a window waits for every sensor and the context source that sent in it or in the length before it.
func TestEveryMember(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 0, 69, 1, healthy)
	p.temps("axle1-right", 0, 69, 1, healthy)
	p.want("69 s: the watermarks stand at 59 s")
	p.temps("axle1-left", 70, 75, 1, healthy)
	p.want("one of two has passed the end")
	p.temps("axle1-right", 70, 70, 1, healthy)
	p.want("both have", "axle1-left 0-60 n=60/60 watermark", "axle1-right 0-60 n=60/60 watermark")
}

func TestContextIsAMember(t *testing.T) {
	p := newPlant(t, nil)
	p.publish(stream.ContextTopic("douala", "loco7"), context(5, `"speed_kmh":50`))
	p.temps("axle1-left", 0, 100, 1, healthy)
	p.want("the context stands at 5 s")
	p.publish(stream.ContextTopic("douala", "loco7"), context(70, `"speed_kmh":50`))
	p.want("it has passed the end too", "axle1-left 0-60 n=60/60 watermark")
}

// TestLowerMedian: the slow half does not hold the healthy one for longer than one length.
func TestLowerMedian(t *testing.T) {
	p := newPlant(t, nil)
	p.together(0, 30, "axle1-left", "axle1-right", "axle2-left", "axle3-left", "axle4-left")
	p.together(31, 129, "axle1-left", "axle1-right", "axle2-left") // the others have stopped
	p.want("the third of five stands at 119 s")
	p.temps("axle1-left", 130, 130, 1, healthy)
	p.want("only the fifth has passed 120 s")
	p.temps("axle1-right", 130, 130, 1, healthy)
	p.want("now the fourth")
	p.temps("axle2-left", 130, 130, 1, healthy)
	got := p.closed()
	if len(got) != 3 || !strings.HasSuffix(got[0], "median") || !strings.HasPrefix(got[2], "axle2-left 0-60 n=60/60") {
		t.Errorf("the third has: %v", got)
	}
	p.temps("axle3-left", 31, 70, 1, healthy)
	p.tick(30 * time.Second)
	if got := p.closed(); len(got) < 2 || got[0] != "axle3-left 0-60 n=60/60 idle" || got[1] != "axle4-left 0-60 n=31/60 idle" {
		t.Errorf("what is behind kept its own window, and lost nothing; what stopped falls idle: %v", got)
	}
}

// TestIdle: a member that sends nothing for the idle time, three of its periods and three of its steps holds nobody; its watermark stays.
func TestIdle(t *testing.T) {
	p := newPlant(t, nil)
	p.together(0, 40, "axle1-left", "axle1-right")
	p.temps("axle1-left", 41, 80, 1, healthy)
	p.tick(29 * time.Second)
	p.want("29 s of silence")
	p.temps("axle1-left", 81, 82, 1, healthy)
	p.tick(time.Second)
	p.want("30 s of one", "axle1-left 0-60 n=60/60 idle", "axle1-right 0-60 n=41/60 idle")
	p.temps("axle1-left", 83, 130, 1, healthy)
	p.want("it is a member of the next window too")
	p.tick(time.Second)
	p.want("but still silent", "axle1-left 60-120 n=60/60 idle")
	p.temps("axle1-left", 131, 190, 1, healthy)
	p.want("then no more", "axle1-left 120-180 n=60/60 watermark")
	p.send("axle1-right", reading(200, 40))
	p.want("back again, and a member")
	p.tick(time.Hour)
	p.want("all silent", "axle1-left 180-240 n=11/60 idle", "axle1-right 180-240 n=1/60 idle")
	p.tick(time.Hour)
	p.want("nothing is open")
	if p.count.Late != 0 {
		t.Errorf("%d late", p.count.Late)
	}
}

func TestIdleWaitsThreePeriods(t *testing.T) {
	p := newPlant(t, nil)
	for i := range 12 { // every five minutes
		p.mono = time.Duration(i) * 5 * time.Minute
		p.temps("wayside", float64(300*i), float64(300*i), 1, healthy)
	}
	p.closed()
	p.tick(15*time.Minute - time.Second)
	p.want("three periods have not passed")
	p.tick(time.Second)
	if got := p.closed(); len(got) != 1 || !strings.HasSuffix(got[0], "idle") {
		t.Errorf("they have: %v", got)
	}
}

// TestIdleKnowsBatchSenders: a device that sends two minutes' readings every two minutes is not idle in between.
func TestIdleKnowsBatchSenders(t *testing.T) {
	p := newPlant(t, nil)
	for batch := range 5 {
		var all []string
		for s := range 120 {
			all = append(all, reading(float64(120*batch+s), healthy(float64(s))))
		}
		p.send("axle1-left", "["+strings.Join(all, ",")+"]")
		for range 120 {
			p.tick(time.Second)
		}
	}
	for _, w := range p.closed() {
		if !strings.HasSuffix(w, "n=60/60 watermark") {
			t.Error(w)
		}
	}
	p.tick(4 * time.Minute)
	p.want("six minutes of silence", "axle1-left 540-600 n=60/60 idle")
}

// TestAPauseIsNotAPace: after a night of silence a sensor is idle as soon as ever.
func TestAPauseIsNotAPace(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 0, 100, 1, healthy)
	p.mono = 8 * time.Hour
	p.temps("axle1-left", 28_800, 28_803, 1, healthy)
	p.closed()
	p.tick(30 * time.Second)
	p.want("30 s of silence", "axle1-left 28800-28860 n=4/60 idle")
	// The first element of a new sensor's first message is refused: its missing time is no pace either.
	p = newPlant(t, nil)
	p.send("axle1-left", `[{"temp_c":40},`+reading(0, 40)+`]`)
	p.tick(30 * time.Second)
	p.want("30 s of silence", "axle1-left 0-60 n=1/3 idle")
}

// TestStoppedForGood: with two members the median is the slower one; once its mate is past the next windows, what stopped holds nobody, and no
// clock is needed for it.
func TestStoppedForGood(t *testing.T) {
	p := newPlant(t, nil)
	p.together(0, 30, "axle1-left", "axle1-right")
	p.temps("axle1-left", 31, 189, 1, healthy)
	p.want("it is a member of two windows")
	p.temps("axle1-left", 190, 190, 1, healthy)
	p.want("the first window in which it is no member is due",
		"axle1-left 0-60 n=60/60 watermark", "axle1-left 60-120 n=60/60 watermark", "axle1-left 120-180 n=60/60 watermark")
	p.tick(30 * time.Second)
	p.want("what stopped falls idle", "axle1-right 0-60 n=31/60 idle", "axle1-left 180-240 n=11/60 idle")
}

// TestClosingTogether: windows that end together close together and are compared, whoever was seen first and whoever stopped meanwhile. Here axle1-right
// is silent through the second window, which waits for axle2, which is gone; the third is due before the second.
func TestClosingTogether(t *testing.T) {
	for _, order := range [][]string{{"axle1-left", "axle1-right"}, {"axle1-right", "axle1-left"}} {
		p := newPlant(t, nil)
		p.together(0, 30, order[0], order[1], "axle2-left", "axle2-right")
		p.temps("axle1-left", 31, 124, 1, healthy)
		p.together(125, 250, order...)
		p.closed()
		n := 0
		for _, w := range p.windows {
			if w.Start != at(120) {
				continue
			}
			if n++; w.Features[stream.FMateDiff] != w.Features[stream.FMateDiff] {
				t.Errorf("%v: %s has no mate", order, w.Sensor.Name)
			}
		}
		if n != 2 || p.count.Late != 0 {
			t.Errorf("%v: %d windows from second 120, %d late", order, n, p.count.Late)
		}
	}
}

// TestLateSenderIsNotOvertaken: a mate that is known to send its past late is waited for, as the median and idling allow.
func TestLateSenderIsNotOvertaken(t *testing.T) {
	p := newPlant(t, nil)
	for batch := range 4 { // axle1-right sends three minutes' readings every three minutes
		p.temps("axle1-left", float64(180*batch), float64(180*batch+179), 1, healthy)
		p.temps("axle1-right", float64(180*batch), float64(180*batch+150), 1, healthy)
	}
	p.closed()
	if p.count.Late > 120 {
		t.Errorf("%d late: only its first batch came unexpected", p.count.Late)
	}
	before := p.count.Late
	p.temps("axle1-left", 720, 899, 1, healthy)
	p.closed()
	p.temps("axle1-right", 691, 899, 1, healthy)
	p.closed()
	if p.count.Late != before {
		t.Errorf("%d more late", p.count.Late-before)
	}
	p.settled()
}

// TestEachAtItsOwnPace: four senders of one asset's past, none in step with another, lose nothing, restarts or not.
func TestEachAtItsOwnPace(t *testing.T) {
	for _, restart := range []bool{false, true} {
		p := newPlant(t, nil)
		names := []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"}
		next := make([]float64, len(names))
		for round := 0; next[0] < 1200; round++ {
			for i, name := range names {
				n := float64(3 + 2*i + round%(i+2)) // the first is the slowest
				p.temps(name, next[i], next[i]+n-1, 1, healthy)
				next[i] += n
			}
			if p.closed(); restart && round%20 == 19 {
				p.w = p.restart()
			}
		}
		if p.count.Late != 0 {
			t.Errorf("restarts %v: %d late", restart, p.count.Late)
		}
		for _, w := range p.windows {
			if w.N != 60 {
				t.Errorf("restarts %v: %s %v-%v: n %d", restart, w.Sensor.Name, sec(w.Start), sec(w.End), w.N)
			}
		}
		if len(p.windows) < 4*18 {
			t.Errorf("restarts %v: %d windows", restart, len(p.windows))
		}
		p.settled()
	}
}

// TestFastClock: one clock that jumps ahead does not close the windows of its mates, and does not part them from one another.
func TestFastClock(t *testing.T) {
	p := newPlant(t, func(cfg *stream.Config) { cfg.Window = 10 * time.Second })
	mates := []string{"axle1-right", "axle2-left", "axle2-right", "axle3-left"}
	for s := range 200 {
		ahead := 0.0
		if s >= 45 {
			ahead = 100
		}
		p.temps("axle1-left", float64(s)+ahead, float64(s)+ahead, 1, healthy)
		for _, m := range mates {
			p.temps(m, float64(s), float64(s), 1, healthy)
		}
	}
	p.closed()
	if p.count.Late != 0 {
		t.Errorf("%d late", p.count.Late)
	}
	for _, w := range p.windows {
		if w.Sensor.Name != "axle1-left" && (w.N != 10 || !(w.Features[stream.FPeerDiff] == 0)) {
			t.Errorf("%s %v-%v: n %d, peer difference %v", w.Sensor.Name, sec(w.Start), sec(w.End), w.N, w.Features[stream.FPeerDiff])
		}
	}
	if len(p.windows) < 4*18 {
		t.Errorf("%d windows", len(p.windows))
	}
}

// TestOneAfterTheOther: whole hours of a file, column after column: nothing is late, every window is made.
func TestOneAfterTheOther(t *testing.T) {
	for _, restart := range []bool{false, true} {
		p := newPlant(t, nil)
		for _, s := range []string{"axle1-left", "axle1-right", "axle2-left"} {
			for from := 0.0; from < 3600; from += 900 {
				p.temps(s, from, from+899, 1, healthy)
				p.closed()
				if restart {
					p.w = p.restart()
				}
			}
		}
		if len(p.windows) != 3*59 || p.count.Late != 0 {
			t.Errorf("%d windows, %d late", len(p.windows), p.count.Late)
		}
		for _, w := range p.windows {
			if !w.Valid() || w.N != 60 {
				t.Errorf("%s %v: %s", w.Sensor.Name, sec(w.Start), w.Detail)
			}
		}
		p.settled()
	}
}

// TestFirstWindowExpectsFromItsFirstReading, and the next ones from their start.
func TestFirstWindowExpectsFromItsFirstReading(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 40, 70, 1, healthy)
	p.temps("axle1-left", 100, 130, 1, healthy)
	p.want("two windows", "axle1-left 0-60 n=20/20 watermark", "axle1-left 60-120 n=31/60 watermark")
	if !p.windows[0].Valid() || p.windows[1].Valid() {
		t.Errorf("%q, %q", p.windows[0].Detail, p.windows[1].Detail)
	}
}

// TestEmptyWindowsAreNotMade: silence leaves nothing, however long.
func TestEmptyWindowsAreNotMade(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 0, 59, 1, healthy)
	p.temps("axle1-left", 1e6, 1e6+70, 1, healthy)
	p.want("eleven days later", "axle1-left 0-60 n=60/60 watermark", "axle1-left 999960-1000020 n=20/60 watermark")
}

// TestLongWindowsTile: windows of slow sensors hold six periods, begin and end on multiples of their length but where they grew, and never overlap.
func TestLongWindowsTile(t *testing.T) {
	for period, length := range map[float64]float64{1: 60, 10: 60, 15: 120, 60: 360, 300: 1800, 3600: 21_600} {
		p := newPlant(t, nil)
		p.temps("wayside", 7, 7+period*100, period, healthy)
		p.closed()
		end := int64(0)
		for i, w := range p.windows {
			if w.Start < end || w.End <= w.Start || w.N == 0 {
				t.Errorf("period %v: window %d: %s", period, i, tell(w))
			}
			if long := w.End - w.Start; i > 8 && (long != int64(length*1000) || w.Start%long != 0 || w.Expected < 6 || !w.Valid()) {
				t.Errorf("period %v: window %d is %d ms long, expects %d: %s", period, i, long, w.Expected, w.Detail)
			}
			end = w.End
		}
		p.settled()
		if p.count.Late > 0 {
			t.Errorf("period %v: %d late", period, p.count.Late)
		}
	}
}

func TestConfiguredPeriod(t *testing.T) {
	p := newPlant(t, func(cfg *stream.Config) {
		cfg.Patterns = []stream.Pattern{{Match: "douala/*/way*", Kind: stream.Bearing, Period: 30 * time.Second}}
	})
	p.temps("wayside", 60, 450, 30, healthy)
	p.want("six periods from the first window on", "wayside 60-240 n=6/6 watermark", "wayside 240-420 n=6/6 watermark")
	if w := p.windows[0]; !w.Valid() || w.PeriodMs != 30_000 || w.Sensor.Kind != stream.Bearing {
		t.Errorf("%+v", w)
	}
}

// TestWakingUp: a sensor that sent every hour and now sends every second is seen at once, not six hours later.
func TestWakingUp(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 0, 3600*30, 3600, healthy)
	p.closed()
	p.temps("axle1-left", 3600*30+60, 3600*30+60+600, 1, healthy)
	got := p.closed()
	if len(got) < 9 {
		t.Fatalf("%d windows within ten minutes: %v", len(got), got)
	}
	for _, w := range got[1:] {
		if !strings.Contains(w, "n=60/60") {
			t.Errorf("%s", w)
		}
	}
}

// TestFutureMovesNothing: a refused reading leaves watermarks and windows as they are.
func TestFutureMovesNothing(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 0, 30, 1, healthy)
	for _, topic := range []string{stream.TelemetryTopic("douala", "loco7", "axle1-left"), stream.ContextTopic("douala", "loco7")} {
		if got := p.publish(topic, fmt.Sprintf(`{"ts":%d,"temp_c":40,"speed_kmh":1}`, t0+1e9+120_001)); got != stream.Future {
			t.Errorf("%s: %q", topic, got)
		}
	}
	p.want("refused")
	p.temps("axle1-left", 31, 70, 1, healthy)
	p.want("in time", "axle1-left 0-60 n=60/60 watermark")
	if b := p.w.Take(); p.count.Late != 0 || len(b.Sensors) != 0 {
		t.Errorf("%d late", p.count.Late)
	}
}

// TestLive: a window old at receipt is history.
func TestLive(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {999_940 * time.Second, true}, {999_939 * time.Second, false}} {
		p := newPlant(t, func(cfg *stream.Config) { cfg.HistoryAfter = c.after })
		p.temps("axle1-left", 0, 70, 1, healthy) // received at t0 + 1e6 s
		if w := p.w.Take().Windows[0]; w.Live != c.want {
			t.Errorf("history after %s: live %v", c.after, w.Live)
		}
	}
}

package stream_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// clockFault gives the error of a clock at a true second, ms.
type clockFault struct {
	name string
	off  func(sec int64, rng *rand.Rand) int64
}

var clockFaults = []clockFault{
	{"ten minutes ahead", func(int64, *rand.Rand) int64 { return 600_000 }},
	{"ninety seconds ahead", func(int64, *rand.Rand) int64 { return 90_000 }},
	{"an hour behind", func(int64, *rand.Rand) int64 { return -3_600_000 }},
	{"half a minute behind", func(int64, *rand.Rand) int64 { return -30_000 }}, // still a member: only the median lets its mates go
	{"three minutes behind", func(int64, *rand.Rand) int64 { return -180_000 }},
	{"at the epoch", func(sec int64, _ *rand.Rand) int64 { return -t0 }},
	{"gains a tenth", func(sec int64, _ *rand.Rand) int64 { return sec * 100 }},
	{"loses a tenth", func(sec int64, _ *rand.Rand) int64 { return -sec * 100 }},
	{"jumps", func(sec int64, rng *rand.Rand) int64 { return []int64{0, 100_000, -100_000, -1_800_000}[sec/40%4] }},
	{"is anywhere", func(_ int64, rng *rand.Rand) int64 { return rng.Int64N(400_000) - 300_000 }},
}

// clockFleet runs a fleet whose nth asset's nth sensor has a fault, or does not exist where bad is false.
type clockFleet struct {
	*disk
	w      *stream.Windower
	closed map[string]int64 // true second at which each window closed, by name and start
	due    int64            // event time up to which all windows must have closed, one length late
}

// fleetOf is one asset in 25 with a clock that is wrong: one sensor in a hundred.
const (
	sensorsOfAsset = 4
	wrongEvery     = 25
)

func runClocks(t *testing.T, assets int, seconds int64, bad, stored bool) *clockFleet {
	t.Helper()
	cfg := stream.DefaultConfig()
	cfg.Window, cfg.Disorder, cfg.HistoryAfter = 20*time.Second, 5*time.Second, 0
	f := &clockFleet{disk: newDisk(t, cfg, nil), closed: map[string]int64{}, due: t0 + (seconds-1-20-5)*1000 - 20_000}
	f.wild = true
	var past stream.Past
	if stored {
		past = f.disk
	}
	var err error
	if f.w, err = stream.NewWindower(cfg, past, nil); err != nil {
		t.Fatal(err)
	}
	luck := make([]*rand.Rand, assets)
	topics := make([][sensorsOfAsset]string, assets)
	for a := range assets {
		luck[a] = rand.New(rand.NewPCG(uint64(a), 3))
		for s := range sensorsOfAsset {
			topics[a][s] = stream.TelemetryTopic("d", fmt.Sprintf("loco%d", a), []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"}[s])
		}
	}
	for sec := range seconds {
		mono := time.Duration(sec) * time.Second
		for a := range assets {
			for s := range sensorsOfAsset {
				ts := t0 + sec*1000 + int64(a+s)%700
				temp := 40_000 + stream.Milli((sec*31+int64(a*7+s*3))%400)
				if a%wrongEvery == 0 && s == a/wrongEvery%sensorsOfAsset {
					if !bad {
						continue
					}
					ts += clockFaults[a/wrongEvery%len(clockFaults)].off(sec, luck[a])
				}
				if ts < stream.MinTS { // what Decode refuses as bad_time comes to no sensor
					continue
				}
				if _, err := f.w.FeedReading(topics[a][s], stream.Reading{TS: ts, Temp: temp}, t0+sec*1000+700, mono); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.w.Tick(mono, t0+sec*1000)
		f.take(sec, stored)
	}
	return f
}

func (f *clockFleet) take(sec int64, stored bool) {
	b := f.w.Take()
	if stored {
		f.commit(b)
	} else {
		f.windows = append(f.windows, b.Windows...)
		f.tally(b)
	}
	for _, w := range b.Windows {
		if key := clockKey(w); w.Revision == 0 && w.End <= f.due {
			f.closed[key] = sec
		}
	}
}

func clockKey(w *stream.Window) string {
	return fmt.Sprint(w.Sensor.Asset, "/", w.Sensor.Name, " ", w.Start-t0)
}

// TestWrongClocksHarmNobody: assets without a wrong clock are bit-equal to a fleet without the wrong ones. Beside one, what the healthy sensors' own readings give is, and their windows
// close at most one length later. CIDP_LONG runs 10,000 sensors.
func TestWrongClocksHarmNobody(t *testing.T) {
	assets, seconds, stored := len(clockFaults)*wrongEvery, int64(200), true
	if os.Getenv("CIDP_LONG") != "" {
		assets, stored = 2500, false // a past of so many would be all memory: what comes behind is late there
	}
	with, without := runClocks(t, assets, seconds, true, stored), runClocks(t, assets, seconds, false, stored)
	got, want := apartBy(with), apartBy(without)
	for name, w := range want {
		g := got[name]
		for i := range max(len(g), len(w)) {
			if i >= len(g) || i >= len(w) || g[i] != w[i] {
				t.Fatalf("%s: %d windows, want %d; the first that differs is number %d:\n%s\n%s", name, len(g), len(w), i, at1(g, i), at1(w, i))
			}
		}
	}
	if len(want) != assets*sensorsOfAsset-assets/wrongEvery {
		t.Errorf("%d sensors compared", len(want))
	}
	worst := int64(math.MinInt64)
	for key, sec := range without.closed {
		late, ok := with.closed[key]
		if !ok {
			t.Fatalf("%s never closes beside a wrong clock", key)
		}
		worst = max(worst, late-sec)
		if late > sec+20 {
			t.Errorf("%s closes %d s later", key, late-sec)
		}
	}
	t.Logf("%d sensors, %d with a wrong clock; windows close at most %d s later; %d late, %d refused, %d revised",
		assets*sensorsOfAsset, assets/wrongEvery, worst, with.count.Late, with.count.Refused, with.revised)
	if with.count.Late == 0 || with.count.Refused == 0 || stored && with.revised == 0 || without.count.Late+without.count.Refused > 0 {
		t.Errorf("%+v, %+v, %d revised: the clocks are not wrong", with.count, without.count, with.revised)
	}
}

// apartBy gives the healthy sensors' windows in order: whole where the asset has no wrong clock, else what their own readings give.
func apartBy(f *clockFleet) map[string][]string {
	out := map[string][]string{}
	slices.SortStableFunc(f.windows, func(a, b *stream.Window) int { return int(a.Start - b.Start) })
	for _, w := range f.windows {
		var a int
		if _, err := fmt.Sscanf(w.Sensor.Asset, "loco%d", &a); err != nil {
			f.t.Fatal(err)
		}
		text := tell(w)
		if a%wrongEvery == 0 {
			if a/wrongEvery%sensorsOfAsset == slices.Index([]string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"}, w.Sensor.Name) {
				continue
			}
			if w.End > f.due {
				continue
			}
			text = own(&disk{windows: []*stream.Window{w}})[0]
		}
		name := w.Sensor.Asset + "/" + w.Sensor.Name
		out[name] = append(out[name], text)
	}
	return out
}

func at1(all []string, i int) string {
	if i < len(all) {
		return all[i]
	}
	return "nothing"
}

// TestFutureLimit: up to the limit ahead of its receipt a reading is taken; one millisecond beyond it is refused, moves no watermark and makes no sensor.
func TestFutureLimit(t *testing.T) {
	for _, limit := range []time.Duration{0, 90 * time.Second, 2 * time.Minute, time.Hour} {
		p := newPlant(t, func(cfg *stream.Config) { cfg.FutureAfter = limit })
		received := t0 + 30_000
		feed := func(sensor string, ts int64) stream.Reason {
			reason, err := p.w.FeedReading(stream.TelemetryTopic("douala", "loco7", sensor), stream.Reading{TS: ts, Temp: 40_000}, received, 0)
			if err != nil {
				t.Fatal(err)
			}
			return reason
		}
		for s := range int64(31) {
			feed("axle1-left", t0+s*1000)
		}
		for range 100 {
			if got := feed("axle1-left", received+limit.Milliseconds()+1); got != stream.Future {
				t.Errorf("beyond %s: %q", limit, got)
			}
			if got := feed("stranger", received+limit.Milliseconds()+1); got != stream.Future {
				t.Errorf("beyond %s: %q", limit, got)
			}
		}
		if b := p.w.Take(); len(b.Windows) != 0 || len(b.Sensors) != 1 || b.Count.Late != 0 {
			t.Errorf("limit %s: %d windows closed, %d sensors", limit, len(b.Windows), len(b.Sensors))
		}
		if got := feed("axle1-left", received+limit.Milliseconds()); got != "" {
			t.Errorf("at %s: %q", limit, got)
		}
	}
}

// TestNoTimeBeforeTheCentury: a clock at its epoch, or anywhere before 2000, gives readings without a time; they move nothing.
func TestNoTimeBeforeTheCentury(t *testing.T) {
	p := newPlant(t, nil)
	p.temps("axle1-left", 0, 30, 1, healthy)
	for _, ts := range []string{"0", "1", "-1", "946684799999", `"1970-01-01T00:00:00Z"`, `"1999-12-31T23:59:59.999Z"`, `"1980-01-06T00:00:00Z"`, "8796093022208", "9223372036854775807"} {
		if got := p.send("axle1-left", `{"ts":`+ts+`,"temp_c":40}`); got != stream.BadTime {
			t.Errorf("%s: %q", ts, got)
		}
	}
	p.want("nothing has moved")
	if got := p.send("axle2-left", `{"ts":946684800000,"temp_c":40}`); got != "" {
		t.Errorf("the first moment of 2000: %q", got)
	}
	p.temps("axle1-left", 31, 70, 1, healthy)
	if got := strings.Join(p.closed(), ", "); !strings.Contains(got, "axle1-left 0-60 n=60/60") {
		t.Errorf("closed %s", got)
	}
}

// TestWallClockStepsChangeNothing: receipt times that jump by an hour, as NTP and a wrong zone do, neither close nor hold a window: silence goes by monotonic time. They decide what is
// live, and that a reading is refused as from the future, which is all they are for.
func TestWallClockStepsChangeNothing(t *testing.T) {
	const hour = int64(3_600_000)
	run := func(step func(sec int64) int64) ([]string, []string) {
		p := newPlant(t, func(cfg *stream.Config) { cfg.FutureAfter = 2 * time.Hour })
		var closings []string
		for sec := range int64(600) {
			p.mono = time.Duration(sec) * time.Second
			wall := t0 + sec*1000 + step(sec)
			for i, s := range []string{"axle1-left", "axle1-right", "axle2-left"} {
				if i == 2 && sec > 200 && sec < 400 {
					continue // silent meanwhile
				}
				m := stream.Message{Topic: stream.TelemetryTopic("douala", "loco7", s), Payload: []byte(reading(float64(sec), healthy(float64(sec)))), Received: wall}
				if reason, err := p.w.Feed(m, p.mono); reason != "" || err != nil {
					t.Fatalf("second %d: %q, %v", sec, reason, err)
				}
			}
			p.w.Tick(p.mono, wall)
			for _, w := range p.closed() {
				closings = append(closings, fmt.Sprint(sec, " ", w))
			}
		}
		return closings, p.content()
	}
	closings, content := run(func(int64) int64 { return 0 })
	for name, step := range map[string]func(int64) int64{
		"an hour back":    func(sec int64) int64 { return -hour * min(1, sec/300) },
		"an hour ahead":   func(sec int64) int64 { return hour * min(1, sec/300) },
		"to and fro":      func(sec int64) int64 { return hour * (sec/50%3 - 1) },
		"a second a time": func(sec int64) int64 { return -sec * 500 },
	} {
		c, w := run(step)
		if !slices.Equal(c, closings) {
			t.Errorf("%s: other closings: %v, want %v", name, c, closings)
		}
		compareContent(t, name, w, content)
	}
	if len(closings) < 20 {
		t.Errorf("%d closings", len(closings))
	}
}

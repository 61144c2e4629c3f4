package stream_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// The half of the law beyond the disorder: whatever comes within lateness, the newest revisions of all windows say of their own readings what windows in order do.

// latePeriods are the configured periods of a late morning's sensors, ms. What a sensor would learn of its period depends on what came in order.
var latePeriods = map[string]int64{"axle1-left": 1000, "axle1-right": 1000, "axle2-left": 700, "motor1": 2500, "x": 5000}

func lateConfig(hop time.Duration) stream.Config {
	cfg := smallConfig()
	cfg.Hop = hop
	cfg.Lateness = 2 * time.Minute
	for name, ms := range latePeriods {
		cfg.Patterns = append([]stream.Pattern{{Match: name, Kind: stream.Bearing, Period: time.Duration(ms) * time.Millisecond}}, cfg.Patterns...)
	}
	return cfg
}

// lateMorning makes up readings with pauses, jumps and contradictions, and contexts.
func lateMorning(rng *rand.Rand) []sent {
	var out []sent
	const span = 300_000 // ms
	for a := range 1 + rng.IntN(2) {
		asset := fmt.Sprintf("loco%d", a)
		for _, name := range []string{"axle1-left", "axle1-right", "axle2-left", "motor1", "x"}[:1+rng.IntN(5)] {
			temp := stream.Milli(30_000 + rng.IntN(30_000))
			first := int64(rng.IntN(60_000)) // in time and undisputed: from it on a sensor's first window expects readings
			for ts := first; ts < span; ts += latePeriods[name] {
				switch rng.IntN(70) {
				case 0:
					ts += int64(rng.IntN(60_000))
				case 1:
					temp += stream.Milli(rng.IntN(40_000) - 20_000)
				}
				temp += stream.Milli(rng.IntN(401) - 200)
				r := stream.Reading{TS: t0 + ts + int64(rng.IntN(3)), Temp: temp}
				if rng.IntN(3) == 0 {
					r.Ambient, r.Has = stream.Milli(25_000+rng.IntN(500)), stream.HasAmbient
				}
				e := sent{topic: stream.TelemetryTopic("d", asset, name), Reading: r}
				out = append(out, e)
				if ts >= first+10_000 && rng.IntN(40) == 0 {
					e.Temp++
					out = append(out, e)
				}
			}
		}
		for ts := int64(-60_000); ts < span; ts += int64(1 + rng.IntN(30_000)) {
			out = append(out, sent{topic: stream.ContextTopic("d", asset), context: true,
				Reading: stream.Reading{TS: t0 + ts, Conditions: stream.Conditions{Speed: stream.Milli(rng.IntN(90_000)), Has: stream.HasSpeed}}})
		}
	}
	slices.SortStableFunc(out, func(a, b sent) int { return cmp.Compare(a.TS, b.TS) })
	return out
}

// delay lets some readings come up to lateness behind their sensor's newest, none of them a sensor's first; each delays as its own mood is. Contexts
// come early by lead, ms: late ones revise nothing.
func delay(all []sent, lateness int64, lead float64, rng *rand.Rand) []sent {
	type timed struct {
		sent
		at float64
	}
	seen, mood := map[string]bool{}, map[string]float64{}
	var line []timed
	for _, e := range all {
		at := float64(e.TS)
		switch {
		case e.context:
			at -= lead
		case !seen[e.topic]:
			seen[e.topic], mood[e.topic] = true, rng.Float64()*0.5
		case rng.Float64() < mood[e.topic]:
			at += rng.Float64() * float64(lateness-1)
		}
		line = append(line, timed{e, at})
		if rng.IntN(15) == 0 {
			e.repeat = true
			line = append(line, timed{e, at + rng.ExpFloat64()*float64(lateness)})
		}
	}
	slices.SortStableFunc(line, func(a, b timed) int { return cmp.Compare(a.at, b.at) })
	out := make([]sent, len(line))
	for i := range line {
		out[i] = line[i].sent
	}
	return out
}

// runLate feeds what arrives, commits, crashes and falls silent at random.
func runLate(t *testing.T, cfg stream.Config, line []sent, rng *rand.Rand, takeEvery, crashEvery, silentEvery int) *disk {
	t.Helper()
	d := newDisk(t, cfg, frozen)
	d.wild = true
	w := d.windower()
	committed, mono := 0, time.Duration(0)
	often := func(every int) bool { return every > 0 && rng.IntN(every) == 0 }
	for i := 0; i < len(line); i++ {
		if err := feedSent(w, &line[i], mono); err != nil {
			t.Fatal(err)
		}
		if often(silentEvery) {
			mono += 3 * time.Hour
			w.Tick(mono, t0)
		}
		if often(takeEvery) {
			d.commit(w.Take())
			committed = i + 1
		}
		if often(crashEvery) {
			w, mono = d.restart(), 0
			i = committed - 1
		}
	}
	w.Tick(mono+24*time.Hour, t0)
	d.commit(w.Take())
	d.settled()
	return d
}

// TestRevisionsSayWhatOrderWouldHave: within lateness the newest revisions of each window's own figures do not depend on how the readings came. CIDP_SCHEDULES runs more of it.
func TestRevisionsSayWhatOrderWouldHave(t *testing.T) {
	mornings := 36
	if v := os.Getenv("CIDP_SCHEDULES"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		mornings = n
	}
	revised := 0
	seeds := []uint64{152, 168, 212, 339} // a pause before the window that a revision changes
	for seed := range uint64(mornings) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("morning ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 11))
			all, cfg := lateMorning(rng), lateConfig([]time.Duration{0, 5 * time.Second, 2 * time.Second}[seed%3])
			want := runLate(t, cfg, all, rng, 0, 0, 0)
			if want.count.Late > 0 || want.revised > 0 {
				t.Fatalf("%d late, %d revised in perfect order", want.count.Late, want.revised)
			}
			for n, s := range [][3]int{{0, 0, 0}, {20, 0, 0}, {50, 300, 0}, {5, 80, 60}} {
				lead := 5e3
				if s[2] > 0 { // silence closes windows before their time
					lead = 400e3
				}
				got := runLate(t, cfg, delay(all, cfg.Lateness.Milliseconds(), lead, rng), rng, s[0], s[1], s[2])
				if got.count.Late > 0 {
					t.Fatalf("schedule %d: %d late within lateness, the first %+v", n, got.count.Late, got.late[0])
				}
				compareContent(t, fmt.Sprint("schedule ", n), own(got), own(want))
				revised += got.revised
			}
		})
	}
	if revised == 0 {
		t.Error("nothing was revised: the mornings test nothing")
	}
}

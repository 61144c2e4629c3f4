package stream_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// drawRules makes up a registry for the sensors of a morning.
func drawRules(cfg stream.Config, rng *rand.Rand) stream.Config {
	cfg.Rules = nil
	for _, match := range []string{"axle1-*", "d/loco0/axle2-left", "x", "motor1", "*"} { // the second is the only exact one
		r := stream.Rule{Match: match}
		if rng.IntN(2) == 0 {
			r.Period = ptr([]time.Duration{0, time.Second, 4 * time.Second, 20 * time.Second}[rng.IntN(4)])
		}
		if rng.IntN(3) == 0 {
			r.Kind = ptr(stream.Kind(rng.IntN(5)))
		}
		if rng.IntN(3) == 0 {
			r.Mate = ptr([]string{"axle2-right", "axle1-left", "axle1-right", ""}[rng.IntN(4)])
		}
		if rng.IntN(3) == 0 {
			r.Position, r.Side = ptr("here"), ptr([]string{"left", "right"}[rng.IntN(2)])
		}
		if rng.IntN(3) == 0 {
			r.Limits = map[string][]float64{"spike_k": {float64(1 + rng.IntN(20))}}
			if rng.IntN(2) == 0 {
				r.Limits["hop_s"] = []float64{[]float64{5, 2, 10}[rng.IntN(3)]}
			}
		}
		cfg.Rules = append(cfg.Rules, r)
	}
	return cfg
}

// undisputed leaves the first value of each source and time.
func undisputed(all []sent) []sent {
	type key struct {
		topic string
		ts    int64
	}
	seen := map[key]bool{}
	return slices.DeleteFunc(all, func(e sent) bool {
		k := key{e.topic, e.TS}
		twice := seen[k]
		seen[k] = true
		return twice
	})
}

// reconfigured feeds a morning and changes the registry after every commit of some; where crash says so, the process stops there and another starts with what is then the
// registry. The disk refuses windows that overlap.
func reconfigured(t *testing.T, line []sent, seed uint64, crash bool, other func(stream.Config, *rand.Rand) stream.Config) *disk {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 99))
	d := newDisk(t, smallConfig(), frozen)
	w := d.windower()
	for i := range line {
		e := &line[i]
		var err error
		if e.context {
			_, err = w.FeedContext(e.topic, stream.Context{TS: e.TS, Conditions: e.Conditions}, t0+1e9, 0)
		} else {
			_, err = w.FeedReading(e.topic, e.Reading, t0+1e9, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if rng.IntN(150) != 0 {
			continue
		}
		d.commit(w.Take())
		if d.cfg = other(d.cfg, rng); crash {
			w = d.restored()
			continue
		}
		if err := w.Configure(d.cfg); err != nil {
			t.Fatal(err)
		}
	}
	d.commit(w.Take())
	d.settled()
	return d
}

// TestConfigureTheSameChangesNothing: bit for bit, however often.
func TestConfigureTheSameChangesNothing(t *testing.T) {
	for seed := range uint64(40) {
		all := morning(rand.New(rand.NewPCG(seed, 3)))
		rules := drawRules(smallConfig(), rand.New(rand.NewPCG(seed, 4))).Rules
		first := true
		once := func(cfg stream.Config, _ *rand.Rand) stream.Config {
			cfg.Rules = rules
			return cfg
		}
		want := reconfigured(t, all, seed, false, func(cfg stream.Config, rng *rand.Rand) stream.Config {
			if !first {
				return cfg
			}
			first = false
			return once(cfg, rng)
		})
		got := reconfigured(t, all, seed, false, once)
		compareContent(t, fmt.Sprint("morning ", seed), got.content(), want.content())
	}
	d := newDisk(t, smallConfig(), nil)
	w := d.windower()
	feed(t, w, "cidp/v1/telemetry/d/l/axle1-left", reading(0, 40))
	d.commit(w.Take())
	if err := w.Configure(d.cfg); err != nil || w.Pending() {
		t.Errorf("error %v, pending %v", err, w.Pending())
	}
}

// TestConfigureIsWhatARestartDoes: registries that change at random, under readings within the disorder, lose and overlap nothing, and the windows are those of a process
// that was stopped at each change and started with the next registry. Readings in dispute are left out: a window of nothing else is not made, so that a restart closes it once more,
// under the next registry.
func TestConfigureIsWhatARestartDoes(t *testing.T) {
	changed := 0
	for seed := range uint64(60) {
		line := arrival(undisputed(morning(rand.New(rand.NewPCG(seed, 5)))), 3000, rand.New(rand.NewPCG(seed, 6)))
		live := reconfigured(t, line, seed, false, drawRules)
		again := reconfigured(t, line, seed, true, drawRules)
		if live.count.Late > 0 || again.count.Late > 0 {
			t.Fatalf("morning %d: %d and %d late within disorder", seed, live.count.Late, again.count.Late)
		}
		compareContent(t, fmt.Sprint("morning ", seed), again.content(), live.content())
		for i, s := range live.sensors {
			if *s != *again.sensors[i] {
				t.Fatalf("morning %d: sensor %+v, after restarts %+v", seed, *s, *again.sensors[i])
			}
			if s.Position == "here" {
				changed++
			}
		}
	}
	if changed == 0 {
		t.Error("no sensor was ever changed")
	}
}

// TestConfigureMovesKindPeriodAndLimits of a sensor that is known, within its open window.
func TestConfigureMovesKindPeriodAndLimits(t *testing.T) {
	pl := newPlant(t, nil)
	pl.temps("oil", 0, 30, 1, healthy)
	pl.commit(pl.w.Take())
	before := pl.w
	cfg := pl.cfg
	cfg.Rules = []stream.Rule{{Match: "oil", Kind: ptr(stream.Bearing), Position: ptr("axle9"), Axle: ptr(9), Side: ptr("left"), Period: ptr(20 * time.Second)}}
	if err := before.Configure(cfg); err != nil {
		t.Fatal(err)
	}
	b := pl.w.Take()
	if len(b.Changed) != 1 || b.Changed[0].ID != 1 || b.Changed[0].Kind != stream.Bearing || b.Changed[0].PeriodMs != 20_000 ||
		b.Changed[0].What != "kind other to bearing, position none to axle9, axle 0 to 9, side none to left, period learned to 20s" {
		t.Fatalf("changed %+v", b.Changed)
	}
	pl.commit(b)
	pl.cfg = cfg
	pl.temps("oil", 30, 250, 1, healthy) // a period of 20 s asks for windows of two minutes
	b = pl.w.Take()
	if len(b.Windows) != 2 {
		t.Fatalf("%d windows", len(b.Windows))
	}
	if w := b.Windows[0]; w.End-w.Start != 120_000 || w.Sensor.Kind != stream.Bearing || w.Features[stream.FKind] != float64(stream.Bearing) || w.Expected != 6 || w.N != 120 {
		t.Errorf("window %+v", w)
	}
	pl.commit(b)
	cfg.Rules = []stream.Rule{{Match: "oil", Period: ptr(time.Second), Limits: map[string][]float64{"fail_high_c": {35}, "suspect_high_c": {34}}, Kind: ptr(stream.Other)}}
	pl.temps("oil", 250, 375, 1, healthy) // [240,360) is not due before 370
	pl.commit(pl.w.Take())
	pl.temps("oil", 375, 460, 1, healthy)
	if err := pl.w.Configure(cfg); err != nil {
		t.Fatal(err)
	}
	b = pl.w.Take() // what is open is one window of a minute now, which is due
	if len(b.Windows) != 1 || b.Windows[0].Start != at(360) || b.Windows[0].End != at(420) || len(b.Windows[0].Reasons) == 0 || b.Windows[0].Reasons[0] != stream.OutOfRange {
		t.Fatalf("%d windows: %+v", len(b.Windows), b.Windows)
	}
	pl.commit(b)
	pl.cfg = cfg
	pl.settled()
}

func TestConfigureRefuses(t *testing.T) {
	w := newWindower(t, nil)
	cfg := stream.DefaultConfig()
	cfg.HistoryAfter = 0
	cfg.Window = 2 * time.Minute
	if err := w.Configure(cfg); !errors.Is(err, stream.ErrNotWhileRunning) {
		t.Errorf("another window: %v", err)
	}
	cfg.Window, cfg.Rules = time.Minute, []stream.Rule{{Match: "["}}
	if err := w.Configure(cfg); err == nil {
		t.Error("a broken rule was taken")
	}
	if w.Pending() {
		t.Error("a refused configuration left something")
	}
}

// TestNamedMateWins over the one by position, from both ends, and a window that has neither is compared with none.
func TestNamedMateWins(t *testing.T) {
	cfg := stream.DefaultConfig()
	cfg.HistoryAfter = 0
	cfg.Rules = []stream.Rule{{Match: "d/l/axle1-left", Mate: ptr("hub")}, {Match: "d/l/axle2-left", Mate: ptr("")}}
	w, err := stream.NewWindower(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for sec := 0.0; sec < 75; sec++ {
		for i, s := range []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right", "hub"} {
			feed(t, w, "cidp/v1/telemetry/d/l/"+s, reading(sec, healthy(sec)+10*float64(i)))
		}
	}
	got := ""
	for _, win := range w.Take().Windows {
		got += fmt.Sprintf("%s %.0f ", win.Sensor.Name, win.Features[stream.FMateDiff])
	}
	if want := "axle1-left -40 axle1-right 10 axle2-left NaN axle2-right 10 hub 40 "; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// BenchmarkConfigure gives what a changed registry costs with 100,000 sensors and as many rules as some operators may write.
func BenchmarkConfigure(b *testing.B) {
	const sensors = 100_000
	w := newWindower(b, nil)
	for i := range sensors {
		topic := stream.TelemetryTopic("d", fmt.Sprint("loco", i/20), fmt.Sprintf("axle%d-%s", i%20/2, []string{"left", "right"}[i%2]))
		if _, err := w.FeedReading(topic, stream.Reading{TS: t0, Temp: 40_000}, t0, 0); err != nil {
			b.Fatal(err)
		}
	}
	w.Take()
	for _, c := range []struct{ exact, patterns int }{{0, 0}, {0, 100}, {10_000, 0}, {100_000, 20}} {
		b.Run(fmt.Sprintf("%d_exact_%d_patterns", c.exact, c.patterns), func(b *testing.B) {
			cfg := stream.DefaultConfig()
			cfg.HistoryAfter = 0
			for i := range c.exact {
				cfg.Rules = append(cfg.Rules, stream.Rule{Match: fmt.Sprintf("d/loco%d/axle%d-%s", i/20, i%20/2, []string{"left", "right"}[i%2]), Side: ptr("left")})
			}
			for i := range c.patterns {
				cfg.Rules = append(cfg.Rules, stream.Rule{Match: fmt.Sprintf("d/loco%d*/axle*", i), Axle: ptr(7)})
			}
			for n := 0; b.Loop(); n++ {
				for i := range cfg.Rules { // each time another, so that every sensor of a rule changes
					cfg.Rules[i].Period = ptr(time.Duration(1+n%2) * time.Second)
				}
				if err := w.Configure(cfg); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N), "ms/configure")
			w.Take()
		})
	}
}

package stream_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// broken are minutes in which so many of an asset's four sensors stand still.
type broken struct{ from, to, sensors int }

// shift makes up the readings of some assets of four sensors each, one a second.
func shift(assets, minutes int, rng *rand.Rand, spells func(asset int) []broken) (out []sent) {
	for a := range assets {
		for s, name := range []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"} {
			temp := stream.Milli(40_000)
			for sec := range minutes * 60 {
				still := slices.ContainsFunc(spells(a), func(b broken) bool { return sec >= b.from*60 && sec < b.to*60 && s < b.sensors })
				if !still {
					temp += stream.Milli(rng.IntN(41) - 20)
				}
				r := stream.Reading{TS: t0 + int64(sec)*1000, Temp: temp}
				out = append(out, sent{topic: stream.TelemetryTopic("d", fmt.Sprint("loco", a), name), Reading: r})
			}
		}
	}
	slices.SortStableFunc(out, func(x, y sent) int { return int(x.TS - y.TS) })
	return out
}

func failsafeConfig() stream.Config {
	cfg := stream.DefaultConfig()
	cfg.HistoryAfter = 0
	return cfg
}

// told writes when a fail-safe opened and closed, in minutes.
func toldFailsafes(all []stream.Failsafe) (out []string) {
	for _, f := range all {
		if f.Moved {
			out = append(out, fmt.Sprintf("%d %s/%s open=%t %d of %d", (f.At-t0)/60_000, f.Site, f.Asset, f.Open, f.Quarantined, f.Windows))
		}
	}
	return out
}

func TestFailsafeOpensAndCloses(t *testing.T) {
	for name, c := range map[string]struct {
		spells []broken
		want   []string
	}{
		"three of four, and back": {[]broken{{10, 20, 3}}, []string{"14 d/loco0 open=true 12 of 20", "24 d/loco0 open=false 3 of 20"}},
		"half are not too many":   {[]broken{{10, 20, 2}}, nil},
		"for two minutes":         {[]broken{{10, 12, 4}}, nil},
		"all, from the beginning": {[]broken{{1, 9, 4}}, []string{"6 d/loco0 open=true 20 of 20", "13 d/loco0 open=false 4 of 20"}},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 5))
			d := run(t, failsafeConfig(), shift(1, 30, rng, func(int) []broken { return c.spells }), rng, 0, 0)
			if got := toldFailsafes(d.failsafes); !slices.Equal(got, c.want) {
				t.Fatalf("told %q, want %q", got, c.want)
			}
			checkFailsafe(t, d)
		})
	}
}

// checkFailsafe holds every window against what was told: of an open one, and of no other, each is quarantined for it.
func checkFailsafe(t *testing.T, d *disk) {
	t.Helper()
	open, i := map[int64]bool{}, 0
	for _, w := range d.windows {
		for ; i < len(d.failsafes) && d.failsafes[i].At < w.End; i++ {
			open[d.failsafes[i].AssetID] = d.failsafes[i].Open
		}
		has := slices.Contains(w.Reasons, stream.FailsafeOpen)
		if has != open[w.Sensor.AssetID] {
			t.Errorf("%s from minute %d: reasons %v, the fail-safe is open: %t", w.Sensor.Name, (w.Start-t0)/60_000, w.Reasons, open[w.Sensor.AssetID])
		}
		if has && (w.Valid() || !strings.Contains(w.Detail, "of the asset's last 20 windows are quarantined, limit 50 %")) {
			t.Errorf("detail %q", w.Detail)
		}
	}
}

func TestFailsafeNeedsEvidence(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	d := run(t, failsafeConfig(), shift(1, 5, rng, func(int) []broken { return []broken{{0, 5, 4}} }), rng, 0, 0) // 16 windows, all quarantined
	if got := toldFailsafes(d.failsafes); got != nil {
		t.Errorf("told %q", got)
	}
	cfg := failsafeConfig()
	cfg.FailShare = 0
	if d := run(t, cfg, shift(1, 30, rng, func(int) []broken { return []broken{{0, 30, 4}} }), rng, 0, 0); len(d.failsafes) > 0 {
		t.Errorf("switched off, and told %+v", d.failsafes)
	}
}

// TestFailsafeIsTheSameOverCrashes: interleaving within the disorder, batching and crashes change no verdict, and no move.
func TestFailsafeIsTheSameOverCrashes(t *testing.T) {
	opened := 0
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 8))
		spells := map[int][]broken{}
		for a := range 2 {
			for from := 2 + rng.IntN(6); from < 28; from += 6 + rng.IntN(8) {
				spells[a] = append(spells[a], broken{from, from + 1 + rng.IntN(8), 1 + rng.IntN(4)})
			}
		}
		all := shift(2, 30, rng, func(a int) []broken { return spells[a] })
		cfg := failsafeConfig()
		want := run(t, cfg, all, rng, 0, 0)
		moves := toldFailsafes(want.failsafes)
		slices.Sort(moves)
		opened += len(moves)
		for n, s := range [][2]int{{0, 0}, {100, 0}, {300, 900}, {40, 300}} {
			got := run(t, cfg, arrival(all, cfg.Disorder.Milliseconds(), rng), rng, s[0], s[1])
			compareContent(t, fmt.Sprintf("seed %d schedule %d", seed, n), got.content(), want.content())
			told := toldFailsafes(got.failsafes)
			if slices.Sort(told); !slices.Equal(told, moves) {
				t.Fatalf("seed %d schedule %d: told %q, want %q", seed, n, told, moves)
			}
		}
	}
	if opened < 4 {
		t.Errorf("the fail-safes moved %d times: the test shows little", opened)
	}
}

// TestParkedTrainOpensNothing: what closes because its sensor went silent is no evidence of bad data.
func TestParkedTrainOpensNothing(t *testing.T) {
	p := newPlant(t, nil)
	names := []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"}
	for minute := range 40 { // each time for twenty seconds, then off
		for sec := range 20 {
			ts := float64(minute*600 + sec)
			for i, n := range names {
				p.send(n, reading(ts, 40+float64(i)+float64(sec%7)/10))
			}
		}
		p.tick(10 * time.Minute)
	}
	p.closed()
	if len(p.windows) < 100 {
		t.Fatalf("%d windows", len(p.windows))
	}
	if got := toldFailsafes(p.failsafes); got != nil {
		t.Errorf("told %q", got)
	}
}

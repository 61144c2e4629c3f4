package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// hoppingWindower is a windower of the usual configuration whose sensors all hop.
func hoppingWindower(t testing.TB, hop time.Duration) *stream.Windower {
	t.Helper()
	cfg := stream.DefaultConfig()
	cfg.Hop = hop
	w, err := stream.NewWindower(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// BenchmarkHopping gives the cost of a reading at 1 Hz, and the resident bytes a sensor, where windows of a minute overlap: BenchmarkReading and BenchmarkMemory are without.
func BenchmarkHopping(b *testing.B) {
	for _, hop := range []time.Duration{30 * time.Second, 20 * time.Second, 5 * time.Second} {
		b.Run(fmt.Sprintf("reading_%s", hop), func(b *testing.B) { benchReading(b, hoppingWindower(b, hop), 100, false) })
		for _, what := range []string{"open", "idle"} {
			b.Run(fmt.Sprintf("%s_%s", what, hop), func(b *testing.B) {
				for b.Loop() {
					b.ReportMetric(residentBytes(b, hop, 1000, what)/1000, "B/sensor")
				}
			})
		}
	}
}

// TestHopMistakesGetASentence: a hop is a whole part of the window, at least a twelfth.
func TestHopMistakesGetASentence(t *testing.T) {
	for hop, want := range map[float64]string{
		0: "", 60: "", 30: "", 5: "", 7.5: "", 4: "divided by a whole number up to 12, not 4s", 25: "not 25s", 120: "not 120s", -1: "not -1s", -20: "not -20s", 1e-9: "not 1e-09s", 1e300: "not",
	} {
		cfg := stream.DefaultConfig()
		l := cfg.Kinds[stream.Bearing]
		l.HopS = hop
		cfg.Kinds[stream.Bearing] = l
		got := ""
		if err := cfg.Validate(); err != nil {
			got = err.Error()
		}
		if (got == "") != (want == "") || !strings.Contains(got, want) || got != "" && !strings.HasPrefix(got, "the hop of kind bearing must be the window's length 1m0s") {
			t.Errorf("%v: %q, want %q", hop, got, want)
		}
	}
	cfg := stream.DefaultConfig()
	cfg.Hop = 7 * time.Second
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "the hop of kind motor") {
		t.Errorf("the hop of all: %v", err)
	}
	cfg.Hop = 0
	cfg.Rules = []stream.Rule{{Match: "x", Limits: map[string][]float64{"hop_s": {7}}}}
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "not 7s") {
		t.Errorf("the hop of a sensor: %v", err)
	}
}

// TestReleaseABetweenWindow: under other limits, and that one only.
func TestReleaseABetweenWindow(t *testing.T) {
	p := newPlant(t, func(cfg *stream.Config) {
		*cfg = hotLimits(*cfg, 30)
		cfg.Lateness, cfg.Hop = 5*time.Minute, 20*time.Second
	})
	p.temps("axle1-left", 0, 300, 1, healthy)
	p.revisions()
	p.putBackWindow(80)
	p.wantRevisions("under the same limits", "")
	p.cfg = hotLimits(p.cfg, 250)
	if err := p.w.Configure(p.cfg); err != nil {
		t.Fatal(err)
	}
	for _, start := range []float64{80, 60} {
		if old := p.putBackWindow(start); old == nil || old.Valid() {
			t.Fatalf("released %+v", old)
		}
		p.wantRevisions("asked for", fmt.Sprintf("axle1-left %.9g-%.9g r1 n=60/60 watermark behind", start, start+60))
		if old := p.putBackWindow(start); old == nil || !old.Valid() {
			t.Errorf("still quarantined: %+v", old)
		}
	}
	if p.putBackWindow(90) != nil {
		t.Error("released what is none")
	}
	delete(p.readings, stream.Key(at(110), 1))
	p.putBackWindow(100)
	p.wantRevisions("a reading has expired", "")
	if !p.w.Expired(stream.Key(at(100), 1)) {
		t.Error("a window that lost a reading is not told of")
	}
}

// TestHopWithoutAHistory: nothing is late in time and nothing is made anew, but windows overlap.
func TestHopWithoutAHistory(t *testing.T) {
	w := hoppingWindower(t, 30*time.Second)
	for s := range 200 {
		feed(t, w, stream.TelemetryTopic("douala", "loco7", "axle1-left"), reading(float64(s), healthy(float64(s))))
	}
	feed(t, w, stream.TelemetryTopic("douala", "loco7", "axle1-left"), reading(50.5, 40))
	b := w.Take()
	var starts []float64
	for _, win := range b.Windows {
		starts = append(starts, sec(win.Start))
	}
	if got := fmt.Sprint(starts); got != "[-30 0 30 60 90 120]" || b.Count.Late != 1 {
		t.Errorf("windows from %s, %d late", got, b.Count.Late)
	}
}

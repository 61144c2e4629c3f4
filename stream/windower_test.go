package stream_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

const t0 = int64(1_700_000_040_000) // a whole minute

func newWindower(t testing.TB, past stream.Past) *stream.Windower {
	t.Helper()
	cfg := stream.DefaultConfig()
	cfg.HistoryAfter = 0
	w, err := stream.NewWindower(cfg, past, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func feed(t testing.TB, w *stream.Windower, topic, payload string) stream.Reason {
	t.Helper()
	reason, err := w.Feed(stream.Message{Topic: topic, Payload: []byte(payload), Client: "test", Received: t0 + 1e9}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return reason
}

// warm gives a reading that no check objects to.
func warm(ts int64, rng *rand.Rand) string {
	return fmt.Sprintf(`{"ts":%d,"temp_c":%.3f,"ambient_c":25}`, ts, 40+rng.Float64())
}

func TestWindowsCloseTogether(t *testing.T) {
	w := newWindower(t, nil)
	rng := rand.New(rand.NewPCG(1, 1))
	for sec := range int64(131) {
		for _, s := range []string{"axle1-left", "axle1-right", "axle2-left", "axle2-right"} {
			feed(t, w, "cidp/v1/telemetry/d/l/"+s, warm(t0+sec*1000, rng))
		}
	}
	b := w.Take()
	if got := len(b.Windows); got != 8 {
		t.Fatalf("%d windows, want 8", got)
	}
	for _, win := range b.Windows {
		if !win.Valid() || win.N != 60 || win.Expected != 60 || win.ClosedBy != stream.ByWatermark {
			t.Errorf("window %+v", win)
		}
		if f := win.Features[stream.FMateDiff]; !(f > -1 && f < 1) {
			t.Errorf("mate difference %v", f)
		}
		if f := win.Features[stream.FPeerZ]; !(f > -5 && f < 5) {
			t.Errorf("peer z %v", f)
		}
	}
	if b.Count.Received != 131*4 || b.Count.Stored != 131*4 || len(b.Readings) != 131*4 {
		t.Errorf("count %+v", b.Count)
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	type message struct{ topic, payload string }
	rng := rand.New(rand.NewPCG(2, 2))
	var all []message
	var at []int64
	for sec := range int64(400) {
		for _, s := range []string{"axle1-left", "axle1-right", "x"} {
			if rng.IntN(20) == 0 {
				continue
			}
			all = append(all, message{"cidp/v1/telemetry/d/l/" + s, warm(t0+sec*1000, rng)})
			at = append(at, sec)
		}
		if sec%7 == 0 {
			all = append(all, message{"cidp/v1/context/d/l", fmt.Sprintf(`{"ts":%d,"speed_kmh":%d}`, t0+sec*1000, sec%90)})
			at = append(at, sec)
		}
	}
	run := func(order []int) string {
		w := newWindower(t, nil)
		var got []string
		for _, i := range order {
			feed(t, w, all[i].topic, all[i].payload)
		}
		for _, win := range w.Take().Windows {
			got = append(got, fmt.Sprint(win.Sensor.Name, win.Start, win.End, win.N, win.Expected, win.Reasons, win.Features, win.Flagged))
		}
		slices.Sort(got)
		return fmt.Sprint(len(got), got)
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	want := run(order)
	for range 20 {
		key := make([]float64, len(all))
		for i := range key {
			key[i] = float64(at[i]) + 10*rng.Float64()
		}
		slices.SortStableFunc(order, func(a, b int) int {
			if key[a] < key[b] {
				return -1
			}
			return 1
		})
		if got := run(order); got != want {
			t.Fatalf("another order gives other windows:\n%s\n%s", got, want)
		}
	}
}

func TestPeriodIsLearned(t *testing.T) {
	for _, period := range []time.Duration{time.Second, 10 * time.Second, 5 * time.Minute, time.Hour} {
		t.Run(period.String(), func(t *testing.T) {
			w := newWindower(t, nil)
			rng := rand.New(rand.NewPCG(3, 3))
			for i := range int64(300) {
				feed(t, w, "cidp/v1/telemetry/d/l/x", warm(t0+i*period.Milliseconds(), rng))
			}
			b := w.Take()
			valid := 0
			for _, win := range b.Windows {
				if win.Valid() {
					valid++
				} else if win.Start > t0+5*period.Milliseconds() {
					t.Errorf("window %d..%d: %s", win.Start, win.End, win.Detail)
				}
			}
			if last := b.Windows[len(b.Windows)-1]; last.PeriodMs != period.Milliseconds() {
				t.Errorf("period %d", last.PeriodMs)
			}
			t.Logf("%d windows, %d valid", len(b.Windows), valid)
		})
	}
}

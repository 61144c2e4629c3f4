package stream_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// years is how far the past lies that is fed beside the present.
const years = 13 * 365 * 86_400_000

// past feeds n readings a second apart, from long ago, beside a context of today, oldest or newest first.
func past(t testing.TB, n int64, newestFirst bool) *stream.Batch {
	t.Helper()
	w := newWindower(t, nil)
	if _, err := w.FeedContext("cidp/v1/context/d/l", stream.Context{TS: t0, Conditions: stream.Conditions{Speed: 3000, Has: stream.HasSpeed}}, t0, 0); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		ts := t0 - years + i*1000
		if newestFirst {
			ts = t0 - years + (n-1-i)*1000
		}
		if _, err := w.FeedReading("cidp/v1/telemetry/d/l/x", stream.Reading{TS: ts, Temp: stream.Milli(40_000 + ts/1000%17*10)}, t0, 0); err != nil {
			t.Fatal(err)
		}
	}
	w.Tick(time.Hour*4, t0)
	return w.Take()
}

// TestOldReadingsBesideALiveContext: the way back to them is not walked window by window, and newest first is no other content.
func TestOldReadingsBesideALiveContext(t *testing.T) {
	told := func(b *stream.Batch) (out []string) {
		for _, win := range b.Windows {
			out = append(out, fmt.Sprint(win.Start, win.N, win.Features, win.Reasons))
		}
		return out
	}
	first, last := past(t, 20_000, false), past(t, 20_000, true)
	if first.Count.Stored != 20_000 || len(first.Windows) != 334 {
		t.Errorf("stored %d in %d windows, want 20000 in 334", first.Count.Stored, len(first.Windows))
	}
	if last.Count.Stored != 20_000 || fmt.Sprint(told(last)) != fmt.Sprint(told(first)) {
		t.Error("newest first gives other windows")
	}
}

func BenchmarkOldReadingsBesideALiveContext(b *testing.B) {
	for _, newest := range []bool{false, true} {
		b.Run(fmt.Sprint("newest_first_", newest), func(b *testing.B) {
			for b.Loop() {
				past(b, 20_000, newest)
			}
			b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
		})
	}
}

// TestRegistryIsBounded: names that come without end are refused, of assets as of sensors.
func TestRegistryIsBounded(t *testing.T) {
	w := newWindower(t, nil)
	w.SetMost(3)
	for i := range 5 {
		feed(t, w, fmt.Sprintf("cidp/v1/context/d/a%d", i), fmt.Sprintf(`{"ts":%d,"speed_kmh":3}`, t0))
		feed(t, w, fmt.Sprintf("cidp/v1/telemetry/d/a0/s%d", i), fmt.Sprintf(`{"ts":%d,"temp_c":3}`, t0))
	}
	b := w.Take()
	if len(b.Assets) != 3 || len(b.Sensors) != 3 || b.Count.RefusedByReason[stream.UnknownTopic] != 4 {
		t.Errorf("%d assets, %d sensors, refused %v", len(b.Assets), len(b.Sensors), b.Count.RefusedByReason)
	}
}

// TestBatchSenderHoldsNobody: the live end of an axle does not wait for a logger on the other that sends half an hour at once.
func TestBatchSenderHoldsNobody(t *testing.T) {
	w := newWindower(t, nil)
	rng := rand.New(rand.NewPCG(3, 3))
	slowest, windows := int64(0), 0
	for sec := int64(0); sec < 2*3600; sec++ {
		send := func(sensor, payload string) {
			m := stream.Message{Topic: "cidp/v1/telemetry/d/l/" + sensor, Payload: []byte(payload), Received: t0 + sec*1000}
			if _, err := w.Feed(m, time.Duration(sec)*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		send("axle1-left", warm(t0+sec*1000, rng))
		if sec%1800 == 1799 {
			var all []string
			for i := int64(1799); i >= 0; i-- {
				all = append(all, warm(t0+(sec-i)*1000, rng))
			}
			send("axle1-right", "["+strings.Join(all, ",")+"]")
		}
		w.Tick(time.Duration(sec)*time.Second, t0+sec*1000)
		b := w.Take()
		if b.Count.Late > 0 {
			t.Fatalf("%d late", b.Count.Late)
		}
		for _, win := range b.Windows {
			if win.Sensor.Name == "axle1-left" {
				windows++
				slowest = max(slowest, t0+sec*1000-win.End)
			}
		}
	}
	if windows < 118 || slowest > 60_000 {
		t.Errorf("%d windows of the live sensor, the slowest closed %d ms after its end", windows, slowest)
	}
}

// TestRestartDoesNotHurryABatchSender: its open window waits for its next batch after a restart too.
func TestRestartDoesNotHurryABatchSender(t *testing.T) {
	cfg := stream.DefaultConfig()
	d := newDisk(t, cfg, nil)
	w := d.windower()
	rng := rand.New(rand.NewPCG(3, 3))
	send := func(at, from, to int64, mono time.Duration) {
		var all []string
		for s := from; s < to; s++ {
			all = append(all, warm(t0+s*1000, rng))
		}
		m := stream.Message{Topic: "cidp/v1/telemetry/d/l/x", Payload: []byte("[" + strings.Join(all, ",") + "]"), Received: t0 + at*1000}
		if _, err := w.Feed(m, mono); err != nil {
			t.Fatal(err)
		}
		d.commit(w.Take())
	}
	for i := range int64(4) {
		send(605+600*i, max(0, 600*i+5), 600*(i+1)+5, time.Duration(605+600*i)*time.Second)
	}
	w = d.restart() // its monotonic time begins at 0
	for sec := range int64(570) {
		w.Tick(time.Duration(sec)*time.Second, t0+(2435+sec)*1000)
	}
	d.commit(w.Take())
	send(3005, 2405, 3005, 570*time.Second)
	if d.count.Stored != 3000 || d.count.Late != 0 {
		t.Errorf("stored %d, late %d", d.count.Stored, d.count.Late)
	}
}

// TestMateIsTheSameWhoeverComesFirst: of two sensors on the other side the first by name is the mate, in whatever order they came.
func TestMateIsTheSameWhoeverComesFirst(t *testing.T) {
	var got [2]float64
	for k := range got {
		w := newWindower(t, nil)
		send := func(sensor string, sec int64, temp float64) {
			feed(t, w, "cidp/v1/telemetry/d/l/"+sensor, fmt.Sprintf(`{"ts":%d,"temp_c":%.2f}`, t0+sec*1000, temp+float64(sec%7)/10))
		}
		for sec := range int64(200) {
			send("axle1-left", sec, 40)
			send("axle1-right", sec, 50)
			if sec <= 55 || k == 0 && sec == 125 {
				send("axle1-r", sec, 45)
			}
			if k == 1 && sec == 131 {
				send("axle1-r", 125, 45)
			}
		}
		for _, win := range w.Take().Windows {
			if win.Sensor.Name == "axle1-left" && win.Start == t0 {
				got[k] = win.Features[stream.FMateDiff]
			}
		}
	}
	if got[0] != got[1] || !(got[0] < -4 && got[0] > -6) {
		t.Errorf("mate differences %v", got)
	}
}

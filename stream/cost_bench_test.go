package stream_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// fleetSizes are the numbers of sensors that the costs are stated for, 20 on an asset.
var fleetSizes = []int{100, 10_000, 100_000}

const sensorsAnAsset = 20

func fleetTopics(n int) []string {
	topics := make([]string, n)
	for i := range topics {
		topics[i] = stream.TelemetryTopic("d", fmt.Sprint("loco", i/sensorsAnAsset), fmt.Sprintf("axle%d-%s", i%sensorsAnAsset/2, []string{"left", "right"}[i%2]))
	}
	return topics
}

// fleetReading is the reading of a sensor at a second: it sends every second, at a millisecond of its own.
func fleetReading(second, sensor int, varied bool) stream.Reading {
	r := stream.Reading{TS: t0 + int64(second)*1000 + int64(sensor%1000), Temp: stream.Milli(40_000 + (second*7919+sensor*31)%1000)}
	r.Ambient, r.Speed, r.Has = 25_000, 60_000, stream.HasAmbient|stream.HasSpeed
	if varied { // all that a reading can have, and another in each
		r.Ambient, r.Speed, r.Load = stream.Milli(25_000+second%100), stream.Milli(60_000+second*37%5000), stream.Milli(61_000+second%7)
		r.Brake, r.Seq, r.Has = uint8(second%2), int64(1_000_000+second), stream.HasAmbient|stream.HasSpeed|stream.HasLoad|stream.HasBrake|stream.HasSeq
	}
	return r
}

// takeEvery is how many readings make a batch: what a pass of the platform takes at most under load.
const takeEvery = 16_000

// expectAtOnce is how many readings' topics the windower is told of at once, as the platform does.
const expectAtOnce = 64

// BenchmarkReading gives the cost of one reading at 1 Hz through the whole windower, to closed windows with their verdicts, in steady state: each sensor has closed a
// window before the clock starts, and the clocks of the assets are spread over a minute, so that windows close all the time. json: as a message is received; decoded: FeedReading.
func BenchmarkReading(b *testing.B) {
	for _, n := range fleetSizes {
		for _, json := range []bool{false, true} {
			name := fmt.Sprintf("%d_sensors_decoded", n)
			if json {
				name = fmt.Sprintf("%d_sensors_json", n)
			}
			b.Run(name, func(b *testing.B) { benchReading(b, newWindower(b, nil), n, json) })
		}
	}
}

func benchReading(b *testing.B, w *stream.Windower, sensors int, json bool) {
	topics := fleetTopics(sensors)
	payload := make([]byte, 0, 128)
	windows, i, k, second := 0, 0, 0, 0 // k-th sensor of the second
	var before *stream.Batch
	step := func() {
		if k%expectAtOnce == 0 {
			w.Expect(topics[k:min(k+expectAtOnce, sensors)])
		}
		r := fleetReading(second+k/sensorsAnAsset%60, k, false)
		var err error
		if json {
			payload = stream.AppendReading(payload[:0], r)
			_, err = w.Feed(stream.Message{Topic: topics[k], Payload: payload, Received: r.TS}, 0)
		} else {
			_, err = w.FeedReading(topics[k], r, r.TS, 0)
		}
		if err != nil {
			b.Fatal(err)
		}
		if k++; k == sensors {
			k, second = 0, second+1
		}
		if i++; i%takeEvery == 0 { // as the platform does: what was taken before is on disk
			taken := w.Take()
			w.Reuse(before)
			windows, before = windows+len(taken.Windows), taken
		}
	}
	for i < 135*sensors {
		step()
	}
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N), "ns/reading")
	if w.Take(); windows == 0 && sensors >= 10_000 {
		b.Error("no window closed")
	}
}

// BenchmarkMemory gives the resident bytes a sensor: with the open window of one that sends every second (just before it closes, the disorder
// included), the same where every reading has other conditions and a sequence number, and idle, with no reading open.
func BenchmarkMemory(b *testing.B) {
	for _, n := range fleetSizes {
		for _, c := range []string{"open", "varied", "idle"} {
			if n > 10_000 && c == "varied" {
				continue
			}
			b.Run(fmt.Sprintf("%d_sensors_%s", n, c), func(b *testing.B) {
				for b.Loop() {
					b.ReportMetric(residentBytes(b, 0, n, c)/float64(n), "B/sensor")
				}
			})
		}
	}
}

func residentBytes(b *testing.B, hop time.Duration, sensors int, what string) float64 {
	topics := fleetTopics(sensors)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w := hoppingWindower(b, hop)
	for second := range 60 + 69 {
		for s := range sensors {
			r := fleetReading(second, s, what == "varied")
			if _, err := w.FeedReading(topics[s], r, r.TS, 0); err != nil {
				b.Fatal(err)
			}
			if s%takeEvery == takeEvery-1 {
				w.Take()
			}
		}
		w.Take()
	}
	if what == "idle" {
		w.Tick(3600e9, t0)
	}
	w.Take() // what gathered is the store's
	w.Take()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(w)
	runtime.KeepAlive(topics)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

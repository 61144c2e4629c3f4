package stream_test

import (
	"fmt"
	"testing"

	"github.com/camrail/cidp/stream"
)

func BenchmarkDecode(b *testing.B) {
	one := `{"ts":1700000000000,"temp_c":61.372,"ambient_c":31.2,"speed_kmh":78.4,"load_t":61.25,"brake":0,"seq":123456}`
	array := "[" + one
	for range 59 {
		array += "," + one
	}
	for _, c := range []struct {
		name, payload string
		context       bool
	}{
		{"short", `{"ts":1700000000000,"temp_c":61.372}`, false},
		{"full", one, false},
		{"rfc3339", `{"ts":"2023-11-14T22:13:20.123Z","temp_c":61.372}`, false},
		{"array60", array + "]", false},
		{"malformed", one[:len(one)-1], false},
	} {
		b.Run(c.name, func(b *testing.B) {
			payload := []byte(c.payload)
			var elements []stream.Element
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				elements = stream.Decode(elements[:0], payload, c.context)
			}
			if len(elements) == 0 {
				b.Fatal("nothing decoded")
			}
		})
	}
}

// BenchmarkFeed gives the cost of one reading at 1 Hz through the whole windower, JSON to closed windows with their features. A batch is taken
// every 1,000 readings.
func BenchmarkFeed(b *testing.B) {
	for _, c := range []struct{ sensors, perAsset int }{{100, 20}, {10_000, 20}, {1000, 1000}} {
		b.Run(fmt.Sprintf("%d_sensors_%d_an_asset", c.sensors, c.perAsset), func(b *testing.B) {
			topics := make([]string, c.sensors)
			for i := range topics {
				topics[i] = stream.TelemetryTopic("d", fmt.Sprint("loco", i/c.perAsset), fmt.Sprintf("axle%d-%s", i%c.perAsset/2, []string{"left", "right"}[i%2]))
			}
			w := newWindower(b, nil)
			var payload []byte
			b.ReportAllocs()
			windows, n := 0, 0
			for b.Loop() {
				second, s := n/c.sensors, n%c.sensors
				r := stream.Reading{TS: t0 + int64(second)*1000, Temp: stream.Milli(40_000 + (second*7919+s*31)%1000),
					Conditions: stream.Conditions{Ambient: 25_000, Speed: 60_000, Has: stream.HasAmbient | stream.HasSpeed}}
				payload = stream.AppendReading(payload[:0], r)
				if _, err := w.Feed(stream.Message{Topic: topics[s], Payload: payload, Received: r.TS}, 0); err != nil {
					b.Fatal(err)
				}
				if n++; n%1000 == 0 {
					windows += len(w.Take().Windows)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "readings/s")
			if want := (n/c.sensors - 75) / 60 * c.sensors; windows < want {
				b.Errorf("%d windows after %d seconds, want at least %d", windows, n/c.sensors, want)
			}
		})
	}
}

// BenchmarkClose gives the cost of closing one window of 60 readings among 20 of an asset.
func BenchmarkClose(b *testing.B) {
	w := newWindower(b, nil)
	topics := make([]string, 20)
	for i := range topics {
		topics[i] = stream.TelemetryTopic("d", "l", fmt.Sprintf("axle%d-%s", i/2, []string{"left", "right"}[i%2]))
	}
	windows, ts := 0, t0
	fill := func() { // the next minute of all, up to the last reading but one that closes
		for range 60 {
			for i, topic := range topics {
				if _, err := w.FeedReading(topic, stream.Reading{TS: ts, Temp: stream.Milli(40_000 + (ts/1000*7919+int64(i)*31)%1000)}, ts, 0); err != nil {
					b.Fatal(err)
				}
			}
			ts += 1000
		}
		windows += len(w.Take().Windows)
	}
	fill()
	b.ReportAllocs()
	for b.Loop() {
		fill()
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(max(windows, 1)), "ns/window")
}

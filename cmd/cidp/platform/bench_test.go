package platform

import (
	"fmt"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/load"
)

// BenchmarkWholeLine gives the cost of one reading from the client's socket to its PUBACK after the commit, broker, windows, scores and store included, the generator in the same process.
func BenchmarkWholeLine(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint(batch, "_a_message"), func(b *testing.B) {
			p, stop := startLoose(b, b.TempDir(), nil)
			defer stop()
			l, err := load.Start(p.MQTTAddr(), load.Plan{Conns: 20, Sensors: 10, AssetSize: 10, Batch: batch, QoS: 1, Window: 10_000 / 20 / batch, Period: time.Second,
				Begin: time.Now().Add(-23 * time.Hour).Truncate(time.Minute).UnixMilli()})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			before := l.Acked()
			b.ResetTimer()
			for end := time.Now().Add(time.Minute); l.Acked()-before < uint64((b.N+batch-1)/batch); time.Sleep(100 * time.Microsecond) {
				if time.Now().After(end) {
					b.Fatal("not acknowledged within a minute")
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(l.Acked()-before)*float64(batch)/b.Elapsed().Seconds(), "readings/s")
			if err := l.Finish(time.Minute); err != nil {
				b.Fatal(err)
			}
		})
	}
}

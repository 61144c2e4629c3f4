package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// BenchmarkLateReading is one late reading and its revision, beside a fleet that sends every second: what is read is the fleet's keys of that minute.
func BenchmarkLateReading(b *testing.B) {
	for _, sensors := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprint(sensors, " sensors"), func(b *testing.B) {
			db := open(b, dbPath(b), store.Options{})
			past, err := db.Past()
			if err != nil {
				b.Fatal(err)
			}
			defer past.Close()
			cfg := stream.DefaultConfig()
			cfg.HistoryAfter, cfg.Lateness = 0, time.Hour
			w, err := stream.NewWindower(cfg, past, nil)
			if err != nil {
				b.Fatal(err)
			}
			feed := func(s int, ts int64) {
				if _, err := w.FeedReading(stream.TelemetryTopic("d", fmt.Sprint("a", s/20), fmt.Sprint("s", s%20)), stream.Reading{TS: ts, Temp: stream.Milli(40_000 + ts%300)}, ts, 0); err != nil {
					b.Fatal(err)
				}
			}
			take := func() {
				if err := w.MakeRevisions(); err != nil {
					b.Fatal(err)
				}
				n := batch(db)
				n.Batch = w.Take()
				for _, win := range n.Windows {
					if win.Valid() {
						n.Predictions = append(n.Predictions, predictionOf(win, 0.1, 0))
					}
				}
				commit(b, db, n)
			}
			for sec := range int64(135) {
				for s := range sensors {
					feed(s, t0+sec*1000)
				}
				if sec%10 == 9 {
					take()
				}
			}
			take()
			b.ResetTimer()
			for i := range b.N {
				feed(i%sensors, t0+minute+int64(i/sensors%59)*1000+int64(1+i/sensors/59))
				take()
			}
		})
	}
}

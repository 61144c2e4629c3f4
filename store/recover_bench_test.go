package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// feeder is the windower over a database, for benchmarks.
type feeder struct {
	tb     testing.TB
	db     *store.DB
	w      *stream.Windower
	topics []string
	rows   int // of open_window written
}

func newFeeder(tb testing.TB, sensors int) *feeder {
	f := &feeder{tb: tb, db: open(tb, dbPath(tb), store.Options{})}
	cfg := stream.DefaultConfig()
	cfg.HistoryAfter = 0
	past, err := f.db.Past()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { past.Close() })
	if f.w, err = stream.NewWindower(cfg, past, nil); err != nil {
		tb.Fatal(err)
	}
	for i := range sensors {
		f.topics = append(f.topics, stream.TelemetryTopic("douala", fmt.Sprint("loco-", i/10), fmt.Sprintf("axle%d-%s", i%10/2, []string{"left", "right"}[i%2])))
	}
	return f
}

func (f *feeder) reading(sensor int, ts int64) {
	if _, err := f.w.FeedReading(f.topics[sensor], stream.Reading{TS: ts, Temp: stream.Milli(40_000 + ts/1000*7919%1000)}, ts, 0); err != nil {
		f.tb.Fatal(err)
	}
}

func (f *feeder) commit() {
	b := &store.Batch{Batch: f.w.Take(), ID: f.db.LastCommit() + 1, Committed: t0}
	for _, w := range b.Windows {
		if w.Valid() {
			b.Predictions = append(b.Predictions, predictionOf(w, 0.1, model.Normal))
		}
	}
	f.rows += len(b.Opened)
	commit(f.tb, f.db, b)
}

// BenchmarkLine feeds a fleet that sends every second through windower and store, a tenth of a second of it in a commit. Beside the rate it tells how many rows of
// open_window a window costs.
func BenchmarkLine(b *testing.B) {
	for _, sensors := range []int{1000, 5000} {
		b.Run(fmt.Sprint(sensors, "_sensors"), func(b *testing.B) {
			f := newFeeder(b, sensors)
			n := 0
			for b.Loop() {
				for range sensors / 10 {
					f.reading(n%sensors, t0+int64(n/sensors)*1000)
					n++
				}
				f.commit()
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "readings/s")
			b.ReportMetric(float64(f.rows)/(float64(n)/60), "rows/window")
		})
	}
}

// BenchmarkRecover reads back what 1,000 sensors have open at the end of half an hour: all of them a minute, and in the second case ten more ten
// readings each somewhere before, in the third ten slow ones their last hours.
func BenchmarkRecover(b *testing.B) {
	const sensors, seconds = 1000, 249
	f := newFeeder(b, sensors+20)
	for s := range int64(seconds) {
		for i := range sensors {
			f.reading(i, t0+s*1000)
		}
		f.commit()
	}
	run := func(name string) {
		b.Run(name, func(b *testing.B) {
			fed := 0
			for b.Loop() {
				r, err := f.db.Recover(backBy(10 * time.Minute))
				if err != nil {
					b.Fatal(err)
				}
				fed = 0
				for _, err := range r.Feed() {
					if err != nil {
						b.Fatal(err)
					}
					fed++
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(fed), "fed")
		})
	}
	run("at_the_end")
	for i := range 10 {
		for s := range int64(10) {
			f.reading(sensors+i, t0+int64(i)*20_000+s*1000)
		}
	}
	f.commit()
	run("some_behind")
	for i := range 10 {
		for hour := range int64(5) {
			f.reading(sensors+10+i, t0-5*3_600_000+hour*3_600_000)
			f.commit()
		}
	}
	run("some_slow")
}

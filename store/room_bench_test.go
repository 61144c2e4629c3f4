package store_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// BenchmarkCommitLatency commits without pause for a fixed number of readings and tells how long a commit takes, with the log copied within the commits, as SQLite
// does by itself, and beside them; alone, and with readers that come and go.
func BenchmarkCommitLatency(b *testing.B) {
	for _, rows := range []int{500, 5000} {
		for _, readers := range []int{0, 3} {
			for _, beside := range []bool{false, true} {
				name := map[bool]string{false: "within", true: "beside"}[beside]
				b.Run(name+map[int]string{0: "", 3: "-readers"}[readers]+map[int]string{500: "-500", 5000: "-5000"}[rows], func(b *testing.B) {
					benchmarkLatency(b, rows, readers, beside)
				})
			}
		}
	}
}

func benchmarkLatency(b *testing.B, rows, readers int, beside bool) {
	const sensors = 1000
	db, _ := registered(b, sensors)
	stop, wal := checkpointing(b, db, beside)
	defer stop()
	halt := reading(b, db, readers)
	defer halt()
	var took []time.Duration
	n := int64(0)
	for b.Loop() {
		b.StopTimer()
		v := steady(db, &n, rows, sensors)
		b.StartTimer()
		start := time.Now()
		commit(b, db, v)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	ms := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(ms(1), "max-ms")
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
	b.ReportMetric(float64(wal())/(1<<20), "wal-MiB")
}

// checkpointing looks at the log every 50 ms, and copies it where beside is true. wal gives the most that it has been.
func checkpointing(tb testing.TB, db *store.DB, beside bool) (stop func(), wal func() int64) {
	tb.Helper()
	k := &store.Checkpointer{}
	if beside {
		var err error
		if k, err = db.Checkpointer(); err != nil {
			tb.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	var mu sync.Mutex
	most := int64(0)
	done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if beside {
				if _, err := k.Step(ctx, time.Now()); err != nil && ctx.Err() == nil {
					tb.Error(err)
					return
				}
			}
			if fi, err := os.Stat(db.Path() + "-wal"); err == nil {
				mu.Lock()
				most = max(most, fi.Size())
				mu.Unlock()
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		done.Wait()
		if beside {
			if err := k.Close(); err != nil {
				tb.Error(err)
			}
		}
	})
	return stop, func() int64 {
		mu.Lock()
		defer mu.Unlock()
		return most
	}
}

// reading runs readers that overlap: each holds a moment for some milliseconds, over and over. Who stops them is told the longest time for which one did: a busy machine lets it sleep on.
func reading(tb testing.TB, db *store.DB, readers int) (stop func() time.Duration) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	held := make([]time.Duration, readers+1)
	for i := range readers {
		done.Go(func() {
			c, err := sqlite3.OpenFlags(db.Path(), sqlite3.OPEN_READONLY)
			if err != nil {
				tb.Error(err)
				return
			}
			defer c.Close()
			for ctx.Err() == nil {
				begin := time.Now()
				if err := c.Exec(`BEGIN; SELECT count(*) FROM sensor`); err != nil {
					tb.Error(err)
					return
				}
				time.Sleep(time.Duration(10+7*i) * time.Millisecond)
				if err := c.Exec(`COMMIT`); err != nil {
					tb.Error(err)
					return
				}
				held[i] = max(held[i], time.Since(begin))
			}
		})
	}
	return sync.OnceValue(func() time.Duration {
		cancel()
		done.Wait()
		return slices.Max(held)
	})
}

// BenchmarkExpire takes steps of retention over readings of 1000 sensors, none open, and with a sensor that is open from before them, so that each row is asked for; and over their
// windows with predictions.
func BenchmarkExpire(b *testing.B) {
	for _, kind := range []string{"readings", "readings-open", "windows"} {
		b.Run(kind, func(b *testing.B) {
			db, sensors := registered(b, 1000)
			keep := store.Keep{Raw: time.Second}
			now, n := t0, int64(0)
			if kind == "readings-open" {
				v := batch(db)
				v.Readings = []stream.Stored{{SensorID: 1000, Reading: stream.Reading{TS: 1}}}
				v.Opened = []stream.Open{{SensorID: 1000, From: 1, To: 2}}
				count(v, 0)
				commit(b, db, v)
			}
			fill := func() {
				p, v := &plant{sensors: sensors}, batch(db)
				for range 40 {
					for id := range int64(999) {
						v.Readings = append(v.Readings, stream.Stored{SensorID: id + 1, Reading: stream.Reading{TS: t0 + n*1000, Temp: 1}})
					}
					n++
				}
				if now = t0 + n*1000 + 1000; kind == "windows" {
					v.Readings, keep.Windows = nil, time.Second
					for i := range sensors[:999] {
						w := p.windowOf(i, t0+n*minute, 60)
						w.Memory = make([]byte, 200)
						v.Windows = append(v.Windows, w)
						v.Predictions = append(v.Predictions, predictionOf(w, 0.1, model.Normal))
					}
					now = t0 + (n+2)*minute
				}
				count(v, 0)
				commit(b, db, v)
				// their readings went before them
				if err := db.Writer().Exec(`UPDATE sensor SET evaluated_ms = 1 << 42 WHERE sensor_id < 1000; INSERT OR REPLACE INTO meta VALUES ('raw_expired_ms', 1 << 42)`); err != nil {
					b.Fatal(err)
				}
			}
			rows, longest := int64(0), time.Duration(0)
			fill()
			for b.Loop() {
				start := time.Now()
				e, err := db.Expire(context.Background(), keep, time.UnixMilli(now), false)
				if err != nil {
					b.Fatal(err)
				}
				longest, rows = max(longest, time.Since(start)), rows+e.Rows()
				if !e.More {
					b.StopTimer()
					fill()
					b.StartTimer()
				}
			}
			if rows == 0 && b.N > 1 { // the first step may find nothing
				b.Fatal("nothing went")
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(longest.Microseconds())/1000, "max-ms")
		})
	}
}

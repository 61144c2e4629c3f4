package store_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// BenchmarkCommitLine commits what the real windower makes of sensors at 1 Hz, with predictions and publications as large as the real ones, in steady state. Of each reading it tells the processor time that
// the committing thread takes, which other work on the machine changes little, and the bytes that go to the disk, checkpoints included. grown: each sensor has four hours of windows.
func BenchmarkCommitLine(b *testing.B) {
	for _, c := range []struct {
		sensors, readings int // of a commit
		grown             bool
	}{{1000, 10_000, false}, {1000, 10_000, true}, {10_000, 2000, false}, {1000, 120, false}, {1000, 120, true}} {
		b.Run(fmt.Sprintf("sensors=%d/readings=%d/grown=%t", c.sensors, c.readings, c.grown), func(b *testing.B) {
			l := &benchLine{b: b, db: open(b, dbPath(b), store.Options{}), sensors: c.sensors}
			cfg := stream.DefaultConfig()
			cfg.HistoryAfter = 0
			var err error
			if l.w, err = stream.NewWindower(cfg, nil, nil); err != nil {
				b.Fatal(err)
			}
			for l.second < 75 { // each has closed a window
				l.commit(l.batch(c.readings))
			}
			if c.grown {
				l.grow(240)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			readings, windows, cpu, written := 0, 0, threadCPU(b), writtenBytes(b)
			for b.Loop() {
				b.StopTimer()
				cpuBefore := threadCPU(b)
				v := l.batch(c.readings)
				windows += len(v.Windows)
				cpu += threadCPU(b) - cpuBefore
				b.StartTimer()
				l.commit(v)
				readings += c.readings
			}
			b.ReportMetric((threadCPU(b)-cpu)*1e6/float64(readings), "cpu-us/reading")
			b.ReportMetric(float64(writtenBytes(b)-written)/float64(readings), "B/reading")
			b.ReportMetric(float64(windows)*60/float64(readings), "windows/60")
		})
	}
}

// connections are how many bring the readings: each reads its own sensors in turn, so that a commit has some of each second from all over the fleet.
const connections = 100

// benchLine is a windower over a database whose sensors, ten a vehicle, report once a second.
type benchLine struct {
	b       *testing.B
	db      *store.DB
	w       *stream.Windower
	sensors int

	topics          []string
	next, second    int
	told, published int64 // publications before the last commit's, and with those
}

// batch gives the next readings, taken as the platform takes them.
func (l *benchLine) batch(readings int) *store.Batch {
	if l.topics == nil {
		for i := range l.sensors {
			l.topics = append(l.topics, stream.TelemetryTopic("douala", fmt.Sprint("loco-", i/10), fmt.Sprintf("axle%d-%s", i%10/2, []string{"left", "right"}[i%2])))
		}
	}
	for range readings {
		ts, sensor := t0+int64(l.second)*1000, l.next%connections*(l.sensors/connections)+l.next/connections
		r := stream.Reading{TS: ts, Temp: stream.Milli(45_000 + (l.second*7919+sensor*31)%990), Conditions: stream.Conditions{Ambient: 25_500, Speed: 60_000, Has: stream.HasAmbient | stream.HasSpeed}}
		if _, err := l.w.FeedReading(l.topics[sensor], r, ts, 0); err != nil {
			l.b.Fatal(err)
		}
		if l.next++; l.next == l.sensors {
			l.next, l.second = 0, l.second+1
		}
	}
	v := &store.Batch{Batch: l.w.Take(), ID: l.db.LastCommit() + 1, Committed: t0}
	for _, w := range v.Windows {
		if !w.Valid() {
			continue
		}
		p := predictionOf(w, 0.1, model.Normal)
		p.Explanation = []model.Contribution{{Feature: "over_ambient_k", Value: 20.1234567, Contribution: 0.0123456789}, {Feature: "slope_c_per_min", Value: 0.0123456, Contribution: -0.0123456789},
			{Feature: "mean_c", Value: 45.5123456, Contribution: 0.0012345678}, {Feature: "speed_mean_kmh", Value: 60, Contribution: 0.0012345}}
		v.Predictions = append(v.Predictions, p)
		v.Outbox = append(v.Outbox, store.Publication{Topic: "cidp/v1/risk/douala/loco-123/axle1-left", Payload: model.AppendRisk(nil, w, &p), Retain: true,
			WindowID: p.WindowID, Revision: p.Revision})
	}
	for id := l.told + 1; id <= l.published; id++ {
		v.Sent = append(v.Sent, id)
	}
	l.told, l.published = l.published, l.published+int64(len(v.Outbox))
	return v
}

func (l *benchLine) commit(v *store.Batch) { commit(l.b, l.db, v) }

// grow gives every sensor windows of the past: copies of its first.
func (l *benchLine) grow(windows int) {
	exec := func(format string, args ...any) {
		if err := l.db.Writer().Exec(fmt.Sprintf(format, args...)); err != nil {
			l.b.Fatal(err)
		}
	}
	tables := []string{"telemetry_window", "ai_telemetry_predictions"}
	for _, table := range tables {
		exec(`CREATE TEMP TABLE of_%[1]s AS SELECT * FROM %[1]s WHERE window_id IN (SELECT min(window_id) FROM telemetry_window GROUP BY sensor_id)`, table)
	}
	exec(`BEGIN`)
	for n, by := 0, -int64(windows)*minute; n < windows; n, by = n+1, minute {
		for _, table := range tables {
			exec(`UPDATE of_%[2]s SET window_id = window_id + (%[1]d << 20), start_ms = start_ms + %[1]d, end_ms = end_ms + %[1]d; INSERT INTO %[2]s SELECT * FROM of_%[2]s`, by, table)
		}
	}
	exec(`COMMIT`)
}

// threadCPU is the processor time of this thread, s.
func threadCPU(b *testing.B) float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(1, &r); err != nil { // RUSAGE_THREAD
		b.Fatal(err)
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

// writtenBytes is what this process has had written to the disk.
func writtenBytes(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	for line := range bytes.Lines(text) {
		if after, ok := bytes.CutPrefix(line, []byte("write_bytes: ")); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(after)), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Skip("the system does not count what a process writes")
	return 0
}

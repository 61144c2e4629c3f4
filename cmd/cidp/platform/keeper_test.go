package platform

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// ward is a warehouse with a keeper over a disk whose free space the test sets.
type ward struct {
	t        *testing.T
	db       *store.DB
	k        *keeper
	status   *status
	registry *prometheus.Registry
	free     atomic.Int64
	log      syncText
	stop     func()
}

// syncText is a log that is read while it is written.
type syncText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *syncText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *syncText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

const diskSize = 100 << 30

// newWard makes a warehouse in which one sensor has a reading each five seconds of the last hours, all in closed windows but the last minute's.
func newWard(t *testing.T, hours int, c keeperConfig, free int64) *ward {
	t.Helper()
	w := &ward{t: t, status: &status{reasons: map[string]string{}}, registry: prometheus.NewRegistry()}
	w.free.Store(free)
	var err error
	w.db, err = store.Open(filepath.Join(t.TempDir(), DatabaseName), store.Options{Window: time.Minute, Disorder: time.Second, BusyTimeout: 10 * time.Millisecond, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	w.fill(hours)
	c.status, c.registry, c.log = w.status, w.registry, zerolog.New(&w.log)
	c.fileSystem = func(string) (int64, int64, bool, error) { return w.free.Load(), diskSize, true, nil }
	if w.k, err = newKeeper(w.db, c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() { w.k.run(ctx) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		runs.Wait()
		if err := w.k.close(); err != nil {
			t.Error(err)
		}
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *ward) fill(hours int) {
	w.t.Helper()
	b := &store.Batch{Batch: &stream.Batch{}, ID: w.db.LastCommit() + 1, Committed: time.Now().UnixMilli()}
	now := time.Now().Truncate(time.Minute).UnixMilli()
	from := now - int64(hours)*3_600_000
	a := &stream.Asset{ID: 1, Site: "douala", Name: "loco-1", FirstSeen: from}
	s := &stream.Sensor{ID: 1, AssetID: 1, Site: a.Site, Asset: a.Name, Name: "axle1-left", FirstSeen: from}
	b.Assets, b.Sensors = []*stream.Asset{a}, []*stream.Sensor{s}
	for ts := from; ts < now; ts += 5000 {
		b.Readings = append(b.Readings, stream.Stored{SensorID: 1, Reading: stream.Reading{TS: ts, Temp: 40_000}})
	}
	for start := from; start < now-60_000; start += 60_000 {
		b.Windows = append(b.Windows, &stream.Window{Sensor: s, Start: start, End: start + 60_000, Revision: 1, N: 12, Expected: 12, Completeness: 1,
			Reasons: []stream.Reason{stream.Flatline}, ClosedBy: stream.ByWatermark, Last: start + 55_000, PeriodMs: 5000, Memory: []byte{1}})
	}
	b.Opened = []stream.Open{{SensorID: 1, From: now - 60_000, To: now}}
	b.Count.Stored, b.Count.Received, b.Messages = int64(len(b.Readings)), int64(len(b.Readings)), int64(len(b.Readings))
	if err := w.db.Commit(b); err != nil {
		w.t.Fatal(err)
	}
}

// counted gives a figure of /metrics, all its labels added up.
func (w *ward) counted(name string) (sum float64) {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		return sum
	}
	w.t.Fatalf("there is no metric %s", name)
	return 0
}

// rows counts the readings that are left, and gives the age of the oldest.
func (w *ward) rows() (n int64, oldest time.Duration) {
	w.t.Helper()
	c, err := sqlite3.OpenFlags(w.db.Path(), sqlite3.OPEN_READONLY)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	s, _, err := c.Prepare(`SELECT count(*), min(key) >> 20 FROM reading`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	if !s.Step() {
		w.t.Fatal(s.Err())
	}
	return s.ColumnInt64(0), time.Since(time.UnixMilli(s.ColumnInt64(1)))
}

func (w *ward) verify() {
	w.t.Helper()
	r, err := store.Verify(context.Background(), w.db.Path(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range r.Breaches {
		w.t.Errorf("%s: %s", b.Check, b.Detail)
	}
}

// TestKeeperByAge: what is older than it is to be kept goes, by itself and in time.
func TestKeeperByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 10, keeperConfig{keep: store.Keep{Raw: 2 * time.Hour, Windows: 4 * time.Hour}, low: -1, stop: -1}, 0)
		defer w.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n, oldest := w.rows(); n < 2*720-24 || oldest > 2*time.Hour+time.Minute {
			t.Errorf("%d readings are left, the oldest %s old", n, oldest)
		}
		if n := w.counted("cidp_expired_total"); n < 8*720 {
			t.Errorf("%v rows expired", n)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if _, oldest := w.rows(); oldest > 2*time.Hour+time.Minute {
			t.Errorf("five minutes later the oldest is %s old", oldest)
		}
		if ok, _ := w.status.Ready(); !ok || w.k.admit() != nil {
			t.Error("readings are not accepted")
		}
		w.verify()
	})
}

// TestKeeperKeeps: without limits and with room nothing goes.
func TestKeeperKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 30, keeperConfig{keep: store.Keep{RawMin: time.Hour}}, diskSize/2)
		defer w.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n, _ := w.rows(); n != 30*720 {
			t.Errorf("%d readings are left", n)
		}
		if w.counted("cidp_disk_free_bytes") != diskSize/2 || w.counted("cidp_database_bytes") == 0 || w.counted("cidp_wal_bytes") == 0 {
			t.Error("the room is not in the metrics")
		}
		if w.log.String() != "" {
			t.Errorf("logged: %s", w.log.String())
		}
	})
}

// TestKeeperLowMark: when the disk runs short the oldest readings go, none younger than the minimum, and no more than needed; that is loud, readings are
// accepted all the while, and it ends by itself.
func TestKeeperLowMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const low = 1 << 20
		w := newWard(t, 30, keeperConfig{keep: store.Keep{RawMin: 5 * time.Hour}, low: low, stop: 1 << 16}, 1<<30)
		defer w.stop()
		time.Sleep(2 * time.Second)
		w.free.Store(low - 1<<16)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if w.k.admit() != nil {
			t.Errorf("nothing is accepted: %v", w.k.admit())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		n, oldest := w.rows()
		if n < 6*720 || n > 29*720 || oldest > 29*time.Hour {
			t.Errorf("%d readings are left, the oldest %s old", n, oldest)
		}
		if now := w.status.now(); len(now.Reasons) != 0 {
			t.Errorf("status %+v", now)
		}
		for _, want := range []string{"the disk runs short: 960.0 KiB are free and 0 bytes within the database, less than the low mark of 1.0 MiB", "readings older than 5h0m0s go now", "the disk is no longer short"} {
			if !strings.Contains(w.log.String(), want) {
				t.Errorf("the log does not say %q: %s", want, w.log.String())
			}
		}
		w.free.Store(1 << 17) // it would take more than there is
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n, oldest := w.rows(); n < 5*720-120 || oldest < 5*time.Hour-time.Minute || oldest > 5*time.Hour+10*time.Minute {
			t.Errorf("of the last five hours %d readings are left, the oldest %s old", n, oldest)
		}
		if now := w.status.now(); now.State != "online" || len(now.Reasons) != 1 || !strings.HasPrefix(now.Reasons[0], "room: the disk runs short: 128.0 KiB are free") {
			t.Errorf("status %+v", now)
		}
		if w.k.admit() != nil {
			t.Errorf("nothing is accepted: %v", w.k.admit())
		}
		w.verify()
	})
}

// TestKeeperStopMark: below it nothing is admitted, with a sentence that says why; what is free within the file counts, but not in place of what the log
// needs; it goes on by itself.
func TestKeeperStopMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stop = 1 << 20
		w := newWard(t, 12, keeperConfig{keep: store.Keep{RawMin: 24 * time.Hour}, low: 2 * stop, stop: stop}, 1<<30)
		defer w.stop()
		at := func(free int64, want bool) {
			t.Helper()
			w.free.Store(free)
			time.Sleep(1100 * time.Millisecond)
			synctest.Wait()
			ready, reasons := w.status.Ready()
			if err := w.k.admit(); (err == nil) != want || ready != want {
				t.Errorf("%d bytes free: admitted %v, ready %v, %v", free, err, ready, reasons)
			}
		}
		at(stop-1, false)
		if err := w.k.admit(); !strings.Contains(err.Error(), "the disk is full: 1024.0 KiB are free and 0 bytes within the database, less than the stop mark of 1.0 MiB") {
			t.Errorf("it says: %v", err)
		}
		at(stop+1, false) // not before it is clearly above
		at(2*stop, true)
		at(0, false)
		at(1<<30, true)
		if got := w.status.now(); got.State != "online" || len(got.Reasons) != 0 {
			t.Errorf("status %+v", got)
		}
		if n, _ := w.rows(); n != 12*720 {
			t.Errorf("%d readings are left, none was old enough to go", n)
		}
		if n := strings.Count(w.log.String(), "the disk is full"); n != 2 {
			t.Errorf("it is logged %d times: %s", n, w.log.String())
		}
	})
}

// TestKeeperFullStart: a disk that is full at the start is noticed before the first message.
func TestKeeperFullStart(t *testing.T) {
	w := newWard(t, 1, keeperConfig{}, 1)
	defer w.stop()
	if w.k.admit() == nil {
		t.Error("readings are admitted")
	}
}

// TestReusableCounts: pages that are free within the file are room, once the log has its space.
func TestReusableCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 30, keeperConfig{keep: store.Keep{Raw: time.Hour}, low: -1, stop: 100 << 10}, 1<<30)
		defer w.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		reusable := w.counted("cidp_database_reusable_bytes")
		if reusable < 150<<10 {
			t.Fatalf("%v bytes are reusable", reusable)
		}
		w.free.Store(110 << 10)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err := w.k.admit(); err != nil {
			t.Errorf("with %v bytes reusable: %v", reusable, err)
		}
		w.free.Store(50 << 10)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if w.k.admit() == nil {
			t.Error("nothing is left for the log, and readings are admitted")
		}
	})
}

// TestKeeperTooLarge: what keeps the database too large is told, until it is no longer so.
func TestKeeperTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 10, keeperConfig{keep: store.Keep{Bytes: 1 << 10, RawMin: 5 * time.Hour}, low: -1, stop: -1}, 0)
		defer w.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if now := w.status.now(); now.State != "online" || len(now.Reasons) != 1 || !strings.HasPrefix(now.Reasons[0], "size: the database has more than keep-bytes (1.0 KiB)") {
			t.Errorf("status %+v", now)
		}
		if n, oldest := w.rows(); n < 5*720-60 || oldest > 5*time.Hour+time.Minute {
			t.Errorf("%d readings are left, the oldest %s old", n, oldest)
		}
	})
}

// TestKeeperTriesAgain: another program that holds the database for writing is waited for; that is logged once and counted.
func TestKeeperTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 10, keeperConfig{keep: store.Keep{Raw: 9 * time.Hour, Windows: 9 * time.Hour}, low: -1, stop: -1}, 0)
		defer w.stop()
		time.Sleep(30 * time.Second)
		synctest.Wait() // it may be at work this very moment
		foreign, err := sqlite3.Open(w.db.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer foreign.Close()
		if err := foreign.Exec(`BEGIN IMMEDIATE`); err != nil {
			t.Fatal(err)
		}
		before, _ := w.rows()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := w.counted("cidp_keeper_failures_total"); n < 2 {
			t.Errorf("%v failures are counted", n)
		}
		if n := strings.Count(w.log.String(), "cannot let go of what is old"); n != 1 {
			t.Errorf("it is logged %d times: %s", n, w.log.String())
		}
		if err := foreign.Exec(`ROLLBACK`); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if after, _ := w.rows(); after >= before {
			t.Errorf("%d readings were there, and %d are", before, after)
		}
		w.verify()
	})
}

// TestKeeperTellsOfALongReader, and of its end.
func TestKeeperTellsOfALongReader(t *testing.T) {
	w := newWard(t, 1, keeperConfig{low: -1, stop: -1}, 0)
	w.stop()
	k := &keeper{keeperConfig: w.k.keeperConfig, metrics: w.k.metrics, failing: map[string]bool{}}
	k.copied(store.Checkpointed{Held: 29 * time.Second, Log: 2 * store.WALBound})
	k.copied(store.Checkpointed{Held: time.Hour, Log: store.WALBound})
	if now := w.status.now(); len(now.Reasons) != 0 {
		t.Errorf("status %+v", now)
	}
	k.copied(store.Checkpointed{Held: 90 * time.Second, Log: 2 * store.WALBound})
	k.copied(store.Checkpointed{Held: 91 * time.Second, Log: 2 * store.WALBound})
	if now := w.status.now(); now.State != "online" || fmt.Sprint(now.Reasons) == "[]" || !strings.Contains(now.Reasons[0], "for 1m31s; it has 128.0 MiB") {
		t.Errorf("status %+v", now)
	}
	if n := w.counted("cidp_wal_held_seconds"); n != 91 {
		t.Errorf("held for %v s", n)
	}
	k.copied(store.Checkpointed{Began: true, Copied: true})
	if now := w.status.now(); len(now.Reasons) != 0 || strings.Count(w.log.String(), "a program that reads") != 1 {
		t.Errorf("status %+v, log %s", now, w.log.String())
	}
}

func TestMarks(t *testing.T) {
	for _, c := range []struct{ low, stop, total, wantLow, wantStop int64 }{
		{0, 0, 1000 * gib, gib, 256 * mib},
		{0, 0, gib, gib / 10, gib / 20},
		{-1, -1, 1000 * gib, 0, 0},
		{5 * gib, 0, 1000 * gib, 5 * gib, 256 * mib},
		{mib, 0, 1000 * gib, mib, mib},
		{0, 3 * gib, 1000 * gib, 3 * gib, 3 * gib},
		{-1, 0, 1000 * gib, 0, 256 * mib},
		{0, -1, 1000 * gib, gib, 0},
	} {
		k := &keeper{keeperConfig: keeperConfig{low: c.low, stop: c.stop}}
		if low, stop := k.marks(c.total); low != c.wantLow || stop != c.wantStop {
			t.Errorf("%+v: low %d, stop %d", c, low, stop)
		}
	}
}

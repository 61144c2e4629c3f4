package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// expire takes steps until there is no more to do, and adds up what went.
func expire(t testing.TB, db *store.DB, keep store.Keep, now int64, short bool) (sum store.Expired) {
	t.Helper()
	for {
		e, err := db.Expire(context.Background(), keep, time.UnixMilli(now), short)
		if err != nil {
			t.Fatal(err)
		}
		sum.Add(e)
		if sum.Over = e.Over; !e.More {
			return sum
		}
	}
}

// worn is a line whose sensors run hot now and then, so that alerts come and go, and whose database forgets.
type worn struct {
	*line
	path  string
	holds map[int64]model.Hold
}

func newWorn(t *testing.T, path string, hop ...time.Duration) *worn {
	t.Helper()
	w := &worn{line: newLine(t, path, hop...), path: path}
	r := recovered(t, w.db, time.Minute)
	w.holds = r.Holds
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// score is the probability of a window: nine minutes in twenty are hot for the left bearings.
func score(w *stream.Window) float64 {
	if m := (w.Start - t0) / minute % 20; w.Sensor.Name == "axle1-left" && m >= 2 && m <= 10 {
		return 0.9
	}
	return 0.05
}

func (l *worn) commit() {
	l.t.Helper()
	b := &store.Batch{Batch: l.w.Take(), ID: l.db.LastCommit() + 1, Committed: t0}
	cfg := levels()
	for _, w := range b.Windows {
		if !w.Valid() {
			continue
		}
		if w.Between {
			p := predictionOf(w, score(w), model.Normal)
			p.Hold = model.NoHold()
			b.Predictions = append(b.Predictions, p)
			continue
		}
		if w.Revision > 0 || w.Behind {
			l.rescore(b, w)
			continue
		}
		s := cfg.Next(l.holds[w.Sensor.ID], w, score(w), model.RuleResult{}, nil, modelID)
		l.holds[w.Sensor.ID] = s.Prediction.Hold
		b.Predictions = append(b.Predictions, s.Prediction)
		if s.Alert != nil {
			b.Alerts = append(b.Alerts, *s.Alert)
		}
		b.Transitions = append(b.Transitions, s.Transitions...)
	}
	commit(l.t, l.db, b)
}

// again crashes and recovers.
func (l *worn) again() *worn {
	l.t.Helper()
	l.crash()
	return newWorn(l.t, l.path, l.hop...)
}

// contextSpan is that of the slowest sensor of the traffic.
func contextSpan() func(time.Duration) time.Duration {
	return backBy(stream.ContextSpan(stream.Longest(stream.DefaultConfig(), 90*time.Second)))
}

// memory is what a recovery gives, but for the ledger, as text.
func memory(t *testing.T, db *store.DB) string {
	t.Helper()
	r := recovered(t, db, contextSpan()(0))
	defer r.Close()
	holds := map[int64]string{}
	for id, h := range r.Holds {
		holds[id] = fmt.Sprint(h)
	}
	var names []string
	for _, s := range r.Sensors {
		names = append(names, fmt.Sprint(*s))
	}
	text, err := json.Marshal([]any{names, r.Windows, holds, len(r.Alerts), fmt.Sprint(r.Alerts), r.Open, r.NewestContexts, fmt.Sprint(r.Closed), r.Unsent, r.LastCommit, fmt.Sprint(fed(t, r))})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// contents are the rows of what is made of readings, but for wall clocks, by their keys.
func contents(t *testing.T, path string) []string {
	t.Helper()
	return slices.Concat(
		rows(t, path, `SELECT 'w', window_id, revision, n, expected, verdict, mean_c, slope_c_per_min, peer_z, mate_diff_c, hex(memory) FROM telemetry_window`),
		rows(t, path, `SELECT 'p', window_id, revision, p_failure, level, hold_alert, hold_above, hold_below FROM ai_telemetry_predictions`),
		rows(t, path, `SELECT 'q', window_id, revision, reasons FROM quarantine_window`),
		rows(t, path, `SELECT 'e', alert_id, at_ms, kind, state FROM alert_event`),
		rows(t, path, `SELECT 'a', alert_id, state, severity, window_id FROM alert`),
		rows(t, path, `SELECT 'r', key, temp_m FROM (`+everyRow+`)`),
		rows(t, path, `SELECT 'c', key, speed_m FROM context_reading`),
	)
}

// seeds is how many schedules are tried.
func seeds() uint64 {
	if os.Getenv("CIDP_LONG") != "" {
		return 20
	}
	return 2
}

// TestRetentionChangesNothingElse runs the real windower over a database that forgets while it fills, crashes included, beside one that keeps all: what is still there is the same, a
// recovery gives the same as without, every law holds at any time, and in the end of each kind something went and something stayed.
func TestRetentionChangesNothingElse(t *testing.T) { retentionChangesNothingElse(t, seeds()) }

func retentionChangesNothingElse(t *testing.T, seeds uint64, hop ...time.Duration) {
	all := traffic(0)
	whole := newWorn(t, dbPath(t), hop...)
	for _, s := range all {
		whole.feed(s)
	}
	whole.commit()
	whole.crash()
	want := map[string]bool{}
	for _, r := range contents(t, whole.path) {
		want[r] = true
	}
	keep := store.Keep{Raw: 4 * time.Minute, Windows: 7 * time.Minute, Alerts: 9 * time.Minute, ContextSpan: contextSpan()}
	for seed := range seeds {
		luck := rand.New(rand.NewPCG(seed, 9))
		l := newWorn(t, dbPath(t), hop...)
		now, acked := int64(0), 0
		var sum store.Expired
		for i := 0; i < len(all); {
			l.feed(all[i])
			i++
			switch n := luck.IntN(400); {
			case n < 10:
				l.commit()
				acked, now = i, max(now, all[i-1].arrival)
			case n < 14:
				before := memory(t, l.db)
				e := expire(t, l.db, keep, now, false)
				if after := memory(t, l.db); after != before {
					t.Fatalf("seed %d: a recovery gives after retention\n%s\nand gave before\n%s", seed, after, before)
				}
				sum.Readings, sum.Contexts, sum.Windows, sum.Alerts = sum.Readings+e.Readings, sum.Contexts+e.Contexts, sum.Windows+e.Windows, sum.Alerts+e.Alerts
				if n == 13 {
					holds(t, l.path)
				}
			case n == 14:
				l = l.again()
				i = acked
			}
		}
		l.commit()
		l = l.again()
		e := expire(t, l.db, keep, now, false)
		if sum.Readings+e.Readings == 0 || sum.Contexts+e.Contexts == 0 || sum.Windows+e.Windows == 0 || sum.Alerts+e.Alerts == 0 {
			t.Errorf("seed %d: of some kind nothing expired: %+v, %+v", seed, sum, e)
		}
		holds(t, l.path)
		got := contents(t, l.path)
		kinds := map[byte]int{}
		for _, r := range got {
			kinds[r[0]]++
			if !want[r] {
				t.Errorf("seed %d: %s is not what it would be without retention", seed, r)
			}
		}
		for _, kind := range []byte("wpeaarc") {
			if kinds[kind] == 0 {
				t.Errorf("seed %d: nothing is left of kind %c", seed, kind)
			}
		}
		late := int64(0) // a packed row goes when all of it may
		if packFrom > 0 {
			late = 2048
		}
		if old := one(t, l.path, fmt.Sprintf(`SELECT count(*) FROM (`+everyRow+`) r JOIN sensor s ON s.sensor_id = r.key & 1048575 WHERE r.key >> 20 < min(%d, s.evaluated_ms)`, now-keep.Raw.Milliseconds()-late)); old != "0" {
			t.Errorf("seed %d: %s readings are older than they should be", seed, old)
		}
	}
}

// TestRetentionLeavesWhatTheLineNeeds: however old, what a recovery gives stays, and the line goes on from it.
func TestRetentionLeavesWhatTheLineNeeds(t *testing.T) {
	l := newWorn(t, dbPath(t))
	for _, s := range traffic(0) {
		if s.reading.TS < t0+8*minute { // the left bearings' alerts stand
			l.feed(s)
		}
	}
	l.commit()
	before := memory(t, l.db)
	keep := store.Keep{Raw: time.Second, Windows: time.Second, Alerts: time.Second, Evidence: time.Second, ContextSpan: contextSpan()}
	e := expire(t, l.db, keep, t0+1000*minute, false)
	if e.Readings == 0 || e.Windows == 0 {
		t.Errorf("expired %+v", e)
	}
	if after := memory(t, l.db); after != before {
		t.Errorf("a recovery gives after retention\n%s\nand gave before\n%s", after, before)
	}
	if standing := one(t, l.path, `SELECT count(*) FROM alert WHERE state = 'active'`); standing == "0" {
		t.Error("no alert stands: the test shows too little")
	}
	holds(t, l.path)
	l = l.again()
	for _, s := range traffic(0) {
		if s.reading.TS >= t0+8*minute {
			l.feed(s)
		}
	}
	l.commit()
	expire(t, l.db, keep, t0+1000*minute, false)
	holds(t, l.path)
	l.w.Tick(24*time.Hour, t0)
	l.commit()
	if e := expire(t, l.db, keep, t0+1000*minute+9_999, false); e.Readings != 0 {
		t.Errorf("what was open was looked at again at once, and %d readings went", e.Readings)
	}
	if e := expire(t, l.db, keep, t0+1000*minute+10_000, false); e.Readings == 0 {
		t.Error("readings whose windows have closed by now wait for the next sweep")
	}
	expire(t, l.db, keep, t0+1100*minute, false) // the next sweep
	holds(t, l.path)
	if left := one(t, l.path, `SELECT (SELECT count(*) FROM (`+everyRow+`)) || ' ' || ((SELECT count(*) FROM telemetry_window) - (SELECT count(*) FROM sensor))`); !strings.HasPrefix(left, "0 ") {
		t.Errorf("readings and windows beside the newest that are left: %s", left)
	}
}

// TestWindowsGoBehindReadings: windows follow readings that go a few at a time. One that is looked at while part of it is old enough goes soon after, and not at the next sweep.
func TestWindowsGoBehindReadings(t *testing.T) {
	left := func(step int64) string {
		l := newWorn(t, dbPath(t))
		for _, s := range traffic(0) {
			l.feed(s)
		}
		l.commit()
		l.w.Tick(24*time.Hour, t0)
		l.commit()
		keep := store.Keep{Raw: time.Hour, Windows: time.Second, ContextSpan: contextSpan()}
		for cut := t0 + step; cut <= t0+8*minute; cut += step {
			expire(t, l.db, keep, cut+60*minute, false)
		}
		holds(t, l.path)
		return one(t, l.path, `SELECT count(*) FROM telemetry_window`)
	}
	if slowly, at := left(10_000), left(8*minute); slowly != at {
		t.Errorf("%s windows are left where readings went a few at a time, %s where they went at once", slowly, at)
	}
}

// TestRetentionLeavesTheNewest: the newest context, though readings have long gone on without it, and the newest prediction, though only quarantined windows followed; and the windows
// whose readings are still there.
func TestRetentionLeavesTheNewest(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	p := newPlant(inOrder())
	b := batch(db)
	p.register(b)
	for m := range int64(10) {
		for n := range p.sensors {
			for ts := t0 + m*minute; ts < t0+m*minute+minute; ts += 10_000 {
				b.Readings = append(b.Readings, stream.Stored{SensorID: int64(n + 1), Reading: readingAt(n, ts)})
			}
			var reasons []stream.Reason
			if m >= 5 {
				reasons = []stream.Reason{stream.Gap}
			}
			w := p.windowOf(n, t0+m*minute, 6, reasons...)
			b.Windows = append(b.Windows, w)
			if w.Valid() {
				pr := predictionOf(w, 0.5, model.Watch)
				pr.Hold = model.Hold{Level: model.Watch, Above: int(m)}
				b.Predictions = append(b.Predictions, pr)
			}
		}
	}
	for i := range int64(3) {
		b.Contexts = append(b.Contexts, stream.StoredContext{AssetID: 1, Context: stream.Context{TS: t0 + i*1000}})
	}
	count(b, 0)
	commit(t, db, b)
	before := recovered(t, db, time.Second)
	keep := store.Keep{Bytes: 1 << 40, Windows: time.Second, ContextSpan: backBy(time.Second)}
	if e := expire(t, db, keep, t0+100*minute, false); e.Rows() != 0 {
		t.Errorf("nothing but windows is old, all their readings are there, and %+v expired", e)
	}
	keep.Raw = time.Second
	if e := expire(t, db, keep, t0+200*minute, false); e.Readings != 360 || e.Contexts != 2 || e.Windows != 6*8 {
		t.Errorf("expired %+v", e)
	}
	after := recovered(t, db, time.Second)
	if len(after.Holds) != 6 || !reflect.DeepEqual(after.Holds, before.Holds) || !reflect.DeepEqual(after.Windows, before.Windows) {
		t.Errorf("a recovery gives after retention %+v, and gave before %+v", after.Holds, before.Holds)
	}
	holds(t, db.Path())
}

// TestAlertWaitsForItsWindows: windows in which it stood were compared with an open reading when they were looked at. Until they are looked at again the alert stays, though the
// windows in which it was raised and cleared could go.
func TestAlertWaitsForItsWindows(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	p := newPlant(inOrder())
	hold := model.Hold{}
	hot := func(b *store.Batch, from, to int64, score float64) {
		for m := from; m < to; m++ {
			w := p.windowOf(0, t0+m*minute, 0)
			s := levels().Next(hold, w, score, model.RuleResult{}, nil, modelID)
			hold = s.Prediction.Hold
			b.Windows, b.Predictions, b.Transitions = append(b.Windows, w), append(b.Predictions, s.Prediction), append(b.Transitions, s.Transitions...)
			if s.Alert != nil {
				b.Alerts = append(b.Alerts, *s.Alert)
			}
		}
	}
	b := batch(db)
	p.register(b)
	b.Readings = append(b.Readings, stream.Stored{SensorID: 2, Reading: readingAt(1, t0)})
	b.Opened = append(b.Opened, stream.Open{SensorID: 2, From: t0, To: t0 + minute})
	hot(b, 0, 8, 0.9)
	count(b, 0)
	commit(t, db, b)
	keep := store.Keep{Raw: time.Second, Windows: time.Second, Alerts: time.Second}
	if e := expire(t, db, keep, t0+100*minute, false); e.Windows+e.Alerts != 0 {
		t.Errorf("all windows are compared with an open reading, and %+v expired", e)
	}
	b = batch(db)
	w := p.windowOf(1, t0, 1)
	b.Windows, b.Predictions = append(b.Windows, w), append(b.Predictions, predictionOf(w, 0.1, model.Normal))
	b.Readings = append(b.Readings, stream.Stored{SensorID: 2, Reading: readingAt(1, t0+30*minute)})
	b.Opened = append(b.Opened, stream.Open{SensorID: 2, From: t0 + 30*minute, To: t0 + 31*minute})
	hot(b, 8, 20, 0.05)
	count(b, 0)
	commit(t, db, b)
	expire(t, db, keep, t0+101*minute, false)
	holds(t, db.Path())
	expire(t, db, keep, t0+200*minute, false) // the next sweep
	if left := one(t, db.Path(), `SELECT (SELECT count(*) FROM alert) || ' ' || (SELECT count(*) FROM telemetry_window)`); left != "0 2" {
		t.Errorf("alerts and windows that are left: %s", left)
	}
	holds(t, db.Path())
}

// TestExpiredComesAgain: what comes again after it has expired is late, with its evidence: neither stored twice nor lost.
func TestExpiredComesAgain(t *testing.T) {
	l := newWorn(t, dbPath(t))
	all := traffic(0)
	for _, s := range all {
		l.feed(s)
	}
	l.commit()
	l.commit() // the windower remembers the last batch
	keep := store.Keep{Raw: 10 * time.Minute, ContextSpan: contextSpan()}
	expire(t, l.db, keep, t0+30*minute, false)
	for _, restart := range []bool{false, true} {
		if restart {
			l = l.again()
		}
		if left := one(t, l.path, fmt.Sprintf(`SELECT count(*) FROM (`+everyRow+`) WHERE key >> 20 < %d`, t0+3*minute)); left != "0" {
			t.Errorf("%s readings have not expired", left)
		}
		stored := one(t, l.path, `SELECT sum(value) FROM ledger WHERE counter = 'stored'`)
		late := one(t, l.path, `SELECT count(*) FROM late_reading`)
		n := 0
		for _, s := range all {
			if s.reading.TS >= t0+2*minute && s.reading.TS < t0+3*minute && strings.Contains(s.topic, "loco-0") { // the other has a sensor that stopped: it still needs its contexts
				l.feed(s)
				n++
			}
		}
		l.commit()
		if now := one(t, l.path, `SELECT sum(value) FROM ledger WHERE counter = 'stored'`); now != stored {
			t.Errorf("restarted %v: %s are stored, it was %s", restart, now, stored)
		}
		if now := one(t, l.path, `SELECT count(*) FROM late_reading`); now != fmt.Sprint(atoi(t, late)+n) {
			t.Errorf("restarted %v: %s late readings after %d came again, it was %s", restart, now, n, late)
		}
		holds(t, l.path)
	}
}

func atoi(t *testing.T, text string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDisputedAndExpired: a reading expires after it was looked up for a dispute and before the dispute is committed.
func TestDisputedAndExpired(t *testing.T) {
	l := newWorn(t, dbPath(t))
	all := traffic(0)
	for _, s := range all {
		l.feed(s)
	}
	l.commit()
	reading, context := all[0], all[0]
	for _, s := range all {
		if s.context && !context.context {
			context = s
		}
	}
	reading.reading.Temp++
	context.reading.Speed++
	l.feed(reading)
	l.feed(context)
	expire(t, l.db, store.Keep{Raw: 10 * time.Minute, ContextSpan: contextSpan()}, t0+30*minute, false)
	l.commit()
	if n := one(t, l.path, `SELECT count(*) FROM quarantine_message WHERE reason = 'conflict' AND message_id > (SELECT max(message_id) - 2 FROM quarantine_message)`); n != "2" {
		t.Errorf("%s of 2 disputes are evidence", n)
	}
	holds(t, l.path)
}

// TestExpireInSmallSteps: each step is bounded, is one transaction with its own step name, and goes on where the last one ended.
func TestExpireInSmallSteps(t *testing.T) {
	steps := 0
	db := open(t, dbPath(t), store.Options{Step: func(s string) {
		if s == "expire" {
			steps++
		}
	}})
	first := batch(db)
	fleet(first, 10)
	for i := range int64(10_000) {
		first.Readings = append(first.Readings, stream.Stored{SensorID: i%10 + 1, Reading: stream.Reading{TS: t0 + i/10*1000}})
	}
	for id := range int64(10) {
		first.Opened = append(first.Opened, stream.Open{SensorID: id + 1, From: t0})
	}
	count(first, 0)
	commit(t, db, first)
	keep := store.Keep{Raw: time.Second}
	if e := expire(t, db, keep, t0+1000*minute, false); e.Rows() != 0 {
		t.Errorf("open readings expired: %+v", e)
	}
	looked := steps
	if expire(t, db, keep, t0+1000*minute, false); steps != looked {
		t.Errorf("what must stay was looked at again: %d steps", steps-looked)
	}
	sql(t, db.Path(), `UPDATE sensor SET evaluated_ms = 1 << 42; DELETE FROM open_window`)
	if expire(t, db, keep, t0+1000*minute, false); steps != looked {
		t.Errorf("what must stay was looked at again: %d steps", steps-looked)
	}
	later := t0 + 1061*minute
	e, err := db.Expire(context.Background(), keep, time.UnixMilli(later), false)
	if err != nil || e.Readings == 0 || e.Readings > 4000 || !e.More {
		t.Errorf("first step of the next sweep: %+v, %v", e, err)
	}
	if rest := expire(t, db, keep, later, false); rest.Readings+e.Readings != 10_000 {
		t.Errorf("%d + %d readings expired", e.Readings, rest.Readings)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := db.Expire(ctx, keep, time.UnixMilli(later), false); err == nil {
		t.Error("a step was taken after its context had ended")
	}
}

// longKept is a database with an hour and a half of readings of ten sensors and all their windows, of which nothing is open.
func longKept(t *testing.T, o store.Options) (db *store.DB, now int64) {
	t.Helper()
	const minutes = 90
	db = open(t, dbPath(t), o)
	b := batch(db)
	p := &plant{sensors: fleet(b, 10)}
	for m := range int64(minutes) {
		for i, s := range p.sensors {
			for second := range int64(60) {
				b.Readings = append(b.Readings, stream.Stored{SensorID: s.ID, Reading: stream.Reading{TS: t0 + m*minute + second*1000}})
			}
			w := p.windowOf(i, t0+m*minute, 60)
			w.Memory = make([]byte, 200)
			b.Windows = append(b.Windows, w)
			b.Predictions = append(b.Predictions, predictionOf(w, 0.1, model.Normal))
		}
	}
	count(b, 0)
	commit(t, db, b)
	sql(t, db.Path(), `UPDATE sensor SET evaluated_ms = 1 << 42; DELETE FROM open_window`)
	return db, t0 + 2*minutes*minute
}

// TestEachKindExpiresInItsTurn: where there are always more readings to let go, windows still have their turn.
func TestEachKindExpiresInItsTurn(t *testing.T) {
	db, now := longKept(t, store.Options{})
	var sum store.Expired
	for range 4 {
		e, err := db.Expire(context.Background(), store.Keep{Bytes: 1, Windows: time.Minute}, time.UnixMilli(now), false)
		if err != nil || !e.More || !e.Over {
			t.Fatalf("%+v, %v", e, err)
		}
		sum.Add(e)
	}
	if sum.Readings == 0 || sum.Windows == 0 {
		t.Errorf("four steps took %d readings and %d windows", sum.Readings, sum.Windows)
	}
}

// TestExpireKeepsUpWithLongCommits: who waits long for a commit takes more than one step before the next.
func TestExpireKeepsUpWithLongCommits(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	var slow atomic.Bool
	db, now := longKept(t, store.Options{Step: func(s string) {
		if s == "commit" && slow.Load() {
			entered <- struct{}{}
			<-release
		}
	}})
	slow.Store(true)
	done := make(chan error, 1)
	go func() {
		b := batch(db)
		b.Readings = []stream.Stored{{SensorID: 1, Reading: stream.Reading{TS: now}}}
		count(b, 0)
		done <- db.Commit(b)
	}()
	<-entered
	var released time.Time
	time.AfterFunc(300*time.Millisecond, func() {
		released = time.Now()
		close(release)
	})
	called := time.Now()
	e, took, err := db.ExpireShare(context.Background(), store.Keep{Raw: time.Second}, time.UnixMilli(now), false, 2)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	if waited := released.Sub(called); e.Readings <= 4000 && took < min(waited, 300*time.Millisecond)/3 {
		t.Errorf("%d readings went in %s after a wait of %s", e.Readings, took, waited)
	}
}

// TestExpireByBytes: the oldest readings go until the database is small enough, and none that is younger than the minimum.
func TestExpireByBytes(t *testing.T) {
	l := newWorn(t, dbPath(t))
	for _, s := range traffic(0) {
		l.feed(s)
	}
	l.commit()
	used := func() int64 {
		return int64(atoi(t, one(t, l.path, `SELECT 4096 * ((SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count))`)))
	}
	before := used()
	now := t0 + 30*minute
	if e := expire(t, l.db, store.Keep{Bytes: before}, now, false); e.Rows() != 0 {
		t.Errorf("it is small enough, and %+v expired", e)
	}
	keep := store.Keep{Bytes: before - 1, RawMin: 10 * time.Minute, ContextSpan: contextSpan()}
	e := expire(t, l.db, keep, now, false)
	if e.Readings == 0 || e.Before > now-keep.RawMin.Milliseconds() {
		t.Errorf("expired %+v", e)
	}
	if after := used(); after > keep.Bytes || e.Over {
		t.Errorf("%d bytes are used, %d are allowed: %+v", after, keep.Bytes, e)
	}
	if left := one(t, l.path, fmt.Sprintf(`SELECT count(*) FROM context_reading WHERE key & 1048575 = 1 AND key >> 20 < %d`, min(e.Before, t0+6*minute))); left != "0" {
		t.Errorf("%s contexts are left of the time before %d, and no reading", left, e.Before)
	}
	if e := expire(t, l.db, store.Keep{Bytes: 1, RawMin: 25 * time.Minute}, now, false); !e.Over {
		t.Errorf("one byte is too few, and it says %+v", e)
	}
	holds(t, l.path)
	e = expire(t, l.db, store.Keep{RawMin: 20 * time.Minute}, now, true)
	if e.Before > now-20*minute {
		t.Errorf("the disk is short: readings went before %d, younger than the minimum", e.Before)
	}
	e = expire(t, l.db, store.Keep{RawMin: 2 * time.Minute}, now, true)
	if e.Readings == 0 {
		t.Error("the disk is short, and nothing expired")
	}
	holds(t, l.path)
}

// TestExpireByAClockAhead: a clock that is a year ahead takes nothing that is young by what the sensors say.
func TestExpireByAClockAhead(t *testing.T) {
	l := newWorn(t, dbPath(t))
	for _, s := range traffic(0) {
		l.feed(s)
	}
	l.commit()
	if e := expire(t, l.db, store.Keep{Raw: 24 * time.Hour, Windows: 24 * time.Hour}, t0+365*24*60*minute, false); e.Rows() != 0 {
		t.Errorf("expired %+v", e)
	}
}

// TestExpireEvidence: refused messages and late readings go by their receipt, and the caps have room again.
func TestExpireEvidence(t *testing.T) {
	db := open(t, dbPath(t), store.Options{EvidencePerReason: 3})
	refuse := func(n int, at int64) {
		b := batch(db)
		for range n {
			b.Refusals = append(b.Refusals, stream.Refusal{Reason: stream.Malformed, Received: at, Topic: "t", Client: "c", Payload: []byte("{")})
		}
		count(b, 0)
		commit(t, db, b)
	}
	refuse(4, t0)
	keep := store.Keep{Evidence: time.Hour}
	if e := expire(t, db, keep, t0+60*minute, false); e.Rows() != 0 {
		t.Errorf("not old enough, and %+v expired", e)
	}
	if e := expire(t, db, keep, t0+61*minute, false); e.Messages != 2 { // the newest stays: its id must not be given again
		t.Errorf("expired %+v", e)
	}
	refuse(3, t0+61*minute)
	if n := one(t, db.Path(), `SELECT count(*) || ',' || max(message_id) FROM quarantine_message`); n != "3,5" {
		t.Errorf("%s refusals are kept after the old ones expired", n)
	}
	holds(t, db.Path())
}

func TestKeepValidate(t *testing.T) {
	day := 24 * time.Hour
	for _, k := range []store.Keep{{}, {Raw: day}, {Raw: day, Windows: day, Alerts: day}, {Bytes: 1, Windows: day}, {Evidence: day}, {RawMin: day}} {
		if err := k.Validate(); err != nil {
			t.Errorf("%+v: %v", k, err)
		}
	}
	for want, k := range map[string]store.Keep{
		"keep-raw is -1s":                       {Raw: -time.Second},
		"keep-bytes is -1":                      {Bytes: -1},
		"readings are kept for ever":            {Windows: day},
		"keep-windows is 24h0m0s and keep-raw":  {Raw: 2 * day, Windows: day},
		"keep-raw-min 48h0m0s":                  {Raw: day, RawMin: 2 * day, Windows: day},
		"windows are kept for ever":             {Alerts: day},
		"keep-alerts is 24h0m0s and keep-windo": {Raw: day, Windows: 2 * day, Alerts: day},
	} {
		if err := k.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", k, err, want)
		}
	}
	if (store.Keep{RawMin: day}).Any() || !(store.Keep{Bytes: 1}).Any() {
		t.Error("Any is wrong")
	}
	if !reflect.DeepEqual(store.Expired{Readings: 1, Late: 2}.Rows(), int64(3)) {
		t.Error("Rows is wrong")
	}
}

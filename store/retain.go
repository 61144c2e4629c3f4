package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/stream"
)

// Keep says for how long what is kept. 0 means for ever. Readings, contexts and windows go by event time, alerts by the event time of their last
// move, evidence (refused messages, late readings) by its receipt.
type Keep struct {
	Raw      time.Duration // readings and contexts, with their flags and disputes
	RawMin   time.Duration // neither Bytes nor a short disk takes readings younger than this
	Windows  time.Duration // with their predictions and quarantines
	Alerts   time.Duration // cleared ones, with their transitions
	Evidence time.Duration
	Bytes    int64 // of the database, reusable pages not counted: beyond it the oldest readings and contexts go; 0: no bound

	// ContextSpan says how far before an asset's first open reading contexts may still matter, as for Recover. nil: a day.
	ContextSpan func(period time.Duration) time.Duration
}

// Validate says in a sentence what makes no sense. What is made of something is kept at least as long as that: a window as long as its
// readings, an alert as long as its windows.
func (k Keep) Validate() error {
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"keep-raw", k.Raw}, {"keep-raw-min", k.RawMin}, {"keep-windows", k.Windows}, {"keep-alerts", k.Alerts}, {"keep-evidence", k.Evidence}} {
		if d.d < 0 {
			return fmt.Errorf("%s is %s: it must be 0 (for ever) or more", d.name, d.d)
		}
	}
	switch {
	case k.Bytes < 0:
		return fmt.Errorf("keep-bytes is %d: it must be 0 (no bound) or more", k.Bytes)
	case k.Windows > 0 && k.Raw == 0 && k.Bytes == 0:
		return fmt.Errorf("keep-windows is %s and readings are kept for ever: a window is kept at least as long as its readings; set keep-raw or keep-bytes", k.Windows)
	case k.Windows > 0 && k.Windows < k.Raw:
		return fmt.Errorf("keep-windows is %s and keep-raw %s: a window is kept at least as long as its readings", k.Windows, k.Raw)
	case k.Windows > 0 && k.Windows < k.RawMin:
		return fmt.Errorf("keep-windows is %s and keep-raw-min %s: a window is kept at least as long as its readings", k.Windows, k.RawMin)
	case k.Alerts > 0 && k.Windows == 0:
		return fmt.Errorf("keep-alerts is %s and windows are kept for ever: an alert is kept at least as long as its windows; set keep-windows", k.Alerts)
	case k.Alerts > 0 && k.Alerts < k.Windows:
		return fmt.Errorf("keep-alerts is %s and keep-windows %s: an alert is kept at least as long as its windows", k.Alerts, k.Windows)
	}
	return nil
}

// Any says whether anything would ever expire without a short disk.
func (k Keep) Any() bool {
	return k.Raw > 0 || k.Windows > 0 || k.Alerts > 0 || k.Evidence > 0 || k.Bytes > 0
}

// Expired is what one step took away, and whether there is more.
type Expired struct {
	Readings, Contexts, Windows, Alerts, Messages, Late int64
	Before                                              int64 // event time below which readings went, ms; 0: none did
	More                                                bool
	Over                                                bool  // the database is larger than Keep.Bytes; without More nothing that is left may go
	Size                                                int64 // bytes of it in use, if Keep.Bytes is a bound
}

// Rows is how many of them there are.
func (e Expired) Rows() int64 {
	return e.Readings + e.Contexts + e.Windows + e.Alerts + e.Messages + e.Late
}

// Rows of one step, so that it takes a few milliseconds (measured: DESIGN.md).
const (
	stepReadings = 4000
	stepContexts = 2000
	stepWindows  = 128
	stepAlerts   = 8
	stepEvidence = 500
)

// sweepEvery is how often retention begins anew from the oldest row: what had to stay then may go now, and history may have come in since.
const sweepEvery = time.Hour

// passedEvery is how often rows are looked at again that were passed because it was a little too soon for them, once the rest has gone. Where retention comes close behind what comes
// in, by size or on a short disk, or windows behind readings, most of what it sees is such: without another look it would pile up until the next sweep.
const passedEvery = 10 * time.Second

// passed remembers the first of those rows.
type passed struct{ key, looked int64 } // key 0: none was passed; looked: wall clock of the last look, ms

func (p *passed) note(key int64) {
	if p.key == 0 || key < p.key && key > 0 {
		p.key = key
	}
}

// again says from where on to look once more, if it is time to.
func (p *passed) again(wall int64) (key int64, ok bool) {
	if since := wall - p.looked; p.key == 0 || since >= 0 && since < passedEvery.Milliseconds() {
		return 0, false
	}
	key = p.key
	*p = passed{looked: wall}
	return key, true
}

// progress is how far retention has come, so that what must stay is not looked at again and again.
type progress struct {
	reading, context, window int64 // keys: nothing below is looked at before the next sweep
	alertAt                  int64 // updated_at_ms and id of the last alert looked at
	alertID                  string
	turn                     int    // which kind is looked at first: one that always has more must not keep the others from their turn
	swept                    int64  // wall clock of the last sweep, ms
	open                     passed // readings in no closed window
	whole                    passed // windows that end when their time to go has not come
	recount                  bool   // evidence in memory may not be what is on disk
}

// expiry is a few steps in one transaction.
type expiry struct {
	w       *writer
	keep    Keep
	wall    int64 // the clock, ms
	now     int64 // in event time, ms
	short   bool
	at      progress        // becomes the DB's once the step is committed
	out     Expired         // of the step that is taken
	all     Expired         // of all
	entries map[entry]int64 // for the ledger
	sources map[source]int  // evidence that went
	open    map[int64]int64 // by asset: see compared
}

// Expire takes one small step of retention: some thousand rows at most, in a transaction of its own, a few milliseconds. It says what went and
// whether there is more to do at once. short means that the disk is: then readings go that are older than their minimum, the oldest first.
//
// It never takes what the line still needs: readings that are in no closed window and the contexts beside them, the newest window and
// prediction of each sensor, windows that open readings are compared with, and whatever something kept refers to. The ledger counts what went, so that Verify
// can add up. A step takes no commit id; what it took of the stored is added to the newest row of commit_log. Errors are as Commit's.
func (db *DB) Expire(ctx context.Context, keep Keep, now time.Time, short bool) (Expired, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.expire(ctx, keep, now, short, time.Now())
}

// Bounds of the time for which ExpireShare keeps commits waiting at once: one sync is worth more than one small step, and people wait for acknowledgements.
const (
	leastExpiry = 8 * time.Millisecond
	mostExpiry  = 100 * time.Millisecond
)

// ExpireShare takes steps as Expire does, in one transaction, until they make up one part in share of the time since it was called, the wait for commits included: where
// commits take long, one step between two of them would not keep up with what they bring. took is for how long it kept commits waiting.
func (db *DB) ExpireShare(ctx context.Context, keep Keep, now time.Time, short bool, share int) (e Expired, took time.Duration, err error) {
	called := time.Now()
	db.mu.Lock()
	defer db.mu.Unlock()
	start := time.Now()
	budget := min(max(start.Sub(called)/time.Duration(max(1, share-1)), leastExpiry), mostExpiry)
	e, err = db.expire(ctx, keep, now, short, start.Add(budget))
	return e, time.Since(start), err
}

// Add counts what another step took, too. More, Over and Size stay as they are.
func (e *Expired) Add(o Expired) {
	e.Readings, e.Contexts, e.Windows = e.Readings+o.Readings, e.Contexts+o.Contexts, e.Windows+o.Windows
	e.Alerts, e.Messages, e.Late = e.Alerts+o.Alerts, e.Messages+o.Messages, e.Late+o.Late
	e.Before = max(e.Before, o.Before)
}

// expire takes steps in one transaction, at least one and no more after until. db.mu is held.
func (db *DB) expire(ctx context.Context, keep Keep, now time.Time, short bool, until time.Time) (Expired, error) {
	if err := ctx.Err(); err != nil {
		return Expired{}, fmt.Errorf("expire: %w", err)
	}
	if err := db.writable(); err != nil {
		return Expired{}, err
	}
	if db.expiry.recount {
		counts, err := loadEvidence(db.w.c, db.o)
		if err != nil {
			return Expired{}, classify(err)
		}
		db.evidence, db.expiry.recount = counts, false
	}
	e := &expiry{w: db.w, keep: keep, wall: now.UnixMilli(), short: short, at: db.expiry, entries: map[entry]int64{}, sources: map[source]int{}, open: map[int64]int64{}}
	if err := e.present(); err != nil {
		return Expired{}, classify(err)
	}
	if since := e.wall - e.at.swept; since >= sweepEvery.Milliseconds() || since < 0 {
		e.at = progress{swept: e.wall}
	}
	take, err := e.next()
	if err == nil && take != nil {
		err = db.transactAs("expire", func(*writer) error { return e.steps(take, until) })
	}
	if err != nil {
		db.expiry.recount = true // it may have been applied after all
		return Expired{}, classify(err)
	}
	db.expiry = e.at
	db.evidence.forget(e.sources)
	return e.all, nil
}

// steps takes a step, and those that follow it until a moment.
func (e *expiry) steps(take func() error, until time.Time) (err error) {
	for {
		if err := take(); err != nil {
			return err
		}
		e.all.Add(e.out)
		if !time.Now().Before(until) {
			e.all.More = true
			return e.account()
		}
		if take, err = e.next(); err != nil {
			return err
		}
		if take == nil {
			return e.account()
		}
	}
}

// next plans the next step; nil when there is none.
func (e *expiry) next() (take func() error, err error) {
	kinds := [...]struct {
		what string
		plan func() (take func() error, err error)
	}{
		{"readings", e.readings}, {"contexts", e.contexts}, {"windows and alerts", e.closed}, {"evidence", e.messages}, {"late readings", e.lates},
	}
	e.out = Expired{}
	for i := range kinds {
		turn := (e.at.turn + i) % len(kinds)
		kind := kinds[turn]
		take, err := kind.plan()
		if err != nil {
			return nil, fmt.Errorf("expire %s: %w", kind.what, err)
		}
		if take != nil {
			e.at.turn = (turn + 1) % len(kinds)
			return func() error {
				if err := take(); err != nil {
					return fmt.Errorf("expire %s: %w", kind.what, err)
				}
				return nil
			}, nil
		}
	}
	return nil, nil
}

// present says what time it is for what has an event time: no later than readings came, so that a clock that is a year ahead, as after a start
// without a battery, does not take what is a day old.
func (e *expiry) present() error {
	newest, err := e.one(`SELECT max(COALESCE((SELECT max(key) FROM reading), 0),
		COALESCE((SELECT max(last) FROM reading_packed WHERE first > (SELECT max(first) FROM reading_packed) - (2048 << 20)), 0))`)
	if err != nil {
		return fmt.Errorf("read newest reading: %w", err)
	}
	e.now = e.wall
	if newest > 0 {
		e.now = min(e.wall, newest>>stream.SensorBits+leeway.Milliseconds())
	}
	return nil
}

// leeway is by how much a reading may be behind and still say what time it is.
const leeway = time.Hour

// account writes what went into the ledger, and of the stored into the newest commit's row.
func (e *expiry) account() error {
	for n, v := range e.entries {
		if err := e.w.ledger.text(n.counter).text(n.reason).int(v).run(); err != nil {
			return fmt.Errorf("count expired: %w", err)
		}
	}
	if n := e.all.Readings + e.all.Contexts; n > 0 {
		if err := e.exec(`UPDATE commit_log SET expired = expired + ? WHERE commit_id = (SELECT max(commit_id) FROM commit_log)`, n); err != nil {
			return fmt.Errorf("count expired: %w", err)
		}
		if e.w.c.Changes() != 1 {
			return fatalf("count expired: %d rows were stored and no commit is recorded", n)
		}
	}
	return nil
}

// query runs a statement that is kept prepared: a step runs the same few for each of its rows. One may not be run within itself.
func (e *expiry) query(sql string, f func(s *sqlite3.Stmt) error, args ...any) error {
	q := e.w.kept[sql]
	if q == nil {
		var err error
		if q, err = prepare(e.w.c, sql); err != nil {
			return err
		}
		if e.w.kept == nil {
			e.w.kept = map[string]*stmt{}
		}
		e.w.kept[sql] = q
	}
	for _, a := range args {
		switch v := a.(type) {
		case int64:
			q.int(v)
		case string:
			q.text(v)
		default:
			return fmt.Errorf("bind argument: %T is not supported", a)
		}
	}
	return q.each(f)
}

func (e *expiry) exec(sql string, args ...any) error {
	return e.query(sql, func(*sqlite3.Stmt) error { return nil }, args...)
}

// one gives the first column of the first row, 0 when there is no row or it is NULL.
func (e *expiry) one(sql string, args ...any) (v int64, err error) {
	first := true
	err = e.query(sql, func(s *sqlite3.Stmt) error {
		if first {
			v, first = s.ColumnInt64(0), false
		}
		return nil
	}, args...)
	return v, err
}

// cutoff gives the event time before which something kept for d goes; MinInt64: nothing does.
func (e *expiry) cutoff(d time.Duration) int64 {
	if d <= 0 {
		return math.MinInt64
	}
	return e.now - d.Milliseconds()
}

// rawCutoff gives the event time before which readings and contexts may go now.
func (e *expiry) rawCutoff() (int64, error) {
	cut := e.cutoff(e.keep.Raw)
	if e.keep.Bytes > 0 {
		pages, err := e.one(`SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count)`)
		if err != nil {
			return 0, fmt.Errorf("read size: %w", err)
		}
		e.all.Size = pages * pageSize
		e.all.Over = e.all.Size > e.keep.Bytes
	}
	if e.all.Over || e.short {
		cut = max(cut, e.wall-e.keep.RawMin.Milliseconds()) // only as much goes as must, the oldest first: a replayed past may go whole
	}
	return cut, nil
}

const pageSize = 4096

// forget takes evidence that has expired out of the counts, so that the caps have room again.
func (e *evidence) forget(gone map[source]int) {
	for from, n := range gone {
		e.byReason[from.reason] -= n
		if e.bySource[from] -= n; e.bySource[from] <= 0 {
			delete(e.bySource, from)
		}
	}
}

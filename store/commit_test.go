package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

func TestRepeatChangesNothing(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	p := newPlant(inOrder())
	b := batch(db)
	for _, o := range append(append([]op{p.register}, p.raw(0)...), p.close(0)...) {
		o(b)
	}
	p.extras(b)
	b.Opened = nil
	count(b, 2)
	commit(t, db, b)
	first := *b
	ids := make([]int64, len(b.Outbox))
	for i := range ids {
		ids[i] = b.Outbox[i].ID
		b.Outbox[i].ID = 0
	}
	before := one(t, path, `SELECT (SELECT count(*) FROM telemetry), (SELECT count(*) FROM outbox), (SELECT count(*) FROM late_reading), (SELECT sum(value) FROM ledger)`)

	commit(t, db, b) // the answer was lost, and the batch comes again
	db.Forget(b.ID - 1)
	commit(t, db, b) // so was the memory of it
	if db.LastCommit() != first.ID {
		t.Errorf("last commit %d, want %d", db.LastCommit(), first.ID)
	}
	for i := range ids {
		if b.Outbox[i].ID != ids[i] || ids[i] == 0 {
			t.Errorf("publication %d has id %d, had %d", i, b.Outbox[i].ID, ids[i])
		}
	}
	after := one(t, path, `SELECT (SELECT count(*) FROM telemetry), (SELECT count(*) FROM outbox), (SELECT count(*) FROM late_reading), (SELECT sum(value) FROM ledger)`)
	if before != after {
		t.Errorf("rows %s, were %s", after, before)
	}
	next := batch(db)
	p.raw(1)[0](next)
	next.Opened = []stream.Open{{SensorID: 1, From: t0 + minute}}
	count(next, 0)
	commit(t, db, next)
	holds(t, path)
}

func TestSentTakesNoCommitID(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	p := newPlant(inOrder())
	play(t, db, append(append([]op{p.register}, p.raw(0)...), p.close(0)...), 1000)
	sql(t, path, `DELETE FROM open_window`)
	last := db.LastCommit()
	r, err := db.Recover(backBy(0))
	if err != nil {
		t.Fatal(err)
	}
	var sent []int64
	for _, o := range r.Unsent {
		sent = append(sent, o.ID)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b := batch(db)
		b.Batch, b.Sent = nil, sent
		commit(t, db, b)
	}
	if db.LastCommit() != last {
		t.Errorf("last commit %d, was %d", db.LastCommit(), last)
	}
	if n := one(t, path, `SELECT count(*) FROM outbox`); n != "0" {
		t.Errorf("%s publications left", n)
	}
	b := batch(db)
	b.Outbox = []store.Publication{{Topic: "x"}}
	commit(t, db, b)
	if b.Outbox[0].ID <= sent[len(sent)-1] {
		t.Errorf("publication id %d was used before", b.Outbox[0].ID)
	}
	holds(t, path)
}

// contradictions are batches that no database may take.
var contradictions = []struct {
	name string
	make func(p *plant, b *store.Batch)
	want string
}{
	{"reading stored before", func(p *plant, b *store.Batch) { p.raw(0)[0](b) }, "1 of 1 rows were there already"},
	{"reading twice in one batch", func(p *plant, b *store.Batch) { p.raw(1)[0](b); p.raw(1)[0](b) }, "were there already"},
	{"context stored before", func(p *plant, b *store.Batch) { o := p.raw(0); o[len(o)-1](b) }, "were there already"},
	{"sensor id out of range", func(p *plant, b *store.Batch) {
		b.Readings = []stream.Stored{{SensorID: 1 << 20, Reading: stream.Reading{TS: t0}}}
	}, "out of range"},
	{"time out of range", func(p *plant, b *store.Batch) {
		b.Readings = []stream.Stored{{SensorID: 1, Reading: stream.Reading{TS: stream.MaxTS}}}
	}, "out of range"},
	{"sensor of an unknown asset", func(p *plant, b *store.Batch) {
		b.Sensors = []*stream.Sensor{{ID: 9, AssetID: 9, Name: "x"}}
	}, "FOREIGN KEY"},
	{"window without a prediction", func(p *plant, b *store.Batch) { b.Windows = []*stream.Window{p.windowOf(0, t0, 6)} }, "0 predictions"},
	{"prediction without a window", func(p *plant, b *store.Batch) {
		b.Predictions = []model.Prediction{predictionOf(p.windowOf(0, t0, 6), 0.5, model.Watch)}
	}, "not in the batch"},
	{"two predictions", func(p *plant, b *store.Batch) {
		w := p.windowOf(0, t0, 6)
		b.Windows = []*stream.Window{w}
		b.Predictions = []model.Prediction{predictionOf(w, 0.5, model.Watch), predictionOf(w, 0.5, model.Watch)}
	}, "2 predictions"},
	{"probability out of range", func(p *plant, b *store.Batch) {
		w := p.windowOf(0, t0, 6)
		b.Windows = []*stream.Window{w}
		b.Predictions = []model.Prediction{predictionOf(w, 1.5, model.Watch)}
	}, "CHECK"},
	{"unknown model", func(p *plant, b *store.Batch) {
		w := p.windowOf(0, t0, 6)
		b.Windows = []*stream.Window{w}
		b.Predictions = []model.Prediction{predictionOf(w, 0.5, model.Watch)}
		b.Predictions[0].ModelID = "other"
	}, "is not recorded"},
	{"unknown level", func(p *plant, b *store.Batch) {
		w := p.windowOf(0, t0, 6)
		b.Windows = []*stream.Window{w}
		b.Predictions = []model.Prediction{predictionOf(w, 0.5, 9)}
	}, "is not known"},
	{"transition of an unknown alert", func(p *plant, b *store.Batch) {
		b.Transitions = []model.Transition{{AlertID: "nobody", SensorID: 1, Kind: model.KindRaised}}
	}, "FOREIGN KEY"},
	{"alert of an unknown sensor", func(p *plant, b *store.Batch) { b.Alerts = []model.Alert{{ID: "a", SensorID: 99}} }, "sensor 99 is not registered"},
	{"context of an unknown asset", func(p *plant, b *store.Batch) {
		b.Contexts = []stream.StoredContext{{AssetID: 99, Context: stream.Context{TS: t0}}}
	}, "asset 99: it is not registered"},
	{"commit id ahead", func(p *plant, b *store.Batch) { p.raw(1)[0](b); b.ID += 5 }, "check commit id"},
	{"commit id behind", func(p *plant, b *store.Batch) { p.raw(1)[0](b); b.ID -= 2 }, "check commit id"},
}

func TestContradictionIsFatalAndWritesNothing(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{PackFrom: -1}) // the key of a packed row does not see single ones: Verify does
	p := newPlant(inOrder())
	play(t, db, append([]op{p.register}, p.raw(0)...), 10)
	before := one(t, path, `SELECT (SELECT count(*) FROM telemetry), (SELECT count(*) FROM telemetry_window), (SELECT sum(value) FROM ledger), (SELECT count(*) FROM commit_log)`)
	for _, c := range contradictions {
		t.Run(c.name, func(t *testing.T) {
			b := batch(db)
			c.make(p, b)
			count(b, 0)
			err := db.Commit(b)
			if !errors.Is(err, store.ErrFatal) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a fatal one that says %q", err, c.want)
			}
		})
	}
	for _, spoil := range []func(c *stream.Count){
		func(c *stream.Count) { c.Stored++ }, func(c *stream.Count) { c.StoredContext++ }, func(c *stream.Count) { c.Late++ },
		func(c *stream.Count) { c.Refused++ }, func(c *stream.Count) { c.RefusedByReason[stream.Future]++ },
	} {
		b := batch(db)
		p.raw(1)[0](b)
		count(b, 0)
		spoil(&b.Count)
		if err := db.Commit(b); !errors.Is(err, store.ErrFatal) {
			t.Errorf("count %+v: %v", b.Count, err)
		}
	}
	if after := one(t, path, `SELECT (SELECT count(*) FROM telemetry), (SELECT count(*) FROM telemetry_window), (SELECT sum(value) FROM ledger), (SELECT count(*) FROM commit_log)`); after != before {
		t.Errorf("rows %s, were %s", after, before)
	}
}

// TestReceivedIsProven: the figure that the broker counts is kept as told, and Verify finds that it does not add up.
func TestReceivedIsProven(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	b := batch(db)
	newPlant(inOrder()).register(b)
	count(b, 0)
	b.Count.Received = 3
	commit(t, db, b)
	r := verify(t, path)
	if r.OK || !strings.Contains(fmt.Sprint(r.Breaches), "commit 1: received 3") {
		t.Errorf("breaches: %v", r.Breaches)
	}
}

func TestBusyIsThisBatchOnly(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{BusyTimeout: 20 * time.Millisecond})
	other, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Exec(`BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	b := batch(db)
	newPlant(inOrder()).extras(b)
	newPlant(inOrder()).register(b)
	count(b, 0)
	if err := db.Commit(b); err == nil || errors.Is(err, store.ErrFatal) || !errors.Is(err, sqlite3.BUSY) {
		t.Fatalf("error %v, want a busy one that is not fatal", err)
	}
	if err := other.Exec(`ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	commit(t, db, b)
	holds(t, path)
}

// TestFullDiskIsThisBatchOnly lets the file grow no further, in the middle of a batch with evidence at its cap.
func TestFullDiskIsThisBatchOnly(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{EvidencePerClientReason: 2})
	p := newPlant(inOrder())
	play(t, db, []op{p.register}, 1)
	b := batch(db)
	for i := range int64(20_000) {
		b.Readings = append(b.Readings, stream.Stored{SensorID: 1, Reading: stream.Reading{TS: t0 + i, Temp: 1}})
	}
	b.Opened = []stream.Open{{SensorID: 1, From: t0}}
	b.Outbox = []store.Publication{{Topic: "x"}}
	p.extras(b)
	count(b, 0)
	pages := one(t, path, `PRAGMA page_count`)
	if err := db.Writer().Exec(`PRAGMA max_page_count = ` + pages); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := db.Commit(b); err == nil || errors.Is(err, store.ErrFatal) || !errors.Is(err, sqlite3.FULL) {
			t.Fatalf("error %v, want a full disk that is not fatal", err)
		}
	}
	if got := one(t, path, `SELECT (SELECT count(*) FROM telemetry), (SELECT max(commit_id) FROM commit_log)`); got != "0|1" {
		t.Errorf("after failed commits: %s", got)
	}
	if err := db.Writer().Exec(`PRAGMA max_page_count = 1000000`); err != nil {
		t.Fatal(err)
	}
	commit(t, db, b)
	if got := one(t, path, `SELECT count(*) FROM quarantine_message`); got != "2" {
		t.Errorf("%s pieces of evidence, want the cap of 2: failed attempts must not count", got)
	}
	holds(t, path)
}

func TestEvidenceIsCapped(t *testing.T) {
	path := dbPath(t)
	o := store.Options{EvidencePerClientReason: 3, EvidencePerReason: 5, EvidenceBytes: 8}
	refuse := func(db *store.DB, client string, n int) {
		b := batch(db)
		for range n {
			b.Refusals = append(b.Refusals, stream.Refusal{Reason: stream.Malformed, Topic: "t", Client: client, Payload: []byte("0123456789")})
		}
		count(b, 0)
		commit(t, db, b)
	}
	db := open(t, path, o)
	refuse(db, "a", 10)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, o)
	refuse(db, "a", 1)
	refuse(db, "b", 10)
	refuse(db, "c", 1)
	got := rows(t, path, `SELECT client_id, count(*), max(length(payload)) FROM quarantine_message GROUP BY client_id`)
	if !slices.Equal(got, []string{"a|3|8", "b|2|8"}) {
		t.Errorf("evidence %v", got)
	}
	if over := one(t, path, `SELECT value FROM ledger WHERE counter = 'evidence_over_cap'`); over != "17" {
		t.Errorf("%s over the cap, want 17", over)
	}
	holds(t, path)
}

func TestFolding(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	p := newPlant(inOrder())
	ops := append([]op{p.register}, p.raw(0)...)
	day := int64(24 * time.Hour / time.Millisecond)
	for i, o := range ops {
		b := batch(db)
		o(b)
		if i == len(ops)-1 {
			for _, s := range p.sensors {
				b.Opened = append(b.Opened, stream.Open{SensorID: s.ID, From: t0})
			}
		}
		b.Committed = t0 + int64(i)*day/8
		count(b, 1)
		commit(t, db, b)
	}
	log, total := one(t, path, `SELECT count(*) FROM commit_log`), one(t, path, `SELECT count(*) || ' days, ' || sum(commits) FROM commit_total`)
	if log != "9" || total != "5 days, 30" {
		t.Errorf("%s rows in the log and %s folded of %d commits", log, total, len(ops))
	}
	holds(t, path)
	sql(t, path, `UPDATE commit_total SET stored = stored - 1 WHERE day_ms = (SELECT min(day_ms) FROM commit_total)`)
	if r := verify(t, path); r.OK {
		t.Error("a folded day that breaks the law is not found")
	}
}

func TestCloseLeavesOneWholeFile(t *testing.T) {
	path := filled(t)
	whole := filepath.Join(t.TempDir(), "copy.sqlite")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(whole, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path + "-wal"); err == nil && fi.Size() > 0 {
		t.Errorf("%d bytes are left in the log", fi.Size())
	}
	holds(t, whole)
	a, err := store.Digest(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := store.Digest(context.Background(), whole); err != nil || a != b {
		t.Errorf("digest of the copy %s, of the file %s: %v", b, a, err)
	}
}

func TestPragmasOfTheWriter(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	for name, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "temp_store": "2", "wal_autocheckpoint": "1000"} {
		s, _, err := db.Writer().Prepare(`PRAGMA ` + name)
		if err != nil {
			t.Fatal(err)
		}
		s.Step()
		if got := s.ColumnText(0); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
		s.Close()
	}
}

func TestReadOnly(t *testing.T) {
	path := filled(t)
	db, err := store.Open(path, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if db.LastCommit() == 0 {
		t.Error("last commit is not known")
	}
	b := batch(db)
	if err := db.Commit(b); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("commit: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := store.Open(dbPath(t), store.Options{ReadOnly: true}); !errors.Is(err, store.ErrMissing) {
		t.Errorf("missing: %v", err)
	}
}

func TestReopenWithOtherSettings(t *testing.T) {
	path := filled(t)
	db := open(t, path, store.Options{Window: 2 * time.Minute, Disorder: 0})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := db.Commit(batch(db)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("commit after close: %v", err)
	}
	if got := one(t, path, `SELECT group_concat(name || ' ' || value) FROM (SELECT * FROM meta WHERE name LIKE '%r_ms' OR name = 'window_ms' ORDER BY name)`); got != "disorder_ms 0,window_ms 120000" {
		t.Errorf("settings %s", got)
	}
}

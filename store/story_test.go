package store_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/store/faulty"
	"github.com/camrail/cidp/stream"
)

// step is one thing that happens to a warehouse. The state after each is known from a run without a power cut.
type step struct {
	name string
	do   func(r *rig) error
	both bool // it does two things: when one fails the other may be done
	free bool // a restart may let it do something else than the undisturbed run did
}

// rig is a warehouse to which the story happens.
type rig struct {
	path, vfs   string
	db          *store.DB
	past        *store.Past
	begun, done atomic.Int32 // steps
	pragma      string       // run on the writing connection; for the proof that the test can fail
	within      func()       // called once in the middle of a checkpoint
}

func (r *rig) open() (err error) {
	o := store.Options{Window: time.Minute, Disorder: disorder, VFS: r.vfs, Clock: func() time.Time { return time.UnixMilli(t0) }}
	if r.db, err = store.Open(r.path, o); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.pragma != "" {
		if err := r.db.Writer().Exec(r.pragma); err != nil {
			return err
		}
	}
	r.past, err = r.db.Past()
	return err
}

func (r *rig) close() error {
	var errs []error
	if r.past != nil {
		errs = append(errs, r.past.Close())
		r.past = nil
	}
	if r.db != nil {
		errs = append(errs, r.db.Close())
		r.db = nil
	}
	return errors.Join(errs...)
}

// run does the steps from the one after the last that was done.
func (r *rig) run(story []step) error {
	for int(r.done.Load()) < len(story) {
		if err := r.next(story); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) next(story []step) error {
	i := r.done.Load()
	r.begun.Store(i + 1)
	if err := story[i].do(r); err != nil {
		return fmt.Errorf("step %d, %s: %w", i+1, story[i].name, err)
	}
	r.done.Store(i + 1)
	return nil
}

// story is half an hour in the life of a warehouse: it is made, commits what the windower makes of a fleet's traffic with all else that a batch may
// hold, marks publications as sent, is checkpointed between commits and in the middle of one, lets old rows go, is closed and opened again.
func story(t *testing.T) []step {
	t.Helper()
	parts := windowed(t)
	model := func(r *rig) error {
		return putLive(r.db, modelID)
	}
	steps := []step{{name: "make", do: func(r *rig) error { return r.open() }}, {name: "record model", do: model}}
	var published, sent int64
	for n, part := range parts {
		id, told := int64(n+1), spread(sent, published)
		sent, published = published, published+int64(len(assemble(part, id, nil).Outbox))
		commit := step{name: fmt.Sprint("commit ", id), do: func(r *rig) error { return r.db.Commit(assemble(part, id, told)) }}
		switch n % 8 {
		case 1:
			steps = append(steps, commit, step{name: "checkpoint", do: func(r *rig) error { return r.checkpoint() }})
		case 2: // the commit comes while the log is being copied
			steps = append(steps, step{name: "checkpoint beside " + commit.name, do: func(r *rig) error { return r.checkpointBeside(commit.do) }, both: true})
		case 3:
			told := spread(sent, published)
			sent = published
			steps = append(steps, commit, step{name: "mark as sent", do: func(r *rig) error {
				return r.db.Commit(&store.Batch{Sent: told, Sessions: sessionsOf(100 + n)})
			}})
		case 5:
			steps = append(steps, commit, step{name: "open again", do: func(r *rig) error { return errors.Join(r.close(), r.open()) }})
		case 6: // readings, then contexts or windows: a step of retention is a transaction
			expire := step{name: "expire", do: func(r *rig) error { return r.expire(part.Readings[0].TS) }, free: true}
			steps = append(steps, commit, expire, expire)
		case 7:
			steps = append(steps, commit, step{name: "another model", do: func(r *rig) error {
				return putLive(r.db, fmt.Sprint("model-", n))
			}}, step{name: "record model again", do: model})
		default:
			steps = append(steps, commit)
		}
	}
	return append(steps, step{name: "close", do: func(r *rig) error { return r.close() }})
}

// windowed gives what the windower makes of traffic, in batches of all sizes. It runs over a database of its own, because it looks up what is stored.
func windowed(t *testing.T) (parts []*stream.Batch) {
	t.Helper()
	l := newLine(t, dbPath(t))
	all := traffic(1)
	for n := 0; len(all) > 0; n++ {
		for _, s := range all[:min(5+40*(n%5), len(all))] {
			l.feed(s)
		}
		all = all[min(5+40*(n%5), len(all)):]
		b := &store.Batch{Batch: l.w.Take(), ID: l.db.LastCommit() + 1}
		parts = append(parts, b.Batch)
		commit(t, l.db, assemble(b.Batch, b.ID, nil))
	}
	l.crash()
	return parts
}

// assemble makes a batch anew: Commit writes into it. One sensor has an alert in its second to fourth window.
func assemble(part *stream.Batch, id int64, sent []int64) *store.Batch {
	b := &store.Batch{Batch: part, ID: id, Committed: t0 + 1000*id, Sent: sent, Sessions: sessionsOf(int(id))}
	for _, w := range part.Windows {
		if !w.Valid() {
			continue
		}
		p := predictionOf(w, 1/(1+w.Features[stream.FMax]), model.Normal)
		if m := (w.Start - t0) / minute; w.Sensor.ID == 1 && m < 4 && w.Revision == 1 {
			new(plant).alarm(b, m, w, &p)
		}
		b.Predictions = append(b.Predictions, p)
		b.Outbox = append(b.Outbox, store.Publication{Topic: "cidp/v1/risk/x", Payload: fmt.Append(nil, w.ID()), Retain: true})
	}
	return b
}

// sessionsOf lets sessions come, be owed something, acknowledge and go.
func sessionsOf(n int) *store.SessionChanges {
	if n%3 == 2 {
		return nil
	}
	id, client := int64(n+1), fmt.Sprint("client-", n%5)
	c := &store.SessionChanges{Kept: []store.Session{{Client: client, State: fmt.Appendf(nil, `{"n":%d}`, n)}},
		Messages: []store.SessionMessage{{ID: id, Topic: "cidp/v1/events/x", Payload: []byte("event")}}, Owed: []store.Owed{{Client: client, Message: id, QoS: 1}}}
	if n%4 == 3 {
		c.Settled = []store.Owed{{Client: client, Message: id}}
	}
	if n%5 == 4 {
		c.Ended = []string{"client-1"}
	}
	return c
}

// spread gives the ids above one and up to another.
func spread(above, to int64) (ids []int64) {
	for id := above + 1; id <= to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// checkpoint copies the log into the file on a connection of its own, as a running line does.
func (r *rig) checkpoint() error {
	c, err := sqlite3.Open("file:" + r.path + "?vfs=" + r.vfs)
	if err != nil {
		return err
	}
	_, _, err = c.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	return errors.Join(err, c.Close())
}

// checkpointBeside has another step done while the file is being written.
func (r *rig) checkpointBeside(do func(r *rig) error) error {
	var within error
	r.within = func() { r.within, within = nil, do(r) }
	err := r.checkpoint()
	if r.within != nil && err == nil { // nothing was to be copied, or there is no disk that tells
		r.within()
	}
	r.within = nil
	return errors.Join(err, within)
}

// expire takes one step of retention.
func (r *rig) expire(now int64) error {
	_, err := r.db.Expire(context.Background(), store.Keep{Raw: 3 * time.Minute, Windows: 4 * time.Minute}, time.UnixMilli(now), false)
	return err
}

// tell is told what happens to the disk.
func (r *rig) tell(e faulty.Event) {
	if do := r.within; do != nil && e.Op == faulty.Write && e.Kind == faulty.Main && e.Done {
		do()
	}
}

// dump is every row of every table, as one number.
func dump(path string) (uint64, error) {
	c, err := sqlite3.OpenFlags(path, sqlite3.OPEN_READONLY)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	h := fnv.New64a()
	each := func(sql string, f func(s *sqlite3.Stmt)) error {
		s, _, err := c.Prepare(sql)
		if err != nil {
			return err
		}
		for s.Step() {
			f(s)
		}
		return errors.Join(s.Err(), s.Close())
	}
	var tables []string
	if err := each(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`, func(s *sqlite3.Stmt) { tables = append(tables, s.ColumnText(0)) }); err != nil {
		return 0, err
	}
	for _, table := range tables {
		fmt.Fprintln(h, table)
		err := each(`SELECT * FROM `+table, func(s *sqlite3.Stmt) {
			for i := range s.ColumnCount() {
				fmt.Fprint(h, s.ColumnType(i), s.ColumnRawBlob(i), "|")
			}
		})
		if err != nil {
			return 0, fmt.Errorf("dump %s: %w", table, err)
		}
	}
	return h.Sum64(), nil
}

// firstRelease lays out a database as the first release made it.
func firstRelease(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("schema", "0001_warehouse.sql"))
	if err != nil {
		t.Fatal(err)
	}
	columns := ""
	for i, f := range stream.FeatureList {
		if i != stream.FCompleteness {
			columns += sqlite3.QuoteIdentifier(f.Name) + " REAL, "
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Exec(`PRAGMA journal_mode = WAL; BEGIN; ` + strings.Replace(string(text), "/*features*/", columns, 1) + `;
		INSERT INTO migration VALUES (1, '0001_warehouse.sql', 1); INSERT INTO meta VALUES ('created_ms', 1), ('window_ms', 60000), ('disorder_ms', 10000);
		INSERT INTO model VALUES ('old', 'old', 1, '[]', '{}', 'retired');
		PRAGMA application_id = 0x43494450; PRAGMA user_version = 1; COMMIT`)
	if err != nil {
		t.Fatal(err)
	}
}

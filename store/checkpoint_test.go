package store_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
	"github.com/ncruces/go-sqlite3"
)

// flood commits some megabytes at a time, as fast as it can, until at least this many bytes were written. It answers the longest commit.
func flood(t *testing.T, db *store.DB, bytes int64) (longest time.Duration) {
	t.Helper()
	var sent []int64
	payload := make([]byte, 64<<10)
	for written := int64(0); written < bytes; {
		b := batch(db)
		b.Sent = sent
		for range 24 {
			b.Outbox = append(b.Outbox, store.Publication{Topic: "t", Payload: payload})
			written += int64(len(payload))
		}
		count(b, 0)
		start := time.Now()
		commit(t, db, b)
		longest = max(longest, time.Since(start))
		sent = nil
		for _, o := range b.Outbox {
			sent = append(sent, o.ID)
		}
	}
	return longest
}

func walSize(t *testing.T, db *store.DB) int64 {
	t.Helper()
	fi, err := os.Stat(db.Path() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

// TestLogIsBounded: the writer at full speed with readers that come and go all the time, so that there is no moment without one. Where the machine lets one of them hold its moment for longer than
// WALBound allows, nothing is promised, and it is done again.
func TestLogIsBounded(t *testing.T) {
	const allowed, tries = 250 * time.Millisecond, 5
	for try := 1; ; try++ {
		most, held := floodBesideReaders(t)
		// What is committed while the log is copied comes on top; a log without end has five of the bound here.
		if most <= 2*store.WALBound {
			return
		}
		if t.Failed() || held <= allowed || try == tries {
			t.Fatalf("the log had %d bytes, and no reader held a moment for longer than %s", most, held)
		}
	}
}

// floodBesideReaders commits five times what the log may have, and gives the most that it had, and the longest time for which a reader held a moment.
func floodBesideReaders(t *testing.T) (most int64, held time.Duration) {
	t.Helper()
	db := open(t, dbPath(t), store.Options{})
	stop, wal := checkpointing(t, db, true)
	defer stop()
	halt := reading(t, db, 3)
	defer halt()
	took := flood(t, db, 5*store.WALBound)
	held = halt()
	stop()
	most = wal()
	t.Logf("the log had %d MiB at most, the longest commit took %s, a reader held a moment for %s at most", most>>20, took, held)
	holds(t, db.Path())
	return most, held
}

// longRead is a database with a checkpointer, and a foreign reader that holds the moment at which it began.
func longRead(t *testing.T) (*store.DB, *store.Checkpointer, *sqlite3.Conn) {
	t.Helper()
	db := open(t, dbPath(t), store.Options{})
	k, err := db.Checkpointer()
	if err != nil {
		t.Fatal(err)
	}
	flood(t, db, 1)
	c, err := sqlite3.OpenFlags(db.Path(), sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // all there was to see was seen
	if err := c.Exec(`BEGIN; SELECT count(*) FROM outbox`); err != nil {
		t.Fatal(err)
	}
	return db, k, c
}

// TestLogAndALongReader: a foreign reader that holds one moment cannot be overcome: that is told, and when it ends the log begins anew and its file is cut.
func TestLogAndALongReader(t *testing.T) {
	db, k, foreign := longRead(t)
	now := time.Now()
	step := func() store.Checkpointed {
		t.Helper()
		now = now.Add(time.Second)
		r, err := k.Step(context.Background(), now)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var r store.Checkpointed
	for range 8 {
		flood(t, db, store.WALBound/4)
		r = step()
		if r.Waited > time.Second {
			t.Errorf("commits waited %s for a reader that stays", r.Waited)
		}
	}
	if r.Began || r.Held < 5*time.Second || r.Log < store.WALBound*3/2 || r.Left == 0 {
		t.Errorf("with a reader that stays: %+v", r)
	}
	waits := 0
	for range 30 {
		if r = step(); r.Waited > 0 {
			waits++
		}
	}
	if waits > 6 {
		t.Errorf("commits were made to wait %d times in 30 s for a reader that stays", waits)
	}
	if err := foreign.Exec(`COMMIT`); err != nil {
		t.Fatal(err)
	}
	for range 11 {
		if r = step(); r.Began {
			break
		}
	}
	if !r.Began || r.Held != 0 || r.Left != 0 {
		t.Errorf("once the reader has ended: %+v", r)
	}
	flood(t, db, 1)
	if r = step(); r.Log > store.WALBound/4 || walSize(t, db) > store.WALBound/2 {
		t.Errorf("the log begins anew: %+v, and its file has %d bytes", r, walSize(t, db))
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, db.Path())
}

// TestCommitsGoOnBesideALongReader: what cannot be had is not waited for all the time. Without a rest after each wait commits get through a few a second.
func TestCommitsGoOnBesideALongReader(t *testing.T) {
	db, k, _ := longRead(t)
	flood(t, db, store.WALBound*3/4)
	small := func() {
		b := batch(db)
		b.Outbox = []store.Publication{{Topic: "t", Payload: []byte("p")}}
		count(b, 0)
		commit(t, db, b)
		time.Sleep(5 * time.Millisecond) // the line does something in between, and the checkpointer gets its turn
	}
	undisturbed := func() time.Duration { // one commit after another, as this disk takes them now
		const n = 20
		begin := time.Now()
		for range n {
			small()
		}
		return time.Since(begin) / n
	}
	alone := undisturbed()
	stop, waited := make(chan struct{}), make(chan time.Duration)
	go func() { // as the keeper does
		var sum time.Duration
		defer func() { waited <- sum }()
		for {
			r, err := k.Step(context.Background(), time.Now())
			if err != nil {
				t.Error(err)
			}
			sum += r.Waited
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	const span = 3 * time.Second
	commits := 0
	for begin := time.Now(); time.Since(begin) < span; commits++ {
		small()
	}
	close(stop)
	if sum := <-waited; sum == 0 || sum > span/3 {
		t.Errorf("commits were made to wait %s of %s", sum, span)
	}
	if alone = max(alone, undisturbed()); time.Duration(commits)*alone < span/5 {
		t.Errorf("%d commits in %s, where undisturbed ones take %s", commits, span, alone)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointerIdles: what was copied is not copied again, and nobody is made to wait.
func TestCheckpointerIdles(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	k, err := db.Checkpointer()
	if err != nil {
		t.Fatal(err)
	}
	flood(t, db, store.WALBound/4+store.WALBound/16)
	if got := asked(t, db, `PRAGMA wal_autocheckpoint`); got == "1000" {
		t.Error("commits still copy the log themselves")
	}
	now := time.Now()
	if r, err := k.Step(context.Background(), now); err != nil || !r.Copied || !r.Began || r.Left != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for range 3 {
		now = now.Add(time.Minute)
		if r, err := k.Step(context.Background(), now); err != nil || r.Copied || r.Began || r.Waited > 0 || r.Held > 0 {
			t.Errorf("nothing was committed, and %+v, %v", r, err)
		}
	}
	room, err := k.Room()
	if err != nil || room.Database < store.WALBound/32 || room.Reusable > room.Database || room.WAL < store.WALBound/4 {
		t.Errorf("room %+v, %v", room, err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if got := asked(t, db, `PRAGMA wal_autocheckpoint`); got != "1000" {
		t.Errorf("without a checkpointer commits copy the log at %s pages", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if k, err = db.Checkpointer(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Step(ctx, now); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("a step after its context has ended: %v", err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

// asked asks the writing connection.
func asked(t *testing.T, db *store.DB, text string) (v string) {
	t.Helper()
	s, _, err := db.Writer().Prepare(text)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for s.Step() {
		v = s.ColumnText(0)
	}
	return v
}

func TestFileSystem(t *testing.T) {
	free, size, known, err := store.FileSystem(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if known && (size <= 0 || free < 0 || free > size) {
		t.Errorf("%d bytes free of %d", free, size)
	}
	if _, _, known, err := store.FileSystem("/does/not/exist"); known && err == nil {
		t.Error("a file system that does not exist was asked")
	}
}

package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/store/faulty"
)

// faults are the ways in which one operation of a disk fails, each of which a retry must get over.
var faults = []struct {
	name string
	f    faulty.Fault
}{
	{"disk full", faulty.Fault{Op: faulty.Write, Err: faulty.ErrFull}},
	{"disk full, written all the same", faulty.Fault{Op: faulty.Write, How: faulty.Done, Err: faulty.ErrFull}},
	{"disk full, written in part", faulty.Fault{Op: faulty.Write, How: faulty.Half, Err: faulty.ErrFull}},
	{"write", faulty.Fault{Op: faulty.Write, Err: sqlite3.IOERR_WRITE}},
	{"write, written all the same", faulty.Fault{Op: faulty.Write, How: faulty.Done, Err: sqlite3.IOERR_WRITE}},
	{"read-only", faulty.Fault{Op: faulty.Write, Err: sqlite3.READONLY}},
	{"sync", faulty.Fault{Op: faulty.Sync, Err: sqlite3.IOERR_FSYNC}},
	{"sync, synced all the same", faulty.Fault{Op: faulty.Sync, How: faulty.Done, Err: sqlite3.IOERR_FSYNC}},
	{"sync, and the kernel forgets", faulty.Fault{Op: faulty.Sync, How: faulty.Dropped, Err: sqlite3.IOERR_FSYNC}},
	{"truncate", faulty.Fault{Op: faulty.Truncate, Err: sqlite3.IOERR_TRUNCATE}},
	{"truncate, truncated all the same", faulty.Fault{Op: faulty.Truncate, How: faulty.Done, Err: sqlite3.IOERR_TRUNCATE}},
	{"read", faulty.Fault{Op: faulty.Read, Err: sqlite3.IOERR_READ}},
	{"size", faulty.Fault{Op: faulty.Size, Err: sqlite3.IOERR_FSTAT}},
	{"open", faulty.Fault{Op: faulty.Open, Err: sqlite3.CANTOPEN}},
	{"open, opened all the same", faulty.Fault{Op: faulty.Open, How: faulty.Done, Err: sqlite3.CANTOPEN}},
	{"delete", faulty.Fault{Op: faulty.Delete, Err: sqlite3.IOERR_DELETE}},
	{"delete, deleted all the same", faulty.Fault{Op: faulty.Delete, How: faulty.Done, Err: sqlite3.IOERR_DELETE}},
	{"access", faulty.Fault{Op: faulty.Access, Err: sqlite3.IOERR_ACCESS}},
	{"lock", faulty.Fault{Op: faulty.Lock, Err: sqlite3.IOERR_LOCK}},
	{"shared memory", faulty.Fault{Op: faulty.ShmMap, Err: sqlite3.CANTOPEN}},
	{"lock in shared memory", faulty.Fault{Op: faulty.ShmLock, Err: sqlite3.IOERR_SHMLOCK}},
}

// TestEachFault lets each operation of each step of a story fail once, and a second time for as long as three attempts take. A step that fails leaves what
// was there, is no fatal error, and succeeds when the cause is gone; what it did is then there once, and survives a power cut.
func TestEachFault(t *testing.T) {
	tale := known(t, short(story(t)), nil)
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			disk := faulty.New(t.Name(), faulty.Options{Powersafe: true})
			defer disk.Close()
			m := &matrix{t: t, tale: tale, disk: disk, fault: fault.f, luck: rand.New(rand.NewPCG(1, 2)), cutter: newCutter(t, tale, t.Errorf)}
			m.fault.Kind = faulty.Any
			m.rig = &rig{path: dbPath(t), vfs: disk.Name()}
			for i := range tale.steps {
				m.step(i)
			}
			m.cutter.end()
			holds(t, m.rig.path)
			t.Logf("%d failures", m.failures)
		})
	}
}

// short leaves out what a story repeats.
func short(steps []step) []step { return append(steps[:14:14], steps[len(steps)-1]) }

// matrix is a story on a disk that fails.
type matrix struct {
	t        *testing.T
	tale     tale
	rig      *rig
	disk     *faulty.Disk
	fault    faulty.Fault
	luck     *rand.Rand
	cutter   *cutter
	failures int
}

// step tries a step with its first operation failing, then its second, and so on, until none is left to fail.
func (m *matrix) step(i int) {
	m.t.Helper()
	stride := 24
	switch {
	case everyOne():
		stride = 1
	case raced && i%3 != 1: // not the first step, which has the most to fail
		if err := m.rig.next(m.tale.steps); err != nil {
			m.t.Fatal(err)
		}
		return
	}
	for skip := 0; ; skip += 1 + m.luck.IntN(stride) {
		m.rig.done.Store(int32(i))
		for _, times := range []int{1, 0} {
			f := m.fault
			f.Skip, f.Times = skip, times
			mend := m.disk.Break(f)
			err := m.rig.next(m.tale.steps)
			for n := 0; err != nil && times == 0 && n < 2; n++ {
				err = m.rig.next(m.tale.steps)
			}
			met := mend()
			if err == nil {
				m.rig.done.Store(int32(i + 1))
				m.is(i + 1)
				if m.fault.Op == faulty.Sync || everyOne() {
					m.cutter.add(cut{m.disk.Crash(faulty.Everything, 0), int32(i + 1), int32(i + 1), "after step " + m.tale.steps[i].name, 0})
				}
				return
			}
			if met <= skip {
				m.t.Fatalf("%v, and no operation failed", err)
			}
			m.failures++
			if errors.Is(err, store.ErrFatal) || errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrNotDatabase) {
				m.t.Fatalf("operation %d: %v", skip, err)
			}
			if !m.tale.steps[i].both || !m.holds(i+1) {
				m.is(i)
			}
		}
	}
}

func (m *matrix) holds(step int) bool {
	sum, err := dump(m.rig.path)
	return err == nil && sum == m.tale.after[step]
}

// is proves that the warehouse holds what it did after a step; before the first there may be none.
func (m *matrix) is(step int) {
	m.t.Helper()
	if step == 0 {
		return
	}
	sum, err := dump(m.rig.path)
	if err != nil {
		m.t.Fatal(err)
	}
	if sum != m.tale.after[step] {
		for at := range m.tale.after {
			if m.tale.after[at] == sum {
				m.t.Fatalf("the warehouse is as after step %d, not %d (%s)", at, step, m.tale.steps[step-1].name)
			}
		}
		m.t.Fatalf("after step %d (%s) the warehouse holds a state that never was", step, m.tale.steps[step-1].name)
	}
}

// TestRollbackThatFails: the writer whose transaction could not be taken back is replaced, and the batch is committed once.
func TestRollbackThatFails(t *testing.T) {
	path := dbPath(t)
	ctx, interrupt := context.WithCancel(t.Context())
	cut := false
	db := open(t, path, store.Options{Step: func(step string) {
		if cut && step == "commit" {
			interrupt() // from here on the connection does nothing at all
		}
	}})
	p := newPlant(inOrder())
	play(t, db, []op{p.register}, 1)
	b := batch(db)
	p.raw(0)[0](b)
	b.Opened = nil
	p.extras(b)
	count(b, 0)
	db.Writer().SetInterrupt(ctx)
	cut = true
	err := db.Commit(b)
	if err == nil || errors.Is(err, store.ErrFatal) || !errors.Is(err, sqlite3.INTERRUPT) {
		t.Fatalf("error %v, want an interrupted commit that is not fatal", err)
	}
	cut = false
	if got := one(t, path, `SELECT (SELECT count(*) FROM telemetry), (SELECT max(commit_id) FROM commit_log)`); got != "0|1" {
		t.Errorf("after the failed commit: %s", got)
	}
	commit(t, db, b)
	if got := one(t, path, `SELECT (SELECT count(*) FROM telemetry), (SELECT max(commit_id) FROM commit_log), (SELECT count(*) FROM quarantine_message)`); got != "1|2|3" {
		t.Errorf("after the retry: %s", got)
	}
	if got := one(t, path, `PRAGMA synchronous`); got == "" {
		t.Error("no answer")
	}
	c := db.Writer()
	s, _, err := c.Prepare(`PRAGMA synchronous`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Step() || s.ColumnInt(0) != 2 {
		t.Errorf("the new writer has synchronous %d, want 2: FULL", s.ColumnInt(0))
	}
}

// TestUnsyncedLogIsNotBelieved: a sync fails, and the kernel forgets what it should have written, though every reader sees it. The process ends, the next one
// finds the batch in the log and takes it for committed when it comes again. Then the power fails: what was acknowledged must be there.
func TestUnsyncedLogIsNotBelieved(t *testing.T) {
	steps := story(t)
	tale := known(t, steps[:4], nil)
	disk := faulty.New(t.Name(), faulty.Options{Powersafe: true})
	defer disk.Close()
	r := &rig{path: dbPath(t), vfs: disk.Name()}
	for range 3 {
		if err := r.next(steps); err != nil {
			t.Fatal(err)
		}
	}
	disk.Break(faulty.Fault{Op: faulty.Sync, Kind: faulty.WAL, Times: 1, How: faulty.Dropped, Err: sqlite3.IOERR_FSYNC})
	if err := r.next(steps); !errors.Is(err, sqlite3.IOERR_FSYNC) || errors.Is(err, store.ErrFatal) {
		t.Fatalf("error %v, want a failed sync that is not fatal", err)
	}
	mend := disk.Break(faulty.Fault{Op: faulty.Write, Kind: faulty.Main, Err: sqlite3.IOERR_WRITE}) // so that closing leaves the log, as a kill does
	if err := r.close(); err == nil {
		t.Fatal("the log was copied while the disk refused")
	}
	mend()
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	if r.db.LastCommit() != 2 {
		t.Fatalf("last commit %d: the test is about a batch that is found in the log", r.db.LastCommit())
	}
	if err := r.next(steps); err != nil {
		t.Fatal(err)
	}
	c := newCutter(t, tale, t.Errorf)
	for loss := range faulty.Loss(faulty.Losses) {
		c.add(cut{disk.Crash(loss, 1), 4, 4, "after a sync that failed", 1})
	}
	c.end()
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
}

package store

import (
	"errors"
	"fmt"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// errRepeat leaves a transaction that has nothing to do: the batch is already on disk.
var errRepeat = errors.New("already committed")

// Commit writes everything a batch means in one transaction. When it returns nil the batch is on disk, its id is LastCommit and every
// Publication has its ID. When it returns an error nothing of it happened; with ErrFatal nothing more may be committed, without it the
// same batch may be tried again. A batch whose ID is the last one's was committed before (its error was the answer's, not the disk's): that is a
// success, and nothing is written twice. A batch with nothing but Sent ids and Sessions takes no commit id.
func (db *DB) Commit(b *Batch) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.writable(); err != nil {
		return err
	}
	if b.Batch == nil {
		b.Batch = &stream.Batch{}
	}
	if err := db.check(b); err != nil {
		return fatal(err)
	}
	p := &pass{Batch: b, evidence: db.evidence.stage(), fold: b.Committed >= db.nextFold || b.Committed < db.nextFold-foldEvery.Milliseconds()}
	err := db.transact(func(w *writer) error { return w.apply(p) })
	switch {
	case errors.Is(err, errRepeat):
		return db.repeated(b)
	case err != nil:
		return err
	}
	db.evidence.take(p.evidence)
	db.know(b.Models)
	if !b.onlySent() {
		db.last.Store(b.ID)
	}
	if p.fold && !p.more {
		db.nextFold = b.Committed + foldEvery.Milliseconds()
	}
	return nil
}

// pass is one attempt at a batch with what it would change in memory: nothing of it counts until the commit.
type pass struct {
	*Batch
	evidence *stage
	over     map[stream.Reason]int64 // evidence over its cap
	released map[string]int64        // messages put back, by the reason they were refused for
	fold     bool                    // fold old rows of commit_log
	more     bool                    // there are more to fold
}

// apply writes the batch inside the transaction, parents before children.
func (w *writer) apply(p *pass) error {
	if !p.onlySent() {
		last, err := w.lastCommit()
		switch {
		case err != nil:
			return err
		case p.ID == last:
			return errRepeat
		case p.ID != last+1:
			return fatalf("check commit id: it is %d, the last one on disk is %d", p.ID, last)
		}
	}
	for _, step := range []struct {
		what string
		do   func(*pass) error
	}{
		{"register", w.register}, {"configuration", w.config}, {"models", w.moves}, {"readings", w.readings}, {"contexts", w.contexts}, {"verdicts", w.findings}, {"late", w.lates}, {"evidence", w.evidences},
		{"windows", w.windows}, {"releases", w.releases}, {"predictions", w.predictions}, {"shadow predictions", w.shadows}, {"drift", w.drift}, {"fail-safes", w.failsafes}, {"alerts", w.alerts}, {"outbox", w.publish},
		{"open windows", w.opened}, {"sessions", w.sessions}, {"ledger", w.count}, {"commit log", w.log},
	} {
		if err := step.do(p); err != nil {
			return fmt.Errorf("write %s: %w", step.what, err)
		}
	}
	return nil
}

func (w *writer) lastCommit() (last int64, err error) {
	err = w.newest.each(func(s *sqlite3.Stmt) error { last = s.ColumnInt64(0); return nil })
	if err != nil {
		return 0, fmt.Errorf("read last commit: %w", err)
	}
	return last, nil
}

// writable says why nothing can be written. A writer whose state is no longer known is replaced.
func (db *DB) writable() error {
	switch {
	case db.o.ReadOnly:
		return fatal(ErrReadOnly)
	case db.broken != nil:
		return db.reopen()
	case db.w == nil:
		return fatal(ErrClosed)
	}
	return nil
}

// reopen puts a new connection in the place of one that could not roll back: closing it takes away what it has not committed.
func (db *DB) reopen() error {
	if db.w != nil {
		_ = closeConn(db.w.c) // it failed before
		db.w = nil
	}
	c, err := openConn(db.place(), sqlite3.OPEN_READWRITE)
	if err != nil {
		return classify(fmt.Errorf("replace writer: %w", err))
	}
	if err := db.setUp(c); err != nil {
		db.w = nil
		return errors.Join(classify(fmt.Errorf("replace writer: %w", err)), closeConn(c))
	}
	db.o.Log.Warn().Err(db.broken).Str("database", db.path).Msg("the writing connection was replaced")
	db.broken = nil
	return nil
}

// transact runs f between BEGIN IMMEDIATE and COMMIT. After an error the transaction is rolled back; when even that fails the writer is
// broken, because nobody knows what its next commit would contain: the next attempt has a new one.
func (db *DB) transact(f func(w *writer) error) error { return db.transactAs("commit", f) }

// transactAs does the same with another name for the step at its end.
func (db *DB) transactAs(step string, f func(w *writer) error) error {
	db.yield()
	c := db.w.c
	if err := db.w.begin.run(); err != nil {
		return classify(db.full(fmt.Errorf("begin transaction: %w", err)))
	}
	err := f(db.w)
	if err == nil {
		db.o.Step(step)
		if err = db.w.end.run(); err == nil {
			return nil
		}
		err = fmt.Errorf("commit transaction: %w", err)
	}
	if !c.GetAutocommit() { // a full disk rolls back by itself
		if back := c.Exec(`ROLLBACK`); back != nil {
			db.broken = fmt.Errorf("roll back transaction: %w", back)
			if errors.Is(err, errRepeat) {
				return classify(db.broken)
			}
			return classify(db.full(errors.Join(err, db.broken)))
		}
	}
	if errors.Is(err, errRepeat) {
		return err
	}
	return classify(db.full(err))
}

// repeated answers for a batch that is on disk already: it finds the ids its publications got, and lets go of what was sent since.
func (db *DB) repeated(b *Batch) error {
	ids, err := outboxIDs(db.w.c, b.ID)
	if err != nil {
		return classify(err)
	}
	if len(ids) == len(b.Outbox) { // else some of it was published and sent, and needs no id
		for i, id := range ids {
			b.Outbox[i].ID = id
		}
	}
	if err := db.transact(func(w *writer) error { return w.forget(b.Sent) }); err != nil {
		return err
	}
	db.know(b.Models)
	if db.last.Swap(b.ID) != b.ID { // the counts in memory are from before that commit
		if db.evidence, err = loadEvidence(db.w.c, db.o); err != nil {
			return fatal(err)
		}
	}
	return nil
}

func outboxIDs(c *sqlite3.Conn, commit int64) (ids []int64, err error) {
	err = query(c, `SELECT outbox_id FROM outbox WHERE commit_id = ? ORDER BY outbox_id`, func(s *sqlite3.Stmt) error {
		ids = append(ids, s.ColumnInt64(0))
		return nil
	}, commit)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return ids, nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// WALBound is how large the write-ahead log gets, in bytes, whatever the rate of commits, as long as no reader holds one moment for longer
// than a quarter of a second. A commit larger than a quarter of it comes on top.
const WALBound = 64 << 20

const (
	walFrame = 4096 + 24        // a page in the log
	walPart  = 4 << 20          // by which the log has grown when commits wait twice as long for its readers
	walFull  = WALBound / 4     // from here on the log is copied, and begun anew as soon as no reader needs it: a page that many commits have changed is copied once
	walLimit = WALBound / 2     // what a log that was longer is cut to
	backstop = WALBound * 3 / 4 // where the writer helps itself: the checkpointer has stopped, or is held up

	autocheckpoint = 1000 // pages of log at which a commit copies them itself, where there is no checkpointer

	shortWait = 5 * time.Millisecond   // what commits wait for readers when the log is full, so that it begins anew; twice that with each walPart more
	oneWait   = 10 * time.Millisecond  // of it in one call to SQLite: see begin
	longWait  = 250 * time.Millisecond // and at most, in all
	restShare = 8                      // after a wait they go on undisturbed for this many times as long
	restMost  = 200 * time.Millisecond // and at most, after a wait that was not the longest
	heldLong  = 10 * time.Second       // a reader that has held the log for so long will not be overcome: try again this often
)

// Checkpointer copies what was committed from the write-ahead log into the database file, beside the commits and not within them. It has a connection
// of its own. Its methods may be called from any goroutine; Close it before the DB.
//
// A passive copy never stops anyone, but under steady writing it never catches up either, and a log that is not copied whole cannot begin anew. So
// when the log has grown the last part is copied while commits wait: then it is milliseconds of work. Readers that begin after that do not use the log; those
// from before it are waited for, a few milliseconds at first, and the longer the more the log has grown. A foreign reader that stays for hours cannot be
// overcome: Checkpointed says so.
type Checkpointer struct {
	db *DB

	mu    sync.Mutex // guards all below
	c     *sqlite3.Conn
	rest  time.Time     // commits are not made to wait again before, unless there is hope and the log has come to the backstop
	hope  bool          // the last wait was not the longest, or ended well
	took  time.Duration // what it took when the log was last begun anew: readers come in kinds
	since time.Time     // when a reader began to hold the log back; zero: none does
	done  int           // pages copied when that was last looked at
	begun int           // pages in the log when it was last made ready to begin anew: until the next commit it looks full
}

// Checkpointed is what one step did.
type Checkpointed struct {
	Copied bool          // something was copied
	Began  bool          // the log begins anew
	Took   time.Duration // of it
	Waited time.Duration // of it, while commits waited
	Log    int64         // bytes in the log now, copied or not
	Left   int64         // bytes not copied
	Held   time.Duration // for how long a reader has kept the log from being copied or begun anew
}

// Checkpointer opens the connection. From here on commits leave the log alone, up to a backstop.
func (db *DB) Checkpointer() (*Checkpointer, error) {
	c, err := openConn(db.place(), sqlite3.OPEN_READWRITE)
	if err != nil {
		return nil, err
	}
	err = errors.Join(c.Exec(`PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -2048`), c.BusyTimeout(0))
	if err == nil {
		_, err = queryInt(c, `PRAGMA freelist_count`) // it reads the file, and finds the log
	}
	if err == nil {
		err = db.setBackstop(backstop / 4096)
	}
	if err != nil {
		_ = closeConn(c) // the first error is the one to tell
		return nil, fmt.Errorf("open checkpointer: %w", err)
	}
	return &Checkpointer{db: db, c: c}, nil
}

// Close closes the connection and lets commits copy the log again.
func (k *Checkpointer) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.db.setBackstop(autocheckpoint), closeConn(k.c))
}

// setBackstop says at how many pages of log a commit copies them itself.
func (db *DB) setBackstop(pages int) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.backstop = pages
	if db.w == nil {
		return nil
	}
	return db.w.c.WALAutoCheckpoint(pages)
}

// Step copies what has gathered, when that is worth it, and begins the log anew when it has grown. It takes some milliseconds, of which
// commits wait a few. An error may pass: ask again.
func (k *Checkpointer) Step(ctx context.Context, now time.Time) (r Checkpointed, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return r, fmt.Errorf("checkpoint: %w", err)
	}
	start := time.Now()
	log, done, err := k.copy(sqlite3.CHECKPOINT_NOOP)
	if err != nil {
		return r, err
	}
	if log*walFrame >= walFull && log > done {
		was := done
		if log, done, err = k.copyBeside(); err != nil {
			return r, err
		}
		r.Copied = done != was
	}
	if log*walFrame >= walFull && (log != done || log != k.begun) && !k.rests(now, log*walFrame) {
		if r.Began, r.Waited, err = k.begin(log * walFrame); err != nil {
			return r, err
		}
		rest := restShare * r.Waited
		if r.Waited < longWait {
			rest = min(rest, restMost)
		}
		k.hope = r.Began || r.Waited < longWait
		k.rest = now.Add(time.Since(start) + rest) // from the end of the wait on
		if k.held(now) >= heldLong {
			k.rest = now.Add(heldLong)
		}
		r.Copied = r.Copied || r.Began
		if k.begun = 0; r.Began {
			k.begun = log
		}
		if log, done, err = k.copy(sqlite3.CHECKPOINT_NOOP); err != nil {
			return r, err
		}
	}
	k.watch(&r, log, done, now)
	r.Log, r.Left, r.Took = int64(log)*walFrame, int64(log-done)*walFrame, time.Since(start)
	return r, nil
}

// rests says whether commits go on undisturbed, with a log of this many bytes.
func (k *Checkpointer) rests(now time.Time, size int) bool {
	return now.Before(k.rest) && !(k.hope && size >= backstop)
}

// copy runs a checkpoint and answers how many pages the log holds and how many of them are in the file. That somebody else copies or reads is no error.
func (k *Checkpointer) copy(mode sqlite3.CheckpointMode) (log, done int, err error) {
	log, done, err = k.c.WALCheckpoint("main", mode)
	if err != nil && !errors.Is(err, sqlite3.BUSY) && !errors.Is(err, sqlite3.LOCKED) {
		return 0, 0, classify(fmt.Errorf("checkpoint: %w", err))
	}
	return max(log, 0), max(done, 0), nil
}

// copyBeside copies while commits go on, unless the log grows far: see yield.
func (k *Checkpointer) copyBeside() (log, done int, err error) {
	k.db.copying.Lock()
	defer k.db.copying.Unlock()
	return k.copy(sqlite3.CHECKPOINT_PASSIVE)
}

// yield lets a copy of the log that is under way end, when the log has grown so far that a commit would copy it itself: the disk writes it more slowly than
// commits fill it, and they would let it grow without end. db.mu is held.
func (db *DB) yield() {
	if db.backstop <= autocheckpoint { // there is no checkpointer
		return
	}
	if log, _, err := db.w.c.WALCheckpoint("main", sqlite3.CHECKPOINT_NOOP); err == nil && log > db.backstop {
		db.copying.Lock()
		defer db.copying.Unlock()
	}
}

// begin copies the rest while commits wait, and then waits for the readers of the log, so that the next commit begins it anew.
//
// It asks again and again for a short time each. SQLite looks once at which moment the readers behind one of its few locks hold, and then waits for that lock, though readers
// of the newest moment may have taken it over meanwhile: as long as these overlap it is never free, and one wait would go on for ever.
func (k *Checkpointer) begin(size int) (began bool, waited time.Duration, err error) {
	if _, _, err := k.copyBeside(); err != nil { // what was committed meanwhile: little is left for the time in which commits wait
		return false, 0, err
	}
	wait := min(shortWait<<min((size-walFull)/walPart, 8), longWait)
	wait = max(wait, min(2*k.took, longWait))
	k.db.mu.Lock()
	defer k.db.mu.Unlock()
	start := time.Now()
	if err := k.c.BusyTimeout(oneWait); err != nil {
		return false, 0, fmt.Errorf("set busy timeout: %w", err)
	}
	for again := true; again; again = errors.Is(err, sqlite3.BUSY) && waited < wait {
		_, _, err = k.c.WALCheckpoint("main", sqlite3.CHECKPOINT_RESTART)
		waited = time.Since(start)
	}
	if back := k.c.BusyTimeout(0); back != nil {
		return false, waited, fmt.Errorf("set busy timeout: %w", back)
	}
	switch {
	case err == nil:
		k.took = waited
		return true, waited, nil
	case errors.Is(err, sqlite3.BUSY), errors.Is(err, sqlite3.LOCKED):
		return false, waited, nil
	}
	return false, waited, classify(fmt.Errorf("checkpoint: %w", err))
}

// watch notes for how long a log that should have begun anew has not.
func (k *Checkpointer) watch(r *Checkpointed, log, done int, now time.Time) {
	switch {
	case r.Began, log*walFrame < walFull, log == done && log == k.begun, done < k.done:
		k.since = time.Time{}
	case k.since.IsZero():
		k.since = now
	}
	k.done, r.Held = done, k.held(now)
}

// held is for how long a reader has held the log back.
func (k *Checkpointer) held(now time.Time) time.Duration {
	if k.since.IsZero() {
		return 0
	}
	return now.Sub(k.since)
}

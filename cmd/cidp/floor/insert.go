package floor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/cmd/cidp/load"
	"github.com/camrail/cidp/stream"
)

// Speed is what a floor did.
type Speed struct {
	Done    int64   `json:"done"` // rows, readings or windows
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_s"` // processor time of it, seconds
}

// PerSecond is how many it did in a second.
func (s Speed) PerSecond() float64 { return float64(s.Done) / s.Seconds }

const (
	commitRows    = 10_000
	statementRows = 100
	columns       = 7
)

// Insert puts the readings of a load, and nothing else, into one table as fast as plain SQL goes: one integer key of time and sensor, rows sorted by it, 100 rows a
// statement, 10,000 a transaction, INSERT OR IGNORE, write-ahead log with synchronous=FULL, SQLite's own checkpoints. Only statements and commits are timed: rows are
// there, sorted, before. plan must have at most a million sensors.
func Insert(ctx context.Context, dir string, plan load.Plan, last time.Duration) (s Speed, err error) {
	c, err := sqlite3.Open(filepath.Join(dir, "floor.sqlite"))
	if err != nil {
		return s, fmt.Errorf("open floor: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.Exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
		CREATE TABLE reading (key INTEGER PRIMARY KEY, temp_m INTEGER NOT NULL, ambient_m INTEGER, speed_m INTEGER, load_m INTEGER, brake INTEGER, seq INTEGER) STRICT`); err != nil {
		return s, fmt.Errorf("make floor: %w", err)
	}
	row := "(?,?,?,?,?,?,?)"
	insert, _, err := c.PrepareFlags(`INSERT OR IGNORE INTO reading VALUES `+strings.Repeat(row+",", statementRows-1)+row, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return s, fmt.Errorf("prepare floor: %w", err)
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	took := time.Duration(0)
	for rows := (rows{plan: &plan}); took < last && ctx.Err() == nil; {
		batch := rows.next()
		begin, cpu := time.Now(), Processor()
		if err := commit(c, insert, batch); err != nil {
			return s, fmt.Errorf("insert: %w", err)
		}
		took += time.Since(begin)
		s.CPU += (Processor() - cpu).Seconds()
		s.Done += int64(len(batch))
	}
	s.Seconds = took.Seconds()
	return s, errors.Join(ctx.Err(), count(c, s.Done))
}

// Processor is the processor time of this process, user and system.
func Processor() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// reading is a row.
type reading struct {
	key                  int64
	temp, ambient, speed int64
}

// rows gives the readings of a load in the order in which a platform would come to commit them: a message of each connection in turn.
type rows struct {
	plan *load.Plan
	at   uint64 // message
	conn int
	rest []reading
}

// next gives as many as a transaction takes, sorted.
func (r *rows) next() []reading {
	for len(r.rest) < commitRows {
		s, n := r.plan.Place(r.at)
		id := int64(r.conn*r.plan.Sensors + s + 1)
		for i := range uint64(r.plan.Batch) {
			r.rest = append(r.rest, reading{stream.Key(r.plan.TS(n+i), id), 45_000 + int64(n+i)%13*70, 25_500, 60_000})
		}
		if r.conn++; r.conn == r.plan.Conns {
			r.conn, r.at = 0, r.at+1
		}
	}
	batch := slices.Clone(r.rest[:commitRows])
	r.rest = append(r.rest[:0], r.rest[commitRows:]...)
	slices.SortFunc(batch, func(a, b reading) int { return int(min(1, max(-1, a.key-b.key))) })
	return batch
}

// commit writes whole statements in one transaction.
func commit(c *sqlite3.Conn, insert *sqlite3.Stmt, batch []reading) (err error) {
	tx, err := c.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	for ; len(batch) > 0; batch = batch[statementRows:] {
		for i, r := range batch[:statementRows] {
			at := i*columns + 1
			if err = errors.Join(insert.BindInt64(at, r.key), insert.BindInt64(at+1, r.temp), insert.BindInt64(at+2, r.ambient), insert.BindInt64(at+3, r.speed),
				insert.BindNull(at+4), insert.BindNull(at+5), insert.BindNull(at+6)); err != nil {
				return err
			}
		}
		if err = insert.Exec(); err != nil {
			return err
		}
	}
	return nil
}

// count proves that every row is there.
func count(c *sqlite3.Conn, want int64) error {
	q, _, err := c.Prepare(`SELECT count(*) FROM reading`)
	if err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	q.Step()
	got := q.ColumnInt64(0)
	if err := q.Close(); err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	if got != want {
		return fmt.Errorf("count rows: %d were inserted and %d are there", want, got)
	}
	return nil
}

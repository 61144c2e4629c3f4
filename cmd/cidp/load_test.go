package main

import (
	"math"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/cmd/cidp/load"
)

// startLoad begins to publish.
func startLoad(t testing.TB, addr string, plan load.Plan) *load.Load {
	t.Helper()
	l, err := load.Start(addr, plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// finishLoad stops and waits until everything that was sent is acknowledged. No connection may have ended before.
func finishLoad(t *testing.T, l *load.Load, patience time.Duration) {
	t.Helper()
	if err := l.Finish(patience); err != nil {
		t.Error(err)
	}
}

// fate is what became of the readings of a load that were acknowledged.
type fate struct{ stored, late, expired int64 }

// fateOf proves by key that every acknowledged reading is in the database, stored or late. Where retention was at work, those that are missing and older than what it says it has
// come to may have expired: the ledger must have counted as many.
func fateOf(t *testing.T, l *load.Load, database string) (f fate) {
	t.Helper()
	db, err := sqlite3.OpenFlags(database, sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	seen := newSeen(t, l, db)
	f.stored = seen.mark(t, db, `SELECT sensor_id, ts_ms FROM telemetry`)
	f.late = seen.mark(t, db, `SELECT sensor_id, ts_ms FROM late_reading`)
	gone := int64(math.MinInt64)
	rows(t, db, `SELECT value FROM meta WHERE name = 'raw_expired_ms'`, func(row *sqlite3.Stmt) { gone = row.ColumnInt64(0) })
	for k := range l.Plan.Conns {
		missing := 0
		for m := range l.AckedOf(k) {
			s, n := l.Plan.Place(m)
			for i := n; i < n+uint64(l.Plan.Batch); i++ {
				switch {
				case seen.has(k, s, i):
				case l.Plan.TS(i) < gone:
					f.expired++
				default:
					missing++
				}
			}
		}
		if missing > 0 {
			t.Errorf("connection %d: %d readings were acknowledged and are not in the database", k, missing)
		}
	}
	return f
}

// seen is which readings of a load a database holds.
type seen struct {
	plan    *load.Plan
	sensors map[int64][2]int // connection and its sensor, by sensor id
	bits    [][][]uint64     // by connection, sensor: a bit for each reading
}

func newSeen(t *testing.T, l *load.Load, db *sqlite3.Conn) *seen {
	t.Helper()
	s := &seen{plan: &l.Plan, sensors: map[int64][2]int{}, bits: make([][][]uint64, l.Plan.Conns)}
	names := map[[2]string][2]int{}
	for k := range l.Plan.Conns {
		s.bits[k] = make([][]uint64, l.Plan.Sensors)
		_, end := l.Plan.Place(l.AckedOf(k) + uint64(l.Plan.Sensors))
		for i := range l.Plan.Sensors {
			asset, sensor := l.Plan.Names(k, i)
			names[[2]string{asset, sensor}] = [2]int{k, i}
			s.bits[k][i] = make([]uint64, (end+uint64(l.Plan.Batch))/64+1)
		}
	}
	rows(t, db, `SELECT sensor_id, asset, sensor FROM sensor JOIN asset USING (asset_id)`, func(row *sqlite3.Stmt) {
		if at, ok := names[[2]string{row.ColumnText(1), row.ColumnText(2)}]; ok {
			s.sensors[row.ColumnInt64(0)] = at
		}
	})
	return s
}

// mark notes the readings that a query gives, and says how many.
func (s *seen) mark(t *testing.T, db *sqlite3.Conn, sql string) (n int64) {
	t.Helper()
	rows(t, db, sql, func(row *sqlite3.Stmt) {
		at, ok := s.sensors[row.ColumnInt64(0)]
		i := uint64(row.ColumnInt64(1)-s.plan.Begin) / uint64(s.plan.Period.Milliseconds())
		if b := s.bits[at[0]][at[1]]; ok && i/64 < uint64(len(b)) {
			b[i/64] |= 1 << (i % 64)
			n++
		}
	})
	return n
}

func (s *seen) has(conn, sensor int, reading uint64) bool {
	return s.bits[conn][sensor][reading/64]&(1<<(reading%64)) != 0
}

// rows asks a database one question.
func rows(t *testing.T, db *sqlite3.Conn, sql string, row func(*sqlite3.Stmt)) {
	t.Helper()
	s, _, err := db.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	for s.Step() {
		row(s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

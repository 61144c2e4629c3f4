package store

import (
	"fmt"
	"math"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// stmt binds its parameters in order and keeps the first error until run, so that a row is bound without an error check a column. It belongs to
// the goroutine of its connection.
type stmt struct {
	s   *sqlite3.Stmt
	at  int
	err error
}

func prepare(c *sqlite3.Conn, sql string) (*stmt, error) {
	s, tail, err := c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("prepare statement: %w", damaged(c, err))
	}
	if s == nil || tail != "" {
		return nil, fmt.Errorf("prepare statement: not one statement: %q", sql)
	}
	return &stmt{s: s}, nil
}

func (q *stmt) keep(err error) *stmt {
	if err != nil && q.err == nil {
		q.err = err
	}
	return q
}

func (q *stmt) next() int { q.at++; return q.at }

func (q *stmt) int(v int64) *stmt     { return q.keep(q.s.BindInt64(q.next(), v)) }
func (q *stmt) float(v float64) *stmt { return q.keep(q.s.BindFloat(q.next(), v)) } // NaN is NULL
func (q *stmt) text(v string) *stmt   { return q.keep(q.s.BindText(q.next(), v)) }
func (q *stmt) null() *stmt           { return q.keep(q.s.BindNull(q.next())) }

// optional binds a number, NULL where there is none.
func (q *stmt) optional(v *float64) *stmt {
	if v == nil {
		return q.null()
	}
	return q.float(*v)
}

// raw binds a text.
func (q *stmt) raw(v []byte) *stmt { return q.keep(q.s.BindRawText(q.next(), v)) }

// blob binds bytes; nil is an empty value, not NULL.
func (q *stmt) blob(v []byte) *stmt {
	if v == nil {
		v = []byte{}
	}
	return q.keep(q.s.BindBlob(q.next(), v))
}

// when binds an integer where has is true, else NULL.
func (q *stmt) when(has bool, v int64) *stmt {
	if has {
		return q.int(v)
	}
	return q.null()
}

// conditions binds the four columns of what a vehicle was doing, in thousandths.
func (q *stmt) conditions(c *stream.Conditions) *stmt {
	return q.when(c.Has&stream.HasAmbient != 0, int64(c.Ambient)).
		when(c.Has&stream.HasSpeed != 0, int64(c.Speed)).
		when(c.Has&stream.HasLoad != 0, int64(c.Load)).
		when(c.Has&stream.HasBrake != 0, int64(c.Brake))
}

// reading binds the columns of a row of "reading".
func (q *stmt) reading(key int64, r *stream.Reading) *stmt {
	return q.int(key).int(int64(r.Temp)).conditions(&r.Conditions).when(r.Has&stream.HasSeq != 0, r.Seq)
}

// run executes the statement and makes it ready for the next binding.
func (q *stmt) run() error {
	err := q.err
	q.at, q.err = 0, nil
	if err != nil {
		return err
	}
	return damaged(q.s.Conn(), q.s.Exec())
}

// each calls f for every row. Columns are valid until f returns.
func (q *stmt) each(f func(s *sqlite3.Stmt) error) (err error) {
	err = q.err
	q.at, q.err = 0, nil
	if err != nil {
		return err
	}
	defer func() {
		if reset := q.s.Reset(); err == nil { // which tells the step's error again
			err = reset
		}
	}()
	for q.s.Step() {
		if err := f(q.s); err != nil {
			return err
		}
	}
	return damaged(q.s.Conn(), q.s.Err())
}

// query prepares, runs and closes one statement. Arguments are int64, float64, string or []byte.
func query(c *sqlite3.Conn, sql string, f func(s *sqlite3.Stmt) error, args ...any) (err error) {
	q, err := prepare(c, sql)
	if err != nil {
		return err
	}
	defer func() {
		if closed := q.s.Close(); err == nil {
			err = closed
		}
	}()
	for _, a := range args {
		switch v := a.(type) {
		case int64:
			q.int(v)
		case float64:
			q.float(v)
		case string:
			q.text(v)
		case []byte:
			q.blob(v)
		default:
			return fmt.Errorf("bind argument: %T is not supported", a)
		}
	}
	return q.each(f)
}

func execArgs(c *sqlite3.Conn, sql string, args ...any) error {
	return query(c, sql, func(*sqlite3.Stmt) error { return nil }, args...)
}

// queryInt gives the first column of the first row, 0 when there is no row or it is NULL.
func queryInt(c *sqlite3.Conn, sql string, args ...any) (v int64, err error) {
	first := true
	err = query(c, sql, func(s *sqlite3.Stmt) error {
		if first {
			v, first = s.ColumnInt64(0), false
		}
		return nil
	}, args...)
	return v, err
}

func queryText(c *sqlite3.Conn, sql string) (v string, err error) {
	err = query(c, sql, func(s *sqlite3.Stmt) error { v = s.ColumnText(0); return nil })
	return v, err
}

func isNull(s *sqlite3.Stmt, col int) bool { return s.ColumnType(col) == sqlite3.NULL }

// readingAt reads temp_m, ambient_m, speed_m, load_m, brake, seq from column col on.
func readingAt(s *sqlite3.Stmt, col int, ts int64) stream.Reading {
	r := stream.Reading{TS: ts, Temp: stream.Milli(s.ColumnInt64(col)), Conditions: conditionsAt(s, col+1)}
	if !isNull(s, col+5) {
		r.Seq, r.Has = s.ColumnInt64(col+5), r.Has|stream.HasSeq
	}
	return r
}

// conditionsAt reads ambient_m, speed_m, load_m, brake from column col on.
func conditionsAt(s *sqlite3.Stmt, col int) (c stream.Conditions) {
	for i, dst := range []*stream.Milli{&c.Ambient, &c.Speed, &c.Load} {
		if !isNull(s, col+i) {
			*dst = stream.Milli(s.ColumnInt64(col + i))
			c.Has |= stream.HasAmbient << i
		}
	}
	if !isNull(s, col+3) {
		c.Brake, c.Has = uint8(s.ColumnInt64(col+3)), c.Has|stream.HasBrake
	}
	return c
}

// floatAt reads a REAL column, NULL as NaN.
func floatAt(s *sqlite3.Stmt, col int) float64 {
	if isNull(s, col) {
		return math.NaN()
	}
	return s.ColumnFloat(col)
}

package store

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// packedScan gives the packed readings between two keys in order. Packed rows of several commits overlap in time, those that do are merged: it holds what overlaps and no more.
type packedScan struct {
	q        *stmt
	from, to int64
	more     bool // the statement stands on a row that is not decoded yet
	first    int64
	runs     packedRuns
	free     []*packedRun
	judge    func(row packedRow, err error) error // of each row; nil: what cannot be decoded is an error
}

// packedRow is a packed row as it was decoded.
type packedRow struct {
	first, last, n int64
	readings       []packedReading
}

// packedRun is a decoded row and what of it is still to be given.
type packedRun struct{ room, left []packedReading }

// packedRuns are decoded rows, by their next readings: a heap.
type packedRuns []*packedRun

func (h packedRuns) Len() int           { return len(h) }
func (h packedRuns) Less(i, j int) bool { return h[i].left[0].key < h[j].left[0].key }
func (h packedRuns) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *packedRuns) Push(x any)        { *h = append(*h, x.(*packedRun)) }
func (h *packedRuns) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// selectPacked gives the packed rows that may have readings in a half-open range of keys.
const selectPacked = `SELECT first, readings, last, n FROM reading_packed WHERE first > ?1 - (2048 << 20) AND first < ?2 AND last >= ?1 ORDER BY first`

// hasPacked says whether anything is packed.
func hasPacked(c *sqlite3.Conn) (bool, error) {
	n, err := queryInt(c, `SELECT EXISTS (SELECT 1 FROM reading_packed)`)
	return n != 0, err
}

// scanPacked begins a scan of a half-open range of keys. Close it.
func scanPacked(c *sqlite3.Conn, from, to int64) (*packedScan, error) {
	q, err := prepare(c, selectPacked)
	if err != nil {
		return nil, err
	}
	p := &packedScan{q: q, from: from, to: to}
	if err := q.int(from).int(to).err; err != nil {
		return nil, errors.Join(err, p.close())
	}
	if err := p.step(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *packedScan) close() error { return p.q.s.Close() }

// step goes to the next row.
func (p *packedScan) step() error {
	if p.more = p.q.s.Step(); p.more {
		p.first = p.q.s.ColumnInt64(0)
		return nil
	}
	return damaged(p.q.s.Conn(), p.q.s.Err())
}

// next gives the next reading; ok is false after the last.
func (p *packedScan) next() (r packedReading, ok bool, err error) {
	for p.more && (len(p.runs) == 0 || p.first <= p.runs[0].left[0].key) {
		if err := p.decode(); err != nil {
			return r, false, err
		}
	}
	if len(p.runs) == 0 {
		return r, false, nil
	}
	run := p.runs[0]
	r, run.left = run.left[0], run.left[1:]
	if len(run.left) == 0 {
		p.free = append(p.free, heap.Pop(&p.runs).(*packedRun))
	} else {
		heap.Fix(&p.runs, 0)
	}
	return r, true, nil
}

// decode takes up the row on which the statement stands, and steps on.
func (p *packedScan) decode() error {
	into := &packedRun{}
	if n := len(p.free); n > 0 {
		into, p.free = p.free[n-1], p.free[:n-1]
	}
	run, err := decodePacked(into.room[:0], p.first, p.q.s.ColumnRawText(1))
	into.room = run
	if p.judge != nil {
		err = p.judge(packedRow{p.first, p.q.s.ColumnInt64(2), p.q.s.ColumnInt64(3), run}, err)
	}
	if err != nil {
		return fatal(err)
	}
	for len(run) > 0 && run[0].key < p.from {
		run = run[1:]
	}
	for len(run) > 0 && run[len(run)-1].key >= p.to {
		run = run[:len(run)-1]
	}
	if into.left = run; len(run) > 0 {
		heap.Push(&p.runs, into)
	} else {
		p.free = append(p.free, into)
	}
	return p.step()
}

// packedBetween gives what packedScan does.
func packedBetween(c *sqlite3.Conn, from, to int64) iter.Seq2[packedReading, error] {
	return func(yield func(packedReading, error) bool) {
		p, err := scanPacked(c, from, to)
		if err != nil {
			yield(packedReading{}, err)
			return
		}
		defer p.close()
		for {
			r, ok, err := p.next()
			if err != nil {
				yield(r, err)
				return
			}
			if !ok || !yield(r, nil) {
				return
			}
		}
	}
}

// What everyReading reads of a row that is not packed.
const (
	keysOnly  = `SELECT key FROM reading WHERE key >= ? AND key < ? ORDER BY key`
	wholeRows = `SELECT key, temp_m, ambient_m, speed_m, load_m, brake, seq FROM reading WHERE key >= ? AND key < ? ORDER BY key`
)

// everyReading calls f for each stored reading between two keys, packed or not, in order. With keysOnly only the keys are given.
func everyReading(c *sqlite3.Conn, columns string, from, to int64, f func(r *packedReading) error) (err error) {
	p, err := scanPacked(c, from, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	return p.withRows(columns, f)
}

// withRows calls f for what it gives and for rows that are not packed, in order.
func (p *packedScan) withRows(columns string, f func(r *packedReading) error) error {
	next, more, err := p.next()
	if err != nil {
		return err
	}
	upTo := func(key int64) error {
		for more && next.key <= key {
			if err := f(&next); err != nil {
				return err
			}
			if next, more, err = p.next(); err != nil {
				return err
			}
		}
		return nil
	}
	var row packedReading
	err = query(p.q.s.Conn(), columns, func(s *sqlite3.Stmt) error {
		key := s.ColumnInt64(0)
		if more && next.key <= key {
			if err := upTo(key); err != nil {
				return err
			}
		}
		row.key = key
		if columns == wholeRows {
			ts, _ := stream.SplitKey(key)
			row.Reading = readingAt(s, 1, ts)
		}
		return f(&row)
	}, p.from, p.to)
	if err != nil {
		return err
	}
	return upTo(p.to)
}

// packedLookup answers for single keys. Who sends a flood again asks for thousands of readings of the same packed rows, so that it keeps some of them: they never change.
type packedLookup struct {
	over, row *stmt
	kept      map[int64][]packedReading // decoded rows, by their first keys
	turn      [packedKept]int64         // whose place the next one takes, in the order of coming
	next      int
	firsts    []int64 // scratch
}

// packedKept is how many rows are kept: what a hundred seconds of a flood lie in, when three of its commits overlap. 72 bytes a reading.
const packedKept = 192

func newPackedLookup(c *sqlite3.Conn) (l *packedLookup, err error) {
	l = &packedLookup{kept: map[int64][]packedReading{}}
	if l.over, err = prepare(c, `SELECT first FROM reading_packed WHERE first > ?1 - (2048 << 20) AND first <= ?1 AND last >= ?1`); err != nil {
		return nil, err
	}
	l.row, err = prepare(c, `SELECT readings FROM reading_packed WHERE first = ?`)
	return l, err
}

// find gives the packed reading of a key. It looks at the packed rows that begin within packedSpan before it, and into those that reach up to it.
func (l *packedLookup) find(key int64) (r packedReading, found bool, err error) {
	l.firsts = l.firsts[:0]
	err = l.over.int(key).each(func(s *sqlite3.Stmt) error {
		l.firsts = append(l.firsts, s.ColumnInt64(0))
		return nil
	})
	for _, first := range l.firsts {
		var row []packedReading
		if row, err = l.get(first); err != nil {
			break
		}
		if at, found := slices.BinarySearchFunc(row, key, func(r packedReading, key int64) int { return cmp.Compare(r.key, key) }); found {
			return row[at], true, nil
		}
	}
	if err != nil {
		return r, false, fmt.Errorf("look up packed reading: %w", err)
	}
	return r, false, nil
}

// get gives a decoded row.
func (l *packedLookup) get(first int64) (row []packedReading, err error) {
	if row, ok := l.kept[first]; ok {
		return row, nil
	}
	out := l.turn[l.next]
	room := l.kept[out]
	delete(l.kept, out)
	err = l.row.int(first).each(func(s *sqlite3.Stmt) (err error) {
		if row, err = decodePacked(room[:0], first, s.ColumnRawText(0)); err != nil {
			return fatal(err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.kept[first], l.turn[l.next] = row, first
	l.next = (l.next + 1) % packedKept
	return row, nil
}

// marks are keys in order, walked beside readings in the same order.
type marks struct {
	q    *stmt
	more bool
	at   int64
	met  bool            // at was asked for
	lone func(key int64) // is told of those that nobody asked for; may be nil
}

func newMarks(c *sqlite3.Conn, sql string) (*marks, error) {
	q, err := prepare(c, sql)
	if err != nil {
		return nil, err
	}
	m := &marks{q: q}
	if err := m.step(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *marks) close() error { return m.q.s.Close() }

func (m *marks) step() error {
	if m.more && !m.met && m.lone != nil {
		m.lone(m.at)
	}
	m.met = false
	if m.more = m.q.s.Step(); m.more {
		m.at = m.q.s.ColumnInt64(0)
		return nil
	}
	return damaged(m.q.s.Conn(), m.q.s.Err())
}

// has says whether a key is among them. It is not asked for one below the last.
func (m *marks) has(key int64) (bool, error) {
	for m.more && m.at < key {
		if err := m.step(); err != nil {
			return false, err
		}
	}
	same := m.more && m.at == key
	m.met = m.met || same
	return same, nil
}

// end goes through what is left.
func (m *marks) end() error {
	for m.more {
		if err := m.step(); err != nil {
			return err
		}
	}
	return nil
}

package store

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// search finds rows of a raw table, whose key leads with time, of some sensors or assets: those of each between two times, and single ones.
//
// Ranges of several are scanned once. A scan looks at keys only, and in Go, which costs 0.12 µs a row; reading every row's columns and throwing most away costs four times that.
// What is kept is then read by its key, many at once.
type search struct {
	keys   string // gives the keys between two
	values string // gives the rows of keys, %s, in order
	row    func(s *sqlite3.Stmt) Fed
	packs  bool    // there may be packed ones
	within []span  // by id: keys of which each is wanted; empty: none
	single []int64 // further keys
}

// span is a half-open range of keys, or of times.
type span struct{ from, to int64 }

// between asks for the rows of an id in a half-open range of event time, ms.
func (f *search) between(id, from, to int64) {
	if id < 0 || id > maxID || from >= to {
		return
	}
	if grow := int(id) + 1 - len(f.within); grow > 0 {
		f.within = append(f.within, make([]span, grow)...)
	}
	f.within[id] = span{keyFloor(from), keyFloor(to)}
}

// spans gives the ranges that are to be scanned, in order and apart from each other.
func (f *search) spans() []span {
	var spans []span
	for _, s := range f.within {
		if s.from < s.to {
			spans = append(spans, s)
		}
	}
	return apart(spans)
}

// found gives the keys in order.
func (f *search) found(c *sqlite3.Conn) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		single := slices.Sorted(slices.Values(f.single))
		upTo := func(key int64) bool { // gives the single ones before a key
			for ; len(single) > 0 && single[0] < key; single = single[1:] {
				if !yield(single[0], nil) {
					return false
				}
			}
			return true
		}
		q, err := prepare(c, f.keys)
		if err != nil {
			yield(0, err)
			return
		}
		defer q.s.Close()
		for _, span := range f.spans() {
			err := q.int(span.from).int(span.to).each(func(s *sqlite3.Stmt) error {
				key := s.ColumnInt64(0)
				_, id := stream.SplitKey(key)
				if id >= int64(len(f.within)) || key < f.within[id].from || key >= f.within[id].to {
					return nil
				}
				if !upTo(key) || !yield(key, nil) {
					return errFound
				}
				return nil
			})
			if err == errFound {
				return
			}
			if err != nil {
				yield(0, err)
				return
			}
		}
		upTo(math.MaxInt64)
	}
}

// atOnce is how many rows are read by one statement.
const atOnce = 128

// rows gives what was found, in the order of its keys.
func (f *search) rows(c *sqlite3.Conn) iter.Seq2[Fed, error] {
	if !f.packs {
		return f.unpacked(c)
	}
	return func(yield func(Fed, error) bool) {
		any, err := hasPacked(c)
		if err != nil {
			yield(Fed{}, err)
			return
		}
		if !any {
			f.unpacked(c)(yield)
			return
		}
		key := func(r Fed) int64 { return stream.Key(r.TS, r.SensorID) }
		merged(f.packed(c), f.unpacked(c), func(packed, row Fed) bool { return key(packed) < key(row) })(yield)
	}
}

// packed gives what was found in packed rows.
func (f *search) packed(c *sqlite3.Conn) iter.Seq2[Fed, error] {
	return func(yield func(Fed, error) bool) {
		conflicted, err := prepare(c, `SELECT 1 FROM conflicted WHERE key = ?`)
		if err != nil {
			yield(Fed{}, err)
			return
		}
		defer conflicted.s.Close()
		single := make(map[int64]bool, len(f.single))
		spans := f.spans()
		const part = packedSpan << stream.SensorBits
		for _, key := range f.single { // many lie close together, where a burst was packed: what they lie in is decoded once
			single[key] = true
			begin := key - key%part
			spans = append(spans, span{begin, max(begin+part, begin)})
		}
		for _, s := range apart(spans) {
			for r, err := range packedBetween(c, s.from, s.to) {
				if err != nil {
					yield(Fed{}, fmt.Errorf("find packed readings: %w", err))
					return
				}
				ts, id := stream.SplitKey(r.key)
				if !single[r.key] && (id >= int64(len(f.within)) || r.key < f.within[id].from || r.key >= f.within[id].to) {
					continue
				}
				disputed, err := has(conflicted, id, ts)
				if !yield(Fed{SensorID: id, Reading: r.Reading, Conflicted: disputed}, err) || err != nil {
					return
				}
			}
		}
	}
}

// unpacked gives what was found in rows of its own.
func (f *search) unpacked(c *sqlite3.Conn) iter.Seq2[Fed, error] {
	return func(yield func(Fed, error) bool) {
		q, err := prepare(c, fmt.Sprintf(f.values, "?"+strings.Repeat(",?", atOnce-1)))
		if err != nil {
			yield(Fed{}, err)
			return
		}
		defer q.s.Close()
		keys := make([]int64, 0, atOnce)
		read := func() bool {
			for i := range atOnce { // a key that is asked for twice is given once
				q.int(keys[min(i, len(keys)-1)])
			}
			keys = keys[:0]
			err := q.each(func(s *sqlite3.Stmt) error {
				if !yield(f.row(s), nil) {
					return errFound
				}
				return nil
			})
			if err != nil && err != errFound {
				yield(Fed{}, fmt.Errorf("read open readings: %w", err))
			}
			return err == nil
		}
		for key, err := range f.found(c) {
			if err != nil {
				yield(Fed{}, fmt.Errorf("find open readings: %w", err))
				return
			}
			if keys = append(keys, key); len(keys) == atOnce && !read() {
				return
			}
		}
		if len(keys) > 0 {
			read()
		}
	}
}

// keyFloor gives the lowest key of a time, clamped to what a key can hold.
func keyFloor(ts int64) int64 {
	switch {
	case ts < 0:
		return 0
	case ts >= stream.MaxTS:
		return math.MaxInt64
	}
	return stream.Key(ts, 0)
}

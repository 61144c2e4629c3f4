package store

import (
	"fmt"
	"math"
	"time"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// rawExpired is the setting that says before which event time readings have gone: a window that begins before it may count more readings than are there.
const rawExpired = "raw_expired_ms"

// stretch finds the next rows of a raw table from a position on: the first key, one above the last, none when there is nothing below cut.
func (e *expiry) stretch(table string, from, cut int64, rows int64) (first, end int64, err error) {
	first, err = e.one(`SELECT key FROM `+table+` WHERE key >= ? AND key < ? ORDER BY key LIMIT 1`, from, cut)
	if err != nil || first == 0 {
		return 0, 0, err
	}
	end, err = e.one(`SELECT key FROM `+table+` WHERE key >= ? AND key < ? ORDER BY key LIMIT 1 OFFSET ?`, first, cut, rows)
	if err == nil && end == 0 { // fewer than that are left
		end, err = e.one(`SELECT max(key) + 1 FROM `+table+` WHERE key >= ? AND key < ?`, first, cut)
	}
	return first, end, err
}

// readings plans the oldest readings, single and packed ones up to the same key, so that older ones of the one kind are not left for younger ones of the other. Those at or behind the end
// of their sensor's last closed window stay: they are in none.
func (e *expiry) readings() (func() error, error) {
	cut, err := e.rawCutoff()
	if err != nil || cut <= 0 {
		return nil, err
	}
	below := keyFloor(cut)
	first, end, err := e.stretch("reading", e.at.reading, below, stepReadings)
	if err != nil {
		return nil, err
	}
	packed, packedEnd, more, err := e.packedStretch(below)
	switch {
	case err != nil:
		return nil, err
	case packed != 0:
		end, err = e.common(end, packedEnd, below, more)
		return func() error { return e.takeBoth(e.at.reading, end, below) }, err
	case first == 0:
		if key, ok := e.at.open.again(e.wall); ok {
			first, end, err = e.stretch("reading", key, below, stepReadings)
		}
		if err != nil || first == 0 {
			return nil, err
		}
	}
	return func() error { return e.takeBoth(first, end, 0) }, nil
}

// packedStretch finds the oldest packed rows that end below a key, as many as a step takes: the first key of the first, 0 when there are none, and one above which none of them begins. more: others follow.
func (e *expiry) packedStretch(below int64) (first, end int64, more bool, err error) {
	taken := int64(0)
	err = e.query(`SELECT first, n FROM reading_packed WHERE first < ?1 AND last < ?1 ORDER BY first`, func(s *sqlite3.Stmt) error {
		key := s.ColumnInt64(0)
		if taken >= stepReadings {
			end, more = key, true
			return errFound
		}
		if first == 0 {
			first = key
		}
		end, taken = key+1, taken+s.ColumnInt64(1)
		return nil
	}, below)
	if err == errFound {
		err = nil
	}
	return first, end, more, err
}

// common gives the key up to which a step takes both kinds: where the first of them has enough.
func (e *expiry) common(end, packedEnd, below int64, packedMore bool) (int64, error) {
	singlesMore := int64(0)
	if end != 0 {
		var err error
		if singlesMore, err = e.one(`SELECT EXISTS (SELECT 1 FROM reading WHERE key >= ? AND key < ?)`, end, below); err != nil {
			return 0, err
		}
	}
	switch {
	case singlesMore != 0 && packedMore:
		return min(end, packedEnd), nil
	case singlesMore != 0:
		return end, nil
	case packedMore:
		return packedEnd, nil
	}
	return max(end, packedEnd), nil
}

// lowest gives the event time of the oldest reading that is to go and has not, far ahead when all have.
func (e *expiry) lowest() (int64, error) {
	key, err := e.one(`SELECT min(COALESCE((SELECT min(key) FROM reading WHERE key >= ?), 9223372036854775807), COALESCE((SELECT min(first) FROM reading_packed), 9223372036854775807))`, e.at.reading)
	return key >> stream.SensorBits, err
}

// openReading says of a row or mark, by its key, that the reading is in no closed window.
const openReading = `EXISTS (SELECT 1 FROM sensor s WHERE s.sensor_id = key & 1048575 AND s.evaluated_ms <= key >> 20)`

// pinned says whether there may be an open reading up to a key.
func (e *expiry) pinned(key int64) (bool, error) {
	n, err := e.one(`SELECT EXISTS (SELECT 1 FROM open_window WHERE from_ms <= ?)`, key>>stream.SensorBits)
	return n != 0, err
}

// takeBoth takes the single rows of a half-open range of keys, and the packed rows that begin before its end and end below another key.
func (e *expiry) takeBoth(first, end, below int64) error {
	if err := e.takeReadings(first, end); err != nil {
		return err
	}
	last, err := e.takePacked(end, below)
	if err != nil {
		return err
	}
	e.at.reading = end
	if e.out.Readings == 0 {
		return nil
	}
	e.entries[entry{counterExpired, ofTelemetry}] += e.out.Readings
	e.out.Before = max(end-1, last)>>stream.SensorBits + 1
	return e.raiseMeta(rawExpired, e.out.Before)
}

// takeReadings takes single rows with their marks. Marks of packed readings between them stay.
func (e *expiry) takeReadings(first, end int64) error {
	pinned, err := e.pinned(end)
	if err != nil {
		return err
	}
	stays := ``
	if pinned {
		stays = ` AND NOT ` + openReading
	}
	for _, side := range sideTables {
		err := e.exec(`DELETE FROM `+side+` WHERE key >= ?1 AND key < ?2 AND EXISTS (SELECT 1 FROM reading r WHERE r.key = `+side+`.key)`+stays, first, end)
		if err != nil {
			return err
		}
	}
	if err := e.exec(`DELETE FROM reading WHERE key >= ?1 AND key < ?2`+stays, first, end); err != nil {
		return err
	}
	e.out.Readings = e.w.c.Changes()
	if !pinned {
		return nil
	}
	open, err := e.one(`SELECT key FROM reading WHERE key >= ? AND key < ? ORDER BY key LIMIT 1`, first, end)
	e.at.open.note(open)
	return err
}

// sideTables mark readings by their keys.
var sideTables = []string{"reading_flag", "conflicted"}

// takePacked takes the packed rows that begin before one key and end below another, and gives the last key in them. What is in no closed window becomes a row of its own.
func (e *expiry) takePacked(end, below int64) (last int64, err error) {
	var rows [][]packedReading
	err = e.query(`SELECT first, readings FROM reading_packed WHERE first < ?1 AND first < ?2 AND last < ?2 ORDER BY first`, func(s *sqlite3.Stmt) error {
		row, err := decodePacked(nil, s.ColumnInt64(0), s.ColumnRawText(1))
		if err != nil {
			return fatal(err)
		}
		rows = append(rows, row)
		return nil
	}, end, below)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		key := row[len(row)-1].key
		pinned, err := e.pinned(key)
		if err != nil {
			return 0, err
		}
		if err := e.takePackedRow(row, pinned); err != nil {
			return 0, err
		}
		last = max(last, key)
	}
	return last, nil
}

// takePackedRow takes one of them, pinned if some of it may be in no closed window.
func (e *expiry) takePackedRow(row []packedReading, pinned bool) error {
	if err := e.exec(`DELETE FROM reading_packed WHERE first = ?`, row[0].key); err != nil {
		return err
	}
	gone := make(map[int64]bool, len(row))
	for i := range row {
		r := &row[i]
		if pinned {
			open, err := e.one(`SELECT `+openReading+` FROM (SELECT ? AS key)`, r.key)
			if err != nil {
				return err
			}
			if open != 0 {
				if err := e.w.readingRow.reading(r.key, &r.Reading).run(); err != nil { // one that is there already is damage, which Verify tells of
					return err
				}
				e.at.open.note(r.key)
				continue
			}
		}
		gone[r.key] = true
	}
	e.out.Readings += int64(len(gone))
	for _, side := range sideTables {
		var marked []int64
		err := e.query(`SELECT key FROM `+side+` WHERE key >= ? AND key <= ?`, func(s *sqlite3.Stmt) error {
			if key := s.ColumnInt64(0); gone[key] {
				marked = append(marked, key)
			}
			return nil
		}, row[0].key, row[len(row)-1].key)
		if err != nil {
			return err
		}
		for _, key := range marked {
			if err := e.exec(`DELETE FROM `+side+` WHERE key = ?`, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// gone gives the event time before which readings may have expired.
func (e *expiry) gone() (int64, error) {
	at, err := e.one(readRawExpired, rawExpired)
	if err != nil {
		return 0, fmt.Errorf("read setting %s: %w", rawExpired, err)
	}
	return at, nil
}

// raiseMeta keeps the greater of a setting and a value.
func (e *expiry) raiseMeta(name string, value int64) error {
	err := e.exec(`INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value < excluded.value`, name, value)
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

// contexts plans the oldest contexts: once the readings they describe have gone they go too. Those that a restart would read stay, and so does the newest of each asset.
func (e *expiry) contexts() (func() error, error) {
	cut, err := e.rawCutoff()
	if err != nil {
		return nil, err
	}
	gone, err := e.gone()
	if cut = max(cut, gone); err != nil || cut <= 0 {
		return nil, err
	}
	first, end, err := e.stretch("context_reading", e.at.context, keyFloor(cut), stepContexts)
	if err != nil || first == 0 {
		return nil, err
	}
	return func() error {
		runs, err := e.looseContexts(first, end)
		if err != nil {
			return err
		}
		for _, r := range runs {
			if err := e.exec(`DELETE FROM context_reading WHERE key >= ? AND key < ?`, r.from, r.to); err != nil {
				return err
			}
			e.out.Contexts += e.w.c.Changes()
			if err := e.exec(`DELETE FROM context_conflicted WHERE key >= ? AND key < ?`, r.from, r.to); err != nil {
				return err
			}
		}
		e.at.context = end
		if e.out.Contexts > 0 {
			e.entries[entry{counterExpired, ofContext}] += e.out.Contexts
		}
		return nil
	}, nil
}

// looseContexts finds the runs of keys within a stretch that nobody needs any more.
func (e *expiry) looseContexts(first, end int64) (runs []span, err error) {
	needed := contextNeeds{e, map[int64]contextNeed{}}
	from := first
	err = e.query(`SELECT key FROM context_reading WHERE key >= ? AND key < ? ORDER BY key`, func(s *sqlite3.Stmt) error {
		key := s.ColumnInt64(0)
		ts, asset := stream.SplitKey(key)
		stays, err := needed.stays(asset, ts)
		if stays && err == nil {
			if key > from {
				runs = append(runs, span{from, key})
			}
			from = key + 1
		}
		return err
	}, first, end)
	if from < end {
		runs = append(runs, span{from, end})
	}
	return runs, err
}

// contextNeeds answers which contexts of an asset are still needed.
type contextNeeds struct {
	*expiry
	known map[int64]contextNeed
}

// contextNeed is from when on an asset's contexts are needed, and when its newest is.
type contextNeed struct{ from, newest int64 }

// span is how far back contexts may matter.
func (n contextNeeds) span(period int64) int64 {
	if n.keep.ContextSpan == nil {
		return (24 * time.Hour).Milliseconds()
	}
	return n.keep.ContextSpan(time.Duration(period) * time.Millisecond).Milliseconds()
}

// stays says whether a context is needed. What an asset's first open reading may need begins a span before it; where none is open, before the end of
// its last window; where it has none either, before its newest context.
func (n contextNeeds) stays(asset, ts int64) (bool, error) {
	need, ok := n.known[asset]
	if !ok {
		need.from = math.MinInt64 // an asset that is not known keeps its contexts: Verify tells of it
		err := n.query(`SELECT a.context_ms, max(s.evaluated_ms), max(s.period_ms), min(o.from_ms)
			FROM asset a LEFT JOIN sensor s ON s.asset_id = a.asset_id LEFT JOIN open_window o ON o.sensor_id = s.sensor_id WHERE a.asset_id = ?`, func(s *sqlite3.Stmt) error {
			if isNull(s, 0) {
				return nil
			}
			need.newest, need.from = s.ColumnInt64(0), s.ColumnInt64(0)
			if evaluated := s.ColumnInt64(1); evaluated > 0 {
				need.from = evaluated
			}
			if !isNull(s, 3) {
				need.from = min(need.from, s.ColumnInt64(3))
			}
			need.from -= n.span(s.ColumnInt64(2))
			return nil
		}, asset)
		if err != nil {
			return false, err
		}
		n.known[asset] = need
	}
	return ts >= need.from || ts == need.newest, nil
}

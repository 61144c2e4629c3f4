package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// A row of open_window says where a sensor's readings are that are in no closed window: in [from_ms, to_ms), and where times is not NULL exactly at these. A database
// from before that has to_ms = stream.MaxTS: anywhere from from_ms on.

// opened keeps where open readings are.
func (w *writer) opened(p *pass) error {
	for i := range p.Opened {
		o := &p.Opened[i]
		var err error
		if o.From == 0 {
			err = w.closed.int(o.SensorID).run()
		} else {
			err = w.openRow(o)
		}
		if err != nil {
			return fmt.Errorf("keep open window of sensor %d: %w", o.SensorID, err)
		}
	}
	return nil
}

func (w *writer) openRow(o *stream.Open) error {
	to := o.To
	if to == 0 {
		to = stream.MaxTS
	}
	if o.From < 0 || o.From >= to || to > stream.MaxTS {
		return fatalf("its range from %d to %d is none", o.From, o.To)
	}
	if o.Times == nil {
		return w.open.int(o.SensorID).int(o.From).int(to).null().run()
	}
	times, err := appendTimes(nil, o.From, to, o.Times)
	if err != nil {
		return err
	}
	return w.open.int(o.SensorID).int(o.From).int(to).blob(times).run()
}

// appendTimes writes times as varints of their differences. The first is from itself; all lie below to.
func appendTimes(out []byte, from, to int64, times []int64) ([]byte, error) {
	before := from - 1
	for i, ts := range times {
		if ts <= before || ts >= to || i == 0 && ts != from {
			return nil, fatalf("its time %d does not follow %d within %d to %d", ts, before, from, to)
		}
		out = binary.AppendUvarint(out, uint64(ts-max(before, from)))
		before = ts
	}
	if len(times) == 0 {
		return nil, fatalf("it is told one by one, and none is")
	}
	return out, nil
}

// readTimes reads what appendTimes wrote, and nothing else: ok is false when the file holds something else.
func readTimes(b []byte, from, to int64) (times []int64, ok bool) {
	at := from
	for rest := b; len(rest) > 0; {
		d, n := binary.Uvarint(rest)
		if n <= 0 || d >= uint64(to-at) {
			return nil, false
		}
		at += int64(d)
		times, rest = append(times, at), rest[n:]
	}
	again, err := appendTimes(make([]byte, 0, len(b)), from, to, times)
	return times, err == nil && bytes.Equal(again, b)
}

// openAt reads sensor_id, from_ms, to_ms, times. Where the last two are not what was written, a reading may be anywhere from from_ms on: that is always right, and exact is false.
func openAt(s *sqlite3.Stmt) (o stream.Open, exact bool) {
	o = stream.Open{SensorID: s.ColumnInt64(0), From: s.ColumnInt64(1), To: s.ColumnInt64(2)}
	exact = o.From < o.To && o.To <= stream.MaxTS
	if exact && !isNull(s, 3) {
		o.Times, exact = readTimes(s.ColumnRawBlob(3), o.From, o.To)
	}
	if !exact {
		o.To, o.Times = stream.MaxTS, nil
	}
	return o, exact
}

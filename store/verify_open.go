package store

import (
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// openness is what open_window says of a sensor's readings that are in no closed window, held against those that the scan meets.
type openness struct {
	told   bool // there is a row
	exact  bool // and it is what the program writes
	row    stream.Open
	at     int   // how many of row.Times the scan has gone by
	gone   int64 // the first of those that is no reading, 0: none
	missed int64 // first open reading that lies elsewhere than told, 0: none
}

// readOpen gives each track its row.
func (s *scanner) readOpen() error {
	return query(s.c, `SELECT sensor_id, from_ms, to_ms, times FROM open_window`, func(q *sqlite3.Stmt) error {
		o, exact := openAt(q)
		t := s.track(o.SensorID)
		t.told, t.exact, t.row = true, exact, o
		return nil
	})
}

// look takes an open reading. A sensor's come in the order of their times.
func (t *openness) look(ts int64) {
	found := t.told && ts >= t.row.From && ts < t.row.To
	if t.row.Times != nil {
		t.passBy(ts)
		if found = t.at < len(t.row.Times) && t.row.Times[t.at] == ts; found {
			t.at++
		}
	}
	if !found && t.missed == 0 {
		t.missed = ts
	}
}

// passBy notes that the times told before ts are no readings.
func (t *openness) passBy(ts int64) {
	for ; t.at < len(t.row.Times) && t.row.Times[t.at] < ts; t.at++ {
		if t.gone == 0 {
			t.gone = t.row.Times[t.at]
		}
	}
}

// open judges what open_window says of a sensor: it tells where its open readings begin, a restart finds each of them where it is told to look, and where they are told one by
// one there are no others.
func (s *scanner) open(id int64, t *track) {
	t.passBy(stream.MaxTS)
	from := t.row.From
	switch {
	case t.loose != 0 && !t.told:
		s.breach("open window", "sensor %d has readings from %d on that are in no closed window, and no row in open_window", id, t.loose)
	case t.told && t.looseAny == 0:
		s.breach("open window", "sensor %d is open from %d, and all its readings are in closed windows", id, from)
	case t.told && (from < t.looseAny || t.loose != 0 && from > t.loose):
		s.breach("open window", "sensor %d is open from %d, its first reading in no closed window is at %d", id, from, t.looseAny)
	case t.told && !t.exact:
		s.breach("open window", "sensor %d is open from %d, and where its open readings lie cannot be read", id, from)
	case t.missed != 0:
		s.breach("open window", "sensor %d has a reading at %d that is in no closed window, and a restart would not look there", id, t.missed)
	case t.gone != 0:
		s.breach("open window", "sensor %d is told to have an open reading at %d, which does not exist", id, t.gone)
	}
}

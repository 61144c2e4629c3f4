package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

// digestHeader begins the hashed text. It changes with the format, so that digests of two formats never agree.
const digestHeader = "cidp digest 1\n"

// Digest gives the SHA-256, in 64 hex digits, of a database's logical content (contract, section 5): what is a function of the set of
// accepted readings, by names and event times, floats by their bits. Databases fed the same readings with the same configuration and model
// agree in it, whatever the batching and the order of arrival. Its memory is that of the sensors and of one event time.
//
// What is hashed: the readings, the contexts, the windows closed by event time each with its prediction, and the transitions that the line made in those windows.
// Each part is in event-time order, and within one event time in the order of the records' bytes, which begin with the names. A record is its
// kind, then strings with their length in front, integers and the bits of floats in 8 bytes.
func Digest(ctx context.Context, path string) (_ string, err error) {
	c, err := openReader(place{path: path})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, closeConn(c)) }()
	c.SetInterrupt(ctx)
	if err := c.Exec(`BEGIN`); err != nil {
		return "", fmt.Errorf("begin digest: %w", err)
	}
	d := &digest{c: c, h: sha256.New()}
	d.h.Write([]byte(digestHeader))
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"names", d.readNames}, {"readings", d.readings}, {"contexts", d.contexts}, {"closed windows", d.findClosed},
		{"windows", d.windows}, {"transitions", d.transitions},
	} {
		if err := step.do(); err != nil {
			return "", fmt.Errorf("digest %s: %w", step.what, err)
		}
		d.flush()
	}
	return hex.EncodeToString(d.h.Sum(nil)), nil
}

// digest is one pass over the database. Its records of one event time wait in group until the next time begins.
type digest struct {
	c       *sqlite3.Conn
	h       hash.Hash
	sensors map[int64]names // by sensor id
	assets  map[int64]names // by asset id
	members map[int64][]int64
	newest  map[int64]int64 // accepted, by sensor id
	context map[int64]int64 // accepted, by asset id
	closed  map[int64]int64 // start of the newest window closed by event time, by sensor id

	at    int64
	group []byte
	marks [][2]int // where each record of the group lies
	open  int
}

// names is the encoded site, asset and, of a sensor, its own name.
type names struct {
	text  []byte
	asset int64
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (d *digest) int(v int64)     { d.group = binary.BigEndian.AppendUint64(d.group, uint64(v)) }
func (d *digest) float(v float64) { d.int(int64(math.Float64bits(v))) }
func (d *digest) text(s string)   { d.group = appendText(d.group, s) }
func (d *digest) begin(ts int64, n names) {
	if ts != d.at {
		d.flush()
		d.at = ts
	}
	d.open = len(d.group)
	d.group = append(d.group, n.text...)
}

// end closes a record that begin began.
func (d *digest) end() { d.marks = append(d.marks, [2]int{d.open, len(d.group)}) }

// flush hashes the records of one event time in the order of their bytes.
func (d *digest) flush() {
	slices.SortFunc(d.marks, func(a, b [2]int) int { return bytes.Compare(d.group[a[0]:a[1]], d.group[b[0]:b[1]]) })
	for _, m := range d.marks {
		d.h.Write(d.group[m[0]:m[1]])
	}
	d.group, d.marks = d.group[:0], d.marks[:0]
}

func (d *digest) readNames() error {
	d.sensors, d.assets, d.members = map[int64]names{}, map[int64]names{}, map[int64][]int64{}
	d.newest, d.context, d.closed = map[int64]int64{}, map[int64]int64{}, map[int64]int64{}
	err := query(d.c, `SELECT asset_id, site, asset FROM asset`, func(s *sqlite3.Stmt) error {
		d.assets[s.ColumnInt64(0)] = names{appendText(appendText(nil, s.ColumnText(1)), s.ColumnText(2)), s.ColumnInt64(0)}
		return nil
	})
	if err != nil {
		return err
	}
	return query(d.c, `SELECT sensor_id, asset_id, sensor FROM sensor ORDER BY sensor_id`, func(s *sqlite3.Stmt) error {
		id, asset := s.ColumnInt64(0), s.ColumnInt64(1)
		d.sensors[id] = names{appendText(slices.Clone(d.assets[asset].text), s.ColumnText(2)), asset}
		d.members[asset] = append(d.members[asset], id)
		return nil
	})
}

// optional hashes what may be absent: absent and zero differ.
func (d *digest) optional(has bool, v int64) {
	if !has {
		d.group = append(d.group, 0)
		return
	}
	d.group = append(d.group, 1)
	d.int(v)
}

func (d *digest) conditions(c *stream.Conditions) {
	d.optional(c.Has&stream.HasAmbient != 0, int64(c.Ambient))
	d.optional(c.Has&stream.HasSpeed != 0, int64(c.Speed))
	d.optional(c.Has&stream.HasLoad != 0, int64(c.Load))
	d.optional(c.Has&stream.HasBrake != 0, int64(c.Brake))
}

func (d *digest) readings() error {
	disputed, err := newMarks(d.c, `SELECT key FROM conflicted ORDER BY key`)
	if err != nil {
		return err
	}
	defer disputed.close()
	return everyReading(d.c, wholeRows, math.MinInt64, math.MaxInt64, func(r *packedReading) error {
		ts, id := stream.SplitKey(r.key)
		d.newest[id] = ts
		marked, err := disputed.has(r.key)
		if err != nil {
			return err
		}
		if d.raw('R', marked, d.sensors[id], ts) {
			d.optional(true, int64(r.Temp))
			d.conditions(&r.Conditions)
			d.optional(r.Has&stream.HasSeq != 0, r.Seq)
		}
		d.end()
		return nil
	})
}

func (d *digest) contexts() error {
	return query(d.c, `SELECT c.key, EXISTS (SELECT 1 FROM context_conflicted x WHERE x.key = c.key), c.ambient_m, c.speed_m, c.load_m, c.brake
		FROM context_reading c ORDER BY c.key`, func(s *sqlite3.Stmt) error {
		ts, id := stream.SplitKey(s.ColumnInt64(0))
		d.context[id] = ts
		if d.raw('C', s.ColumnBool(1), d.assets[id], ts) {
			c := conditionsAt(s, 2)
			d.conditions(&c)
		}
		d.end()
		return nil
	})
}

// raw begins a raw row, and says whether its values are to follow: of one in dispute nothing is hashed but that it is there, because which of its values came first depends on the arrival.
func (d *digest) raw(kind byte, disputed bool, n names, ts int64) (values bool) {
	d.begin(ts, n)
	if disputed {
		kind |= 0x80
	}
	d.group = append(d.group, kind)
	d.int(ts)
	return !disputed
}

// notReleased leaves out what rests on a window w that a person put back: what came of it is not content of the readings.
const notReleased = `NOT EXISTS (SELECT 1 FROM quarantine_window b WHERE b.window_id = w.window_id AND b.released_ms IS NOT NULL)`

// windows hashes the newest revision of every window that is closed by event time, unless it was released from quarantine by a person. A verdict is the window's own: what
// its asset's fail-safe added is no content of the readings.
func (d *digest) windows() error {
	return query(d.c, `SELECT w.window_id, w.end_ms, w.n, w.expected, w.completeness,
		CASE WHEN q.reasons = '["failsafe_open"]' THEN 'valid' ELSE w.verdict END, NULLIF(replace(q.reasons, ',"failsafe_open"', ''), '["failsafe_open"]'),
		p.p_failure, p.level, p.source, p.rule_score, p.explanation, `+featureColumns("w.", "")+`
		FROM telemetry_window w
		LEFT JOIN quarantine_window q ON q.window_id = w.window_id AND q.revision = w.revision
		LEFT JOIN ai_telemetry_predictions p ON p.window_id = w.window_id AND p.revision = w.revision
		WHERE `+notReleased+` AND NOT EXISTS (SELECT 1 FROM telemetry_window m WHERE m.window_id = w.window_id AND m.revision > w.revision)
		ORDER BY w.window_id`, func(s *sqlite3.Stmt) error {
		start, id := stream.SplitKey(s.ColumnInt64(0))
		if !d.isClosed(id, start) {
			return nil
		}
		d.begin(start, d.sensors[id])
		d.group = append(d.group, 'W')
		d.int(start)
		for col := 1; col <= 3; col++ {
			d.int(s.ColumnInt64(col))
		}
		d.float(s.ColumnFloat(4))
		d.text(s.ColumnText(5))
		d.text(s.ColumnText(6))
		for col := 12; col < s.ColumnCount(); col++ {
			d.float(floatAt(s, col))
		}
		if !isNull(s, 7) {
			d.group = append(d.group, 'P')
			d.float(s.ColumnFloat(7))
			d.text(s.ColumnText(8))
			d.text(s.ColumnText(9))
			d.float(s.ColumnFloat(10))
			d.text(s.ColumnText(11))
		}
		d.end()
		return nil
	})
}

func (d *digest) isClosed(sensor, start int64) bool {
	last, any := d.closed[sensor]
	return any && start <= last
}

// transitions hashes what the line did to alerts in those windows; what people did is not content of the readings.
func (d *digest) transitions() error {
	return query(d.c, `SELECT at_ms, sensor_id, window_id, kind, from_severity, to_severity, state FROM alert_event w WHERE actor = ? AND window_id IS NOT NULL AND `+notReleased+` ORDER BY at_ms`,
		func(s *sqlite3.Stmt) error {
			at, id := s.ColumnInt64(0), s.ColumnInt64(1)
			start, _ := stream.SplitKey(s.ColumnInt64(2))
			if !d.isClosed(id, start) {
				return nil
			}
			d.begin(at, d.sensors[id])
			d.group = append(d.group, 'T')
			d.int(at)
			d.int(start)
			for col := 3; col < 7; col++ {
				d.text(s.ColumnText(col))
			}
			d.end()
			return nil
		}, model.ActorLine)
}

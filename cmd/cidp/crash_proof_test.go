package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/camrail/cidp/stream"
)

// crashOpen opens a database, a copy or a live one, for questions.
func crashOpen(t *testing.T, path string, flags sqlite3.OpenFlag) *sqlite3.Conn {
	t.Helper()
	db, err := sqlite3.OpenFlags(path, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // twice is no harm
	if err := db.Exec(`PRAGMA busy_timeout = 5000`); err != nil {
		t.Fatal(err)
	}
	return db
}

// crashRows calls row for each row of an answer.
func crashRows(t *testing.T, db *sqlite3.Conn, sql string, row func(*sqlite3.Stmt), args ...any) {
	t.Helper()
	s, _, err := db.Prepare(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer s.Close()
	for i, a := range args {
		switch v := a.(type) {
		case string:
			err = s.BindText(i+1, v)
		case int64:
			err = s.BindInt64(i+1, v)
		case int:
			err = s.BindInt64(i+1, int64(v))
		case float64:
			err = s.BindFloat(i+1, v)
		default:
			t.Fatalf("bind %T", a)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for s.Step() {
		row(s)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// crashAsk gives the one figure of an answer.
func crashAsk(t *testing.T, db *sqlite3.Conn, sql string, args ...any) (out string) {
	t.Helper()
	crashRows(t, db, sql, func(s *sqlite3.Stmt) { out = s.ColumnText(0) }, args...)
	return out
}

// holdsAcknowledged proves that a database holds what its clients' logs say was acknowledged since the last call, and gives how many messages that were.
func holdsAcknowledged(t *testing.T, db *sqlite3.Conn, sources []*feedSource) (messages int) {
	t.Helper()
	for _, s := range sources {
		taken := s.taken()
		messages += len(taken)
		from := int64(math.MaxInt64)
		for _, m := range taken {
			for _, ts := range m.times() {
				from = min(from, ts)
			}
		}
		stored := storedSince(t, db, s, from)
		for _, m := range taken {
			for _, r := range m.readings {
				if got, ok := stored[r.TS]; !ok || got != r {
					t.Errorf("%s: %+v was acknowledged, and the database has %+v, %v", s.topic(), r, got, ok)
				}
			}
			for _, c := range m.contexts {
				if got, ok := stored[c.TS]; !ok || got.Conditions != c.Conditions {
					t.Errorf("%s: %+v was acknowledged, and the database has %+v, %v", s.topic(), c, got, ok)
				}
			}
		}
	}
	return messages
}

// storedSince reads what a source has in the warehouse from an event time on, by event time: everything from the views telemetry and context, as people read
// it, a part by the keys under them, which begin with the time.
func storedSince(t *testing.T, db *sqlite3.Conn, s *feedSource, from int64) map[int64]stream.Reading {
	t.Helper()
	from = max(from, 0)
	view, table, id := `SELECT ts_ms, temp_c, ambient_c, speed_kmh, load_t, brake, seq FROM telemetry WHERE ts_ms >= ?1 AND sensor_id = ?2`,
		`SELECT ts_ms, temp_c, ambient_c, speed_kmh, load_t, brake, seq FROM telemetry WHERE near > (?1 - 2048) << 20 AND ts_ms >= ?1 AND sensor_id = ?2`,
		crashAsk(t, db, `SELECT sensor_id FROM sensor JOIN asset USING (asset_id) WHERE asset = ? AND sensor = ?`, s.asset.name, s.name)
	if s.name == "" {
		view, table, id = `SELECT ts_ms, 0, ambient_c, speed_kmh, load_t, brake, NULL FROM context WHERE ts_ms >= ?1 AND asset_id = ?2`,
			`SELECT key >> 20, 0, ambient_m / 1000.0, speed_m / 1000.0, load_m / 1000.0, brake, NULL FROM context_reading WHERE key >= ?1 << 20 AND key & 1048575 = ?2`,
			crashAsk(t, db, `SELECT asset_id FROM asset WHERE asset = ?`, s.asset.name)
	}
	out := map[int64]stream.Reading{}
	if id == "" || from == math.MaxInt64 {
		return out // it has nothing yet, or nothing is asked for
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	sql := view
	if from > 0 {
		sql = table
	}
	crashRows(t, db, sql, func(r *sqlite3.Stmt) { note(t, out, r) }, from, n)
	return out
}

// note keeps one row as a reading; a second one of the same time is stored twice.
func note(t *testing.T, out map[int64]stream.Reading, s *sqlite3.Stmt) {
	t.Helper()
	r := stream.Reading{TS: s.ColumnInt64(0)}
	for col, f := range map[int]struct {
		into *stream.Milli
		has  stream.Fields
	}{1: {&r.Temp, 0}, 2: {&r.Ambient, stream.HasAmbient}, 3: {&r.Speed, stream.HasSpeed}, 4: {&r.Load, stream.HasLoad}} {
		if s.ColumnType(col) != sqlite3.NULL {
			v, ok := stream.ToMilli(s.ColumnFloat(col))
			if !ok {
				t.Fatalf("column %d is %v", col, s.ColumnFloat(col))
			}
			*f.into = v
			r.Has |= f.has
		}
	}
	if s.ColumnType(5) != sqlite3.NULL {
		r.Brake = uint8(s.ColumnInt(5))
		r.Has |= stream.HasBrake
	}
	if s.ColumnType(6) != sqlite3.NULL {
		r.Seq = s.ColumnInt64(6)
		r.Has |= stream.HasSeq
	}
	if _, twice := out[r.TS]; twice {
		t.Errorf("the reading at %d is stored twice", r.TS)
	}
	out[r.TS] = r
}

// evidencePerClientReason is how many refused messages the store keeps for one client and reason: what is beyond is only counted.
const evidencePerClientReason = 1000

var evidenceMark = regexp.MustCompile(`(refused|element)-[0-9]+-[0-9]+`)

// whole proves that a database holds what its sources have sent, each reading once with its value, what was refused and what was late as evidence, and nothing else.
// Everything was acknowledged. It gives how many readings and contexts that were.
func whole(t *testing.T, db *sqlite3.Conn, assets []*feedAsset) (readings int) {
	t.Helper()
	evidence, kept := map[string]bool{}, map[string]int{}
	crashRows(t, db, `SELECT reason, client_id, payload FROM quarantine_message`, func(s *sqlite3.Stmt) {
		reason, payload := s.ColumnText(0), s.ColumnText(2)
		kept[reason+" "+s.ColumnText(1)]++
		if m := evidenceMark.FindString(payload); m != "" {
			payload = m
		}
		evidence[reason+" "+payload] = true
	})
	late := map[string]bool{}
	crashRows(t, db, `SELECT asset || '/' || sensor, ts_ms, reason FROM late_reading JOIN sensor USING (sensor_id) JOIN asset ON asset.asset_id = sensor.asset_id`, func(s *sqlite3.Stmt) {
		late[fmt.Sprint(s.ColumnText(0), " ", s.ColumnInt64(1))] = true
	})
	disputed := 0
	for _, a := range assets {
		for _, s := range a.sources {
			stored := storedSince(t, db, s, 0)
			for turn := 0; turn*s.per < a.end; turn++ {
				for _, m := range s.makeTurn(turn) {
					for _, c := range m.contexts {
						m.readings = append(m.readings, stream.Reading{TS: c.TS, Conditions: c.Conditions})
					}
					for _, r := range m.readings {
						got, ok := stored[r.TS]
						if m.again && !ok {
							continue
						}
						if !ok || got != r {
							t.Errorf("%s: %+v was acknowledged, and the database has %+v, %v", s.topic(), r, got, ok)
						}
						delete(stored, r.TS)
						readings++
					}
					if m.refused != "" && !evidence[m.refused+" "+m.mark] && kept[m.refused+" "+s.client()] < evidencePerClientReason {
						t.Errorf("%s: the refusal of %s as %s was acknowledged, and there is no evidence of it", s.topic(), m.payload, m.refused)
					}
					for _, r := range m.late {
						if !late[fmt.Sprint(a.name, "/", s.name, " ", r.TS)] {
							t.Errorf("%s: the late reading at %d was acknowledged, and is not in late_reading", s.topic(), r.TS)
						}
					}
					disputed += len(m.disputed)
				}
			}
			if len(stored) > 0 {
				t.Errorf("%s: %d readings are stored that nobody sent", s.topic(), len(stored))
			}
		}
	}
	if got := crashAsk(t, db, `SELECT count(*) FROM conflicted`); got != fmt.Sprint(disputed) {
		t.Errorf("%s readings are in dispute, %d were disputed", got, disputed)
	}
	once(t, db)
	return readings
}

// once proves that nothing is there twice under two names, and that time alone has closed windows.
func once(t *testing.T, db *sqlite3.Conn) {
	t.Helper()
	for what, sql := range map[string]string{
		"sensors of one name":      `SELECT count(*) - count(DISTINCT site || '/' || asset || '/' || sensor) FROM sensor JOIN asset USING (asset_id)`,
		"readings of one time":     `SELECT count(*) FROM (SELECT 1 FROM telemetry GROUP BY sensor_id, ts_ms HAVING count(*) > 1)`,
		"windows of one start":     `SELECT count(*) FROM (SELECT 1 FROM telemetry_window GROUP BY sensor_id, start_ms HAVING count(*) > 1)`,
		"transitions of one time":  `SELECT count(*) FROM (SELECT 1 FROM alert_event GROUP BY alert_id, kind, at_ms HAVING count(*) > 1)`,
		"windows closed by idling": `SELECT count(*) FROM telemetry_window WHERE closed_by = 'idle'`,
		"unsent publications":      `SELECT count(*) FROM outbox`,
	} {
		if n := crashAsk(t, db, sql); n != "0" {
			t.Errorf("%s: %s", what, n)
		}
	}
}

// alertStory gives every transition and every alert by content, without what belongs to one run.
func alertStory(t *testing.T, db *sqlite3.Conn) []string {
	t.Helper()
	var out []string
	row := func(s *sqlite3.Stmt) {
		var line []string
		for col := range s.ColumnCount() {
			line = append(line, s.ColumnText(col))
		}
		out = append(out, strings.Join(line, "|"))
	}
	crashRows(t, db, `SELECT 'event', site, asset, sensor, alert_id, (SELECT start_ms FROM telemetry_window w WHERE w.window_id = e.window_id), revision, at_ms, e.kind,
		from_severity, to_severity, state, cause, actor FROM alert_event e JOIN sensor USING (sensor_id) JOIN asset USING (asset_id)`, row)
	crashRows(t, db, `SELECT 'alert', alert_id, site, asset, sensor, state, severity, raised_at_ms, updated_at_ms, p_failure, value, rule, reason, explanation,
		window_start_ms, model_id FROM alert`, row)
	slices.Sort(out)
	return out
}

// sameStory compares the alerts of two runs.
func sameStory(t *testing.T, got, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("the alerts differ:\nwith crashes    %s\nuninterrupted   %s", got[i], want[i])
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rows of alerts with crashes, %d without", len(got), len(want))
	}
}

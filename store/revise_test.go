package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// delayed is a traffic of which one reading in eight comes up to five minutes late, none of them a sensor's first.
func delayed(seed uint64) []sent {
	luck := rand.New(rand.NewPCG(seed, 99))
	all := traffic(seed)
	seen := map[string]int{}
	for i := range all {
		s := &all[i]
		if seen[s.topic]++; seen[s.topic] > 3 && !s.context && luck.IntN(8) == 0 {
			s.arrival += luck.Int64N(5 * minute)
		}
	}
	slices.SortStableFunc(all, func(a, b sent) int { return int(a.arrival - b.arrival) })
	return all
}

// ownFigures are the newest revisions of the bearings' windows, by what their own readings give.
func ownFigures(t *testing.T, path string) string {
	return strings.Join(rows(t, path, `SELECT asset, sensor, start_ms, end_ms, n, expected, completeness, verdict, mean_c, max_c, min_c, std_c, last_c, slope_c_per_min, short_long_c,
		ambient_mean_c, over_ambient_c, speed_mean_kmh, heading_over_ambient_c, suspect_share, reasons FROM window_now WHERE sensor LIKE 'axle%' ORDER BY asset, sensor, start_ms`), "\n")
}

// TestRevisionsKeepTheLaws lets readings come minutes late, with small batches and crashes: every law holds after each crash, and the newest revisions say what windows in order do.
func TestRevisionsKeepTheLaws(t *testing.T) { revisionsKeepTheLaws(t, seeds()) }

func revisionsKeepTheLaws(t *testing.T, seeds uint64, hop ...time.Duration) {
	path := dbPath(t)
	l := newLine(t, path, hop...)
	for _, s := range traffic(0) {
		l.feed(s)
	}
	l.w.Tick(24*time.Hour, t0)
	l.commit()
	l.crash()
	want := ownFigures(t, path)
	if strings.Count(want, "\n") < 60 {
		t.Fatalf("few windows: %s", want)
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		path := dbPath(t)
		all := delayed(seed)
		luck := rand.New(rand.NewPCG(seed, 1))
		l := newWorn(t, path, hop...)
		for i, acked := 0, 0; i < len(all); {
			l.feed(all[i])
			i++
			switch n := luck.IntN(400); {
			case n < 20:
				l.commit()
				acked = i
			case n == 20:
				l = l.again()
				i = acked
				holds(t, path)
			}
		}
		l.w.Tick(24*time.Hour, t0)
		l.commit()
		l.crash()
		holds(t, path)
		_ = digest(t, path) // it can be made
		if got := ownFigures(t, path); got != want {
			a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Errorf("seed %d:\n got  %s\n want %s", seed, a[i], b[i])
					break
				}
			}
			t.Errorf("seed %d: %d windows, want %d", seed, len(a), len(b))
		}
		if n := one(t, path, `SELECT count(*) FROM telemetry_window WHERE revision > 0`); n == "0" {
			t.Error("nothing was revised")
		}
		for _, q := range []struct{ what, sql string }{
			{"the views count each window once", `SELECT (SELECT sum(windows) FROM kpi_asset_daily) = (SELECT count(DISTINCT window_id) FROM telemetry_window WHERE ` + learns + `)
				AND (SELECT sum(windows) FROM kpi_data_quality) = (SELECT count(DISTINCT window_id) FROM telemetry_window WHERE ` + learns + `)`},
			{"a risk is of a newest revision", `SELECT NOT EXISTS (SELECT 1 FROM risk_now r WHERE EXISTS (SELECT 1 FROM telemetry_window n WHERE n.window_id = r.window_id AND n.revision > r.revision))`},
			{"a sensor's period is that of its newest window", `SELECT NOT EXISTS (SELECT 1 FROM sensor s WHERE period_ms <> (SELECT period_ms FROM telemetry_window w
				WHERE w.sensor_id = s.sensor_id AND ` + learns + ` ORDER BY start_ms DESC, revision DESC LIMIT 1))`},
		} {
			if one(t, path, q.sql) != "1" {
				t.Errorf("seed %d: not so: %s", seed, q.what)
			}
		}
		l = newWorn(t, path, hop...) // all revisions of a window go together
		expire(t, l.db, store.Keep{Raw: 10 * time.Minute, Windows: 10 * time.Minute}, t0+30*minute, false)
		l.crash()
		holds(t, path)
		if one(t, path, `SELECT count(*) FROM ledger WHERE counter = 'expired_window'`) == "0" {
			t.Error("no window has expired")
		}
	}
}

// rescore scores a revision as the platform does: only one of its sensor's newest window moves the alert.
func (l *worn) rescore(b *store.Batch, w *stream.Window) {
	before, _ := l.holdAt(b, w.Sensor.ID, w.Start-1)
	at, start := l.holdAt(b, w.Sensor.ID, w.Start)
	hold := l.holds[w.Sensor.ID]
	switch {
	case w.Behind:
		hold = before
	case start == w.Start:
		hold = hold.Again(before)
	}
	s := levels().Next(hold, w, score(w), model.RuleResult{}, nil, modelID)
	if w.Behind {
		s.Prediction.Hold = at
		b.Predictions = append(b.Predictions, s.Prediction)
		return
	}
	l.holds[w.Sensor.ID] = s.Prediction.Hold
	b.Predictions = append(b.Predictions, s.Prediction)
	if s.Alert != nil {
		b.Alerts = append(b.Alerts, *s.Alert)
	}
	b.Transitions = append(b.Transitions, s.Transitions...)
}

// holdAt gives the hold after a sensor's last prediction up to a time, from the batch or the table.
func (l *worn) holdAt(b *store.Batch, sensor, ts int64) (model.Hold, int64) {
	l.t.Helper()
	h, start, _, err := l.p.Hold(sensor, ts)
	if err != nil {
		l.t.Fatal(err)
	}
	for i := range b.Predictions {
		if p := &b.Predictions[i]; p.SensorID == sensor && p.Start <= ts && p.Start >= start && !p.Hold.None() {
			h, start = p.Hold, p.Start
		}
	}
	return h, start
}

// TestHistory answers as the tables do.
func TestHistory(t *testing.T) {
	path := dbPath(t)
	l := newWorn(t, path)
	all := delayed(5)
	for i, s := range all {
		if l.feed(s); i%200 == 0 {
			l.commit()
		}
	}
	l.commit()
	from, to := t0+3*minute, t0+5*minute
	var id int64
	if _, err := fmt.Sscan(one(t, path, `SELECT sensor_id FROM risk_now WHERE asset = 'loco-0' AND sensor = 'axle1-left'`), &id); err != nil {
		t.Fatal(err)
	}
	other := id%3 + 1
	spans := []stream.Stretch{{ID: id, From: from, To: to}, {ID: other, From: from + minute, To: to}, {ID: id, From: t0 + 20*minute, To: t0 + 21*minute}}
	got, err := l.p.Readings(spans)
	if err != nil {
		t.Fatal(err)
	}
	asked := map[int64]bool{}
	for _, k := range got {
		r, found, err := l.p.Reading(k.ID, k.TS)
		disputed, err2 := l.p.Conflicted(k.ID, k.TS)
		if err != nil || err2 != nil || !found || r != k.Reading || disputed != k.Conflicted {
			t.Errorf("sensor %d at %d: %+v, %v", k.ID, k.TS, k, err)
		}
		if asked[stream.Key(k.TS, k.ID)] {
			t.Errorf("sensor %d at %d comes twice", k.ID, k.TS)
		}
		asked[stream.Key(k.TS, k.ID)] = true
	}
	want := one(t, path, fmt.Sprintf(`SELECT count(*) FROM telemetry WHERE sensor_id = %d AND (ts_ms >= %d AND ts_ms < %d OR ts_ms >= %d AND ts_ms < %d)
		OR sensor_id = %d AND ts_ms >= %d AND ts_ms < %d`, id, from, to, t0+20*minute, t0+21*minute, other, from+minute, to))
	if fmt.Sprint(len(got)) != want {
		t.Errorf("%d readings, the table has %s", len(got), want)
	}
	contexts, err := l.p.Contexts([]stream.Stretch{{ID: 1, From: from, To: to}})
	if want := one(t, path, fmt.Sprintf(`SELECT count(*) FROM context WHERE asset_id = 1 AND ts_ms >= %d AND ts_ms < %d`, from, to)); err != nil || fmt.Sprint(len(contexts)) != want {
		t.Errorf("%d contexts, the table has %s: %v", len(contexts), want, err)
	}
	w, err := l.p.Window(id, t0+10*minute+1)
	if err != nil || w == nil {
		t.Fatalf("window %v: %v", w, err)
	}
	f := &w.Features
	got2 := one(t, path, fmt.Sprintf(`SELECT revision || ' ' || n || ' ' || hex(memory) || ' ' || closed_by || ' ' || (mean_c = %v) || (mate_diff_c = %v) || (suspect_share = %v)
		FROM telemetry_window WHERE sensor_id = %d AND start_ms = %d ORDER BY revision DESC LIMIT 1`, f[stream.FMean], f[stream.FMateDiff], f[stream.FSuspectShare], id, t0+10*minute))
	if want := fmt.Sprintf("%d %d %X %s 111", w.Revision, w.N, w.Memory, w.ClosedBy); got2 != want || f[stream.FCompleteness] != w.Completeness || f[stream.FKind] != 1 {
		t.Errorf("window %+v is not %v", w, got2)
	}
	if none, err := l.p.Window(id, t0-1); none != nil || err != nil {
		t.Errorf("window before all: %v, %v", none, err)
	}
	h, start, found, err := l.p.Hold(id, t0+5*minute)
	if err != nil || !found || start > t0+5*minute || h.AlertID == "" || h.Level != model.Critical {
		t.Errorf("hold %+v of %d, %v, %v", h, start, found, err)
	}
	if _, _, found, err := l.p.Hold(id, t0-1); found || err != nil {
		t.Errorf("a hold before all: %v", err)
	}
}

// TestRevisionCommitsWhole: a revision takes the place of its window's flags, and nothing else of it goes.
func TestRevisionCommitsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "industrial_dwh.sqlite")
	db := open(t, path, store.Options{})
	p := newPlant([]int{0, 1, 2, 3, 4, 5})
	b := batch(db)
	p.register(b)
	for _, o := range append(p.raw(0), p.raw(1)...) {
		o(b)
	}
	old, later := p.windowOf(0, t0, 6, stream.Spikes), p.windowOf(0, t0+minute, 6)
	old.Revision, later.Revision = 0, 0
	b.Windows = append(b.Windows, old, later)
	b.Predictions = append(b.Predictions, predictionOf(later, 0.1, model.Normal))
	for _, s := range p.sensors[1:] {
		b.Opened = append(b.Opened, stream.Open{SensorID: s.ID, From: t0, To: t0 + 3*minute})
	}
	count(b, 0)
	commit(t, db, b)
	b = batch(db)
	b.Messages = 1
	next := p.windowOf(0, t0, 6)
	next.Revision, next.Behind, next.PeriodMs = 1, true, 77
	for ts := t0; ts < t0+minute; ts += 10_000 {
		next.Times = append(next.Times, ts)
	}
	next.Flagged = []stream.Flagged{{TS: t0 + 10_000, Flag: stream.FlagSuspect}}
	b.Windows, b.Predictions = append(b.Windows, next), append(b.Predictions, predictionOf(next, 0.2, model.Normal))
	commit(t, db, b)
	b = batch(db)
	b.Messages = 1
	last := *next
	last.Revision = 2
	b.Windows, b.Predictions = append(b.Windows, &last), append(b.Predictions, predictionOf(&last, 0.2, model.Watch))
	b.Predictions[0].Hold.Above = 7
	commit(t, db, b)
	past, err := db.Past()
	if err != nil {
		t.Fatal(err)
	}
	if w, err := past.Window(p.sensors[0].ID, t0+minute-1); err != nil || w.Revision != 2 {
		t.Errorf("window %+v, %v", w, err)
	}
	if h, _, _, err := past.Hold(p.sensors[0].ID, t0+minute-1); err != nil || h.Above != 7 {
		t.Errorf("hold %+v, %v", h, err)
	}
	if err := past.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, path)
	if got := rows(t, path, `SELECT ts_ms, flag FROM telemetry WHERE sensor_id = `+fmt.Sprint(p.sensors[0].ID)+` AND flag > 1`); len(got) != 1 || !strings.Contains(got[0], "3") {
		t.Errorf("flags %v", got)
	}
	if got := one(t, path, fmt.Sprintf(`SELECT period_ms FROM sensor WHERE sensor_id = %d`, p.sensors[0].ID)); got != "10000" {
		t.Errorf("the sensor's period is %s", got)
	}
	if got := one(t, path, `SELECT count(*) || ' ' || max(window_start_ms) FROM risk_now`); got != fmt.Sprint("1 ", t0+minute) {
		t.Errorf("risk now: %s", got)
	}
	report, err := store.Verify(context.Background(), path, nil)
	if err != nil || report.Counts.Windows != 4 || report.Counts.Quarantined != 1 {
		t.Errorf("%+v, %v", report.Counts, err)
	}
}

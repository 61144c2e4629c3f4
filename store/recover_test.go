package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

func recovered(t *testing.T, db *store.DB, back time.Duration) *store.Recovery {
	t.Helper()
	r, err := db.Recover(backBy(back))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func fed(t *testing.T, r *store.Recovery) (out []store.Fed) {
	t.Helper()
	for f, err := range r.Feed() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

func TestRecover(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	p := newPlant(inOrder())
	ops := p.scenario(nil)
	play(t, db, ops, 40)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, store.Options{})
	r := recovered(t, db, time.Minute)
	if len(r.Assets) != 2 || *r.Assets[1] != *p.assets["loco-2"] {
		t.Errorf("assets %+v", r.Assets)
	}
	if !reflect.DeepEqual(r.Sensors, p.sensors) {
		t.Errorf("sensors %+v, want %+v", r.Sensors, p.sensors)
	}
	want := store.LastWindow{SensorID: 2, Revision: 1, Start: t0 + 3*minute, End: t0 + 4*minute, Last: t0 + 3*minute + 50_000, PeriodMs: 10_000, Memory: []byte{1, 2, 1}}
	if got := r.Windows[2]; len(r.Windows) != 6 || !reflect.DeepEqual(got, want) {
		t.Errorf("newest window %+v, want %+v", got, want)
	}
	if len(r.Alerts) != 0 || len(r.Holds) != 6 || len(r.Unsent) != 23 || len(r.Open) != 6 || r.LastCommit != db.LastCommit() || len(r.Ledger) == 0 {
		t.Errorf("%d alerts, %d holds, %d unsent, %d open, commit %d", len(r.Alerts), len(r.Holds), len(r.Unsent), len(r.Open), r.LastCommit)
	}
	if u := r.Unsent[0]; u.Topic != "cidp/v1/risk/douala/loco-1/axle1-left" || !json.Valid(u.Payload) || !bytes.Contains(u.Payload, []byte(`"explanation":[{"feature":"mean_c","value":40.125,`)) || !u.Retain || u.ID == 0 {
		t.Errorf("unsent %+v", u)
	}
	readings, contexts := 0, 0
	last := int64(0)
	for _, f := range fed(t, r) {
		if f.TS < last {
			t.Fatalf("fed %d after %d", f.TS, last)
		}
		last = f.TS
		if f.SensorID == 0 {
			contexts++
			if f.Ambient != 20_000 || f.Speed != 5 || f.Has != stream.HasAmbient|stream.HasSpeed {
				t.Errorf("context %+v", f)
			}
			continue
		}
		readings++
		if want := readingAt(int(f.SensorID-1), f.TS); f.Reading != want {
			t.Errorf("reading of sensor %d: %+v, want %+v", f.SensorID, f.Reading, want)
		}
	}
	if readings != 36 || contexts != 4 { // the open minute, and contexts of it and of the minute before
		t.Errorf("fed %d readings and %d contexts", readings, contexts)
	}
}

func TestRecoverOpenAlertAndDispute(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	p := newPlant(inOrder())
	ops := append([]op{p.register}, p.raw(0)...)
	ops = append(append(ops, p.close(0)...), p.raw(1)...)
	ops = append(append(ops, p.dispute), p.close(1)[:3]...) // loco-2 stays open from minute 1 on
	play(t, db, ops, 1000)
	r := recovered(t, db, 0)
	if len(r.Alerts) != 1 {
		t.Fatalf("%d open alerts", len(r.Alerts))
	}
	a := r.Alerts[0]
	if a.State != model.Active || a.Severity != model.Alarm || a.Value != 99.5 || len(a.Explanation) != 2 || a.Explanation[0].Contribution != 1.0/3 ||
		a.Explanation[1].Value == a.Explanation[1].Value || a.RaisedAt != t0+2*minute || a.Ack != nil ||
		a.Method != model.MethodTreeSHAP || a.Score == nil || *a.Score != 0.5 {
		t.Errorf("alert %+v", a)
	}
	disputed, sensors := 0, map[int64]int{}
	contexts := map[int64]int{}
	for _, f := range fed(t, r) {
		if f.SensorID == 0 {
			contexts[f.AssetID]++
			if f.Conflicted != (f.TS == t0+minute && f.AssetID == 2) {
				t.Errorf("context %+v", f)
			}
			continue
		}
		sensors[f.SensorID]++
		if f.Conflicted {
			disputed++
		}
	}
	if disputed != 1 || len(sensors) != 3 || sensors[5] != 6 {
		t.Errorf("%d disputed, readings by sensor %v", disputed, sensors)
	}
	if contexts[2] != 1 || contexts[1] != 0 { // loco-1's are before the end of its last window
		t.Errorf("contexts by asset %v", contexts)
	}
	if r.ContextsFrom[1] != t0+2*minute || r.ContextsFrom[2] != t0+minute {
		t.Errorf("contexts from %v", r.ContextsFrom)
	}
	stop := 0
	for range r.Feed() { // a reader may stop early
		if stop++; stop == 3 {
			break
		}
	}
	if n := len(fed(t, r)); n != 19 {
		t.Errorf("fed %d after an early stop", n)
	}
}

func TestRecoverEmpty(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	r := recovered(t, db, time.Hour)
	if n := len(fed(t, r)); n != 0 || r.LastCommit != 0 {
		t.Errorf("fed %d, commit %d", n, r.LastCommit)
	}
}

func TestPast(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	past, err := db.Past()
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	if _, found, err := past.Reading(1, t0); err != nil || found {
		t.Errorf("before any commit: %t, %v", found, err)
	}
	p := newPlant(inOrder())
	play(t, db, append(append(append([]op{p.register}, p.raw(0)...), p.raw(1)...), p.dispute), 50)
	for n := range p.sensors {
		ts := t0 + 30_000
		if r, found, err := past.Reading(int64(n+1), ts); err != nil || !found || r != readingAt(n, ts) {
			t.Errorf("sensor %d: %+v, %t, %v, want %+v", n, r, found, err, readingAt(n, ts))
		}
	}
	if _, found, err := past.Reading(1, t0+1); err != nil || found {
		t.Errorf("between readings: %t, %v", found, err)
	}
	want := stream.Context{TS: t0, Conditions: stream.Conditions{Ambient: 20_000, Speed: 5, Has: stream.HasAmbient | stream.HasSpeed}}
	if c, found, err := past.Context(1, t0); err != nil || !found || c != want {
		t.Errorf("context: %+v, %t, %v", c, found, err)
	}
	for _, c := range []struct {
		sensor, ts int64
		want       bool
	}{{5, t0 + minute + 20_000, true}, {4, t0 + minute + 20_000, false}} {
		if got, err := past.Conflicted(c.sensor, c.ts); err != nil || got != c.want {
			t.Errorf("conflicted %d at %d: %t, %v", c.sensor, c.ts, got, err)
		}
	}
	if got, err := past.ConflictedContext(2, t0+minute); err != nil || !got {
		t.Errorf("conflicted context: %t, %v", got, err)
	}
}

func TestConsole(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	play(t, db, newPlant(inOrder()).scenario(nil), 40)
	k, err := db.Console()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	ctx := context.Background()
	sum, err := k.Summary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Windows != 24 || sum.Quarantined != 1 || sum.Predictions != 23 || sum.AlertsAll != 1 || sum.AlertsOpen != 0 || sum.Sensors != 6 || sum.LastCommit != db.LastCommit() {
		t.Errorf("summary %+v", sum)
	}
	risks, err := k.Risks(ctx, store.RiskFilter{Asset: "loco-2", Limit: 2})
	if err != nil || len(risks) != 2 || risks[0].Sensor != "motor1" || risks[0].PFailure != 0.75 || risks[0].WindowEndMs != t0+4*minute {
		t.Errorf("risks %+v, %v", risks, err)
	}
	if risks, err := k.Risks(ctx, store.RiskFilter{}); err != nil || len(risks) != 6 || risks[0].Level != "alarm" {
		t.Errorf("risks %+v, %v", risks, err)
	}
	if risks, err := k.Risks(ctx, store.RiskFilter{Level: "critical"}); err != nil || risks == nil || len(risks) != 0 {
		t.Errorf("critical risks %+v, %v", risks, err)
	}
	alerts, err := k.Alerts(ctx, 0)
	if err != nil || len(alerts) != 1 || alerts[0].State != "cleared" || *alerts[0].Value != 99.5 {
		t.Errorf("alerts %+v, %v", alerts, err)
	}
	q, err := k.Quarantine(ctx, store.QuarantineFilter{Limit: 2})
	if err != nil || len(q.Windows) != 1 || string(q.Windows[0].Reasons) != `["flatline","gap"]` || len(q.Messages) != 2 || q.Messages[0].Element != 2 || len(q.WindowsByReason) != 2 {
		t.Errorf("quarantine %+v, %v", q, err)
	}
	h, err := k.SensorHistory(ctx, "douala", "loco-2", "axle1-left", 3)
	if err != nil || len(h) != 3 || h[0].StartMs != t0+3*minute || h[1].Verdict != "quarantined" || h[1].PFailure != nil || *h[0].PFailure != 0.55 {
		t.Errorf("history %+v, %v", h, err)
	}
	if h, err := k.SensorHistory(ctx, "douala", "loco-2", "nobody", 3); err != nil || len(h) != 0 {
		t.Errorf("history of nobody %+v, %v", h, err)
	}
	for _, v := range []any{sum, risks, alerts, q, h} {
		if text, err := json.Marshal(v); err != nil || strings.Contains(string(text), `null,"level":"normal"`) {
			t.Errorf("json of %T: %s, %v", v, text, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := k.Summary(ended); err == nil {
		t.Error("a page was read for a context that had ended")
	}
	if _, err := k.Summary(ctx); err != nil {
		t.Errorf("after a context that had ended: %v", err)
	}
}

func TestConsoleOfOneSensor(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	play(t, db, newPlant(inOrder()).scenario(nil), 40)
	k, err := db.Console()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	ctx := context.Background()
	info, err := k.Sensor(ctx, "douala", "loco-2", "motor1")
	if err != nil || info == nil || *info != (store.SensorInfo{SensorID: 6, Kind: "bearing", PeriodMs: 10_000}) {
		t.Errorf("sensor %+v, %v", info, err)
	}
	if info, err := k.Sensor(ctx, "douala", "loco-2", "nobody"); err != nil || info != nil {
		t.Errorf("unknown sensor %+v, %v", info, err)
	}
	newest, err := k.NewestWindows(ctx)
	if err != nil || len(newest) != 6 || newest[5].SensorID != 6 || newest[5].EndMs != t0+4*minute || newest[5].Level != "normal" || *newest[5].PFailure != 0.75 {
		t.Errorf("newest windows %+v, %v", newest, err)
	}
}

func TestVerifyStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	path := filled(t)
	if _, err := store.Verify(ctx, path, nil); err == nil {
		t.Error("Verify went on")
	}
	if _, err := store.Digest(ctx, path); err == nil || errors.Is(err, store.ErrDamaged) {
		t.Errorf("Digest: %v", err)
	}
}

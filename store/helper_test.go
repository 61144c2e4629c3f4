package store_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
	"github.com/ncruces/go-sqlite3"
)

const (
	t0       = int64(1_700_000_040_000) // a full minute
	minute   = int64(60_000)
	modelID  = "0123456789abcdef"
	disorder = 10 * time.Second
)

// everyRow gives the stored readings, packed or not.
const everyRow = `SELECT key, CAST(round(temp_c * 1000) AS INTEGER) AS temp_m FROM telemetry`

// packFrom is Options.PackFrom of the tests' databases, which CIDP_PACK sets for one more run of them: with 1 all readings are packed, with 5 there are single ones between them.
var packFrom, _ = strconv.Atoi(os.Getenv("CIDP_PACK"))

// singleRows skips a test that alters rows of their own where readings are packed.
func singleRows(t testing.TB) {
	if packFrom > 0 {
		t.Skip("it alters rows of the table reading, and CIDP_PACK packs them")
	}
}

func dbPath(t testing.TB) string {
	return filepath.Join(t.TempDir(), "database", "industrial_dwh.sqlite")
}

// open opens a warehouse with a recorded model and closes it when the test ends.
func open(t testing.TB, path string, o store.Options) *store.DB {
	t.Helper()
	if o.Window == 0 {
		o.Window, o.Disorder = time.Minute, disorder
	}
	if o.PackFrom == 0 {
		o.PackFrom = packFrom
	}
	db, err := store.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := putLive(db, modelID); err != nil {
		t.Fatal(err)
	}
	return db
}

// passed is a trial that lets a model go live, as it is recorded.
const passed = `{"passed":true}`

// putLive makes a model the live one; the one before is retired. Where it is live already nothing happens.
func putLive(db *store.DB, id string) error {
	rows, err := db.Models()
	if err != nil {
		return err
	}
	var moves []store.ModelMove
	for _, r := range rows {
		switch {
		case r.State != store.ModelActive:
		case r.ID == id:
			return nil
		default:
			moves = append(moves, moved(r.ID, store.ModelRetired))
		}
	}
	return db.MoveModels(append(moves, moved(id, store.ModelActive)))
}

// moved is what a person asked of a model.
func moved(id string, state store.ModelState) store.ModelMove {
	action := map[store.ModelState]string{store.ModelActive: store.ActionActivate, store.ModelShadow: store.ActionShadow, store.ModelRetired: store.ActionRetire}[state]
	return store.ModelMove{Model: store.ModelInfo{ID: id, Name: "test", Features: "[]", Metrics: "{}", Trial: passed, State: state}, At: t0, Action: action, Actor: "ngo", Detail: "asked for"}
}

// levels are those of the tests' alerts: round numbers, whatever the defaults are.
func levels() model.AlertConfig {
	return model.AlertConfig{Watch: 0.3, Alarm: 0.6, Critical: 0.85, Hysteresis: 0.1, RaiseAfter: 2, ClearAfter: 5}
}

// batch gives an empty batch that follows the last commit.
func batch(db *store.DB) *store.Batch {
	return &store.Batch{Batch: &stream.Batch{}, ID: db.LastCommit() + 1, Committed: t0 + 1000*db.LastCommit()}
}

// count makes a batch's count agree with what it holds.
func count(b *store.Batch, duplicates int64) {
	c := stream.Count{
		Stored: int64(len(b.Readings)), StoredContext: int64(len(b.Contexts)), StoredFinding: int64(len(b.Findings)), Late: int64(len(b.Late)), Refused: int64(len(b.Refusals)),
		Duplicate: duplicates, RefusedByReason: map[stream.Reason]int64{},
	}
	for _, r := range b.Refusals {
		c.RefusedByReason[r.Reason]++
	}
	c.Received = c.Stored + c.StoredContext + c.StoredFinding + c.Late + c.Refused + c.Duplicate
	b.Count, b.Messages = c, c.Received
}

func commit(t testing.TB, db *store.DB, b *store.Batch) {
	t.Helper()
	if err := db.Commit(b); err != nil {
		t.Fatal(err)
	}
}

// op is one thing that happens to the line; a batch is a run of them.
type op func(b *store.Batch)

// plant is a small fleet with ids given in the order of names: two assets of three sensors.
type plant struct {
	assets  map[string]*stream.Asset
	sensors []*stream.Sensor
	known   map[int64]bool
}

var sensorNames = [][2]string{{"loco-1", "axle1-left"}, {"loco-1", "axle1-right"}, {"loco-1", "motor1"},
	{"loco-2", "axle1-left"}, {"loco-2", "axle1-right"}, {"loco-2", "motor1"}}

// newPlant gives ids in the order of a permutation of sensorNames. sensors keeps the order of the names.
func newPlant(order []int) *plant {
	p := &plant{assets: map[string]*stream.Asset{}, sensors: make([]*stream.Sensor, len(sensorNames)), known: map[int64]bool{}}
	for i, at := range order {
		n := sensorNames[at]
		a := p.assets[n[0]]
		if a == nil {
			a = &stream.Asset{ID: int64(len(p.assets) + 1), Site: "douala", Name: n[0], FirstSeen: t0}
			p.assets[n[0]] = a
		}
		p.sensors[at] = &stream.Sensor{ID: int64(i + 1), AssetID: a.ID, Site: a.Site, Asset: a.Name, Name: n[1], Kind: stream.Bearing,
			Position: "axle1", Axle: 1, Side: "left", FirstSeen: t0}
	}
	return p
}

func (p *plant) register(b *store.Batch) {
	for id := int64(1); id <= int64(len(p.assets)); id++ {
		for _, a := range p.assets {
			if a.ID == id {
				b.Assets = append(b.Assets, a)
			}
		}
	}
	for id := int64(1); id <= int64(len(p.sensors)); id++ {
		for _, s := range p.sensors {
			if s.ID == id {
				b.Sensors = append(b.Sensors, s)
			}
		}
	}
}

// readingAt is the value of the nth sensor at a time: with conditions, without, and with a sequence number.
func readingAt(n int, ts int64) stream.Reading {
	r := stream.Reading{TS: ts, Temp: stream.Milli(40_000 + 100*int64(n) + (ts-t0)/1000)}
	if n%2 == 0 {
		r.Conditions = stream.Conditions{Ambient: 21_500, Speed: 80_000, Load: -1, Brake: 1, Has: stream.HasAmbient | stream.HasSpeed | stream.HasLoad | stream.HasBrake}
	}
	if n == 1 {
		r.Seq, r.Has = ts/1000, r.Has|stream.HasSeq
	}
	return r
}

// windowOf closes one minute of the nth sensor.
func (p *plant) windowOf(n int, start int64, count int, reasons ...stream.Reason) *stream.Window {
	w := &stream.Window{Sensor: p.sensors[n], Start: start, End: start + minute, Revision: 1, N: count, Expected: 6, Completeness: float64(count) / 6,
		Reasons: reasons, ClosedBy: stream.ByWatermark, Last: start + 50_000, PeriodMs: 10_000, Live: true, Memory: []byte{1, 2, byte(n)}}
	for i := range w.Features {
		w.Features[i] = float64(i) + float64(n)/3 + float64(start-t0)/7e5
	}
	w.Features[stream.FPeerZ] = math.NaN()
	w.Features[stream.FCompleteness] = w.Completeness
	if len(reasons) > 0 {
		w.Detail = "one value did not change for a minute"
		w.Flagged = []stream.Flagged{{TS: start, Flag: stream.FlagSuspect}, {TS: start + 10_000, Flag: stream.FlagFail}}
	}
	return w
}

func predictionOf(w *stream.Window, p float64, level model.Level) model.Prediction {
	return model.Prediction{WindowID: w.ID(), Revision: w.Revision, SensorID: w.Sensor.ID, Start: w.Start, End: w.End, PFailure: p, Level: level,
		Source: "forest", RuleScore: p / 3, ModelID: modelID,
		Explanation: []model.Contribution{{Feature: "mean_c", Value: 40.125, Contribution: 1.0 / 3}, {Feature: "peer_z", Value: math.NaN(), Contribution: -0.25}}}
}

const minutes = 5

// raw gives one op for each reading and context of a minute.
func (p *plant) raw(m int64) []op {
	var ops []op
	start := t0 + m*minute
	for ts := start; ts < start+minute; ts += 10_000 {
		for n, s := range p.sensors {
			ops = append(ops, func(b *store.Batch) {
				b.Readings = append(b.Readings, stream.Stored{SensorID: s.ID, Reading: readingAt(n, ts)})
			})
		}
	}
	for _, a := range p.assets {
		ops = append(ops, func(b *store.Batch) {
			b.Contexts = append(b.Contexts, stream.StoredContext{AssetID: a.ID, Context: stream.Context{TS: start, Conditions: stream.Conditions{Ambient: 20_000, Speed: 5, Has: stream.HasAmbient | stream.HasSpeed}}})
		})
	}
	return ops
}

// disputed is the minute and sensor whose third reading is in dispute; stuck are those of the quarantined window; hot is the sensor with an alert.
const (
	disputedMinute, disputedSensor = 1, 4
	stuckMinute, stuckSensor       = 2, 3
	hotSensor                      = 0
)

// dispute is what a second value for a time does: evidence, and the key.
func (p *plant) dispute(b *store.Batch) {
	ts := t0 + disputedMinute*minute + 20_000
	b.Conflicted = append(b.Conflicted, stream.Stored{SensorID: p.sensors[disputedSensor].ID, Reading: stream.Reading{TS: ts, Temp: 1}})
	b.Refusals = append(b.Refusals, stream.Refusal{Reason: stream.Conflict, Received: ts, Topic: "cidp/v1/telemetry/douala/loco-2/axle1-right", Client: "c1",
		Payload: []byte(`{"ts":1}`), Element: -1, Detail: "another value"})
	b.ConflictedContexts = append(b.ConflictedContexts, stream.StoredContext{AssetID: p.assets["loco-2"].ID, Context: stream.Context{TS: t0 + minute}})
}

// close gives one op a window of a minute, with its prediction, or its quarantine, and its alert's moves.
func (p *plant) close(m int64) []op {
	var ops []op
	start := t0 + m*minute
	for n, s := range p.sensors {
		ops = append(ops, func(b *store.Batch) {
			w := p.windowOf(n, start, 6)
			switch {
			case m == disputedMinute && n == disputedSensor:
				w = p.windowOf(n, start, 5)
			case m == stuckMinute && n == stuckSensor:
				w = p.windowOf(n, start, 6, stream.Flatline, stream.Gap)
			}
			b.Windows = append(b.Windows, w)
			b.Opened = append(b.Opened, stream.Open{SensorID: s.ID, From: start + minute})
			if !w.Valid() {
				return
			}
			pr := predictionOf(w, 0.25+float64(n)/10, model.Normal)
			if n == hotSensor {
				p.alarm(b, m, w, &pr)
			}
			b.Predictions = append(b.Predictions, pr)
			b.Outbox = append(b.Outbox, store.Publication{Topic: fmt.Sprintf("cidp/v1/risk/douala/%s/%s", s.Asset, s.Name), Payload: model.AppendRisk(nil, w, &pr), Retain: true,
				WindowID: pr.WindowID, Revision: pr.Revision})
		})
	}
	return ops
}

// alarm moves the hot sensor's alert: raised in minute 1, worse in 2, cleared in 3.
func (p *plant) alarm(b *store.Batch, m int64, w *stream.Window, pr *model.Prediction) {
	if m == 0 {
		return
	}
	a := model.Alert{ID: "alert-1", SensorID: w.Sensor.ID, State: model.Active, Severity: model.Alarm, RaisedAt: t0 + 2*minute, UpdatedAt: w.End,
		PFailure: pr.PFailure, Value: 99.5, Rule: "forest", Reason: "hot", Explanation: pr.Explanation, Method: model.MethodTreeSHAP, WindowID: w.ID(), Start: w.Start, End: w.End, ModelID: modelID}
	tr := model.Transition{AlertID: a.ID, SensorID: a.SensorID, WindowID: w.ID(), Revision: w.Revision, At: w.End, Kind: model.KindRaised, From: model.Normal,
		To: model.Alarm, State: model.Active, Cause: "hot", Actor: model.ActorLine}
	score := 0.5
	pr.Level, pr.Score, a.Score = model.Alarm, &score, &score
	pr.Hold = model.Hold{Level: model.Alarm, Above: 2, Below: 1, AlertID: a.ID, Worst: model.Alarm, RaisedAt: a.RaisedAt, FreeSince: t0 + 5, LastEnd: w.End,
		SteadySince: t0 + 7, SteadyKmh: 70.1, Rate: 0.1 + 0.2}
	switch m {
	case 2:
		a.Severity, tr.Kind, tr.From, tr.To = model.Critical, model.KindSeverity, model.Alarm, model.Critical
	case 3:
		a.Severity, a.State = model.Critical, model.Cleared
		tr.Kind, tr.From, tr.To, tr.State = model.KindCleared, model.Critical, model.Normal, model.Cleared
		pr.Hold = model.Hold{}
	}
	b.Alerts, b.Transitions = append(b.Alerts, a), append(b.Transitions, tr)
}

// extras are what the law counts and the digest leaves out.
func (p *plant) extras(b *store.Batch) {
	b.Late = append(b.Late,
		stream.LateReading{AssetID: 1, SensorID: 1, Received: t0, Reading: stream.Reading{TS: t0 - minute, Temp: 41_001}, Reason: stream.Late},
		stream.LateReading{AssetID: 1, Received: t0, Reading: stream.Reading{TS: t0 - minute, Conditions: stream.Conditions{Brake: 1, Has: stream.HasBrake}}, Reason: stream.Late})
	for i := range 3 {
		b.Refusals = append(b.Refusals, stream.Refusal{Reason: stream.Malformed, Received: t0, Topic: "cidp/v1/telemetry/x/y/z", Client: "bad", Payload: []byte("{"), Element: i, Detail: "not JSON"})
	}
}

// scenario gives minutes of readings, all but the last minute closed. shuffle, which may be nil, mixes the readings within a minute.
func (p *plant) scenario(shuffle *rand.Rand) []op {
	ops := []op{p.register}
	for m := int64(0); m < minutes; m++ {
		raw := p.raw(m)
		if shuffle != nil {
			shuffle.Shuffle(len(raw), func(i, j int) { raw[i], raw[j] = raw[j], raw[i] })
		}
		ops = append(ops, raw...)
		if m == disputedMinute {
			ops = append(ops, p.dispute)
		}
		if m < minutes-1 {
			ops = append(ops, p.close(m)...)
		} else {
			ops = append(ops, func(b *store.Batch) {
				for _, s := range p.sensors {
					b.Opened = append(b.Opened, stream.Open{SensorID: s.ID, From: t0 + m*minute})
				}
			})
		}
	}
	return append(ops, p.extras)
}

// play commits ops in batches of size.
func play(t testing.TB, db *store.DB, ops []op, size int) {
	t.Helper()
	for len(ops) > 0 {
		n := min(size, len(ops))
		b := batch(db)
		for _, o := range ops[:n] {
			o(b)
		}
		count(b, 1)
		commit(t, db, b)
		ops = ops[n:]
	}
}

// inOrder is the identity permutation of sensorNames.
func inOrder() []int { return []int{0, 1, 2, 3, 4, 5} }

// filled gives the path of a closed database that holds the scenario.
func filled(t testing.TB) string {
	t.Helper()
	path := dbPath(t)
	db := open(t, path, store.Options{})
	play(t, db, newPlant(inOrder()).scenario(nil), 40)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// sql runs statements on a connection of its own, with foreign keys off as foreign tools have them.
func sql(t testing.TB, path, text string) {
	t.Helper()
	c, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec(`PRAGMA foreign_keys = OFF; ` + text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// rows runs a query and gives each row as text.
func rows(t testing.TB, path, text string) (out []string) {
	t.Helper()
	c, err := sqlite3.OpenFlags(path, sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, _, err := c.Prepare(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer s.Close()
	for s.Step() {
		row := ""
		for i := range s.ColumnCount() {
			if i > 0 {
				row += "|"
			}
			row += s.ColumnText(i)
		}
		out = append(out, row)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func one(t testing.TB, path, text string) string {
	t.Helper()
	r := rows(t, path, text)
	if len(r) != 1 {
		t.Fatalf("%s: %d rows", text, len(r))
	}
	return r[0]
}

// backBy lets contexts matter for the same time whatever the sensors' periods.
func backBy(d time.Duration) func(time.Duration) time.Duration {
	return func(time.Duration) time.Duration { return d }
}

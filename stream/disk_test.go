package stream_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/stream"
)

// disk keeps what a store would keep of the batches, refuses what a store would refuse, and gives a windower back after a crash.
type disk struct {
	t         testing.TB
	cfg       stream.Config
	score     stream.Scorer
	assets    []*stream.Asset
	sensors   []*stream.Sensor
	readings  map[int64]stream.Reading // by stream.Key
	disputed  map[int64]bool
	contexts  map[int64]stream.Context
	disputedC map[int64]bool
	findings  map[stream.FindingKey]stream.Finding
	open      map[int64]stream.Open    // by sensor
	told      int                      // rows of it written
	last      map[int64]*stream.Window // that learnt
	newest    map[int64]int64          // start of the newest that did not
	revised   int                      // revisions above the first
	wild      bool                     // readings come behind the disorder: a restart may close what a sensor known to be late had held
	putOff    bool                     // windows are due that no batch brought: a restart closes them
	period    map[int64]int64
	windows   []*stream.Window
	late      []stream.LateReading
	refusals  []stream.Refusal
	count     stream.Count
	failsafe  map[int64]int64
	failsafes []stream.Failsafe
	silent    map[[3]string]stream.Scope // who stands as silent
}

func newDisk(t testing.TB, cfg stream.Config, score stream.Scorer) *disk {
	return &disk{t: t, cfg: cfg, score: score, readings: map[int64]stream.Reading{}, disputed: map[int64]bool{}, contexts: map[int64]stream.Context{},
		disputedC: map[int64]bool{}, findings: map[stream.FindingKey]stream.Finding{}, open: map[int64]stream.Open{}, last: map[int64]*stream.Window{}, newest: map[int64]int64{}, failsafe: map[int64]int64{}, period: map[int64]int64{},
		silent: map[[3]string]stream.Scope{}}
}

// Reading and Context make a disk a stream.Past: it knows what was committed, and nothing else.
func (d *disk) Reading(sensorID, ts int64) (stream.Reading, bool, error) {
	r, found := d.readings[stream.Key(ts, sensorID)]
	return r, found, nil
}

func (d *disk) Context(assetID, ts int64) (stream.Context, bool, error) {
	c, found := d.contexts[stream.Key(ts, assetID)]
	return c, found, nil
}

func (d *disk) Finding(key stream.FindingKey) (stream.Finding, bool, error) {
	f, found := d.findings[key]
	return f, found, nil
}

func (d *disk) windower() *stream.Windower {
	d.t.Helper()
	w, err := stream.NewWindower(d.cfg, d, d.score)
	if err != nil {
		d.t.Fatal(err)
	}
	return w
}

// commit takes a batch, as strictly as the real store.
func (d *disk) commit(b *stream.Batch) {
	d.t.Helper()
	for _, a := range b.Assets {
		d.assets = append(d.assets, a)
		if a.ID != int64(len(d.assets)) {
			d.t.Fatalf("asset %s has id %d", a.Name, a.ID)
		}
	}
	for _, f := range b.Failsafes {
		d.failsafe[f.AssetID] = f.State
		d.failsafes = append(d.failsafes, f)
	}
	for _, s := range b.Sensors {
		d.sensors = append(d.sensors, s)
		if s.ID != int64(len(d.sensors)) || s.AssetID < 1 || s.AssetID > int64(len(d.assets)) {
			d.t.Fatalf("sensor %s has id %d of asset %d", s.Name, s.ID, s.AssetID)
		}
	}
	for _, c := range b.Changed {
		d.sensors[c.ID-1], d.period[c.ID] = c.Sensor, c.PeriodMs
	}
	for _, r := range b.Readings {
		key := stream.Key(r.TS, r.SensorID)
		if _, twice := d.readings[key]; twice {
			d.t.Fatalf("reading of sensor %d at %d is stored twice", r.SensorID, r.TS)
		}
		d.readings[key] = r.Reading
	}
	for _, c := range b.Contexts {
		key := stream.Key(c.TS, c.AssetID)
		if _, twice := d.contexts[key]; twice {
			d.t.Fatalf("context of asset %d at %d is stored twice", c.AssetID, c.TS)
		}
		d.contexts[key] = c.Context
	}
	for _, f := range b.Findings {
		if _, twice := d.findings[f.FindingKey]; twice {
			d.t.Fatalf("finding %v is stored twice", f.FindingKey)
		}
		d.findings[f.FindingKey] = f
	}
	for _, r := range b.Conflicted {
		d.disputed[stream.Key(r.TS, r.SensorID)] = true
	}
	for _, c := range b.ConflictedContexts {
		d.disputedC[stream.Key(c.TS, c.AssetID)] = true
	}
	for _, w := range b.Windows {
		d.window(w)
		if !w.Between {
			d.period[w.Sensor.ID] = w.PeriodMs
		}
	}
	for _, o := range b.Opened {
		if d.told++; o.From == 0 {
			delete(d.open, o.SensorID)
			continue
		}
		d.open[o.SensorID] = o
	}
	if len(b.Opened) > 0 && b.Messages == 0 && len(b.Windows) == 0 {
		d.t.Fatal("the batch has nothing but open readings: no commit would take it")
	}
	for _, s := range b.Silences {
		if who := [3]string{s.Site, s.Asset, s.Sensor}; s.Silent {
			d.silent[who] = s.Scope
		} else {
			delete(d.silent, who)
		}
	}
	d.late = append(d.late, b.Late...)
	d.refusals = append(d.refusals, b.Refusals...)
	d.tally(b)
}

// tally holds the ledger law of the batch and adds it up.
func (d *disk) tally(b *stream.Batch) {
	d.t.Helper()
	c := &b.Count
	refused := int64(0)
	for _, n := range c.RefusedByReason {
		refused += n
	}
	if c.Received != c.Stored+c.StoredContext+c.StoredFinding+c.Duplicate+c.Late+c.Refused || refused != c.Refused || len(b.Refusals) != int(refused) ||
		c.Stored != int64(len(b.Readings)) || c.StoredContext != int64(len(b.Contexts)) || c.StoredFinding != int64(len(b.Findings)) || c.Late != int64(len(b.Late)) {
		d.t.Fatalf("the ledger does not hold: %+v with %d readings, %d contexts, %d late, %d refusals", c, len(b.Readings), len(b.Contexts), len(b.Late), len(b.Refusals))
	}
	d.count.Received += c.Received
	d.count.Stored += c.Stored
	d.count.StoredContext += c.StoredContext
	d.count.StoredFinding += c.StoredFinding
	d.count.Duplicate += c.Duplicate
	d.count.Late += c.Late
	d.count.Refused += c.Refused
}

// covers says whether a reading of a sensor at a time is where the batches told that its open readings are.
func (d *disk) covers(sensorID, ts int64) bool {
	o, open := d.open[sensorID]
	if o.Times != nil {
		return slices.Contains(o.Times, ts)
	}
	return open && ts >= o.From && ts < o.To
}

// beside says whether a window is of the time of open readings.
func beside(w *stream.Window, o stream.Open) bool {
	if o.Times != nil {
		return slices.ContainsFunc(o.Times, func(ts int64) bool { return ts >= w.Start && ts < w.End })
	}
	return w.Start < o.To && w.End > o.From
}

// restart gives a windower what the store gives it: the newest window of each sensor, the readings that are where the batches told, and no other,
// the contexts that these may need, the closed windows of their times.
func (d *disk) restart() *stream.Windower {
	d.t.Helper()
	w := d.restored()
	if b := w.Take(); len(b.Windows) > 0 && !d.wild && !d.putOff {
		d.t.Fatalf("a plain restart closed %s", tell(b.Windows[0]))
	} else {
		d.commit(b)
	}
	return w
}

func (d *disk) restored() *stream.Windower {
	d.t.Helper()
	d.covered()
	w := d.windower()
	must := func(err error) {
		d.t.Helper()
		if err != nil {
			d.t.Fatal(err)
		}
	}
	from := d.contextsFrom()
	for _, a := range d.assets {
		must(w.RestoreAsset(*a, from[a.ID]))
		must(w.RestoreFailsafe(a.ID, d.failsafe[a.ID]))
	}
	for _, s := range d.sensors {
		if last := d.last[s.ID]; last != nil {
			must(w.RestoreSensor(*s, last.End, last.Memory))
		} else {
			must(w.RestoreSensor(*s, 0, nil))
		}
		must(w.RestorePeriod(s.ID, d.period[s.ID]))
	}
	for who, scope := range d.silent {
		w.RestoreSilence(scope, who[0], who[1], who[2])
	}
	for _, key := range slices.Sorted(maps.Keys(d.contexts)) {
		if ts, id := stream.SplitKey(key); ts >= from[id] {
			must(w.RestoreContext(id, d.contexts[key], d.disputedC[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(d.readings)) {
		if ts, id := stream.SplitKey(key); d.covers(id, ts) {
			must(w.RestoreReading(id, d.readings[key], d.disputed[key]))
		}
	}
	for _, win := range d.windows {
		for id, open := range d.open {
			if o := d.sensors[id-1]; o.AssetID == win.Sensor.AssetID && id != win.Sensor.ID && beside(win, open) {
				must(w.RestoreClosed(win.Sensor.ID, win.Start, win.End, win.Features[stream.FMean], win.SelfValid(), win.Memory))
				break
			}
		}
	}
	w.Settle(0, t0)
	return w
}

func (d *disk) contextsFrom() map[int64]int64 {
	asset, low, longest := map[int64]int64{}, map[int64]int64{}, map[int64]time.Duration{}
	for _, s := range d.sensors {
		asset[s.ID] = s.AssetID
		period := time.Duration(0)
		if last := d.last[s.ID]; last != nil {
			period = time.Duration(last.PeriodMs) * time.Millisecond
			if d.open[s.ID].From == 0 && low[s.AssetID] == 0 {
				low[s.AssetID] = -last.End
			}
		}
		longest[s.AssetID] = max(longest[s.AssetID], stream.Longest(d.cfg, period))
	}
	for id, o := range d.open {
		if at := low[asset[id]]; at <= 0 || o.From < at {
			low[asset[id]] = o.From
		}
	}
	from := map[int64]int64{}
	for id, at := range low {
		from[id] = max(at, -at) - stream.ContextSpan(longest[id]).Milliseconds()
	}
	return from
}

// covered checks that every committed reading that is in no window is where the batches told.
func (d *disk) covered() {
	d.t.Helper()
	for key := range d.readings {
		ts, id := stream.SplitKey(key)
		if last := d.last[id]; (last == nil || ts >= last.End) && !d.covers(id, ts) {
			d.t.Errorf("reading of sensor %d at %d is in no window and not open: told %+v", id, ts, d.open[id])
		}
	}
}

// settled checks that every accepted reading is in a window, in dispute or open, and none in two places; that what is open is where the batches told, and
// where they told exactly, nothing else.
func (d *disk) settled() {
	d.t.Helper()
	d.covered()
	in := map[int64]int{}    // sensor to readings of the table in its windows
	loose := map[int64]int{} // sensor to open readings
	for key := range d.readings {
		ts, id := stream.SplitKey(key)
		if last := d.last[id]; last == nil || ts >= last.End {
			loose[id]++
			continue
		}
		if !d.disputed[key] {
			in[id]++
		}
	}
	for id, o := range d.open {
		if loose[id] == 0 || o.Times != nil && (len(o.Times) != loose[id] || !slices.IsSorted(o.Times) || o.Times[0] != o.From || o.Times[loose[id]-1] >= o.To) {
			d.t.Errorf("sensor %d: %d readings are open, told %+v", id, loose[id], o)
		}
	}
	for _, w := range d.windows {
		if w.Between {
			d.holds(w)
			continue
		}
		if !d.wild || w.N > 1 || !d.standing(w) {
			in[w.Sensor.ID] -= w.N
		}
	}
	for id, n := range in {
		if n != 0 {
			d.t.Errorf("sensor %d: windows and table differ by %d readings", id, n)
		}
	}
}

// holds checks that a window between has the readings of its time, as far as they are not in dispute.
func (d *disk) holds(w *stream.Window) {
	d.t.Helper()
	n := 0
	for key := range d.readings {
		if ts, id := stream.SplitKey(key); id == w.Sensor.ID && ts >= w.Start && ts < w.End && !d.disputed[key] {
			n++
		}
	}
	if n != w.N && !(d.wild && w.N == 1 && n == 0) {
		d.t.Errorf("sensor %d: window %d to %d has %d readings, the table %d", w.Sensor.ID, w.Start-t0, w.End-t0, w.N, n)
	}
}

// content gives every window in words and bits, by name and time: all that must not depend on how the readings came.
func (d *disk) content() []string {
	slices.SortFunc(d.windows, func(a, b *stream.Window) int {
		return cmp.Or(strings.Compare(a.Sensor.Asset, b.Sensor.Asset), strings.Compare(a.Sensor.Name, b.Sensor.Name), cmp.Compare(a.Start, b.Start))
	})
	out := make([]string, len(d.windows))
	for i, w := range d.windows {
		out[i] = tell(w)
	}
	return out
}

func tell(w *stream.Window) string {
	var bits [stream.NumFeatures]uint64
	for i, v := range w.Features {
		bits[i] = math.Float64bits(v)
	}
	return fmt.Sprintf("%s/%s [%d,%d) r%d n=%d of %d (%x) last %d period %d %q %v\n%v\n%x\n%x\n", w.Sensor.Asset, w.Sensor.Name, w.Start-t0, w.End-t0, w.Revision,
		w.N, w.Expected, math.Float64bits(w.Completeness), w.Last-t0, w.PeriodMs, w.Detail, w.Flagged, w.Features, bits, w.Memory)
}

package platform

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/camrail/cidp/cmd/cidp/console"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// board is the newest committed state of every sensor, for the console: a page must not read a fleet's windows from disk each second. It is safe
// for concurrent use; commit writes it, the console reads it.
type board struct {
	mu      sync.Mutex
	assets  map[[2]string]*boardAsset
	sensors bySensor[boardSensor]
	rates   rates
}

type boardAsset struct {
	site, name string
	sensors    []*boardSensor
}

// boardSensor is a console.Sensor in half the memory.
type boardSensor struct {
	name, level, source string
	failure, mean       console.Figure
	start, end          console.Time // of the window; 0: there is none yet
	reasons             []string
	kind                stream.Kind
	valid               bool // the window
}

func newBoard() *board { return &board{assets: map[[2]string]*boardAsset{}} }

// add gives a sensor its place; the caller holds mu.
func (b *board) add(s *stream.Sensor) {
	key := [2]string{s.Site, s.Asset}
	a := b.assets[key]
	if a == nil {
		a = &boardAsset{site: s.Site, name: s.Asset}
		b.assets[key] = a
	}
	a.sensors = append(a.sensors, b.sensors.set(s.ID, boardSensor{name: s.Name, kind: s.Kind, level: console.LevelUnknown, failure: console.Missing(), mean: console.Missing()}))
}

// shown is the sensor as the console has it.
func (v *boardSensor) shown() console.Sensor {
	verdict := ""
	switch {
	case v.valid:
		verdict = "valid"
	case v.end != 0:
		verdict = "quarantined"
	}
	return console.Sensor{Sensor: v.name, Kind: v.kind.String(), Level: v.level, PFailure: v.failure, MeanC: v.mean, Source: v.source,
		WindowStart: v.start, WindowEnd: v.end, Verdict: verdict, Reasons: v.reasons}
}

// restore shows what the warehouse knows at a start.
func (b *board) restore(ctx context.Context, rec *store.Recovery, pages *store.Console) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range rec.Sensors {
		b.add(s)
	}
	newest, err := pages.NewestWindows(ctx)
	if err != nil {
		return err
	}
	for _, n := range newest {
		if v := b.sensors.at(n.SensorID); v != nil {
			v.start, v.end, v.reasons, v.source = console.Time(n.StartMs), console.Time(n.EndMs), n.Reasons, n.Source
			v.mean, v.failure, v.level, v.valid = figure(n.MeanC), figure(n.PFailure), n.Level, n.Verdict == "valid"
			if !v.valid {
				v.level = console.LevelQuarantined
			}
		}
	}
	return nil
}

// figure gives a number that may be missing to the console.
func figure(v *float64) console.Figure {
	if v == nil {
		return console.Missing()
	}
	return console.Figure(*v)
}

// committed shows what a commit brought.
func (b *board) committed(batch *store.Batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rates.count(time.Now(), &batch.Count)
	for _, s := range batch.Sensors {
		b.add(s)
	}
	for i := range batch.Changed {
		if v := b.sensors.at(batch.Changed[i].ID); v != nil {
			v.kind = batch.Changed[i].Kind
		}
	}
	predicted := predictions(batch)
	for _, w := range batch.Windows {
		v := b.sensors.at(w.Sensor.ID)
		if v == nil || w.Behind {
			continue
		}
		v.start, v.end, v.mean = console.Time(w.Start), console.Time(w.End), console.Figure(w.Features[stream.FMean])
		v.valid, v.level, v.source, v.failure, v.reasons = false, console.LevelQuarantined, "", console.Missing(), nil
		for _, r := range w.Reasons {
			v.reasons = append(v.reasons, string(r))
		}
		if p := predicted[predictionKey{w.ID(), w.Revision}]; p != nil {
			v.valid, v.level, v.source, v.failure = true, p.Level.String(), p.Source, console.Figure(p.PFailure)
		}
	}
}

// ranks orders the levels of the console, worst last.
var ranks = map[string]int{console.LevelUnknown: 0, "normal": 1, console.LevelQuarantined: 2, "watch": 3, "alarm": 4, "critical": 5}

// show copies the board: the console must be able to keep what it is given.
func (b *board) show(s *console.Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Rates = b.rates.perSecond(time.Now())
	levels := map[string]*int64{
		"normal": &s.Levels.Normal, "watch": &s.Levels.Watch, "alarm": &s.Levels.Alarm, "critical": &s.Levels.Critical,
		console.LevelQuarantined: &s.Levels.Quarantined, console.LevelUnknown: &s.Levels.Unknown,
	}
	s.Assets = make([]console.Asset, 0, len(b.assets))
	for _, a := range b.assets {
		out := console.Asset{Site: a.site, Asset: a.name, Level: console.LevelUnknown, Sensors: make([]console.Sensor, 0, len(a.sensors))}
		for _, v := range a.sensors {
			out.Sensors = append(out.Sensors, v.shown())
			*levels[v.level]++
			if ranks[v.level] > ranks[out.Level] {
				out.Level = v.level
			}
		}
		slices.SortFunc(out.Sensors, func(x, y console.Sensor) int { return cmp.Compare(x.Sensor, y.Sensor) })
		s.Assets = append(s.Assets, out)
	}
	slices.SortFunc(s.Assets, func(x, y console.Asset) int {
		return cmp.Or(cmp.Compare(x.Site, y.Site), cmp.Compare(x.Asset, y.Asset))
	})
}

// rates turns growing counts into figures a second, over the last few seconds.
type rates struct {
	now   stream.Count
	taken []sample // of the last rateSpan, oldest first
}

type sample struct {
	at    time.Time
	count stream.Count
}

// rateSpan is how far back a rate looks, sampleEvery how finely.
const (
	rateSpan    = 3 * time.Second
	sampleEvery = 250 * time.Millisecond
)

func (r *rates) count(now time.Time, c *stream.Count) {
	r.sample(now)
	r.now.Received += c.Received
	r.now.Stored += c.Stored + c.StoredContext + c.StoredFinding
	r.now.Duplicate += c.Duplicate
	r.now.Late += c.Late
	r.now.Refused += c.Refused
}

// sample notes where the counts stand and forgets what is older than rateSpan, but for the newest of that.
func (r *rates) sample(now time.Time) {
	if n := len(r.taken); n > 0 && now.Sub(r.taken[n-1].at) < sampleEvery {
		return
	}
	r.taken = append(r.taken, sample{now, r.now})
	for len(r.taken) > 1 && now.Sub(r.taken[1].at) >= rateSpan {
		r.taken = r.taken[1:]
	}
}

func (r *rates) perSecond(now time.Time) console.Rates {
	r.sample(now)
	old := r.taken[0]
	dt := now.Sub(old.at).Seconds()
	if dt < sampleEvery.Seconds() {
		return console.Rates{}
	}
	per := func(now, then int64) console.Figure { return console.Figure(float64(now-then) / dt) }
	return console.Rates{
		ReadingsPerS: per(r.now.Received, old.count.Received), Received: per(r.now.Received, old.count.Received),
		Stored: per(r.now.Stored, old.count.Stored), Duplicate: per(r.now.Duplicate, old.count.Duplicate),
		Late: per(r.now.Late, old.count.Late), Refused: per(r.now.Refused, old.count.Refused),
	}
}

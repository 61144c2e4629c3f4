package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// sent is a reading or a context on its way to the line.
type sent struct {
	topic   string
	context bool
	reading stream.Reading
	arrival int64
}

// traffic is half an hour of two assets: a bearing pair at 5 s and a slow sensor at 90 s each, contexts, a sensor that stops and one that
// appears, disputes, repeats and late ones. Arrival lags the event by less than disorder; the seed decides by how much.
func traffic(seed uint64) []sent {
	content, lag := rand.New(rand.NewPCG(7, 7)), rand.New(rand.NewPCG(7, seed))
	var out []sent
	send := func(s sent) {
		s.arrival = s.reading.TS
		if seed > 0 {
			s.arrival += lag.Int64N(disorder.Milliseconds() - 1)
		}
		out = append(out, s)
	}
	for at := int64(0); at < 1800; at += 5 {
		ts := t0 + 1000*at
		for asset := range 2 {
			name := fmt.Sprint("loco-", asset)
			reading := func(sensor string, temp int64) {
				r := stream.Reading{TS: ts + int64(asset), Temp: stream.Milli(temp + content.Int64N(400))}
				send(sent{topic: stream.TelemetryTopic("douala", name, sensor), reading: r})
			}
			reading("axle1-left", 45_000+10*at)
			if asset == 0 || at < 900 {
				reading("axle1-right", 45_000)
			}
			if at >= 700 {
				reading("motor1", 70_000)
			}
			if at%90 == 0 {
				reading("transformer", 60_000)
			}
			if at%30 == 0 {
				send(sent{topic: stream.ContextTopic("douala", name), context: true, reading: stream.Reading{TS: ts + int64(asset),
					Conditions: stream.Conditions{Ambient: 25_000, Speed: stream.Milli(60_000 + at), Has: stream.HasAmbient | stream.HasSpeed}}})
			}
		}
	}
	for i := 200; i < len(out); i += 97 { // a repeat, a dispute or a late one behind it
		again := out[i]
		again.arrival = again.reading.TS
		if seed > 0 {
			again.arrival += lag.Int64N(disorder.Milliseconds() - 1)
		}
		switch {
		case i%3 == 0 && again.context:
			again.reading.Ambient++
		case i%3 == 0:
			again.reading.Temp++
		case i%3 == 1 && again.reading.TS > t0+20*minute:
			again.topic, again.context = stream.TelemetryTopic("douala", "loco-0", "axle1-left"), false
			again.reading = stream.Reading{TS: again.reading.TS - 15*minute - 1, Temp: 1}
		}
		out = append(out, again)
	}
	slices.SortStableFunc(out, func(a, b sent) int { return int(a.arrival - b.arrival) })
	return out
}

// line is the windower over a database, as the program wires it but for the network and the forest.
type line struct {
	t  *testing.T
	db *store.DB
	w  *stream.Windower
	p  *store.Past

	hop []time.Duration // of all sensors: none or one
}

// newLine opens the database and recovers what it held. hop, where it is given, is that of all sensors.
func newLine(t *testing.T, path string, hop ...time.Duration) *line {
	t.Helper()
	l := &line{t: t, db: open(t, path, store.Options{}), hop: hop}
	var err error
	if l.p, err = l.db.Past(); err != nil {
		t.Fatal(err)
	}
	cfg := stream.DefaultConfig()
	cfg.Disorder, cfg.HistoryAfter = disorder, 0
	if len(hop) > 0 {
		cfg.Hop = hop[0]
	}
	if l.w, err = stream.NewWindower(cfg, l.p, nil); err != nil {
		t.Fatal(err)
	}
	r, err := l.db.Recover(backBy(stream.ContextSpan(stream.Longest(cfg, 90*time.Second))))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range r.Assets {
		must(l.w.RestoreAsset(*a, r.ContextsFrom[a.ID]))
	}
	for _, s := range r.Sensors {
		last := r.Windows[s.ID]
		must(l.w.RestoreSensor(*s, last.End, last.Memory))
	}
	for f, err := range r.Feed() {
		must(err)
		if f.SensorID != 0 {
			must(l.w.RestoreReading(f.SensorID, f.Reading, f.Conflicted))
		} else {
			must(l.w.RestoreContext(f.AssetID, stream.Context{TS: f.TS, Conditions: f.Conditions}, f.Conflicted))
		}
	}
	l.w.Settle(0, t0)
	return l
}

func (l *line) feed(s sent) {
	l.t.Helper()
	var err error
	if s.context {
		_, err = l.w.FeedContext(s.topic, stream.Context{TS: s.reading.TS, Conditions: s.reading.Conditions}, s.arrival, 0)
	} else {
		_, err = l.w.FeedReading(s.topic, s.reading, s.arrival, 0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *line) commit() {
	l.t.Helper()
	b := &store.Batch{Batch: l.w.Take(), ID: l.db.LastCommit() + 1, Committed: t0}
	for _, w := range b.Windows {
		if w.Valid() {
			b.Predictions = append(b.Predictions, predictionOf(w, 1/(1+w.Features[stream.FMax]), model.Normal))
			if w.Between {
				b.Predictions[len(b.Predictions)-1].Hold = model.NoHold()
			}
		}
	}
	commit(l.t, l.db, b)
}

// crash leaves what was not committed, as a kill does.
func (l *line) crash() {
	l.t.Helper()
	if err := l.p.Close(); err != nil {
		l.t.Fatal(err)
	}
	if err := l.db.Close(); err != nil {
		l.t.Fatal(err)
	}
}

// TestLineKeepsTheLaws runs the real windower over the store, in order and in one go, and then disordered, in small batches and with crashes after which
// what was not acknowledged comes again: every invariant holds, and the digests agree.
func TestLineKeepsTheLaws(t *testing.T) { lineKeepsTheLaws(t) }

func lineKeepsTheLaws(t *testing.T, hop ...time.Duration) {
	path := dbPath(t)
	l := newLine(t, path, hop...)
	for _, s := range traffic(0) {
		l.feed(s)
	}
	l.commit()
	l.crash()
	holds(t, path)
	want := digest(t, path)
	if got := one(t, path, `SELECT count(DISTINCT counter) FROM ledger WHERE counter IN ('stored', 'duplicate', 'late', 'refused') AND value > 0`); got != "4" {
		t.Fatalf("%s of 4 kinds of reading came", got)
	}
	l = newLine(t, path, hop...) // silence closes the last windows, and is no content
	l.w.Tick(24*time.Hour, t0)
	l.commit()
	l.crash()
	holds(t, path)
	if got := digest(t, path); got != want {
		t.Errorf("after silence: digest %s, want %s", got, want)
	}
	if left := one(t, path, `SELECT count(*) FROM open_window`); left != "0" {
		t.Errorf("%s windows are open after silence", left)
	}
	for seed := uint64(1); seed <= 3; seed++ {
		path := dbPath(t)
		all := traffic(seed)
		luck := rand.New(rand.NewPCG(seed, 0))
		l := newLine(t, path, hop...)
		acked := 0
		for i := 0; i < len(all); {
			l.feed(all[i])
			i++
			switch n := luck.IntN(300); {
			case n < 10:
				l.commit()
				acked = i
			case n == 10:
				l.crash()
				l = newLine(t, path, hop...)
				i = acked
			}
		}
		l.commit()
		l.crash()
		holds(t, path)
		if got := digest(t, path); got != want {
			t.Errorf("seed %d: digest %s, want %s", seed, got, want)
		}
	}
}

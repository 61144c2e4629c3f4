package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// fleet registers sensors of ten an asset.
func fleet(b *store.Batch, sensors int) []*stream.Sensor {
	for i := range sensors {
		if i%10 == 0 {
			b.Assets = append(b.Assets, &stream.Asset{ID: int64(i/10 + 1), Site: "douala", Name: "loco-" + string(rune('a'+i/260)) + string(rune('a'+i/10%26)), FirstSeen: t0})
		}
		a := b.Assets[len(b.Assets)-1]
		b.Sensors = append(b.Sensors, &stream.Sensor{ID: int64(i + 1), AssetID: a.ID, Site: a.Site, Asset: a.Name, Name: "axle" + string(rune('0'+i%10)), FirstSeen: t0})
	}
	return b.Sensors
}

func registered(b *testing.B, sensors int) (*store.DB, []*stream.Sensor) {
	db := open(b, dbPath(b), store.Options{})
	first := batch(db)
	all := fleet(first, sensors)
	count(first, 0)
	commit(b, db, first)
	return db, all
}

// steady gives a batch of the next readings of sensors that each send once a second. Arrival order is not key order: they report at their own offsets.
func steady(db *store.DB, n *int64, rows int, sensors int64) *store.Batch {
	b := batch(db)
	for range rows {
		b.Readings = append(b.Readings, stream.Stored{SensorID: *n*7%sensors + 1, Reading: stream.Reading{TS: t0 + *n/sensors*1000 + *n*7%sensors, Temp: stream.Milli(*n % 90_000),
			Conditions: stream.Conditions{Ambient: 20_000, Speed: 80_000, Has: stream.HasAmbient | stream.HasSpeed}}})
		*n++
	}
	count(b, 0)
	return b
}

func benchmarkCommit(b *testing.B, rows int) {
	const sensors = 1000
	db, _ := registered(b, sensors)
	n := int64(0)
	for b.Loop() {
		b.StopTimer()
		v := steady(db, &n, rows, sensors)
		b.StartTimer()
		commit(b, db, v)
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
}

func BenchmarkCommit10k(b *testing.B) { benchmarkCommit(b, 10_000) }
func BenchmarkCommit1k(b *testing.B)  { benchmarkCommit(b, 1000) }
func BenchmarkCommit100(b *testing.B) { benchmarkCommit(b, 100) }

// BenchmarkCommitWindows commits one window of each of 1000 sensors, each with its prediction and its publication.
func BenchmarkCommitWindows(b *testing.B) {
	for _, shadows := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("shadows=%d", shadows), func(b *testing.B) { benchmarkCommitWindows(b, shadows) })
	}
}

func benchmarkCommitWindows(b *testing.B, shadows int) {
	db, sensors := registered(b, 1000)
	for k := range shadows {
		if err := db.MoveModels([]store.ModelMove{moved(fmt.Sprintf("%016d", k), store.ModelShadow)}); err != nil {
			b.Fatal(err)
		}
	}
	p := &plant{sensors: sensors}
	m := int64(0)
	for b.Loop() {
		b.StopTimer()
		v := batch(db)
		for n := range sensors {
			w := p.windowOf(n, t0+m*minute, 60)
			w.Memory = make([]byte, 200)
			v.Windows = append(v.Windows, w)
			v.Predictions = append(v.Predictions, predictionOf(w, 0.1, model.Normal))
			v.Outbox = append(v.Outbox, store.Publication{Topic: "cidp/v1/risk/douala/loco/axle", Payload: make([]byte, 400), Retain: true})
			for k := range shadows {
				v.Shadows = append(v.Shadows, model.ShadowPrediction{WindowID: w.ID(), Revision: w.Revision, ModelID: fmt.Sprintf("%016d", k), PFailure: 0.2})
			}
		}
		for i := range int64(1000) {
			v.Sent = append(v.Sent, (m-1)*1000+i+1)
		}
		count(v, 0)
		m++
		b.StartTimer()
		commit(b, db, v)
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "windows/s")
}

func BenchmarkPast(b *testing.B) {
	db, _ := registered(b, 100)
	v := batch(db)
	const rows = 20_000
	for i := range int64(rows) {
		v.Readings = append(v.Readings, stream.Stored{SensorID: i%100 + 1, Reading: stream.Reading{TS: t0 + i/100*1000}})
	}
	count(v, 0)
	commit(b, db, v)
	past, err := db.Past()
	if err != nil {
		b.Fatal(err)
	}
	defer past.Close()
	i := int64(0)
	for b.Loop() {
		if _, found, err := past.Reading(i%100+1, t0+i%rows/100*1000); err != nil || !found {
			b.Fatal(found, err)
		}
		i++
	}
}

// BenchmarkVerifyAndDigest reads a database of 200,000 readings.
func BenchmarkVerifyAndDigest(b *testing.B) {
	db, _ := registered(b, 1000)
	const rows = 200_000
	v := batch(db)
	for i := range int64(rows) {
		v.Readings = append(v.Readings, stream.Stored{SensorID: i%1000 + 1, Reading: stream.Reading{TS: t0 + i/1000*1000, Temp: stream.Milli(i)}})
	}
	for i := range int64(1000) {
		v.Opened = append(v.Opened, stream.Open{SensorID: i + 1, From: t0})
	}
	count(v, 0)
	commit(b, db, v)
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if r, err := store.Verify(context.Background(), db.Path(), nil); err != nil || !r.OK {
				b.Fatal(r, err)
			}
		}
		b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
	})
	b.Run("digest", func(b *testing.B) {
		for b.Loop() {
			if _, err := store.Digest(context.Background(), db.Path()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
	})
}

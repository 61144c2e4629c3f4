package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/camrail/cidp/cmd/cidp/models"
	"github.com/camrail/cidp/cmd/cidp/models/modeltest"
	"github.com/camrail/cidp/cmd/cidp/platform"
	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// filler fills a warehouse as the program would, through windower, scorer and store, but without the network: ten million readings in less than a minute.
type filler struct {
	t      testing.TB
	db     *store.DB
	past   *store.Past
	w      *stream.Windower
	scorer *model.Scorer
	holds  map[int64]model.Hold
	batch  *store.Batch // filling
	total  int64        // readings
}

// fillBatch is how many readings one commit takes.
const fillBatch = 50_000

func newFiller(t testing.TB, dir string) *filler {
	t.Helper()
	f := &filler{t: t, holds: map[int64]model.Hold{}, batch: &store.Batch{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg := stream.DefaultConfig()
	var err error
	f.db, err = store.Open(filepath.Join(dir, platform.DatabaseName), store.Options{Window: cfg.Window, Disorder: cfg.Disorder})
	must(err)
	t.Cleanup(func() { f.db.Close() })
	f.past, err = f.db.Past()
	must(err)
	t.Cleanup(func() { f.past.Close() })
	forest := modeltest.Default(t, modeltest.Passed())
	f.scorer, err = model.NewScorer(forest, model.DefaultRules(), model.DefaultAlertConfig())
	must(err)
	must(models.Put(dir, forest))
	ask := models.Ask{Action: store.ActionActivate, ID: forest.ID(), Actor: "a test"}
	must(ask.Load(dir))
	moves, _, err := models.NewRegistry(nil).Plan(&ask)
	must(err)
	must(f.db.MoveModels(moves))
	f.w, err = stream.NewWindower(cfg, f.past, f.judge)
	must(err)
	return f
}

// judge scores as the line does, and tells nobody.
func (f *filler) judge(w *stream.Window) (frozen bool) {
	hold := f.holds[w.Sensor.ID]
	if !w.Valid() {
		return hold.Level != model.Normal
	}
	scored, err := f.scorer.Score(w, hold)
	if err != nil {
		f.t.Fatal(err)
	}
	f.holds[w.Sensor.ID] = scored.Prediction.Hold
	f.batch.Predictions = append(f.batch.Predictions, scored.Prediction)
	if scored.Alert != nil {
		f.batch.Alerts = append(f.batch.Alerts, *scored.Alert)
	}
	f.batch.Transitions = append(f.batch.Transitions, scored.Transitions...)
	return scored.Prediction.Level != model.Normal
}

// reading takes one of a sensor's, as if received when it was taken.
func (f *filler) reading(topic string, ts int64) {
	r := stream.Reading{TS: ts, Temp: fillTemp(ts)}
	if reason, err := f.w.FeedReading(topic, r, ts, 0); reason != "" || err != nil {
		f.t.Fatal(reason, err)
	}
	if f.total++; f.total%fillBatch == 0 {
		f.commit()
	}
}

// fillTemp is a bearing that breathes by steps of 0.03 K.
func fillTemp(ts int64) stream.Milli { return stream.Milli(45_000 + 30*(ts/1000*7%11)) }

func (f *filler) context(topic string, ts int64) {
	c := stream.Context{TS: ts, Conditions: stream.Conditions{Ambient: 25_000, Speed: 60_000, Has: stream.HasAmbient | stream.HasSpeed}}
	if reason, err := f.w.FeedContext(topic, c, ts, 0); reason != "" || err != nil {
		f.t.Fatal(reason, err)
	}
}

func (f *filler) commit() {
	b := f.batch
	f.batch = &store.Batch{}
	b.Batch, b.ID, b.Committed = f.w.Take(), f.db.LastCommit()+1, time.Now().UnixMilli()
	if err := f.db.Commit(b); err != nil {
		f.t.Fatal(err)
	}
}

// leave commits and copies the warehouse into a folder as a crash would leave it, with its write-ahead log.
func (f *filler) leave(dir string) {
	f.t.Helper()
	f.commit()
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(f.db.Path()+suffix, filepath.Join(dir, platform.DatabaseName+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.t.Fatal(err)
		}
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}

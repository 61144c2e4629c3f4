package store_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/camrail/cidp/model"
	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// kept gives the buckets that a recovery gives back, as text.
func kept(t *testing.T, db *store.DB, modelID string) string {
	t.Helper()
	r, err := db.Recover(backBy(0))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	buckets, err := r.Drift(modelID)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range buckets {
		out = append(out, fmt.Sprintf("%d %s", b.Start, b.Counts))
	}
	return strings.Join(out, ", ")
}

// TestDriftIsKept: buckets are replaced as they change and go as they grow old, and those of one model go with the first of another.
func TestDriftIsKept(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	if err := db.MoveModels([]store.ModelMove{moved("other", store.ModelRetired)}); err != nil {
		t.Fatal(err)
	}
	p := newPlant(inOrder())
	add := func(ops []op, c *store.DriftChange) {
		b := batch(db)
		for _, o := range ops {
			o(b)
		}
		b.Drift, b.Opened = c, nil
		count(b, 0)
		commit(t, db, b)
	}
	bucket := func(start int64, counts string) model.StoredBucket {
		return model.StoredBucket{Start: start, Counts: []byte(counts)}
	}
	add(append(append([]op{p.register}, p.raw(0)...), p.close(0)...), &store.DriftChange{ModelID: modelID, Buckets: []model.StoredBucket{bucket(1, "a"), bucket(2, "b")}, Oldest: 1})
	add(append(append(p.raw(1), p.dispute), p.close(1)...), &store.DriftChange{ModelID: modelID, Buckets: []model.StoredBucket{bucket(2, "c")}})
	if got := kept(t, db, modelID); got != "1 a, 2 c" {
		t.Errorf("kept %s", got)
	}
	add(append(p.raw(2), p.close(2)...), &store.DriftChange{ModelID: modelID, Buckets: []model.StoredBucket{bucket(3, "d")}, Oldest: 2})
	if got := kept(t, db, modelID); got != "2 c, 3 d" {
		t.Errorf("kept %s", got)
	}
	holds(t, path)
	add(append(p.raw(3), p.close(3)...), &store.DriftChange{ModelID: "other", Buckets: []model.StoredBucket{bucket(3, "e")}, Oldest: 2})
	if own, other := kept(t, db, modelID), kept(t, db, "other"); own != "" || other != "3 e" {
		t.Errorf("kept %s of the model before and %s of its follower", own, other)
	}
	sql(t, path, `UPDATE drift_bucket SET model_id = 'nobody'`)
	if b := verify(t, path).Breaches; len(b) != 1 || !strings.Contains(b[0].Detail, "drift from 3 on is of model nobody") {
		t.Errorf("breaches %v", b)
	}
}

// TestTold: of a sensor that something was found of there are its windows with what the model gave them; of a stranger and of one of long ago there are none.
func TestTold(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	play(t, db, append(newPlant(inOrder()).scenario(nil), func(b *store.Batch) {
		b.Findings = append(b.Findings, foundAt("axle1-left", t0-minute, 0, stream.Sound), foundAt("axle1-left", t0+3*minute, 0, stream.Failed), foundAt("stranger", t0+minute, 0, stream.Failed), foundAt("motor1", t0-minute, 0, stream.Failed))
	}), 40)
	pages, err := db.Console()
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	tell := func(modelID string) (all []store.Told) {
		t.Helper()
		err := pages.Told(t.Context(), modelID, t0+minute, func(t *store.Told) error {
			all = append(all, store.Told{Findings: t.Findings, Windows: slices.Clone(t.Windows)})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	told := tell(modelID)
	if len(told) != 2 {
		t.Fatalf("%+v", told)
	}
	own := told[0]
	if len(own.Findings) != 2 || len(own.Windows) != minutes-2 || own.Windows[0].Start != t0+minute || !(own.Windows[0].PFailure > 0) || len(told[1].Windows) != 0 || told[1].Findings[0].Sensor != "stranger" {
		t.Errorf("%+v", told)
	}
	if told = tell("other"); !math.IsNaN(told[0].Windows[0].PFailure) {
		t.Errorf("by another model: %+v", told)
	}
	if n, err := pages.Findings(t.Context()); n != 4 || err != nil {
		t.Errorf("%d findings, %v", n, err)
	}
	enough := errors.New("enough")
	if err := pages.Told(t.Context(), modelID, t0+minute, func(*store.Told) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
}

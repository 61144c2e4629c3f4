package store_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
)

// TestOutboxGivesBackWhatWasTold: a publication that leaves out its prediction's explanation comes back byte by byte, to a restart and to what withholds it, also when the windows have expired.
func TestOutboxGivesBackWhatWasTold(t *testing.T) {
	path := dbPath(t)
	db := open(t, path, store.Options{})
	var told []store.Publication
	ops := append(newPlant(inOrder()).scenario(nil), func(b *store.Batch) { // whole: of no prediction, of one that is not in the batch, and nothing
		b.Outbox = append(b.Outbox, store.Publication{Topic: "t", Payload: []byte("p")}, store.Publication{Topic: "t", Payload: []byte("[]"), WindowID: 1, Revision: 1}, store.Publication{Topic: "t", Retain: true})
	})
	for len(ops) > 0 {
		n := min(40, len(ops))
		play(t, db, append(slices.Clone(ops[:n]), func(b *store.Batch) { told = append(told, b.Outbox...) }), n+1)
		ops = ops[n:]
	}
	if n := one(t, path, `SELECT sum(window_id IS NOT NULL) || ' ' || sum(window_id IS NULL) || ' ' || (max(length(payload)) < 400) FROM outbox`); n != "23 3 1" {
		t.Errorf("left out, whole, short: %s", n)
	}
	same := func(about string, got []store.Publication) {
		t.Helper()
		if len(got) != len(told) {
			t.Fatalf("%s: %d publications, want %d", about, len(got), len(told))
		}
		for i := range got {
			if got[i].Topic != told[i].Topic || got[i].Retain != told[i].Retain || !bytes.Equal(got[i].Payload, told[i].Payload) {
				t.Errorf("%s: publication %d is %q, want %q", about, got[i].ID, got[i].Payload, told[i].Payload)
			}
		}
	}
	check := func(about string) {
		t.Helper()
		r, err := db.Recover(backBy(0))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		same(about+", a restart", r.Unsent)
		k, err := db.Console()
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		page, err := k.Outbox(context.Background(), 1, math.MaxInt64, 100)
		if err != nil {
			t.Fatal(err)
		}
		same(about+", a page", page)
	}
	check("at once")
	whole := filepath.Join(t.TempDir(), "damaged.sqlite")
	sql(t, path, `VACUUM INTO '`+whole+`'`)
	if e := expire(t, db, store.Keep{Raw: 30 * time.Second, Windows: time.Minute, Alerts: time.Minute}, t0+30*minute, false); e.Windows == 0 {
		t.Fatal("no window expired")
	}
	if n := one(t, path, `SELECT count(*) FROM outbox WHERE window_id IS NULL`); n == "3" {
		t.Error("no publication was made whole")
	}
	check("after windows expired")
	sql(t, whole, `DELETE FROM ai_telemetry_predictions`)
	lost, err := store.Open(whole, store.Options{Window: time.Minute, Disorder: disorder})
	if err != nil {
		t.Fatal(err)
	}
	defer lost.Close()
	if _, err := lost.Recover(backBy(0)); !errors.Is(err, store.ErrFatal) {
		t.Errorf("without predictions: %v", err)
	}
}

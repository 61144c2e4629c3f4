package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

func foundAt(sensor string, ts, revision int64, f stream.Found) stream.Finding {
	return stream.Finding{FindingKey: stream.FindingKey{Site: "douala", Asset: "loco-1", Sensor: sensor, TS: ts, Revision: revision}, Found: f,
		Component: "axle 1", By: "A. Mbarga", Note: "dry\ngrease", ID: "WO-17"}
}

// findAll commits a scenario with four findings in its midst.
func findAll(t *testing.T, path string) {
	db := open(t, path, store.Options{})
	ops := newPlant(inOrder()).scenario(nil)
	since := foundAt("axle1-left", t0+minute, 0, stream.Failed)
	since.Since = t0
	told := []stream.Finding{since, foundAt("axle1-left", t0+minute, 2, stream.Withdrawn), foundAt("axle1-right", t0, 0, stream.Faulty), foundAt("not-heard-yet", t0, 0, stream.Sound)}
	for i, f := range told {
		ops = append(ops[:20*i+5], append([]op{func(b *store.Batch) { b.Findings = append(b.Findings, f) }}, ops[20*i+5:]...)...)
	}
	play(t, db, ops, 40)
	past, err := db.Past()
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	for _, f := range told {
		if got, found, err := past.Finding(f.FindingKey); err != nil || !found || got != f {
			t.Errorf("%+v comes back as %+v, %t, %v", f, got, found, err)
		}
	}
	if _, found, err := past.Finding(foundAt("axle1-left", t0+minute, 1, "").FindingKey); found || err != nil {
		t.Errorf("a finding that nobody told is there: %t, %v", found, err)
	}
	b := batch(db)
	b.Findings = told[:1]
	count(b, 0)
	if err := db.Commit(b); !errors.Is(err, store.ErrFatal) {
		t.Errorf("a finding that is there already was committed: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFindingsAreInTheLedger: findings are stored with everything else, count as stored, and Verify misses each that is lost; the digest does not know them.
func TestFindingsAreInTheLedger(t *testing.T) {
	path := dbPath(t)
	findAll(t, path)
	holds(t, path)
	if r := verify(t, path); r.Counts.Verdicts != 4 || store.Sum(r.Ledger).Stored != 194 {
		t.Errorf("counts %+v, ledger %+v", r.Counts, r.Ledger)
	}
	with, err := store.Digest(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if without, err := store.Digest(context.Background(), filled(t)); err != nil || with != without {
		t.Errorf("digest %s with findings, %s without (%v)", with, without, err)
	}
	if got, want := one(t, path, `SELECT group_concat(sensor || ' ' || finding, ', ') FROM verdict_now`), "axle1-right faulty, not-heard-yet sound"; got != want {
		t.Errorf("what stands is %s", got)
	}
	for _, d := range []struct{ sql, want string }{
		{`UPDATE verdict SET since_ms = ts_ms + 1 WHERE revision = 2`, "axle1-left at 1700000100000 in revision 2 has been so since later"},
		{`DELETE FROM verdict WHERE revision = 2`, "4 stored verdicts by the ledger, 3 verdicts in the table"},
	} {
		sql(t, path, d.sql)
		var told []string
		for _, b := range verify(t, path).Breaches {
			told = append(told, b.Detail)
		}
		if !strings.Contains(strings.Join(told, "\n"), d.want) {
			t.Errorf("%s is told as %q", d.sql, told)
		}
	}
}

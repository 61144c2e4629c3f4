package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// TestVerifyOfAForgetfulDatabase: everything holds, what expired is told, and the digest comes with a note that is not on its line.
func TestVerifyOfAForgetfulDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db.sqlite")
	db, err := store.Open(path, store.Options{Window: time.Minute, Disorder: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	const t0 = int64(1_700_000_040_000)
	s := &stream.Sensor{ID: 1, AssetID: 1, Site: "douala", Asset: "loco-1", Name: "axle1-left", FirstSeen: t0}
	b := &store.Batch{ID: 1, Committed: t0, Batch: &stream.Batch{Messages: 120, Count: stream.Count{Received: 120, Stored: 120},
		Assets: []*stream.Asset{{ID: 1, Site: "douala", Name: "loco-1", FirstSeen: t0}}, Sensors: []*stream.Sensor{s}}}
	for i := range int64(120) {
		b.Readings = append(b.Readings, stream.Stored{SensorID: 1, Reading: stream.Reading{TS: t0 + i*1000}})
	}
	for m := range int64(2) {
		b.Windows = append(b.Windows, &stream.Window{Sensor: s, Start: t0 + m*60_000, End: t0 + m*60_000 + 60_000, Revision: 1, N: 60, Expected: 60, Completeness: 1,
			Reasons: []stream.Reason{stream.Flatline}, ClosedBy: stream.ByWatermark, Last: t0 + m*60_000 + 59_000, PeriodMs: 1000})
	}
	if err := db.Commit(b); err != nil {
		t.Fatal(err)
	}
	keep := store.Keep{Raw: 30 * time.Second, Windows: 40 * time.Second}
	for more := true; more; {
		e, err := db.Expire(context.Background(), keep, time.UnixMilli(t0+120_000), false)
		if err != nil {
			t.Fatal(err)
		}
		more = e.More
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := Main(context.Background(), []string{"verify", path, "--digest"}, &out, &errs); code != exitDone {
		t.Fatalf("exit %d: %s%s", code, out.String(), errs.String())
	}
	for _, want := range []string{"stored 120 = 30 readings + 0 contexts + 90 expired", "expired besides: 1 windows, 0 alert", "everything holds"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q: %s", want, out.String())
		}
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; len(last) != 64 {
		t.Errorf("the last line is %q", last)
	}
	if !strings.Contains(errs.String(), "91 rows have expired") {
		t.Errorf("stderr: %s", errs.String())
	}
	out.Reset()
	if code := Main(context.Background(), []string{"verify", path, "--digest", "--json"}, &out, &errs); code != exitDone {
		t.Fatalf("exit %d", code)
	}
	var doc struct {
		Digest string `json:"digest"`
		Note   string `json:"digest_note"`
	}
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Digest) != 64 || !strings.Contains(doc.Note, "91 rows have expired") {
		t.Errorf("%+v, %v", doc, err)
	}
}

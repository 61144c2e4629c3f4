package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// packing lets commits pack from a number of readings on, below 0 nothing, until the test ends.
func packing(t *testing.T, from int) {
	was := packFrom
	packFrom = from
	t.Cleanup(func() { packFrom = was })
}

// TestRetentionOfPackedReadings: what retention promises holds where readings are packed, and where single ones lie between them.
func TestRetentionOfPackedReadings(t *testing.T) {
	for _, from := range []int{1, 5} {
		t.Run(strconv.Itoa(from), func(t *testing.T) {
			packing(t, from)
			t.Run("nothing else", func(t *testing.T) { retentionChangesNothingElse(t, 2) })
			t.Run("windows behind readings", TestWindowsGoBehindReadings)
			t.Run("shadows", TestShadowsExpireWithTheirWindows)
			t.Run("revisions", func(t *testing.T) { revisionsKeepTheLaws(t, 1) })
			t.Run("line", func(t *testing.T) { lineKeepsTheLaws(t, 0) })
		})
	}
}

// TestPackedDamageIsTold: what cannot be looked up ends a start, and a revision, with an error and not with fewer readings.
func TestPackedDamageIsTold(t *testing.T) {
	for _, from := range []int{-1, 1} {
		packing(t, from)
		path := dbPath(t)
		db := open(t, path, store.Options{})
		p := newPlant([]int{0, 1, 2, 3, 4, 5})
		b := batch(db)
		p.register(b)
		for i := range int64(200) {
			b.Readings = append(b.Readings, stream.Stored{SensorID: 1 + i%6, Reading: readingAt(0, t0+i)})
		}
		b.Opened = append(b.Opened, stream.Open{SensorID: 1, From: t0, To: t0 + minute})
		b.Conflicted = append(b.Conflicted, stream.Stored{SensorID: 1, Reading: stream.Reading{TS: t0}})
		count(b, 0)
		commit(t, db, b)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		sql(t, path, `PRAGMA wal_checkpoint(TRUNCATE)`)
		root, err := strconv.ParseInt(one(t, path, `SELECT rootpage FROM sqlite_schema WHERE name = 'conflicted'`), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(bytes.Repeat([]byte{0xde}, 4096), (root-1)*4096)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		db = open(t, path, store.Options{})
		r := recovered(t, db, time.Minute)
		for _, err = range r.Feed() {
			if err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("pack from %d: the start is silent about a damaged page", from)
		}
		past, err := db.Past()
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := past.Readings([]stream.Stretch{{ID: 1, From: t0, To: t0 + minute}}); err == nil {
			t.Errorf("pack from %d: a revision gets %d readings and no error", from, len(kept))
		}
		if err := errors.Join(r.Close(), past.Close(), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// storyOf fills a database with traffic, in batches of some messages, and gives its path.
func storyOf(t *testing.T, batch int) string {
	path := dbPath(t)
	l := newLine(t, path)
	for i, s := range traffic(3) {
		if l.feed(s); i%batch == batch-1 {
			l.commit()
		}
	}
	l.commit()
	l.crash()
	return path
}

// TestPackedOrNotIsTheSame: whether readings are packed is seen nowhere: not in the digest, the view, what a start reads, look-ups and Verify.
func TestPackedOrNotIsTheSame(t *testing.T) {
	const shown = `SELECT ts_ms, sensor, asset, temp_c, ambient_c, speed_kmh, load_t, brake, telemetry.seq, flag FROM telemetry JOIN sensor USING (sensor_id) JOIN asset USING (asset_id) ORDER BY ts_ms, asset, sensor`
	packing(t, -1)
	single := storyOf(t, 700)
	packing(t, 1)
	for _, batch := range []int{3, 40, 700, 100_000} {
		packed := storyOf(t, batch)
		if n := one(t, packed, `SELECT (SELECT count(*) FROM reading) || ' ' || (SELECT sum(n) > 0 FROM reading_packed)`); n != "0 1" {
			t.Fatalf("batches of %d: %s: not all readings are packed", batch, n)
		}
		holds(t, packed)
		if a, b := digest(t, single), digest(t, packed); a != b {
			t.Errorf("batches of %d: digest %s, packed %s", batch, a, b)
		}
		if a, b := rows(t, single, shown), rows(t, packed, shown); !slices.Equal(a, b) {
			t.Errorf("batches of %d: the view shows %d rows, packed %d, or others", batch, len(a), len(b))
		}
		if batch == 700 { // what was open at its end depends on where the last batch ends
			packing(t, -1)
			a := fedAgain(t, single)
			packing(t, 1)
			if b := fedAgain(t, packed); !slices.Equal(a, b) {
				t.Errorf("a start reads %d readings, packed %d, or others", len(a), len(b))
			}
		}
	}
}

// fedAgain gives what a start reads.
func fedAgain(t *testing.T, path string) (out []store.Fed) {
	db := open(t, path, store.Options{})
	r := recovered(t, db, time.Minute)
	for f, err := range r.Feed() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	if err := errors.Join(r.Close(), db.Close()); err != nil || len(out) == 0 {
		t.Fatal(len(out), err)
	}
	return out
}

// TestPackedReadingsAreFound: each by its key, none beside it, and as many between two times as there are.
func TestPackedReadingsAreFound(t *testing.T) {
	packing(t, 1)
	path := storyOf(t, 250)
	db := open(t, path, store.Options{})
	past, err := db.Past()
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	a, err := store.OpenArchive(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	n := int64(0)
	for f, err := range a.Inputs() {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if f.SensorID == 0 {
			continue
		}
		r, found, err := past.Reading(f.SensorID, f.TS)
		if err != nil || !found || r != f.Reading {
			t.Fatalf("%+v: found %t %+v, %v", f, found, r, err)
		}
		for _, ts := range []int64{f.TS - 1, f.TS + 2} {
			if r, found, err := past.Reading(f.SensorID, ts); err != nil || found {
				t.Fatalf("sensor %d has nothing at %d, and %+v is found, %v", f.SensorID, ts, r, err)
			}
		}
	}
	if count, err := a.CountInputs(); err != nil || count != n {
		t.Errorf("it counts %d inputs and gives %d, %v", count, n, err)
	}
	kept, err := past.Readings([]stream.Stretch{{ID: 1, From: t0 + 3*minute, To: t0 + 5*minute}, {ID: 2, From: t0 + 4*minute, To: t0 + 6*minute}})
	want := one(t, path, fmt.Sprintf(`SELECT sum(sensor_id = 1 AND ts_ms BETWEEN %[1]d + 180000 AND %[1]d + 299999 OR sensor_id = 2 AND ts_ms BETWEEN %[1]d + 240000 AND %[1]d + 359999) FROM telemetry`, t0))
	if err != nil || strconv.Itoa(len(kept)) != want {
		t.Errorf("%d readings of two sensors in two minutes each, want %s, %v", len(kept), want, err)
	}
}

// TestSmallCommitsAreNotPacked: neither is what lies far apart in a large one.
func TestSmallCommitsAreNotPacked(t *testing.T) {
	packing(t, -1)
	path := dbPath(t)
	db := open(t, path, store.Options{PackFrom: 100})
	p := newPlant([]int{0, 1, 2, 3, 4, 5})
	first := batch(db)
	p.register(first)
	for i := range int64(99) {
		first.Readings = append(first.Readings, stream.Stored{SensorID: 1 + i%6, Reading: readingAt(0, t0+i)})
	}
	count(first, 0)
	commit(t, db, first)
	second := batch(db)
	for i := range int64(200) { // 100 within 100 ms, and one each three seconds
		at := t0 + minute + min(i, 100) + 3000*max(0, i-100)
		second.Readings = append(second.Readings, stream.Stored{SensorID: 1 + i%6, Reading: readingAt(1, at)})
	}
	count(second, 0)
	commit(t, db, second)
	if got := one(t, path, `SELECT (SELECT count(*) FROM reading), (SELECT count(*) FROM reading_packed), (SELECT sum(n) FROM reading_packed), (SELECT count(*) FROM telemetry)`); got != "198|1|101|299" {
		t.Error(got)
	}
}

func TestVerifyPackedDamage(t *testing.T) {
	packing(t, 1)
	whole, err := os.ReadFile(filled(t))
	if err != nil {
		t.Fatal(err)
	}
	const oldest = ` WHERE first = (SELECT min(first) FROM reading_packed)`
	for _, d := range []struct{ sql, want string }{
		{`DELETE FROM reading_packed` + oldest, "readings and 0 in dispute"},
		{`UPDATE reading_packed SET n = n + 1` + oldest, "and says"},
		{`UPDATE reading_packed SET last = last + 1` + oldest, "and says"},
		{`UPDATE reading_packed SET first = first - 1` + oldest, "follows"},
		{`UPDATE reading_packed SET readings = substr(readings, 1, length(readings) - 1)` + oldest, "are text of the format"},
		{`UPDATE reading_packed SET readings = replace(readings, ',', ', ')` + oldest, "is not what is written"},
		{`UPDATE reading_packed SET readings = ''` + oldest, "are text of the format"},
		{`INSERT INTO reading (key, temp_m) SELECT first, 1 FROM reading_packed` + oldest, "is there twice"},
		{`INSERT INTO reading_flag VALUES (77 << 20 | 1, 3)`, "flag of sensor 1 at 77 refers to a reading"},
		{`INSERT INTO conflicted VALUES (77 << 20 | 1)`, "dispute of sensor 1 at 77 refers to a reading"},
	} {
		r := verify(t, damaged(t, whole, d.sql))
		if !slices.ContainsFunc(r.Breaches, func(b store.Breach) bool { return strings.Contains(b.Detail, d.want) }) {
			t.Errorf("%s: no breach says %q: %v", d.sql, d.want, r.Breaches)
		}
	}
}

// BenchmarkPackedLookup: a sensor's array after another's, of readings that were packed with all sensors'.
func BenchmarkPackedLookup(b *testing.B) {
	path := dbPath(b)
	db := open(b, path, store.Options{})
	const sensors, seconds = 1000, 100
	first := batch(db)
	first.Assets = []*stream.Asset{{ID: 1, Site: "douala", Name: "loco-1", FirstSeen: t0}}
	for id := int64(1); id <= sensors; id++ {
		first.Sensors = append(first.Sensors, &stream.Sensor{ID: id, AssetID: 1, Site: "douala", Asset: "loco-1", Name: fmt.Sprint("s", id), Kind: stream.Bearing, FirstSeen: t0})
		for at := range int64(seconds) {
			first.Readings = append(first.Readings, stream.Stored{SensorID: id, Reading: readingAt(0, t0+1000*at)})
		}
	}
	count(first, 0)
	commit(b, db, first)
	past, err := db.Past()
	if err != nil {
		b.Fatal(err)
	}
	defer past.Close()
	for i := 0; b.Loop(); i++ {
		if _, found, err := past.Reading(1+int64(i/seconds%sensors), t0+1000*int64(i%seconds)); err != nil || !found {
			b.Fatal(i, found, err)
		}
	}
}

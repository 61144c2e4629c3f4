package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/camrail/cidp/store"
	"github.com/camrail/cidp/stream"
)

// scattered is a database of readings and contexts anywhere within an hour, some in dispute, with everything a test wants to be told open.
type scattered struct {
	readings, contexts []int64 // keys, sorted
	disputed           map[int64]bool
}

const scatteredSensors = 40

// scatter fills a database: forty sensors on eight assets, of which three are far behind the others.
func scatter(t *testing.T, db *store.DB, rng *rand.Rand) *scattered {
	t.Helper()
	all := &scattered{disputed: map[int64]bool{}}
	b := batch(db)
	for a := range int64(8) {
		b.Assets = append(b.Assets, &stream.Asset{ID: a + 1, Site: "douala", Name: fmt.Sprint("loco-", a), FirstSeen: t0})
	}
	for s := range int64(scatteredSensors) {
		b.Sensors = append(b.Sensors, &stream.Sensor{ID: s + 1, AssetID: s/5 + 1, Site: "douala", Asset: fmt.Sprint("loco-", s/5), Name: fmt.Sprint("s", s), FirstSeen: t0})
	}
	for s := range int64(scatteredSensors) {
		for ts := t0 + rng.Int64N(3_600_000); ts < t0+3_600_000; ts += 1 + rng.Int64N(60_000) {
			r := stream.Stored{SensorID: s + 1, Reading: readingAt(int(s), ts)}
			b.Readings, all.readings = append(b.Readings, r), append(all.readings, stream.Key(ts, s+1))
			if rng.IntN(9) == 0 {
				b.Conflicted, all.disputed[stream.Key(ts, s+1)] = append(b.Conflicted, r), true
			}
		}
	}
	for a := range int64(8) {
		for ts := t0 + rng.Int64N(600_000); ts < t0+3_600_000; ts += 1 + rng.Int64N(30_000) {
			b.Contexts = append(b.Contexts, stream.StoredContext{AssetID: a + 1, Context: stream.Context{TS: ts, Conditions: stream.Conditions{Speed: 1, Has: stream.HasSpeed}}})
			all.contexts = append(all.contexts, stream.Key(ts, a+1))
		}
	}
	slices.Sort(all.readings)
	slices.Sort(all.contexts)
	count(b, 0)
	commit(t, db, b)
	return all
}

// openAtRandom tells for some sensors a range, exact times or nothing.
func (all *scattered) openAtRandom(rng *rand.Rand) (told []stream.Open) {
	for s := range int64(scatteredSensors) {
		var mine []int64
		for _, k := range all.readings {
			if ts, id := stream.SplitKey(k); id == s+1 {
				mine = append(mine, ts)
			}
		}
		if len(mine) == 0 || rng.IntN(4) == 0 {
			continue
		}
		mine = mine[rng.IntN(len(mine)):]
		o := stream.Open{SensorID: s + 1, From: mine[0]}
		switch rng.IntN(4) {
		case 0: // as an older program told it
		case 1:
			o.To = o.From + 1 + rng.Int64N(600_000)
		case 2:
			o.To = o.From + 1
		default:
			for _, ts := range mine {
				if len(o.Times) == 0 || rng.IntN(3) == 0 {
					o.Times = append(o.Times, ts)
				}
			}
			o.To = o.Times[len(o.Times)-1] + 1
		}
		told = append(told, o)
	}
	return told
}

func inside(o stream.Open, ts int64) bool {
	if o.Times != nil {
		return slices.Contains(o.Times, ts)
	}
	return ts >= o.From && (o.To == 0 || ts < o.To)
}

// want gives the keys that Feed must give, readings and contexts.
func (all *scattered) want(r *store.Recovery) (readings, contexts []int64) {
	for _, k := range all.readings {
		ts, id := stream.SplitKey(k)
		if i := slices.IndexFunc(r.Open, func(o stream.Open) bool { return o.SensorID == id }); i >= 0 && inside(r.Open[i], ts) {
			readings = append(readings, k)
		}
	}
	for _, k := range all.contexts {
		if ts, id := stream.SplitKey(k); ts >= r.ContextsFrom[id] {
			contexts = append(contexts, k)
		}
	}
	return readings, contexts
}

// TestFeedGivesWhatIsOpen holds Feed against a look at every row, for ranges and times of every kind.
func TestFeedGivesWhatIsOpen(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	rng := rand.New(rand.NewPCG(1, 2))
	all := scatter(t, db, rng)
	for range 30 {
		sql(t, db.Path(), `DELETE FROM open_window`)
		b := batch(db)
		b.Opened = all.openAtRandom(rng)
		commit(t, db, b)
		r := recovered(t, db, time.Minute)
		for i, o := range b.Opened {
			if got := r.Open[i]; got.From != o.From || !slices.Equal(got.Times, o.Times) || got.To != o.To && (o.To != 0 || got.To != stream.MaxTS) {
				t.Fatalf("told %+v, recovered %+v", o, got)
			}
		}
		var readings, contexts []int64
		last := int64(0)
		for _, f := range fed(t, r) {
			if f.TS < last {
				t.Fatalf("fed %d after %d", f.TS, last)
			}
			last = f.TS
			if f.SensorID == 0 {
				contexts = append(contexts, stream.Key(f.TS, f.AssetID))
				continue
			}
			k := stream.Key(f.TS, f.SensorID)
			readings = append(readings, k)
			if f.Reading != readingAt(int(f.SensorID-1), f.TS) || f.Conflicted != all.disputed[k] {
				t.Fatalf("fed %+v, in dispute %v", f, all.disputed[k])
			}
		}
		wantReadings, wantContexts := all.want(r)
		if !slices.Equal(readings, wantReadings) || !slices.Equal(contexts, wantContexts) {
			t.Fatalf("fed %d readings and %d contexts, want %d and %d, of %+v", len(readings), len(contexts), len(wantReadings), len(wantContexts), b.Opened)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOpenWindowIsRead: what a file holds in place of a range or of times is not believed, and all from the first reading on is looked at.
func TestOpenWindowIsRead(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	play(t, db, append([]op{newPlant(inOrder()).register}, newPlant(inOrder()).raw(0)...), 1000)
	times := []int64{t0, t0 + 10_000, t0 + 40_000}
	b := batch(db)
	b.Opened = []stream.Open{{SensorID: 1, From: t0, To: t0 + 40_001, Times: times}, {SensorID: 2, From: t0, To: t0 + 20_000}}
	commit(t, db, b)
	for _, c := range []struct {
		name, set string
		want      int // readings of sensor 1 fed
	}{
		{"as written", `from_ms = from_ms`, 3},
		{"a range", `times = NULL`, 5},
		{"older", `times = NULL, to_ms = 8796093022208`, 6},
		{"times that are none", `times = x'ff'`, 6},
		{"no times", `times = x''`, 6},
		{"times cut", `times = substr(times, 1, 4)`, 6},
		{"a longer form of the same", `times = CAST(x'8000' || substr(times, 2) AS BLOB)`, 6},
		{"times that stand still", `times = x'0000'`, 6},
		{"times beyond the range", `to_ms = to_ms - 1`, 6},
		{"times from elsewhere", `times = x'01'`, 6},
		{"a range that is none", `times = NULL, to_ms = from_ms`, 6},
		{"a range beyond all", `times = NULL, to_ms = 9223372036854775807`, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			sql(t, db.Path(), `CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM open_window; INSERT OR REPLACE INTO open_window SELECT * FROM kept;
				UPDATE open_window SET `+c.set+` WHERE sensor_id = 1`)
			got := map[int64]int{}
			r := recovered(t, db, 0)
			for _, f := range fed(t, r) {
				got[f.SensorID]++
			}
			if got[1] != c.want || got[2] != 2 {
				t.Errorf("fed by sensor %v, want %d of sensor 1 and 2 of sensor 2", got, c.want)
			}
		})
	}
}

// TestOpenedIsChecked: a batch that contradicts itself about where its open readings are is refused.
func TestOpenedIsChecked(t *testing.T) {
	db := open(t, dbPath(t), store.Options{})
	play(t, db, []op{newPlant(inOrder()).register}, 10)
	for _, o := range []stream.Open{
		{SensorID: 1, From: t0, To: t0},
		{SensorID: 1, From: -1, To: t0},
		{SensorID: 1, From: t0, To: stream.MaxTS + 1},
		{SensorID: 1, From: t0, To: t0 + 9, Times: []int64{}},
		{SensorID: 1, From: t0, To: t0 + 9, Times: []int64{t0 + 1}},
		{SensorID: 1, From: t0, To: t0 + 9, Times: []int64{t0, t0}},
		{SensorID: 1, From: t0, To: t0 + 9, Times: []int64{t0, t0 + 9}},
	} {
		b := batch(db)
		b.Opened = []stream.Open{o}
		if err := db.Commit(b); !errors.Is(err, store.ErrFatal) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// FuzzTimes holds that what a file holds is refused, or is exactly what would be written for it.
func FuzzTimes(f *testing.F) {
	for _, times := range [][]int64{{t0}, {t0, t0 + 1}, {t0, t0 + 60_000, t0 + 7*24*3600*1000}} {
		b, err := store.AppendTimes(t0, stream.MaxTS, times)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, t0, t0+minute)
	}
	f.Add(bytes.Repeat([]byte{0xff}, 11), t0, stream.MaxTS)
	f.Fuzz(func(t *testing.T, b []byte, from, to int64) {
		if from < 0 || from >= to || to > stream.MaxTS {
			return
		}
		times, ok := store.ReadTimes(b, from, to)
		if !ok {
			return
		}
		if len(times) == 0 || len(times) > len(b) || times[0] != from || times[len(times)-1] >= to || !slices.IsSorted(times) {
			t.Fatalf("%x from %d to %d: %v", b, from, to, times)
		}
		if again, err := store.AppendTimes(from, to, times); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is written again %x, %v", b, again, err)
		}
	})
}

// openDamages are what can be wrong with where open readings are told to be, and what Verify says of it. Sensor 1 is told exactly, the others by a range.
var openDamages = []struct{ name, sql, want string }{
	{"range too short", `UPDATE open_window SET to_ms = from_ms + 20000 WHERE sensor_id = 3`, "sensor 3 has a reading at 1700000300000 that is in no closed window, and a restart would not look there"},
	{"range too late", `UPDATE open_window SET from_ms = from_ms + 1 WHERE sensor_id = 3`, "sensor 3 is open from 1700000280001, its first reading"},
	{"one time lost", `UPDATE open_window SET times = times_without WHERE sensor_id = 1`, "sensor 1 has a reading at 1700000300000 that is in no closed window"},
	{"one time too many", `DELETE FROM reading WHERE key = 1700000300000 << 20 | 1; UPDATE commit_log SET stored = stored - 1, received = received - 1 WHERE commit_id = 1`,
		"sensor 1 is told to have an open reading at 1700000300000, which does not exist"},
	{"the last time too many", `DELETE FROM reading WHERE key = 1700000330000 << 20 | 1`, "sensor 1 is told to have an open reading at 1700000330000, which does not exist"},
	{"times that are none", `UPDATE open_window SET times = x'00ff' WHERE sensor_id = 1`, "where its open readings lie cannot be read"},
	{"range that is none", `UPDATE open_window SET to_ms = from_ms WHERE sensor_id = 3`, "where its open readings lie cannot be read"},
	{"new reading elsewhere", `INSERT INTO reading (key, temp_m) VALUES (1700000640000 << 20 | 3, 1)`, "sensor 3 has a reading at 1700000640000 that is in no closed window, and a restart would not look there"},
	{"only one in dispute, forgotten", `DELETE FROM open_window WHERE sensor_id = 2; INSERT INTO conflicted SELECT key FROM reading WHERE key & 1048575 = 2 AND key >> 20 >= 1700000280000`,
		"sensor 2 has a reading at 1700000280000 that is in no closed window"},
}

func TestVerifyOpenWindows(t *testing.T) {
	singleRows(t)
	path := dbPath(t)
	db := open(t, path, store.Options{})
	play(t, db, newPlant(inOrder()).scenario(nil), 40)
	b := batch(db)
	from, times := t0+4*minute, []int64{}
	for ts := from; ts < from+minute; ts += 10_000 {
		times = append(times, ts)
	}
	b.Opened = []stream.Open{{SensorID: 1, From: from, To: from + minute, Times: times}}
	for s := int64(2); s <= 6; s++ {
		b.Opened = append(b.Opened, stream.Open{SensorID: s, From: from, To: from + 2*minute})
	}
	commit(t, db, b)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	without, err := store.AppendTimes(from, from+minute, slices.DeleteFunc(slices.Clone(times), func(ts int64) bool { return ts == from+20_000 }))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range openDamages {
		t.Run(d.name, func(t *testing.T) {
			path := damaged(t, whole, strings.ReplaceAll(d.sql, "times_without", fmt.Sprintf("x'%x'", without)))
			for _, b := range verify(t, path).Breaches {
				if strings.Contains(b.Detail, d.want) {
					return
				}
			}
			t.Errorf("no breach says %q: %v", d.want, verify(t, path).Breaches)
		})
	}
}

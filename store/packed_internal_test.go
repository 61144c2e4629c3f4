package store

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/camrail/cidp/stream"
)

// someReadings gives readings of one packed row, in the order of their keys, with values of every kind.
func someReadings(n int, seed uint64) (readings []stream.Stored, order []rank) {
	r := rand.New(rand.NewPCG(seed, 1))
	begin := stream.MinTS + r.Int64N(stream.MaxTS-stream.MinTS-packedSpan)
	keys := map[int64]bool{}
	value := func() stream.Milli {
		return []stream.Milli{0, 1, -1, 41_250, stream.MaxMilli, -stream.MaxMilli, stream.Milli(r.Int64N(200_000))}[r.IntN(7)]
	}
	for len(readings) < n {
		s := stream.Stored{SensorID: 1 + r.Int64N(maxID), Reading: stream.Reading{TS: begin, Temp: value()}}
		if len(readings) > 0 {
			s.TS += r.Int64N(packedSpan)
		}
		s.Has = stream.Fields(r.IntN(32))
		if s.Has&stream.HasAmbient != 0 {
			s.Ambient = value()
		}
		if s.Has&stream.HasSpeed != 0 {
			s.Speed = value()
		}
		if s.Has&stream.HasLoad != 0 {
			s.Load = value()
		}
		if s.Has&stream.HasBrake != 0 {
			s.Brake = uint8(r.IntN(2))
		}
		if s.Has&stream.HasSeq != 0 {
			s.Seq = []int64{0, 7, math.MaxInt64, math.MinInt64}[r.IntN(4)]
		}
		if k := stream.Key(s.TS, s.SensorID); !keys[k] {
			keys[k] = true
			order = append(order, rank{k, len(readings)})
			readings = append(readings, s)
		}
	}
	slices.SortFunc(order, func(a, b rank) int { return int(min(max(a.key-b.key, -1), 1)) })
	return readings, order
}

func TestPackedReadingsComeOutAgain(t *testing.T) {
	for seed := range uint64(200) {
		readings, order := someReadings(1+int(seed*7)%packedMost, seed)
		if ts := readings[order[len(order)-1].at].TS; ts-readings[order[0].at].TS >= packedSpan {
			t.Fatalf("seed %d: the test's own readings span too much", seed)
		}
		text := appendPacked(nil, order, readings)
		got, err := decodePacked(nil, order[0].key, text)
		if err != nil || len(got) != len(order) {
			t.Fatalf("seed %d: %d readings of %d, %v", seed, len(got), len(order), err)
		}
		for i, o := range order {
			if got[i].key != o.key || got[i].Reading != readings[o.at].Reading {
				t.Fatalf("seed %d: reading %d is %+v, was %+v", seed, i, got[i], readings[o.at])
			}
		}
	}
}

func TestPackedTextIsStrict(t *testing.T) {
	first := stream.Key(1_700_000_000_000, 5)
	for _, good := range []string{`[[0,5,0]]`, `[[0,5,-1,null,2],[0,6,1,null,null,null,1,-9223372036854775808]]`, `[[0,5,1],[2047,1,1]]`} {
		if _, err := decodePacked(nil, first, []byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		``, `[`, `[]`, `[[]]`, `[[0,5,0]`, `[[0,5,0]]x`, `[[0,5,0],]`, `[[0,5]]`, `[[0,5,]]`, `[[0,5,0,]]`, `[ [0,5,0]]`, `[[0,5,0],[0,5,0]]`, `[[1,5,0]]`, `[[0,6,0]]`, `[[0,5,0],[0,4,0]]`,
		`[[0,5,0],[2048,5,0]]`, `[[0,5,0],[-1,6,0]]`, `[[0,5,0],[1,0,0]]`, `[[0,5,0],[1,1048576,0]]`, `[[0,5,00]]`, `[[0,5,-0]]`, `[[0,5,1.5]]`, `[[0,5,1e3]]`, `[[0,5,null]]`, `[[0,5,0,nul]]`,
		`[[0,5,9223372036854775808]]`, `[[0,5,99999999999999999999]]`, `[[0,5,0,0,0,0,2]]`, `[[0,5,0,0,0,0,-1]]`, `[[0,5,0,0,0,0,1,1,1]]`, `[[0,5,0]][[0,6,0]]`, `[[0,5,0][0,6,0]]`,
	} {
		if got, err := decodePacked(nil, first, []byte(bad)); err == nil {
			t.Errorf("%s: taken for %+v", bad, got)
		}
	}
}

// FuzzPacked: what is taken is what would be written.
func FuzzPacked(f *testing.F) {
	for seed := range uint64(8) {
		readings, order := someReadings(1+int(seed)*3, seed)
		f.Add(order[0].key, appendPacked(nil, order, readings))
	}
	f.Add(int64(5), []byte(`[[0,5,1,null]]`))
	f.Fuzz(func(t *testing.T, first int64, text []byte) {
		got, err := decodePacked(nil, first, text)
		if err != nil {
			return
		}
		stored, order := make([]stream.Stored, len(got)), make([]rank, len(got))
		for i, r := range got {
			_, id := stream.SplitKey(r.key)
			stored[i], order[i] = stream.Stored{SensorID: id, Reading: r.Reading}, rank{r.key, i}
		}
		again, err := decodePacked(nil, first, appendPacked(nil, order, stored))
		if err != nil || !slices.Equal(got, again) {
			t.Fatalf("%q: %+v, written again %+v, %v", text, got, again, err)
		}
	})
}

func BenchmarkPacked(b *testing.B) {
	readings, order := someReadings(packedMost, 1)
	for i := range readings {
		readings[i].Reading = stream.Reading{TS: readings[i].TS, Temp: 41_250, Conditions: stream.Conditions{Ambient: 21_500, Speed: 80_000, Load: 60_000, Has: 15}}
	}
	var text []byte
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			text = appendPacked(text[:0], order, readings)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/packedMost, "ns/reading")
	})
	b.Run("decode", func(b *testing.B) {
		var room []packedReading
		for b.Loop() {
			var err error
			if room, err = decodePacked(room[:0], order[0].key, text); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/packedMost, "ns/reading")
	})
}

func TestRanksAreSorted(t *testing.T) {
	var room []rank
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		ranks := make([]rank, r.IntN(3*fewRanks))
		for i := range ranks {
			ranks[i] = rank{stream.Key(1_700_000_000_000+r.Int64N(1<<(seed%40)), 1+r.Int64N(1<<(seed%20))), i}
		}
		want := slices.Clone(ranks)
		slices.SortFunc(want, func(a, b rank) int { return int(min(max(a.key-b.key, -1), 1)) })
		var got []rank
		got, room = sortRanks(ranks, room)
		for i := range got {
			if got[i].key != want[i].key {
				t.Fatalf("seed %d: %d of %d is %d, want %d", seed, i, len(got), got[i].key, want[i].key)
			}
		}
		seen := make([]bool, len(got))
		for _, g := range got {
			if seen[g.at] {
				t.Fatalf("seed %d: %d is there twice", seed, g.at)
			}
			seen[g.at] = true
		}
	}
}

func BenchmarkSortRanks(b *testing.B) {
	from, ranks, room := make([]rank, 16_000), make([]rank, 16_000), []rank(nil)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range from {
		from[i] = rank{stream.Key(1_700_000_000_000+1000*r.Int64N(100), 1+r.Int64N(1000)), i}
	}
	for b.Loop() {
		copy(ranks, from)
		ranks, room = sortRanks(ranks, room)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(from)), "ns/row")
}

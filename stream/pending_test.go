package stream

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// anyReading gives a reading that fits a packed row, or one that in some way does not.
func anyReading(ts int64, rng *rand.Rand) Reading {
	r := Reading{TS: ts, Temp: Milli(rng.IntN(100_000) - 50_000)}
	if rng.IntN(3) > 0 {
		r.Ambient, r.Has = Milli(20_000+rng.IntN(3)), HasAmbient
	}
	if rng.IntN(4) == 0 {
		r.Speed, r.Load, r.Brake, r.Has = Milli(rng.IntN(90_000)), 61_000, uint8(rng.IntN(2)), r.Has|HasSpeed|HasLoad|HasBrake
	}
	if rng.IntN(3) == 0 {
		r.Seq, r.Has = ts/1000, r.Has|HasSeq
	}
	wide := []int64{math.MaxInt32, math.MaxInt32 + 1, math.MinInt32, math.MinInt32 - 1, int64(MaxMilli), -int64(MaxMilli), 1<<23 - 1, 1 << 23, -1 << 23, -1<<23 - 1}[rng.IntN(10)]
	switch rng.IntN(60) {
	case 0:
		r.Temp = Milli(wide)
	case 1:
		r.Ambient, r.Has = Milli(wide), r.Has|HasAmbient
	case 2:
		r.Speed, r.Has = Milli(wide), r.Has|HasSpeed
	case 3:
		r.Load, r.Has = Milli(wide), r.Has|HasLoad
	case 4:
		r.Seq, r.Has = wide, r.Has|HasSeq
	case 5: // not what Decode gives, but what a caller may
		r = Reading{TS: ts, Seq: 7, Conditions: Conditions{Load: 3, Brake: 1}}
	case 7:
		r.Brake, r.Has = 2, r.Has|HasBrake
	case 8:
		r.Has |= 1 << 7
	case 6:
		r = Reading{TS: ts, Conditions: Conditions{Brake: 1}}
	}
	return r
}

// TestPendingKeepsEveryBit sets packed readings against a plain slice, over random insertions in any order, disputes and departures.
func TestPendingKeepsEveryBit(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var p pending
		var plain, scratch []entry
		now, span := int64(1_700_000_000_000), []int64{1000, 100_000, math.MaxInt32, 1 << 40}[seed%4]
		for range 400 {
			switch n := len(plain); {
			case n > 0 && rng.IntN(40) == 0:
				k := 1 + rng.IntN(n)
				plain, scratch = slices.Delete(plain, 0, k), p.drop(k, scratch)
			case n > 0 && rng.IntN(20) == 0:
				k := rng.IntN(n)
				plain[k].conflicted = true
				p.dispute(k)
			default:
				ts := now + rng.Int64N(2*span) - span
				if seed%3 == 0 {
					ts = now
				}
				now += 1000
				r := anyReading(ts, rng)
				i, found := slices.BinarySearchFunc(plain, ts, func(e entry, ts int64) int { return compare(e.TS, ts) })
				at, fresh := p.insert(r)
				if fresh == found || at != i {
					t.Fatalf("seed %d: inserted at %d, fresh %v; want %d, %v", seed, at, fresh, i, !found)
				}
				if fresh {
					plain = slices.Insert(plain, i, entry{Reading: r})
				}
			}
			samePending(t, fmt.Sprint("seed ", seed), &p, plain, now)
		}
	}
}

func samePending(t *testing.T, what string, p *pending, plain []entry, now int64) {
	t.Helper()
	if p.len() != len(plain) || !slices.Equal(p.entries(nil, 0, p.len()), plain) {
		t.Fatalf("%s: packed %v, want %v", what, p.entries(nil, 0, p.len()), plain)
	}
	for i, e := range plain {
		if p.ts(i) != e.TS || p.disputed(i) != e.conflicted || p.from(e.TS) != i {
			t.Fatalf("%s: reading %d is at %d, %v, found at %d; want %+v", what, i, p.ts(i), p.disputed(i), p.from(e.TS), e)
		}
	}
	if want, _ := slices.BinarySearchFunc(plain, now, func(e entry, ts int64) int { return compare(e.TS, ts) }); p.from(now) != want {
		t.Fatalf("%s: from %d is %d, want %d", what, now, p.from(now), want)
	}
}

// TestPendingStaysSmall: in steady state nothing grows, wide values are packed again once they fit, and what is empty holds nothing.
func TestPendingStaysSmall(t *testing.T) {
	if n := unsafe.Sizeof(row{}) + unsafe.Sizeof(condition{}); n != 22 {
		t.Errorf("a reading with conditions of its own takes %d bytes", n)
	}
	var p pending
	var scratch []entry
	for second := range int64(100 * 24 * 3600 / 60) { // a hundred days, a reading a minute: more than a row counts
		r := Reading{TS: t0InMilli + second*60_000, Temp: 40_000, Seq: second * 400, Conditions: Conditions{Speed: Milli(second), Has: HasSpeed | HasSeq}}
		if p.insert(r); p.len() == 70 {
			scratch = p.drop(60, scratch)
		}
		if cap(p.all) > 100 || cap(p.conds) > 100 || len(p.wide) > 0 {
			t.Fatalf("after %d readings: %d rows, %d conditions, %d wide", second, cap(p.all), cap(p.conds), len(p.wide))
		}
	}
	p.drop(p.len(), scratch)
	if p.all != nil || p.conds != nil || p.wide != nil {
		t.Error("an empty one holds something")
	}
	// A slow drain of much, more than rows refer to: what is gone does not stay.
	for i := range int64(40_000) {
		p.insert(Reading{TS: t0InMilli + i*1000, Conditions: Conditions{Speed: Milli(i), Has: HasSpeed}})
	}
	for p.len() > 1000 {
		scratch = p.drop(60, scratch)
	}
	if len(p.conds)+len(p.wide) > 2*p.len()+64 {
		t.Errorf("%d conditions and %d wide ones of %d readings", len(p.conds), len(p.wide), p.len())
	}
}

const t0InMilli = int64(1_700_000_040_000)

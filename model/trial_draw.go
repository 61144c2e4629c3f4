package model

import (
	"math"
	"slices"
)

// interval is the percentile interval of the gain in PR-AUC of one score over another, over draws of the groups with replacement. Draws without both classes have no gain and are
// left out.
func (d TrialRows) interval(p, rule []float64, cfg TrialConfig) (low, high float64) {
	index, groups := map[int32]int{}, make([]int, len(d.Group)) // dense, in the order of the rows
	for i, g := range d.Group {
		at, ok := index[g]
		if !ok {
			at = len(index)
			index[g] = at
		}
		groups[i] = at
	}
	a, b := d.rank(p, groups), d.rank(rule, groups)
	rng := newDraws(cfg.Seed, math.MaxUint64-2)
	times := make([]int64, len(index))
	var gains []float64
	for range cfg.Resamples {
		clear(times)
		for range times {
			times[rng.below(uint64(len(times)))]++
		}
		x, ok := a.area(times)
		y, same := b.area(times)
		if ok && same {
			gains = append(gains, x-y)
		}
	}
	if len(gains) == 0 {
		return -1, 1
	}
	slices.Sort(gains)
	tail := (1 - cfg.Confidence) / 2
	at := int(float64(tail * float64(len(gains))))
	return round6(gains[at]), round6(gains[len(gains)-1-at])
}

// ranked is rows from the highest score down: their group and label, and where a score ends.
type ranked struct {
	group    []int32
	positive []bool
	last     []bool
}

func (d TrialRows) rank(score []float64, groups []int) ranked {
	order := descending(score)
	r := ranked{make([]int32, len(order)), make([]bool, len(order)), make([]bool, len(order))}
	for k, i := range order {
		r.group[k], r.positive[k] = int32(groups[i]), d.Y[i] == 1
		r.last[k] = k+1 == len(order) || score[order[k+1]] != score[i]
	}
	return r
}

// area is the average precision with each group's rows counted as often as it was drawn; not ok without both classes.
func (r ranked) area(times []int64) (area float64, ok bool) {
	var above, seen, pos int64
	for k, g := range r.group {
		n := times[g]
		seen += n
		if r.positive[k] {
			pos += n
		}
		if r.last[k] && pos > 0 {
			above += pos
			area += float64(float64(pos) * (float64(above) / float64(seen)))
			pos = 0
		}
	}
	if above == 0 || above == seen {
		return 0, false
	}
	return area / float64(above), true
}

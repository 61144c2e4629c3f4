package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Evaluation is how well probabilities rank and fit labels. Figures are rounded to 1e-6, so that a manifest that
// holds them is the same on every machine.
type Evaluation struct {
	Rows      int     `json:"rows"`
	Positives int     `json:"positives"`
	Groups    int     `json:"groups"`  // distinct assets among the rows; 0 when the caller does not know
	ROCAUC    float64 `json:"roc_auc"` // chance that a positive row outranks a negative one, ties one half
	PRAUC     float64 `json:"pr_auc"`  // average precision: precision at each distinct threshold, weighted by the recall it adds
	Brier     float64 `json:"brier"`   // mean squared error of the probabilities
}

// Evaluate measures probabilities p (0 to 1, or any score for the two ranks alone) against labels y. It refuses what has no figure: no rows, unlike lengths, one
// class, NaN.
func Evaluate(p []float64, y []uint8) (Evaluation, error) {
	if len(p) != len(y) {
		return Evaluation{}, fmt.Errorf("evaluate: %d probabilities but %d labels", len(p), len(y))
	}
	order := make([]int, len(p))
	positives := 0
	for i := range p {
		if math.IsNaN(p[i]) || y[i] > 1 {
			return Evaluation{}, fmt.Errorf("evaluate: row %d has probability %v and label %d", i, p[i], y[i])
		}
		order[i] = i
		positives += int(y[i])
	}
	if positives == 0 || positives == len(y) {
		return Evaluation{}, errors.New("evaluate: both classes are needed")
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	e := Evaluation{Rows: len(p), Positives: positives, Brier: round6(brier(p, y))}
	e.ROCAUC, e.PRAUC = areas(order, p, y, positives)
	return e, nil
}

// areas walks the rows from the highest score down, equal scores together. The ROC area is the Mann-Whitney count of pairs in the right
// order, kept in integers; every product of floats is rounded before it is added.
func areas(order []int, p []float64, y []uint8, positives int) (roc, pr float64) {
	var above, seen int64   // positives above this score, rows down to it
	var inOrder, tied int64 // pairs of a positive and a negative
	for i := 0; i < len(order); {
		var pos, neg int64
		for score := p[order[i]]; i < len(order) && p[order[i]] == score; i++ {
			if y[order[i]] == 1 {
				pos++
			} else {
				neg++
			}
		}
		inOrder += neg * above
		tied += neg * pos
		above += pos
		seen += pos + neg
		pr += float64(float64(pos) / float64(positives) * (float64(above) / float64(seen)))
	}
	pairs := int64(positives) * int64(len(p)-positives)
	return round6(float64(2*inOrder+tied) / float64(2*pairs)), round6(pr)
}

func brier(p []float64, y []uint8) float64 {
	var sum float64
	for i := range p {
		d := p[i] - float64(y[i])
		sum += float64(d * d)
	}
	return sum / float64(len(p))
}

func round6(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// GroupSplit parts rows in two by their group, so that no asset is on both sides: a share of the groups, drawn for the
// seed, is held out (rounded to whole groups, at least one on each side). Both lists are in rising order.
func GroupSplit(groups []int32, share float64, seed uint64) (train, held []int, err error) {
	distinct := slices.Clone(groups)
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)
	if len(distinct) < 2 {
		return nil, nil, fmt.Errorf("split by group: %d groups, at least 2 are needed", len(distinct))
	}
	if !(share > 0 && share < 1) {
		return nil, nil, fmt.Errorf("split by group: share %v is not between 0 and 1", share)
	}
	rng := newDraws(seed, math.MaxUint64)
	for i := range distinct {
		j := i + int(rng.below(uint64(len(distinct)-i)))
		distinct[i], distinct[j] = distinct[j], distinct[i]
	}
	n := min(max(int(math.Round(share*float64(len(distinct)))), 1), len(distinct)-1)
	out := make(map[int32]bool, n)
	for _, g := range distinct[:n] {
		out[g] = true
	}
	for i, g := range groups {
		if out[g] {
			held = append(held, i)
		} else {
			train = append(train, i)
		}
	}
	return train, held, nil
}
